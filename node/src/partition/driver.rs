//! The driver's loop: select one event, step, drain a few more, then persist, send, reply, start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use futures_util::FutureExt;
use ringhold_control::Cluster;
use ringhold_replica::{
    AttemptEnd, Effects, Event, Member, MemberOptions, Note, PersistToken, RecoveredReplica,
    Registration, Reply, RequestToken, RoleView, Sound, Timing,
};
use ringhold_types::limits::HAND_BACK_GRACE;
use ringhold_types::{
    ControlIndex, ExecutorConfig, ExecutorId, MemberId, Millis, StartNonce, Tick,
};
use tokio::sync::{mpsc, oneshot, watch};

use super::committer::{Committer, CommitterReport};
use super::handle::{
    DriverHandle, GONE_QUEUED_MAX, NOTICES_QUEUED_MAX, PEER_BATCHES_QUEUED_MAX, PeerBatch,
    Question, REQUESTS_QUEUED_MAX,
};
use super::proposals::Proposals;
use super::view::{Counters, MemberView};
use crate::clock::Clock;
use crate::control::{ControlEvent, ControlEvents, ControlPlane};
use crate::execution::{AttemptReport, Execution, Report};
use crate::peer::Links;

/// Events of one turn: enough that a prepare carries many tasks, few enough that heartbeats are never late.
const EVENTS_PER_TURN_MAX: usize = 512;

/// Pause before a hand-over that the plan still wants is asked for again: several times as long as one may hold its callers.
const HAND_OVER_AGAIN: Millis = Millis(2_000);

/// How often the cluster is told that the marks of cut tails are gone, until it has heard: longer than a proposal takes.
const MARKS_TOLD_EVERY: Millis = Millis(3_000);

/// What the driver is made of.
pub struct DriverOptions {
    /// This member.
    pub member: MemberId,
    /// This process start.
    pub start: StartNonce,
    /// Replicas found on disk.
    pub recovered: Vec<RecoveredReplica>,
    /// Whether the log was cut, and replicas that were not found may have been in the part that is gone.
    pub unlisted_cut: bool,
    /// Most bytes of all rings held here together.
    pub ring_bytes_max: u64,
    /// The log's thread.
    pub committer: Committer,
    /// The control plane.
    pub control: ControlPlane,
    /// What it reports, in order.
    pub control_events: ControlEvents,
    /// The pools.
    pub execution: Execution,
    /// What they report.
    pub reports: mpsc::Receiver<Report>,
    /// The ways to other members.
    pub links: Links,
    /// The member's clock.
    pub clock: Clock,
}

/// Owns the machine of this member's replicas.
pub struct Driver {
    machine: Member<Sound>,
    member: MemberId,
    start: StartNonce,
    clock: Clock,
    committer: Committer,
    log_reports: watch::Receiver<CommitterReport>,
    control_events: ControlEvents,
    execution: Execution,
    reports: mpsc::Receiver<Report>,
    links: Links,
    proposals: Proposals,
    questions: mpsc::Receiver<Question>,
    peers: mpsc::Receiver<PeerBatch>,
    notices: mpsc::Receiver<Event>,
    gone: mpsc::Receiver<RequestToken>,
    /// Who waits for which answer; bounded by the machine's bounds on waiters and queued requests.
    callers: BTreeMap<RequestToken, oneshot::Sender<Reply>>,
    /// Configurations of executors, for starting attempts.
    configs: BTreeMap<ExecutorId, Arc<ExecutorConfig>>,
    cluster: Arc<Cluster>,
    applied: ControlIndex,
    registered: bool,
    /// When the cluster is told again that the marks of cut tails are gone.
    marks_told_again: Tick,
    persisted: PersistToken,
    disk_nearly_full: bool,
    /// A replica's role has changed since the view was published.
    roles_changed: bool,
    /// The member hands over what it leads, and somebody waits for the end of that.
    drains: bool,
    /// The operator's drain of this member, and attempts that had been handed back when it began.
    drain: Option<(ControlIndex, u64)>,
    /// When hand-overs that the plan wants are asked for again: one that came to nothing leaves no other trace.
    hand_over_again: Option<Tick>,
    counters: Counters,
    view: watch::Sender<Arc<MemberView>>,
}

