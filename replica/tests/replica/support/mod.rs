//! A deterministic cluster in memory: a few members, one partition, a control plane that a test moves by hand, a network and
//! disks that a test can cut and hold.
#![allow(unreachable_pub, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use ringhold_replica::*;
use ringhold_ringbuffer::{LogEntry, Ring, RingPart};
use ringhold_types::*;

pub const P: PartitionKey = PartitionKey {
    executor: ExecutorId(1),
    partition: PartitionNumber(0),
};

/// One member process and its disk.
pub struct Node<R> {
    pub member: Member<R>,
    pub up: bool,
    pub start: StartNonce,
    /// Records on disk, and those handed over but not flushed.
    pub disk: Vec<Record>,
    pub unflushed: VecDeque<(PersistToken, Vec<Record>)>,
    pub hold_disk: bool,
    /// Whether it hears the control plane.
    pub control: bool,
    applied: ControlIndex,
    next_control_lease: Tick,
    pub cut_mark: bool,
}

pub struct World<R> {
    pub now: Tick,
    pub rules: R,
    pub timing: Timing,
    pub nodes: BTreeMap<u64, Node<R>>,
    pub network: VecDeque<(MemberId, MemberId, PeerMessage)>,
    /// Links that drop everything.
    pub cut: BTreeSet<(u64, u64)>,
    pub configuration: Configuration,
    pub config: ExecutorConfig,
    pub down: BTreeSet<u64>,
    pub draining: BTreeSet<u64>,
    /// When the drains began, each under its own number.
    pub drain: ControlIndex,
    index: u64,
    /// Whether proposals reach the control plane.
    pub proposals_pass: bool,
    pub proposals: Vec<ConfigurationChange>,
    pub replies: BTreeMap<u64, (u64, Reply)>,
    pub starts: Vec<(u64, StartAttempt)>,
    pub aborts: Vec<(u64, AttemptToken)>,
    pub hand_backs: Vec<(u64, AttemptToken)>,
    pub notes: Vec<(u64, Note)>,
    /// The bound of the bytes of a member's rings from its next start on; none where there is no entry.
    pub ring_bytes_max: BTreeMap<u64, u64>,
    next_token: u64,
    next_start: u64,
}

pub fn replica(member: u64) -> ReplicaId {
    ReplicaId {
        member: MemberId(member),
        incarnation: Incarnation(member),
    }
}

pub fn executor(persistence: Persistence, durability: u32) -> ExecutorConfig {
    let mut config = ExecutorConfig::with_name(ExecutorName::new("work").unwrap());
    config.persistence = persistence;
    config.durability = durability;
    config
}

pub fn task(key: &str) -> TaskSpec {
    TaskSpec::new(
        TaskCall::Handler {
            name: "echo".into(),
            version: None,
            payload: Bytes::copy_from_slice(key.as_bytes()),
            content_type: String::new(),
        },
        IdempotencyKey::new(Bytes::copy_from_slice(key.as_bytes())).unwrap(),
    )
}

pub fn result(text: &str) -> AttemptEnd {
    AttemptEnd::Succeeded(Arc::new(TaskResult {
        payload: Bytes::copy_from_slice(text.as_bytes()),
        ..TaskResult::default()
    }))
}

impl World<Sound> {
    /// Members 1 to `members`; the first `seats` of them have seats, 1 leads.
    pub fn new(members: u64, seats: u64, persistence: Persistence) -> Self {
        let copies = u32::try_from(seats).unwrap();
        Self::with_rules(Sound, members, seats, executor(persistence, copies - 1))
    }
}

impl<R: Rules> World<R> {
    pub fn with_rules(rules: R, members: u64, seats: u64, config: ExecutorConfig) -> Self {
        let configuration = Configuration {
            partition: P,
            version: ConfigurationVersion(1),
            term: Term(1),
            generation: Generation(0),
            primary: Some(replica(1)),
            primary_start: StartNonce(101),
            in_sync: (1..=seats).map(replica).collect(),
            learners: Vec::new(),
            min_copies: config.effective_min_copies(),
            materialised: true,
            kept_by: None,
        };
        let mut world = Self {
            now: Tick(1_000_000),
            rules,
            timing: Timing::default(),
            nodes: BTreeMap::new(),
            network: VecDeque::new(),
            cut: BTreeSet::new(),
            configuration,
            config,
            down: BTreeSet::new(),
            draining: BTreeSet::new(),
            drain: ControlIndex::ZERO,
            index: 1,
            proposals_pass: true,
            proposals: Vec::new(),
            replies: BTreeMap::new(),
            starts: Vec::new(),
            aborts: Vec::new(),
            hand_backs: Vec::new(),
            notes: Vec::new(),
            ring_bytes_max: BTreeMap::new(),
            next_token: 1,
            next_start: 1000,
        };
        for id in 1..=members {
            world.boot(id, StartNonce(100 + id), Vec::new());
        }
        world.publish();
        world
    }

