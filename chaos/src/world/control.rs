//! The control plane: the real cluster state machine, reached over a lossy, slow channel; members apply its states in order,
//! each at its own pace.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringhold_control::{
    Changes, Cluster, Command, MemberInfo, MemberRecord, MemberStart, MemberState, Response,
    StoreReport,
};
use ringhold_replica::event::Registration;
use ringhold_replica::{ControlUpdate, Event};
use ringhold_types::{
    ChangeKind, Configuration, ConfigurationChange, ControlIndex, MemberId, PartitionKey,
    PartitionNumber, ReplicaId, StartNonce, Tick, UnixMillis,
};

use super::World;
use super::assertions::named;
use super::queue::Happening;
use crate::coverage::Mark;
use crate::plan::{Focus, MILLISECOND};
use crate::sabotage::Sabotage;

/// Steps of repair and balance at a time.
const STEPS_MOST: usize = 4;
/// How often the control plane looks for silence and for steps to take.
const WATCH_EVERY: u64 = 50 * MILLISECOND;
/// How often a process that is not recorded presents itself.
const PRESENT_EVERY: u64 = 300 * MILLISECOND;

/// What members write to the control plane.
#[derive(Clone, Debug)]
pub(crate) enum ControlMail {
    /// "I live."
    Beat {
        member: MemberId,
        start: StartNonce,
        sent: Tick,
    },
    /// "Record my start."
    Present(MemberStart),
    /// "None of my replicas carries the mark of a cut tail any more."
    MarksCleared { member: MemberId, start: StartNonce },
    /// A primary's proposal.
    Proposal {
        member: MemberId,
        start: StartNonce,
        change: ConfigurationChange,
    },
}

/// What the control plane answers.
#[derive(Clone, Debug)]
pub(crate) enum ControlAnswer {
    /// The lease.
    Lease { sent: Tick, applied: ControlIndex },
    /// A proposal was refused.
    Refused(ConfigurationChange),
}

/// A state of the cluster, and what changed to it.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) changes: Changes,
    pub(crate) cluster: Arc<Cluster>,
}

/// The control plane.
pub(crate) struct ControlPlane {
    /// Its state.
    pub(crate) cluster: Arc<Cluster>,
    /// All states, by index − 1.
    pub(crate) states: Vec<State>,
    /// When each process was heard last.
    heard: BTreeMap<MemberId, (StartNonce, u64)>,
    /// Since when each recorded process start is known.
    known: BTreeMap<MemberId, (StartNonce, u64)>,
    /// It is away until then.
    pub(crate) away_until: u64,
}

impl ControlPlane {
    pub(crate) fn new() -> Self {
        Self {
            cluster: Arc::new(Cluster::new()),
            states: Vec::new(),
            heard: BTreeMap::new(),
            known: BTreeMap::new(),
            away_until: 0,
        }
    }
}

impl World {
    /// Applies a command to the cluster state and lets members hear of it.
    pub(crate) fn command(&mut self, command: &Command) -> Response {
        let index = self.control.cluster.index().next();
        let before = Arc::clone(&self.control.cluster);
        let mut cluster = (*before).clone();
        let ignores = self.sabotage == Sabotage::DeathIgnoresMark;
        if ignores && matches!(command, Command::MembersDown { .. }) {
            cluster = unmarked(cluster);
        }
        let (response, mut changes) = cluster.apply(index, command);
        if let (Sabotage::LearnerElected, Command::MembersDown { members }) =
            (self.sabotage, command)
        {
            cluster = elect_learners(&before, cluster, members, &mut changes);
        }
        if let Err(why) = ringhold_control::invariant::check_step(&before, &cluster) {
            self.refute(named(&why).unwrap_or("I1"), why);
        }
        self.check_command(&before, &cluster, command, &response);
        let cluster = Arc::new(cluster);
        self.control.cluster = Arc::clone(&cluster);
        if let Command::Start(start) = command {
            let known = before.members().get(&start.member.id);
            let now = cluster.members().get(&start.member.id);
            let replica = |it: &ringhold_control::MemberRecord| it.replica(self.plan.persistence);
            if known.is_some() && known.map(replica) != now.map(replica) {
                self.coverage.mark(Mark::NewIncarnation);
            }
            self.control
                .heard
                .insert(start.member.id, (start.fresh, self.now));
        }
        self.tell(|| format!("command {index}: {command:?} -> {response:?}"));
        let recorded = matches!(command, Command::Change(it) if matches!(it.kind, ChangeKind::RecordLoss { .. }));
        self.configurations_changed(&before, &changes, recorded);
        self.control.states.push(State { changes, cluster });
        for slot in 0..self.hosts.len() {
            self.expect_notice(slot);
        }
        self.trace.fold(index.0);
        response
    }

