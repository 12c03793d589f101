//! A replica that leads, or is on the way to it: the parts are in files of their own, this one holds them together.

use std::collections::{BTreeMap, BTreeSet};

use ringhold_ringbuffer::{LogEntry, Op};
use ringhold_types::{Lsn, Millis, ReplicaId, RingTime, Sequence, Tick};

use crate::admission::{Accepts, Completion, Held};
use crate::context::{Context, Shared};
use crate::core::Core;
use crate::cut_tail::Asking;
use crate::handover::HandingOver;
use crate::housekeeping::Retrieved;
use crate::membership::PendingChange;
use crate::message::Ack;
use crate::progress::Progress;
use crate::request::{Reply, RequestToken};
use crate::requests::Waiting;
use crate::rules::{Rule, Rules};
use crate::schedule::Schedule;
use crate::slow::Slowness;
use crate::waiters::Waiters;

/// How far a primary is on its way to lead.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Phase {
    /// Its own tail was cut: it asks its in-sync peers for what they hold (PROTOCOL §5).
    Asking(Asking),
    /// Its `TermStart` is appended and not committed.
    Reconciling,
    /// Its `TermStart` is committed.
    Leading,
}

/// Ring time as this primary counts it: its monotonic clock, laid on to the last ring time of its log (I16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RingClock {
    base: RingTime,
    at: Tick,
}

impl RingClock {
    pub(crate) const fn new(base: RingTime, at: Tick) -> Self {
        Self { base, at }
    }

    /// Ring time at a tick.
    pub(crate) const fn time(&self, now: Tick) -> RingTime {
        self.base.after(now.since(self.at))
    }

    /// The first tick at which ring time has come to `time`.
    pub(crate) const fn tick(&self, time: RingTime) -> Tick {
        self.at.after(time.since(self.base))
    }
}

/// A replica that leads, or is on the way to it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Primary {
    pub(crate) phase: Phase,
    /// Position of this term's `TermStart`.
    pub(crate) term_start: Lsn,
    /// Nothing is committed before every lease of an earlier primary has run out (I14).
    pub(crate) may_commit_at: Tick,
    pub(crate) clock: RingClock,
    pub(crate) peers: BTreeMap<ReplicaId, Progress>,
    /// Learners that are required already (I6).
    pub(crate) counted: BTreeSet<ReplicaId>,
    /// The log's length when each of them was counted, and when that was: it is proposed once it has all that.
    pub(crate) counted_at: BTreeMap<ReplicaId, (Lsn, Tick)>,
    pub(crate) change: Option<PendingChange>,
    pub(crate) hand_over: Option<HandingOver>,
    pub(crate) held: Held,
    pub(crate) accepts: Accepts,
    /// What callers are told once an entry is committed.
    pub(crate) completions: BTreeMap<Lsn, Vec<Completion>>,
    pub(crate) waiters: Waiters,
    /// Answers that wait for a lease.
    pub(crate) unanswered: BTreeMap<RequestToken, Reply>,
    /// Stored submits whose answer waits for enough copies (I17).
    pub(crate) short: BTreeMap<RequestToken, (Sequence, bool)>,
    pub(crate) schedule: Schedule,
    pub(crate) retrieved: Retrieved,
    /// The last housekeeping operation that is not applied yet.
    pub(crate) housekeeping: Option<Lsn>,
    /// The last `Configure` that is not applied yet.
    pub(crate) configuring: Option<Lsn>,
    /// How long its own disk takes, and when the next slow replica may be ejected.
    pub(crate) slowness: Slowness,
    /// When peers are told of a commit that no prepare carried.
    pub(crate) tell_commit_at: Option<Tick>,
    /// Snapshots begun in this term.
    pub(crate) snapshots: u64,
}

impl Primary {
    /// Whether its `TermStart` is committed.
    pub(crate) fn is_leading(&self) -> bool {
        self.phase == Phase::Leading
    }

    /// Whether it has given the partition away: from the append of its `HandOver` on it answers and starts nothing more.
    pub(crate) fn is_passive(&self) -> bool {
        self.hand_over
            .as_ref()
            .is_some_and(HandingOver::is_released)
    }

    /// Whether it may append operations of callers and attempts.
    pub(crate) fn is_working(&self) -> bool {
        self.is_leading() && !self.is_passive()
    }