    pub fn boot(&mut self, id: u64, start: StartNonce, disk: Vec<Record>) {
        let options = MemberOptions {
            id: MemberId(id),
            start,
            rules: self.rules.clone(),
            timing: self.timing,
            unlisted_cut: disk.is_empty() && self.nodes.contains_key(&id),
            ring_bytes_max: self.ring_bytes_max.get(&id).copied().unwrap_or(u64::MAX),
        };
        let mut found = recover(&disk);
        let cut_mark = self.nodes.get(&id).is_some_and(|node| node.cut_mark);
        let control = self.nodes.get(&id).is_none_or(|node| node.control);
        for replica in &mut found {
            replica.cut_mark |= cut_mark;
        }
        let node = Node {
            member: Member::new(options, found, self.now),
            up: true,
            start,
            disk,
            unflushed: VecDeque::new(),
            hold_disk: false,
            control,
            applied: ControlIndex(0),
            next_control_lease: self.now,
            cut_mark: false,
        };
        self.nodes.insert(id, node);
    }

    // --- control plane ---

    fn registration(&self, id: u64) -> Registration {
        Registration {
            start: self.nodes[&id].start,
            store: Incarnation(id),
            memory: Incarnation(id),
        }
    }

    /// Brings everybody who hears the control plane to its newest state.
    pub fn publish(&mut self) {
        let ids: Vec<u64> = self.nodes.keys().copied().collect();
        for id in ids {
            self.inform(id);
        }
    }

    pub fn inform(&mut self, id: u64) {
        let node = &self.nodes[&id];
        if !node.up || !node.control || node.applied.0 >= self.index {
            return;
        }
        let starts = self.nodes.iter().filter(|(_, node)| node.up);
        let update = ControlUpdate {
            index: ControlIndex(self.index),
            registered: Some(self.registration(id)),
            executors: vec![(P.executor, Arc::new(self.config.clone()))],
            configurations: vec![self.configuration.clone()],
            deleted: Vec::new(),
            starts: starts
                .map(|(id, node)| (MemberId(*id), node.start))
                .collect(),
            down: Some(self.down.iter().map(|id| MemberId(*id)).collect()),
            draining: Some(self.draining.iter().map(|id| MemberId(*id)).collect()),
            drain: self.draining.contains(&id).then_some(self.drain),
        };
        self.nodes.get_mut(&id).unwrap().applied = ControlIndex(self.index);
        self.event(id, Event::Control(update));
    }

    /// Changes the configuration and tells everybody.
    pub fn configure(&mut self, change: impl FnOnce(&mut Configuration)) {
        change(&mut self.configuration);
        self.configuration.version = self.configuration.version.next();
        self.index += 1;
        self.publish();
    }

    /// A member begins a new life of the partition, alone.
    pub fn begin_generation(&mut self, id: u64, also: impl FnOnce(&mut Configuration)) {
        let start = self.nodes[&id].start;
        self.configure(|it| {
            it.term = it.term.next();
            it.generation = it.generation.next();
            it.primary = Some(replica(id));
            it.primary_start = start;
            it.in_sync = vec![replica(id)];
            it.min_copies = 1;
            also(it);
        });
    }

    /// Names a replica primary of the next term.
    pub fn nominate(&mut self, id: u64) {
        let start = self.nodes[&id].start;
        self.configure(|it| {
            it.term = it.term.next();
            it.primary = Some(replica(id));
            it.primary_start = start;
        });
    }

    pub fn set_down(&mut self, down: &[u64]) {
        self.down = down.iter().copied().collect();
        self.index += 1;
        self.publish();
    }