    fn configurations_changed(&mut self, before: &Cluster, changes: &Changes, recorded: bool) {
        for partition in &changes.configurations {
            let old = before.configuration(*partition);
            let new = self.control.cluster.configuration(*partition);
            let (Some(old), Some(new)) = (old, new) else {
                continue;
            };
            if old.materialised {
                self.met.changes += 1;
                self.coverage.mark(Mark::ConfigurationChanged);
            }
            self.tell(|| format!("configuration {partition}: {}", super::shown(&new)));
            self.mark_mended(&new);
            if old.materialised && new.generation > old.generation {
                self.generation_lost(&old, recorded);
            }
        }
    }

    /// Notes seats of members that came back after rot in an older segment.
    fn mark_mended(&mut self, configuration: &Configuration) {
        for host in &mut self.hosts {
            let seated = |it: &mut ReplicaId| configuration.is_in_sync(*it);
            if host.mends_as.take_if(seated).is_some() {
                self.coverage.mark(Mark::OldRotMended);
            }
        }
    }

    /// The next control state goes to a process after a while.
    pub(crate) fn expect_notice(&mut self, slot: usize) {
        let now = self.now;
        let states = self.control.states.len();
        let plan = &self.plan.control;
        let late = self.random.control.chance(plan.late);
        let most = if late { plan.late_delay } else { plan.notice };
        let delay = self.random.control.skewed(200, most.max(200));
        let Some(process) = self.hosts[slot].process.as_mut() else {
            return;
        };
        if process.notice_due || process.next_notice >= states {
            return;
        }
        process.notice_due = true;
        let start = process.start;
        self.queue
            .push(now + delay, Happening::Notice { slot, start });
    }

    /// A process applies the next state, or several at once.
    pub(crate) fn notice(&mut self, slot: usize, start: StartNonce) {
        let now = self.now;
        let states = self.control.states.len();
        let skip = self.random.control.chance(self.plan.control.skip);
        let host = &mut self.hosts[slot];
        let Some(process) = host.process.as_mut().filter(|it| it.start == start) else {
            return;
        };
        process.notice_due = false;
        if host.control_cut_until > now {
            process.notice_due = true;
            let at = host.control_cut_until;
            self.queue.push(at, Happening::Notice { slot, start });
            return;
        }
        if process.next_notice >= states {
            return;
        }
        let first = process.next_notice;
        let next = if skip { states } else { first + 1 };
        process.next_notice = next;
        let whole = std::mem::replace(&mut process.is_new, false);
        host.applied = host.applied.max(next);
        let member = host.member;
        let update = self.update(member, start, first, next, whole);
        let hands = self.hand_overs_of(next - 1, member);
        let drains = update
            .draining
            .as_ref()
            .is_some_and(|it| it.contains(&member));
        if let Some(registered) = &update.registered
            && self.settle_store(slot, start)
        {
            let host = &mut self.hosts[slot];
            host.accepted = start;
            host.is_fresh = false;
            host.is_rotten = false;
            if std::mem::take(&mut host.has_old_rot) {
                let incarnation = registered.store;
                host.mends_as = Some(ReplicaId {
                    member,
                    incarnation,
                });
            }
        }
        self.put(slot, Event::Control(update));
        self.tell_drain(slot, drains);
        for (partition, to) in hands {
            self.put(slot, Event::HandOver { partition, to });
        }
        if self.plan.control.rebalances {
            let surplus = self.control.states[next - 1].cluster.surplus_seats(member);
            self.put(slot, Event::SurplusSeats(surplus));
        }
        self.expect_notice(slot);
    }