impl Driver {
    /// Prepares a driver; [`Self::run`] drives it.
    #[must_use]
    pub fn new(options: DriverOptions) -> (Self, DriverHandle) {
        let (questions_sender, questions) = mpsc::channel(REQUESTS_QUEUED_MAX);
        let (peers_sender, peers) = mpsc::channel(PEER_BATCHES_QUEUED_MAX);
        let (notices_sender, notices) = mpsc::channel(NOTICES_QUEUED_MAX);
        let (gone_sender, gone) = mpsc::channel(GONE_QUEUED_MAX);
        let cluster = Arc::new(Cluster::new());
        let (view_sender, view) = watch::channel(Arc::new(MemberView::before_start(&cluster)));
        let handle = DriverHandle {
            questions: questions_sender,
            peers: peers_sender,
            notices: notices_sender.clone(),
            gone: gone_sender,
            view,
            tokens: Arc::new(AtomicU64::new(1)),
        };
        let machine_options = MemberOptions {
            id: options.member,
            start: options.start,
            rules: Sound,
            timing: Timing::default(),
            unlisted_cut: options.unlisted_cut,
            ring_bytes_max: options.ring_bytes_max,
        };
        let driver = Self {
            machine: Member::new(machine_options, options.recovered, options.clock.now()),
            member: options.member,
            start: options.start,
            clock: options.clock,
            log_reports: options.committer.reports(),
            committer: options.committer,
            control_events: options.control_events,
            execution: options.execution,
            reports: options.reports,
            links: options.links,
            proposals: Proposals::new(options.control, notices_sender, options.clock),
            questions,
            peers,
            notices,
            gone,
            callers: BTreeMap::new(),
            configs: BTreeMap::new(),
            cluster,
            applied: ControlIndex::ZERO,
            registered: false,
            marks_told_again: Tick(0),
            persisted: PersistToken::default(),
            disk_nearly_full: false,
            roles_changed: false,
            drains: false,
            drain: None,
            hand_over_again: None,
            counters: Counters::default(),
            view: view_sender,
        };
        (driver, handle)
    }