    /// The cluster drains these members, and no others.
    pub fn set_draining(&mut self, draining: &[u64]) {
        self.draining = draining.iter().copied().collect();
        self.index += 1;
        self.drain = ControlIndex(self.index);
        self.publish();
    }

    /// Whether the time of the present drain of a member is over.
    pub fn drain_over(&mut self, id: u64, over: bool) {
        let drain = self.drain;
        self.event(id, Event::DrainOver { drain, over });
    }

    fn proposed(&mut self, from: u64, change: ConfigurationChange) {
        self.proposals.push(change.clone());
        if !self.proposals_pass || !self.nodes[&from].control {
            return;
        }
        let current = &self.configuration;
        if change.expected != current.version || change.term != current.term {
            self.event(from, Event::ProposalRefused(change));
            return;
        }
        let start = |nodes: &BTreeMap<u64, Node<R>>, to: ReplicaId| nodes[&to.member.0].start;
        match change.kind {
            ChangeKind::Bump => self.configure(|_| {}),
            ChangeKind::Promote { learner } => self.configure(|it| {
                it.learners.retain(|one| *one != learner);
                it.in_sync.push(learner);
            }),
            ChangeKind::Swap { learner, removed } => self.configure(|it| {
                it.learners.retain(|one| *one != learner);
                it.in_sync.retain(|one| *one != removed);
                it.in_sync.push(learner);
            }),
            ChangeKind::Degrade { removed } => self.configure(|it| {
                it.in_sync.retain(|one| *one != removed);
            }),
            ChangeKind::HandOver { to } => {
                let start = start(&self.nodes, to);
                self.configure(|it| {
                    it.term = it.term.next();
                    it.primary = Some(to);
                    it.primary_start = start;
                });
            }
            ChangeKind::ShortLog { replica } => self.configure(|it| {
                it.learners.retain(|one| *one != replica);
                it.in_sync.retain(|one| *one != replica);
            }),
            // Tests name the learner.
            ChangeKind::ReplaceSlow { .. } => self.event(from, Event::ProposalRefused(change)),
            ChangeKind::RecordLoss { .. } => {
                let start = start(&self.nodes, change.proposer);
                self.configure(|it| {
                    it.term = it.term.next();
                    it.generation = it.generation.next();
                    it.kept_by = Some(change.proposer);
                    it.primary_start = start;
                });
            }
        }
    }

    // --- processes ---

    pub fn kill(&mut self, id: u64) {
        let node = self.nodes.get_mut(&id).unwrap();
        node.up = false;
        node.unflushed.clear();
        self.network.retain(|(_, to, _)| to.0 != id);
    }

    /// Starts a killed member again from its disk; a primary's term is raised by the record of the start (I18).
    pub fn restart(&mut self, id: u64) {
        self.next_start += 1;
        let start = StartNonce(self.next_start);
        let disk = self.nodes[&id].disk.clone();
        self.boot(id, start, disk);
        self.down.remove(&id);
        let leads = self.configuration.primary == Some(replica(id));
        self.configure(|it| {
            if leads {
                it.term = it.term.next();
                it.primary_start = start;
            }
        });
    }