    /// Ring time now.
    pub(crate) fn time<R>(&self, core: &Core, context: &Context<'_, R>) -> RingTime {
        self.clock.time(context.now).max(core.ring.time())
    }

    /// Appends an operation in this term.
    pub(crate) fn append<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        op: Op,
    ) -> Lsn {
        crate::invariant::check_own_append(self, core, context, &op);
        let lsn = core.log.last().next();
        let entry = LogEntry {
            term: core.term,
            lsn,
            time: self.clock.time(context.now).max(core.log_time()),
            op,
        };
        self.slowness.own.begin(lsn, context.now);
        core.append(context, entry);
        lsn
    }

    /// When the leases end under which this primary answers (I14): from every other required member, counted learners
    /// among them; a lone primary's from the control plane as well. `None` if one is missing.
    pub(crate) fn lease_end<R: Rules>(&self, core: &Core, shared: &Shared<R>) -> Option<Tick> {
        if shared.drops(Rule::LeaseRequired) {
            return Some(Tick(u64::MAX));
        }
        let seats = &core.configuration.in_sync;
        let mut end = Tick(u64::MAX);
        for seat in seats.iter().filter(|seat| **seat != core.id) {
            end = end.min(shared.leases.end(seat.member, &shared.timing)?);
        }
        if !shared.drops(Rule::LeaseCountsLearners) {
            for learner in &self.counted {
                end = end.min(shared.leases.end(learner.member, &shared.timing)?);
            }
        }
        if seats.iter().all(|seat| *seat == core.id) {
            end = end.min(shared.leases.control_end(&shared.timing)?);
        }
        Some(end)
    }

    /// Whether this primary may answer, start and dispatch now.
    pub(crate) fn may_answer<R: Rules>(&self, core: &Core, context: &Context<'_, R>) -> bool {
        let end = self.lease_end(core, context.shared);
        self.is_working() && end.is_some_and(|end| context.now < end)
    }

    /// Answers under a lease, now or once it is renewed. `done` tells whether something was stored for the request.
    pub(crate) fn reply<R: Rules>(
        &mut self,
        core: &Core,
        context: &mut Context<'_, R>,
        token: RequestToken,
        reply: Reply,
        done: bool,
    ) {
        if !context.shared.requests.is_open(token) {
            return;
        }
        if self.may_answer(core, context) {
            self.note_served(core, context, token, &reply);
            context.answer(token, reply);
        } else {
            context.note(crate::effect::Note::WaitedForLease(core.partition));
            context
                .shared
                .requests
                .set_waiting(token, Waiting::Lease(done));
            self.unanswered.insert(token, reply);
        }
    }

    /// Gives the answers that waited for a lease.
    fn release_answers<R: Rules>(&mut self, core: &Core, context: &mut Context<'_, R>) {
        if self.unanswered.is_empty() || !self.may_answer(core, context) {
            return;
        }
        for (token, reply) in std::mem::take(&mut self.unanswered) {
            if let Reply::Submitted {
                sequence, reused, ..
            } = reply
            {
                // Who holds the task may have changed since: the receipt is written anew.
                self.stored(core, context, token, sequence, reused);
                continue;
            }
            self.note_served(core, context, token, &reply);
            context.answer(token, reply);
        }
    }

    /// An acknowledgement arrived.
    pub(crate) fn acked<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        ack: Ack,
    ) {
        let from = ack.fence.from;
        let known = context.shared.starts.get(&from.member);
        if known.is_some_and(|start| *start != ack.start) {
            // An earlier process sent it, or one whose start we have not applied yet; it will say it again.
            return;
        }
        let Some(progress) = self.peers.get_mut(&from) else {
            return;
        };
        let lacked = progress.matched < core.commit;
        progress.acked(core, context, &ack);
        if lacked && progress.matched >= core.commit {
            self.release_short(core, context);
        }
    }

    /// A newer configuration in which this replica still leads this term.
    pub(crate) fn configuration_changed<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        follows: bool,
    ) {
        self.settle_change(core);
        self.update_peers(core, context, follows);
        self.release_short(core, context);
    }

    /// One round of a turn. Tells whether another may find more to do.
    pub(crate) fn work<R: Rules>(&mut self, core: &mut Core, context: &mut Context<'_, R>) -> bool {
        if matches!(self.phase, Phase::Asking(_)) {
            return self.ask_for_tail(core, context);
        }
        let before = core.log.last();
        let mut more = self.advance_commit(core, context);
        while let Some((entry, applied)) = core.apply_next(context) {
            self.committed(core, context, &entry, applied);
            more = true;
        }
        self.trim_log(core, context);
        if self.is_working() {
            self.release_answers(core, context);
            self.configure(core, context);
            self.admit_held(core, context);
            self.keep_house(core, context);
            self.look_at_attempts(core, context);
        }
        self.change_members(core, context);
        self.proceed_hand_over(core, context);
        more || core.log.last() > before
    }

    /// Applies what is left of the log's tail in memory; entries that a learner's catch-up needs are kept within bounds.
    fn trim_log<R: Rules>(&mut self, core: &mut Core, context: &mut Context<'_, R>) {
        use ringhold_types::limits;
        let learners = &core.configuration.learners;
        let needed = self
            .peers
            .iter()
            .filter(|(peer, progress)| learners.contains(peer) && progress.heard)
            .map(|(_, progress)| progress.needs_after())
            .min()
            .unwrap_or(core.applied);
        let behind = usize::try_from(core.applied.0.saturating_sub(needed.0)).unwrap_or(usize::MAX);
        let bounded = behind <= limits::LEARNER_BUFFER_ENTRIES_MAX
            && core.log.kept_bytes() <= limits::LEARNER_BUFFER_BYTES_MAX;
        let keep = if bounded { needed } else { core.applied };
        core.log.trim(core.applied, keep);
        let base = core.log.base();
        for progress in self.peers.values_mut() {
            let outgrown = progress.transfer.as_ref().is_some_and(|it| it.lsn < base);
            if outgrown {
                self.snapshots += 1;
                progress.begin_transfer(core, context, self.snapshots);
            }
        }
    }

    /// The end of a turn: one prepare for every peer with all that is new.
    pub(crate) fn flush<R: Rules>(&mut self, core: &mut Core, context: &mut Context<'_, R>) {
        if let Phase::Asking(asking) = &mut self.phase {
            asking.flush(core, context);
            return;
        }
        let tell_commit = self.tell_commit_at.is_some_and(|at| at <= context.now);
        for (peer, progress) in &mut self.peers {
            let may_snapshot = progress.transfer.is_none() && core.applied > Lsn::ZERO;
            if may_snapshot && progress.needs_snapshot(core) {
                self.snapshots += 1;
                progress.begin_transfer(core, context, self.snapshots);
            }
            progress.flush(core, context, *peer, tell_commit);
        }
        let untold = self
            .peers
            .values()
            .any(|it| !it.probing && it.transfer.is_none() && it.told_commit < core.commit);
        self.tell_commit_at = match self.tell_commit_at {
            _ if !untold => None,
            Some(at) if at > context.now => Some(at),
            _ => Some(context.now.after(context.shared.timing.heartbeat)),
        };
    }

    /// When this primary wants to work without an event.
    pub(crate) fn deadline<R: Rules>(&self, core: &Core, context: &Context<'_, R>) -> Option<Tick> {
        if let Phase::Asking(asking) = &self.phase {
            let change = self
                .change
                .as_ref()
                .map(|_| self.change_deadline(core, context));
            return change
                .flatten()
                .into_iter()
                .chain([asking.deadline()])
                .min();
        }
        let waits = (self.may_commit_at > context.now).then_some(self.may_commit_at);
        let resend = self.peers.values().filter_map(|it| it.resend_at).min();
        let working = if self.is_working() && self.hand_over.is_none() {
            [self.house_deadline(core, context), self.attempts_deadline()]
                .into_iter()
                .flatten()
                .min()
        } else {
            None
        };
        [
            waits,
            resend,
            self.tell_commit_at,
            working,
            self.change_deadline(core, context),
            self.hand_over_deadline(context),
        ]
        .into_iter()
        .flatten()
        .min()
        .map(|at| at.max(context.now.after(Millis(0))))
    }

    /// Whether anything here waits for a lease: an answer, a start, or a learner that is to be counted.
    pub(crate) fn waits_for_lease(&self, core: &Core) -> bool {
        !self.unanswered.is_empty()
            || self.schedule.waits_for_lease()
            || !core.configuration.learners.is_empty()
    }
}