    /// Drives the machine until `stop` says so or something fatal happens.
    ///
    /// # Errors
    /// What made the member stop, for its last log line and exit code.
    pub async fn run(&mut self, mut stop: watch::Receiver<bool>) -> Result<(), String> {
        loop {
            let mut effects = Effects::default();
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => {
                    self.take_last_reports(&mut effects);
                    return effects.fatal.map_or(Ok(()), Err);
                }
                () = self.next_event(&mut effects) => {}
            }
            self.drain(&mut effects);
            let now = self.clock.now();
            if self.hand_over_again.is_some_and(|at| at <= now) {
                self.ask_for_hand_overs(&mut effects);
            }
            self.machine.finish_turn(now, &mut effects);
            self.counters.turns += 1;
            if let Some(reason) = effects.fatal.take() {
                return Err(reason);
            }
            self.perform(effects)?;
            self.tell_cleared_marks(now);
            self.publish();
        }
    }

    /// Ends everything but the log's thread, so that whoever waits for an answer learns that none comes.
    #[must_use]
    pub fn into_committer(self) -> Committer {
        self.committer
    }

    /// What attempts reported before the end goes into the log, which is written out: an attempt that was handed back does
    /// not count as cut short at the next start.
    fn take_last_reports(&mut self, effects: &mut Effects) {
        while let Ok(report) = self.reports.try_recv() {
            self.on_report(report, effects);
        }
        self.machine.finish_turn(self.clock.now(), effects);
        let last = std::mem::take(effects);
        if let Err(reason) = self.perform(last) {
            effects.fatal = Some(reason);
        }
    }

    /// Waits for one event and steps it.
    async fn next_event(&mut self, effects: &mut Effects) {
        let timer = [self.machine.deadline(), self.hand_over_again];
        let timer = timer.into_iter().flatten().min();
        let timer = timer.map(|tick| self.clock.until(tick));
        let sleep = async {
            match timer {
                Some(duration) => tokio::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            event = self.control_events.next() => match event {
                Some(event) => self.on_control(event, effects),
                // Without a control plane this member can neither renew nor lose its role in an orderly way.
                None => effects.fatal = Some("the control plane has stopped".to_owned()),
            },
            changed = self.log_reports.changed() => match changed {
                Ok(()) => self.on_log_report(effects),
                Err(_) => effects.fatal = Some("the log's thread has stopped".to_owned()),
            },
            Some(batch) = self.peers.recv() => self.on_peer(batch, effects),
            Some(report) = self.reports.recv() => self.on_report(report, effects),
            Some(event) = self.notices.recv() => self.on_notice(event, effects),
            Some(token) = self.gone.recv() => self.on_gone(token, effects),
            Some(question) = self.questions.recv(), if !self.committer.is_behind() => self.on_question(question, effects),
            () = sleep => self.step(Event::Timer, effects),
        }
    }

    /// Takes what else is there already, up to a bound, so that one prepare and one flush carry it all.
    fn drain(&mut self, effects: &mut Effects) {
        for _ in 0..EVENTS_PER_TURN_MAX {
            if effects.fatal.is_some() {
                return;
            }
            if let Some(Some(event)) = self.control_events.next().now_or_never() {
                self.on_control(event, effects);
            } else if self.log_reports.has_changed().unwrap_or(false) {
                self.on_log_report(effects);
            } else if let Ok(batch) = self.peers.try_recv() {
                self.on_peer(batch, effects);
            } else if let Ok(report) = self.reports.try_recv() {
                self.on_report(report, effects);
            } else if let Ok(event) = self.notices.try_recv() {
                self.on_notice(event, effects);
            } else if let Ok(token) = self.gone.try_recv() {
                self.on_gone(token, effects);
            } else if !self.committer.is_behind()
                && let Ok(question) = self.questions.try_recv()
            {
                self.on_question(question, effects);
            } else {
                return;
            }
        }
    }

    /// Once no replica carries the mark of a cut tail any more, the cluster is told, until it has heard.
    fn tell_cleared_marks(&mut self, now: Tick) {
        let record = self.cluster.members().get(&self.member);
        let marked = record.is_some_and(|it| it.marked && it.start == self.start);
        if marked
            && self.registered
            && now >= self.marks_told_again
            && !self.machine.carries_marks()
        {
            self.marks_told_again = now.after(MARKS_TOLD_EVERY);
            self.proposals.marks_cleared(self.member, self.start);
        }
    }

    fn step(&mut self, event: Event, effects: &mut Effects) {
        self.counters.events += 1;
        self.machine.step(self.clock.now(), event, effects);
    }

    fn on_control(&mut self, event: ControlEvent, effects: &mut Effects) {
        match event {
            ControlEvent::Applied {
                index,
                changes,
                cluster,
            } => {
                let first = self.applied == ControlIndex::ZERO;
                let update = super::update::control_update(super::update::Applied {
                    index,
                    changes: &changes,
                    cluster: &cluster,
                    member: self.member,
                    start: self.start,
                    whole: first,
                });
                self.registered |= matches!(update.registered, Some(Registration { .. }));
                for (id, config) in &update.executors {
                    self.configs.insert(*id, Arc::clone(config));
                }
                for id in &update.deleted {
                    self.configs.remove(id);
                }
                self.links.update_members(&cluster, self.member);
                if !first {
                    let losses = super::update::tell_of_losses(&cluster, self.applied);
                    *self.counters.notes.entry(LOST).or_default() += losses;
                }
                self.cluster = cluster;
                self.applied = index;
                self.note_drain();
                self.step(Event::Control(update), effects);
                let surplus = self.cluster.surplus_seats(self.member);
                self.step(Event::SurplusSeats(surplus), effects);
                self.ask_for_hand_overs(effects);
            }
            ControlEvent::Lease { sent, applied } => {
                self.step(Event::ControlLease { sent, applied }, effects);
            }
            ControlEvent::Fatal(reason) => effects.fatal = Some(reason),
        }
    }

    /// A drain that begins has handed nothing back yet.
    fn note_drain(&mut self) {
        let record = self.cluster.members().get(&self.member);
        let drain = record.and_then(|record| record.drain);
        if self.drain.map(|(known, _)| known) != drain {
            self.drain = drain.map(|drain| (drain, self.counters.handed_back));
        }
    }

    /// Asks for the hand-overs that the plan wants, and again after a while as long as it wants any.
    fn ask_for_hand_overs(&mut self, effects: &mut Effects) {
        let wanted = super::update::hand_overs(&self.cluster, self.member);
        let again = self.clock.now().after(HAND_OVER_AGAIN);
        self.hand_over_again = (!wanted.is_empty()).then_some(again);
        for (partition, to) in wanted {
            self.step(Event::HandOver { partition, to }, effects);
        }
    }

    fn on_notice(&mut self, event: Event, effects: &mut Effects) {
        if let Event::Drain(drains) = event {
            self.drains = drains;
        }
        self.step(event, effects);
    }

    fn on_log_report(&mut self, effects: &mut Effects) {
        let report = self.log_reports.borrow_and_update().clone();
        if self.disk_nearly_full != report.nearly_full {
            self.disk_nearly_full = report.nearly_full;
            self.step(Event::DiskFull(report.nearly_full), effects);
        }
        if let Some(error) = report.failed {
            effects.fatal = Some(format!("the log failed: {error}"));
            return;
        }
        if let Err(error) = self.committer.catch_up() {
            effects.fatal = Some(format!("nothing can be stored any more: {error}"));
            return;
        }
        if report.persisted > self.persisted {
            self.persisted = report.persisted;
            self.counters.log_bytes = report.appended_bytes;
            self.step(Event::Persisted(report.persisted), effects);
        }
        while let Some(partition) = self.committer.next_copy() {
            self.step(Event::CopyForward(partition), effects);
        }
    }

    fn on_peer(&mut self, batch: PeerBatch, effects: &mut Effects) {
        for message in batch.messages {
            self.step(
                Event::Message {
                    from: batch.from,
                    message,
                },
                effects,
            );
        }
    }

    fn on_report(&mut self, report: Report, effects: &mut Effects) {
        let AttemptReport {
            token,
            end,
            lingers,
        } = match report {
            Report::Ended(report) => report,
            Report::Returned(token) => return self.step(Event::Returned(token), effects),
        };
        let handed_back = matches!(end, AttemptEnd::HandedBack | AttemptEnd::NotBegun);
        self.counters.handed_back += u64::from(handed_back);
        if lingers {
            self.step(Event::GivenUp(token), effects);
        }
        self.step(Event::Attempt { token, end }, effects);
    }

    fn on_gone(&mut self, token: RequestToken, effects: &mut Effects) {
        if self.callers.remove(&token).is_some() {
            self.step(Event::Gone(token), effects);
        }
    }

    fn on_question(&mut self, question: Question, effects: &mut Effects) {
        // Its caller went away while it was queued, and the notice of that may have overtaken it.
        if question.answer.is_closed() {
            return;
        }
        self.callers.insert(question.asked.token, question.answer);
        self.step(Event::Asked(question.asked), effects);
    }

    /// Persist, send, reply, start: in this order (DESIGN §4).
    fn perform(&mut self, effects: Effects) -> Result<(), String> {
        if let Some(token) = effects.persist_token {
            self.counters.records += effects.persist.len() as u64;
            let records = effects
                .persist
                .iter()
                .map(super::records::to_log_record)
                .collect();
            let handed = self.committer.hand_over(records, token);
            handed.map_err(|error| format!("nothing can be stored any more: {error}"))?;
        }
        self.counters.messages_sent += effects.send.len() as u64;
        self.counters.messages_dropped += self.links.send(effects.send);
        for (token, reply) in effects.replies {
            self.counters.replies += 1;
            if let Some(caller) = self.callers.remove(&token) {
                // The caller may just have gone; then nobody waits for this answer.
                let _gone = caller.send(reply);
            }
        }
        for attempt in effects.starts {
            self.counters.starts += 1;
            self.begin(attempt);
        }
        for token in effects.aborts {
            self.execution.abort(token);
        }
        for token in effects.hand_backs {
            self.execution.hand_back(token, HAND_BACK_GRACE);
        }
        for change in effects.proposals {
            self.proposals.propose(change);
        }
        for note in effects.notes {
            tracing::debug!(?note, "replica");
            self.roles_changed |= matches!(note, Note::TookOver(_) | Note::SteppedDown(_));
            if matches!(note, Note::Lost(_)) {
                // Counted where cluster state tells of it: once for each loss, whoever holds the partition then.
                continue;
            }
            *self
                .counters
                .notes
                .entry(super::update::note_name(note))
                .or_default() += 1;
        }
        Ok(())
    }

    fn begin(&self, attempt: ringhold_replica::StartAttempt) {
        match self.configs.get(&attempt.token.partition.executor) {
            Some(config) => self.execution.begin(attempt, Arc::clone(config)),
            // The executor was deleted in this very turn; so was the partition, and nobody waits for a report.
            None => tracing::warn!(token = ?attempt.token, "an attempt of a deleted executor"),
        }
    }

    /// Attempts that run here for others, and ends of attempts that their primary has not taken yet.
    fn attempts_left(&self) -> (usize, usize) {
        let machine = &self.machine;
        (machine.attempts_for_others(), machine.finished_reports())
    }

    /// Publishes the view when something that others look at has changed.
    fn publish(&mut self) {
        let running_attempts = self.execution.running();
        let waiters = self.machine.waiters();
        let (ring_bytes, ring_bytes_max) = self.machine.ring_bytes();
        let former = Arc::clone(&self.view.borrow());
        let unchanged = former.index == self.applied
            && former.disk_nearly_full == self.disk_nearly_full
            && ring_bytes.abs_diff(former.ring_bytes) <= ring_bytes_max / RING_BYTES_UNSAID_PART
            && waiters.abs_diff(former.waiters) <= former.waiters / WAITERS_UNSAID_PART
            && !self.roles_changed
            && !self.drains
            && !(self.drain.is_some() && self.attempts_left() != former.attempts_left())
            && !self.counters.turns.is_multiple_of(VIEW_EVERY_TURNS);
        if unchanged {
            return;
        }
        self.roles_changed = false;
        let (attempts_for_others, waiting_reports) = self.attempts_left();
        let with_role = |wanted: RoleView| {
            let replicas = self
                .machine
                .replicas()
                .filter(move |it| it.role() == wanted);
            replicas
                .map(|replica| replica.partition())
                .collect::<Vec<_>>()
        };
        let answering = with_role(RoleView::Leading).len();
        let taking_over = with_role(RoleView::TakingOver);
        self.view.send_replace(Arc::new(MemberView {
            index: self.applied,
            cluster: Arc::clone(&self.cluster),
            registered: self.registered,
            answering,
            taking_over,
            running_attempts,
            attempts_for_others,
            waiting_reports,
            handed_back: self
                .drain
                .map_or(0, |(_, before)| self.counters.handed_back - before),
            waiters,
            disk_nearly_full: self.disk_nearly_full,
            ring_bytes,
            ring_bytes_max,
            counters: Arc::new(self.counters.clone()),
        }));
    }
}

/// A change of the number of waiters by less than this part of it is not worth a view of its own.
const WAITERS_UNSAID_PART: usize = 8;
/// A change of the bytes of the rings by less than this part of their bound is not worth a view of its own.
const RING_BYTES_UNSAID_PART: u64 = 64;
/// The event of a partition of which every copy is gone.
const LOST: &str = "lost";
/// Turns after which counters are published even when nothing else has changed.
const VIEW_EVERY_TURNS: u64 = 256;