    pub fn isolate(&mut self, id: u64) {
        let others: Vec<u64> = self.nodes.keys().copied().filter(|it| *it != id).collect();
        for other in others {
            self.cut.insert((id, other));
            self.cut.insert((other, id));
        }
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    // --- events and time ---

    pub fn event(&mut self, id: u64, event: Event) {
        let now = self.now;
        let node = self.nodes.get_mut(&id).unwrap();
        if !node.up {
            return;
        }
        let mut effects = Effects::default();
        node.member.step(now, event, &mut effects);
        node.member.finish_turn(now, &mut effects);
        self.perform(id, effects);
    }

    fn perform(&mut self, id: u64, effects: Effects) {
        assert_eq!(effects.fatal, None, "member {id} stopped");
        let node = self.nodes.get_mut(&id).unwrap();
        if let Some(token) = effects.persist_token {
            node.unflushed.push_back((token, effects.persist));
        }
        for (to, message) in effects.send {
            self.network.push_back((MemberId(id), to, message));
        }
        for (token, reply) in effects.replies {
            let before = self.replies.insert(token.0, (id, reply));
            assert_eq!(before, None, "request {token:?} was answered twice");
        }
        self.starts
            .extend(effects.starts.into_iter().map(|it| (id, it)));
        self.aborts
            .extend(effects.aborts.into_iter().map(|it| (id, it)));
        self.hand_backs
            .extend(effects.hand_backs.into_iter().map(|it| (id, it)));
        self.notes
            .extend(effects.notes.into_iter().map(|it| (id, it)));
        for change in effects.proposals {
            self.proposed(id, change);
        }
    }

    /// Delivers everything on the way, flushes disks, until nothing moves.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            if let Some((from, to, message)) = self.network.pop_front() {
                if !self.cut.contains(&(from.0, to.0)) {
                    self.event(to.0, Event::Message { from, message });
                }
                continue;
            }
            if !self.flush_one() {
                return;
            }
        }
        panic!("the cluster does not come to rest");
    }

    fn flush_one(&mut self) -> bool {
        let ids: Vec<u64> = self.nodes.keys().copied().collect();
        for id in ids {
            let node = self.nodes.get_mut(&id).unwrap();
            if !node.up || node.hold_disk {
                continue;
            }
            if let Some((token, records)) = node.unflushed.pop_front() {
                node.disk.extend(records);
                self.event(id, Event::Persisted(token));
                return true;
            }
        }
        false
    }

    /// Lets time pass in steps of 10 ms, with timers, heartbeats and the control plane's leases.
    pub fn run(&mut self, millis: u64) {
        for _ in 0..millis.div_ceil(10) {
            self.now = self.now.after(Millis(10));
            let ids: Vec<u64> = self.nodes.keys().copied().collect();
            for id in ids {
                self.tick(id);
            }
            self.settle();
        }
    }

    fn tick(&mut self, id: u64) {
        let now = self.now;
        let node = self.nodes.get_mut(&id).unwrap();
        if !node.up {
            return;
        }
        if node.control && now >= node.next_control_lease {
            node.next_control_lease = now.after(Millis(100));
            let applied = node.applied;
            self.event(id, Event::ControlLease { sent: now, applied });
        }
        let member = &self.nodes[&id].member;
        if member.deadline().is_some_and(|at| at <= now) {
            self.event(id, Event::Timer);
        }
    }

    // --- disks ---

    /// A member's disk loses all but its first records, and that is noticed at its start.
    pub fn cut_to(&mut self, id: u64, records: usize) {
        let node = self.nodes.get_mut(&id).unwrap();
        node.disk.truncate(records);
        node.cut_mark = true;
    }

    /// A member's disk loses its last records, and that is noticed at its start.
    pub fn cut_tail(&mut self, id: u64, records: usize) {
        let left = self.nodes[&id].disk.len() - records;
        self.cut_to(id, left);
    }

    /// Nothing on a member's disk says how much of its log is committed.
    pub fn forget_commits(&mut self, id: u64) {
        for record in &mut self.nodes.get_mut(&id).unwrap().disk {
            if let Record::Entry { commit, .. } = record {
                *commit = Lsn::ZERO;
            }
        }
    }

    // --- callers ---

    pub fn ask(&mut self, id: u64, request: Request) -> u64 {
        self.ask_within(id, request, 30_000)
    }

    pub fn ask_within(&mut self, id: u64, request: Request, millis: u64) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        let asked = Asked {
            token: RequestToken(token),
            connection: 1,
            partition: P,
            deadline: self.now.after(Millis(millis)),
            request,
        };
        self.event(id, Event::Asked(Box::new(asked)));
        token
    }

    pub fn submit(&mut self, id: u64, key: &str) -> u64 {
        self.submit_task(id, task(key))
    }

    pub fn submit_task(&mut self, id: u64, task: TaskSpec) -> u64 {
        let submission = Submission {
            task: Arc::new(task),
            delay: None,
            now: UnixMillis(0),
        };
        self.ask(id, Request::Submit(submission))
    }

    pub fn retrieve(&mut self, id: u64, sequence: Sequence) -> u64 {
        let request = Request::Retrieve {
            sequence,
            dispose: None,
            wait: true,
            keep: false,
        };
        self.ask(id, request)
    }

    pub fn reply(&self, token: u64) -> Option<&Reply> {
        self.replies.get(&token).map(|(_, reply)| reply)
    }

    pub fn sequence(&self, token: u64) -> Sequence {
        match self.reply(token) {
            Some(Reply::Submitted { sequence, .. }) => *sequence,
            other => panic!("request {token} was answered {other:?}"),
        }
    }

    pub fn refusal(&self, token: u64) -> Option<ErrorCode> {
        match self.reply(token) {
            Some(Reply::Refused(refusal)) => Some(refusal.code),
            _ => None,
        }
    }

    pub fn outcome(&self, token: u64) -> Option<Outcome> {
        match self.reply(token) {
            Some(Reply::Outcome { outcome, .. }) => Some(outcome.as_ref().clone()),
            _ => None,
        }
    }

    /// The newest start on a member of the task.
    pub fn started(&self, id: u64, sequence: Sequence) -> Option<AttemptToken> {
        let mut own = self.starts.iter().rev();
        own.find(|(member, start)| *member == id && start.token.sequence == sequence)
            .map(|(_, start)| start.token)
    }

    pub fn count_starts(&self, sequence: Sequence) -> usize {
        let starts = self.starts.iter();
        starts
            .filter(|(_, start)| start.token.sequence == sequence)
            .count()
    }

    pub fn report(&mut self, id: u64, token: AttemptToken, end: AttemptEnd) {
        self.event(id, Event::Attempt { token, end });
        self.settle();
    }

    pub fn at(&self, id: u64) -> &Replica {
        self.nodes[&id]
            .member
            .replica(P)
            .expect("the replica is here")
    }

    pub fn role(&self, id: u64) -> Option<RoleView> {
        self.nodes[&id].member.role(P)
    }

    pub fn noted(&self, id: u64, note: Note) -> bool {
        self.notes.contains(&(id, note))
    }

    /// Members at the same commit have the same ring.
    pub fn assert_equal_rings(&self) {
        let mut digests: BTreeMap<Lsn, u64> = BTreeMap::new();
        for node in self.nodes.values().filter(|node| node.up) {
            if let Some(replica) = node.member.replica(P) {
                let digest = replica.ring().digest();
                let first = *digests.entry(replica.applied()).or_insert(digest);
                assert_eq!(first, digest, "rings differ at {}", replica.applied());
            }
        }
    }
}