    fn tell_drain(&mut self, slot: usize, drains: bool) {
        let Some(process) = self.hosts[slot].process.as_mut() else {
            return;
        };
        if process.drains != drains {
            process.drains = drains;
            self.put(slot, Event::Drain(drains));
            if drains {
                self.coverage.mark(Mark::Drained);
            }
        }
    }

    fn hand_overs_of(&self, state: usize, member: MemberId) -> Vec<(PartitionKey, ReplicaId)> {
        let cluster = &self.control.states[state].cluster;
        let leads = |partition: PartitionKey| {
            cluster
                .configuration(partition)
                .and_then(|it| it.primary)
                .map(|it| it.member)
        };
        let mut wanted = cluster.hand_overs(STEPS_MOST);
        wanted.retain(|(partition, _)| leads(*partition) == Some(member));
        if !self.plan.control.rebalances {
            wanted.retain(|_| cluster.members().get(&member).is_some_and(|it| it.drains()));
        }
        wanted
    }

    /// The part of the cluster's state that a member's machine needs, as the node's shell builds it.
    fn update(
        &self,
        member: MemberId,
        start: StartNonce,
        first: usize,
        next: usize,
        whole: bool,
    ) -> ControlUpdate {
        let states = &self.control.states[first..next];
        let cluster = &self.control.states[next - 1].cluster;
        let all_executors = cluster.executors().iter();
        let executors = all_executors
            .filter(|(id, _)| whole || states.iter().any(|it| it.changes.executors.contains(id)))
            .map(|(id, record)| (*id, Arc::clone(&record.config)))
            .collect();
        let configurations: Vec<Configuration> = self
            .partitions
            .iter()
            .filter(|it| whole || states.iter().any(|s| s.changes.configurations.contains(it)))
            .filter_map(|partition| cluster.configuration(*partition))
            .collect();
        let members = cluster.members();
        let record = members.get(&member).filter(|record| record.start == start);
        let not_up = members.iter().filter(|(_, it)| it.state != MemberState::Up);
        let draining = members.iter().filter(|(_, it)| it.drains());
        ControlUpdate {
            index: cluster.index(),
            registered: record.map(|record| Registration {
                start,
                store: record.store,
                memory: record.memory,
            }),
            executors,
            configurations,
            deleted: Vec::new(),
            starts: members
                .iter()
                .map(|(id, record)| (*id, record.start))
                .collect(),
            down: Some(not_up.map(|(id, _)| *id).collect()),
            draining: Some(draining.map(|(id, _)| *id).collect()),
            drain: members.get(&member).and_then(|it| it.drain),
        }
    }

    /// A process writes to the control plane.
    pub(crate) fn mail(&mut self, slot: usize, mail: ControlMail) {
        if let Some(delay) = self.control_delay(slot) {
            self.queue
                .push(self.now + delay, Happening::Mail(Box::new(mail)));
        }
    }

    /// How long mail between a member and the control plane takes now; `None` if it is lost.
    fn control_delay(&mut self, slot: usize) -> Option<u64> {
        let cut = self.hosts[slot].control_cut_until > self.now;
        let away = self.control.away_until > self.now;
        let lost = self.random.control.chance(self.plan.control.loss);
        let delay = self
            .random
            .control
            .skewed(300, self.plan.network.delay.max(1_000));
        let straggles = self.random.control.chance(self.plan.network.straggle);
        let more = self.random.control.below(self.plan.network.straggle_delay);
        (!cut && !away && !lost).then_some(if straggles { delay + more } else { delay })
    }

    fn answer_mail(&mut self, to: MemberId, start: StartNonce, answer: ControlAnswer) {
        let Some(slot) = self.slot_of(to) else {
            return;
        };
        if let Some(delay) = self.control_delay(slot) {
            let answer = Box::new(answer);
            self.queue
                .push(self.now + delay, Happening::Answer { to, start, answer });
        }
    }

    /// Mail has come.
    pub(crate) fn mail_arrived(&mut self, mail: ControlMail) {
        if self.control.away_until > self.now {
            return;
        }
        match mail {
            ControlMail::Beat {
                member,
                start,
                sent,
            } => self.beat_heard(member, start, sent),
            ControlMail::Present(start) => {
                let known = self.control.cluster.members().get(&start.member.id);
                if known.is_none_or(|record| record.start != start.fresh) {
                    self.command(&Command::Start(start));
                }
            }
            ControlMail::MarksCleared { member, start } => {
                self.command(&Command::MarksCleared { member, start });
            }
            ControlMail::Proposal {
                member,
                start,
                change,
            } => {
                let applied = self.sabotage.rewrite(&change, &self.control.cluster);
                let before = self.control.cluster.configuration(change.partition);
                let response = self.command(&Command::Change(applied));
                let stale = before.is_some_and(|it| it.version != change.expected);
                if let (Response::Changed { .. }, true) = (&response, stale) {
                    let what = "is changed by a proposal that expected another version";
                    self.refute("I1", format!("{} {what}", change.partition));
                }
                if let (Response::Changed { .. }, Some(mark)) = (&response, mark_of(&change.kind)) {
                    self.coverage.mark(mark);
                    self.mark_removed(member, &change);
                    self.seat_given(member, &change);
                }
                if let Response::Refused(_) = response {
                    self.coverage.mark(Mark::StaleVersionRefused);
                    self.answer_mail(member, start, ControlAnswer::Refused(change));
                }
            }
        }
    }

    /// Notes a removal of a replica that lacked what its primary had.
    fn mark_removed(&mut self, member: MemberId, change: &ConfigurationChange) {
        let (ChangeKind::Swap { removed, .. } | ChangeKind::Degrade { removed }) = change.kind
        else {
            return;
        };
        let replica = |member: MemberId| {
            let slot = self.slot_of(member)?;
            let process = self.hosts[slot].process.as_ref()?;
            process.machine.replica(change.partition)
        };
        let leads = replica(member).map(ringhold_replica::Replica::last);
        let had = replica(removed.member).map(ringhold_replica::Replica::durable);
        if leads.is_some_and(|last| had.is_none_or(|had| had < last)) {
            self.coverage.mark(Mark::RemovedWasBehind);
        }
    }

    /// A primary proposes a change. In seeds about new seats, the news of a seat sometimes travels long, while the primary and
    /// its learner are cut off from each other: the learner's grants run out before it is elected.
    pub(crate) fn propose(&mut self, slot: usize, start: StartNonce, change: ConfigurationChange) {
        let member = self.hosts[slot].member;
        let learner = learner_of(&change.kind).and_then(|it| self.slot_of(it.member));
        let mail = ControlMail::Proposal {
            member,
            start,
            change,
        };
        let focused = self.plan.focus == Focus::NewSeats && !self.healed;
        match learner {
            Some(learner) if focused && self.random.faults.chance(400_000) => {
                let until = self.now + 3_000 * MILLISECOND;
                self.cuts.cut(slot, learner, until);
                self.cuts.cut(learner, slot, until);
                let at = self.now + 900 * MILLISECOND;
                self.queue.push(at, Happening::Mail(Box::new(mail)));
            }
            _ => self.mail(slot, mail),
        }
    }

    /// A learner has its seat, and its primary does not know yet: it is judged dead before it hears.
    fn seat_given(&mut self, member: MemberId, change: &ConfigurationChange) {
        let focused = self.plan.focus == Focus::NewSeats && !self.healed;
        let slots = (
            self.slot_of(member),
            learner_of(&change.kind).and_then(|it| self.slot_of(it.member)),
        );
        let (Some(slot), Some(learner)) = slots else {
            return;
        };
        if focused && !self.cuts.is_open(slot, learner, self.now) {
            self.hosts[slot].control_cut_until = self.now + 1_500 * MILLISECOND;
            self.suspect(slot);
        }
    }

    fn beat_heard(&mut self, member: MemberId, start: StartNonce, sent: Tick) {
        let cluster = Arc::clone(&self.control.cluster);
        let Some(record) = cluster.members().get(&member) else {
            return;
        };
        if record.start != start || record.state == MemberState::Forgotten {
            return;
        }
        self.control.heard.insert(member, (start, self.now));
        if record.state == MemberState::Down {
            self.command(&Command::MemberUp { member, start });
            self.coverage.mark(Mark::CameBack);
        }
        let applied = self.control.cluster.index();
        self.answer_mail(member, start, ControlAnswer::Lease { sent, applied });
    }