/// What a disk tells at start, by the rules of PROTOCOL §5.
pub fn recover(disk: &[Record]) -> Vec<RecoveredReplica> {
    let mut found: Option<RecoveredReplica> = None;
    let mut parts: Vec<RingPart> = Vec::new();
    for record in disk {
        match record {
            Record::Reset { partition, replica } => {
                found = Some(RecoveredReplica::empty(*partition, *replica));
            }
            Record::Entry { entry, commit, .. } => {
                let found = found.as_mut().expect("a reset comes first");
                found.entries.retain(|old: &LogEntry| old.lsn < entry.lsn);
                found.entries.push(entry.clone());
                found.commit = found.commit.max(*commit);
            }
            Record::Copied { entry, commit, .. } => {
                let found = found.as_mut().expect("a reset comes first");
                found.entries.retain(|old| old.lsn != entry.lsn);
                found.entries.push(entry.clone());
                found.entries.sort_by_key(|old| old.lsn);
                found.commit = found.commit.max(*commit);
            }
            Record::State {
                lsn,
                term,
                index,
                count,
                part,
                installed,
                ..
            } => {
                if *index == 0 {
                    parts.clear();
                }
                parts.push(part.clone());
                if index + 1 == *count {
                    let found = found.as_mut().expect("a reset comes first");
                    let parts = std::mem::take(&mut parts);
                    found.ring = Some(Ring::restore(parts).expect("a whole ring"));
                    found.ring_lsn = *lsn;
                    found.ring_term = *term;
                    found.entries.retain(|old| !installed && old.lsn > *lsn);
                    found.commit = found.commit.max(*lsn);
                }
            }
            Record::Forgotten { .. } => found = None,
            Record::CutMark { .. } => found.as_mut().expect("a reset comes first").cut_mark = true,
            Record::CutMarkCleared { .. } => {
                found.as_mut().expect("a reset comes first").cut_mark = false;
            }
        }
    }
    found.into_iter().collect()
}