    /// An answer of the control plane has come to a member.
    pub(crate) fn answer_arrived(
        &mut self,
        to: MemberId,
        start: StartNonce,
        answer: ControlAnswer,
    ) {
        let Some(slot) = self.slot_of(to) else {
            return;
        };
        let process = self.hosts[slot].process.as_ref();
        if process.is_none_or(|process| process.start != start) {
            return;
        }
        let event = match answer {
            ControlAnswer::Lease { sent, applied } => Event::ControlLease { sent, applied },
            ControlAnswer::Refused(change) => Event::ProposalRefused(change),
        };
        self.put(slot, event);
    }

    /// A process tells the control plane that it lives.
    pub(crate) fn beat(&mut self, slot: usize, start: StartNonce) {
        let host = &self.hosts[slot];
        let Some(process) = host.process.as_ref().filter(|it| it.start == start) else {
            return;
        };
        if host.paused_until > self.now {
            self.queue
                .push(host.paused_until, Happening::Beat { slot, start });
            return;
        }
        let sent = process.clock.tick(self.now);
        let next = process
            .clock
            .true_time(sent.after(self.plan.timing.heartbeat));
        let member = host.member;
        let record = self.control.cluster.members().get(&member);
        let marked = record.is_some_and(|it| it.marked && it.start == start);
        if marked && process.machine.is_registered() && !process.machine.carries_marks() {
            self.mail(slot, ControlMail::MarksCleared { member, start });
        }
        self.mail(
            slot,
            ControlMail::Beat {
                member,
                start,
                sent,
            },
        );
        self.queue.push(next, Happening::Beat { slot, start });
    }

    /// A process asks for its start to be recorded, until it has applied that it is.
    pub(crate) fn present(&mut self, slot: usize, start: StartNonce) {
        let host = &self.hosts[slot];
        let waiting = host.process.as_ref();
        let waiting = waiting.filter(|it| it.start == start && !it.machine.is_registered());
        if waiting.is_none() {
            return;
        }
        let known = self.control.cluster.members().get(&host.member);
        // A directory remembers what it presented: if the one before was accepted unheard, that is the last accepted one.
        let last_accepted = match known.map(|record| record.start) {
            Some(recorded) if host.presented_before.contains(&recorded) => recorded,
            _ => host.accepted,
        };
        let store = if host.is_rotten {
            StoreReport::Doubtful
        } else if host.is_fresh {
            StoreReport::Empty
        } else if waiting.is_some_and(|it| it.machine.carries_marks()) {
            StoreReport::Torn
        } else {
            StoreReport::Intact
        };
        let mail = ControlMail::Present(MemberStart {
            member: member_info(host.member, &host.name),
            last_accepted,
            fresh: start,
            store,
            at: UnixMillis(self.now / MILLISECOND),
        });
        self.mail(slot, mail);
        self.queue
            .push(self.now + PRESENT_EVERY, Happening::Present { slot, start });
    }

    /// Looks for silence, and for steps to take.
    pub(crate) fn watch(&mut self) {
        self.queue.push(self.now + WATCH_EVERY, Happening::Watch);
        if self.control.away_until > self.now {
            // A new leader counts silence from its own last contact.
            let known = self.control.known.values_mut();
            for (_, since) in self.control.heard.values_mut().chain(known) {
                *since = (*since).max(self.now);
            }
            return;
        }
        let cluster = Arc::clone(&self.control.cluster);
        for (id, record) in cluster.members() {
            let known = self.control.known.entry(*id);
            let known = known.or_insert((record.start, self.now));
            if known.0 != record.start {
                *known = (record.start, self.now);
            }
        }
        let silent: Vec<(MemberId, StartNonce)> = cluster
            .members()
            .iter()
            .filter(|(_, record)| record.state == MemberState::Up)
            .filter(|(id, record)| {
                let heard = self.control.heard.get(id);
                let from = heard.map(|(start, at)| {
                    // A recorded start that is never heard is silent from its record on, as `node`'s detector has it.
                    let known = self.control.known.get(id).map_or(self.now, |it| it.1);
                    if *start == record.start { *at } else { known }
                });
                from.is_none_or(|from| from + self.plan.failure_timeout <= self.now)
            })
            .map(|(id, record)| (*id, record.start))
            .collect();
        if !silent.is_empty() {
            self.command(&Command::MembersDown { members: silent });
        }
        for step in self.control.cluster.next_steps(STEPS_MOST) {
            if self.plan.control.rebalances || self.is_repair(&step) {
                self.command(&step);
            }
        }
    }

    /// Whether a step restores copies rather than balance.
    fn is_repair(&self, step: &Command) -> bool {
        let Command::AddLearner { partition, .. } = step else {
            return true;
        };
        let Some(configuration) = self.control.cluster.configuration(*partition) else {
            return true;
        };
        let members = self.control.cluster.members();
        let stays = |it: &ReplicaId| {
            members
                .get(&it.member)
                .is_some_and(|record| record.is_up() && !record.drains())
        };
        let staying = configuration.in_sync.iter().filter(|it| stays(it)).count();
        staying <= self.plan.durability as usize
    }
}

/// The sabotage of §3: nobody's tail is known to be cut.
fn unmarked(cluster: Cluster) -> Cluster {
    let mut state = cluster.snapshot();
    for record in state.members.values_mut() {
        record.marked = false;
    }
    Cluster::restore(state).unwrap_or(cluster)
}

/// The sabotage of I2: what the dead led goes to learners that are up.
fn elect_learners(
    before: &Cluster,
    cluster: Cluster,
    dead: &[(MemberId, StartNonce)],
    changes: &mut Changes,
) -> Cluster {
    let mut state = cluster.snapshot();
    let members = state.members.clone();
    for (id, executor) in &mut state.executors {
        for (number, partition) in (0..).zip(&mut executor.partitions) {
            let key = PartitionKey {
                executor: *id,
                partition: PartitionNumber(number),
            };
            let old = before.configuration(key);
            let learners = old.iter().flat_map(|it| &it.learners);
            let is_up = |it: &&ReplicaId| members.get(&it.member).is_some_and(MemberRecord::is_up);
            let learner = learners
                .copied()
                .find(|it| is_up(&it) && !partition.in_sync.contains(it));
            let led = old.as_ref().and_then(|it| it.primary);
            let orphaned =
                led.is_some_and(|it| dead.iter().any(|(member, _)| *member == it.member));
            let (Some(old), Some(learner), true) = (&old, learner, orphaned) else {
                continue;
            };
            let record = &members[&learner.member];
            partition.learners.retain(|it| *it != learner);
            partition.in_sync.retain(|it| Some(*it) != led);
            partition.in_sync.push(learner);
            partition.primary = Some(learner);
            partition.primary_start = record.start;
            partition.term = old.term.next();
            partition.version = old.version.next();
            changes.configurations.push(key);
        }
    }
    changes.configurations.sort_unstable();
    changes.configurations.dedup();
    Cluster::restore(state).unwrap_or(cluster)
}

/// The learner that a change gives a seat.
fn learner_of(kind: &ChangeKind) -> Option<ReplicaId> {
    match kind {
        ChangeKind::Promote { learner } | ChangeKind::Swap { learner, .. } => Some(*learner),
        _ => None,
    }
}

/// What an accepted change shows.
fn mark_of(kind: &ChangeKind) -> Option<Mark> {
    match kind {
        ChangeKind::Promote { .. } => Some(Mark::LearnerPromoted),
        ChangeKind::Swap { .. } => Some(Mark::SeatSwapped),
        ChangeKind::Degrade { .. } => Some(Mark::Degraded),
        ChangeKind::Bump => Some(Mark::AdditionSettled),
        ChangeKind::RecordLoss { .. } => Some(Mark::LossRecorded),
        ChangeKind::ReplaceSlow { .. } => Some(Mark::StandInNamed),
        _ => None,
    }
}

/// A member as the control plane knows it.
fn member_info(id: MemberId, name: &str) -> MemberInfo {
    MemberInfo {
        id,
        name: name.to_owned(),
        zone: None,
        client_address: format!("{name}:1"),
        peer_address: format!("{name}:2"),
        http_address: format!("{name}:3"),
        witness: false,
        feature_level: 2,
    }
}
