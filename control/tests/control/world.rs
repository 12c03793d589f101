//! A small cluster for tests: every command that it applies is checked against all invariants.

use ringhold_control::{
    Changes, Cluster, Command, MemberInfo, MemberStart, MemberState, PartitionRecord, Refused,
    Response, StoreReport, invariant,
};
use ringhold_types::{
    ChangeKind, ClusterId, ConfigurationChange, ControlIndex, ExecutorConfig, ExecutorId,
    ExecutorName, MemberId, PartitionCount, PartitionKey, PartitionNumber, Persistence, ReplicaId,
    StartNonce, UnixMillis,
};

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    index: u64,
    nonce: u64,
}

impl World {
    /// An initialised cluster without members.
    pub(crate) fn empty() -> Self {
        let mut world = Self {
            cluster: Cluster::new(),
            index: 0,
            nonce: 100,
        };
        world.done(&Command::Initialise {
            cluster: ClusterId(7),
            name: "test".into(),
        });
        world
    }

    /// A cluster of members 1 to `members`, all up, without zones.
    pub(crate) fn with_members(members: u64) -> Self {
        let mut world = Self::empty();
        for id in 1..=members {
            world.join(id);
        }
        world
    }

    /// Members 1 to `members` and one executor, every partition of which holds something.
    pub(crate) fn with_executor(members: u64, config: &ExecutorConfig) -> (Self, ExecutorId) {
        let mut world = Self::with_members(members);
        let executor = world.create(config);
        world.materialise_all(executor);
        (world, executor)
    }

    /// Applies a command and checks the state, the step, and what the command says it changed.
    pub(crate) fn apply(&mut self, command: &Command) -> (Response, Changes) {
        let before = self.cluster.clone();
        self.index += 1;
        let (response, changes) = self.cluster.apply(ControlIndex(self.index), command);
        let report = |rule: String| format!("after {command:?}: {rule}");
        invariant::check(&self.cluster).map_err(report).unwrap();
        invariant::check_step(&before, &self.cluster)
            .map_err(report)
            .unwrap();
        assert_eq!(changes, self.actual_changes(&before), "after {command:?}");
        if matches!(response, Response::Refused(_)) {
            let mut same = self.cluster.clone();
            same.apply(
                before.index(),
                &Command::Drain {
                    member: MemberId(u64::MAX),
                    draining: false,
                },
            );
            assert_eq!(same, before, "refused {command:?}");
        }
        (response, changes)
    }

    /// What a comparison of two states finds.
    fn actual_changes(&self, before: &Cluster) -> Changes {
        let mut changes = Changes::default();
        for (&id, record) in self.cluster.executors() {
            let old = before.executors().get(&id);
            if old.is_none_or(|old| old.config != record.config || old.state != record.state) {
                changes.executors.push(id);
            }
            for key in keys(&self.cluster, id) {
                if before.partition(key) != self.cluster.partition(key) {
                    changes.configurations.push(key);
                }
            }
        }
        let deleted = before
            .executors()
            .keys()
            .filter(|id| !self.cluster.executors().contains_key(id));
        changes.deleted = deleted.copied().collect();
        let members = self.cluster.members().iter();
        let changed = members.filter(|(id, record)| before.members().get(id) != Some(record));
        changes.members = changed.map(|(&id, _)| id).collect();
        changes
    }

    pub(crate) fn done(&mut self, command: &Command) -> Changes {
        let (response, changes) = self.apply(command);
        assert!(
            !matches!(response, Response::Refused(_)),
            "{command:?}: {response:?}"
        );
        changes
    }

    pub(crate) fn refused(&mut self, command: &Command) -> Refused {
        match self.apply(command).0 {
            Response::Refused(refused) => refused,
            response => panic!("{command:?} was not refused: {response:?}"),
        }
    }

    pub(crate) fn fresh_nonce(&mut self) -> StartNonce {
        self.nonce += 1;
        StartNonce(self.nonce)
    }

    /// A start of member `id`, whose directory remembers what the cluster recorded.
    pub(crate) fn start_of(&mut self, id: u64, store: StoreReport) -> MemberStart {
        let known = self.cluster.members().get(&MemberId(id));
        let last_accepted = known.map_or(StartNonce::ZERO, |record| record.start);
        let member = known.map_or_else(|| info(id), |record| record.info.clone());
        MemberStart {
            member,
            last_accepted,
            fresh: self.fresh_nonce(),
            store,
            at: UnixMillis(1),
        }
    }

    pub(crate) fn join(&mut self, id: u64) -> Changes {
        let start = self.start_of(id, StoreReport::Empty);
        self.done(&Command::Start(start))
    }

    pub(crate) fn join_zone(&mut self, id: u64, zone: &str) -> Changes {
        let mut start = self.start_of(id, StoreReport::Empty);
        start.member.zone = Some(zone.into());
        self.done(&Command::Start(start))
    }

    pub(crate) fn restart(&mut self, id: u64, store: StoreReport) -> Changes {
        let start = self.start_of(id, store);
        self.done(&Command::Start(start))
    }

    pub(crate) fn down(&mut self, ids: &[u64]) -> Changes {
        let members = ids
            .iter()
            .map(|&id| (MemberId(id), self.start_nonce(id)))
            .collect();
        self.done(&Command::MembersDown { members })
    }

    pub(crate) fn up(&mut self, id: u64) -> Changes {
        let start = self.start_nonce(id);
        self.done(&Command::MemberUp {
            member: MemberId(id),
            start,
        })
    }

    pub(crate) fn drain(&mut self, id: u64, draining: bool) -> Changes {
        self.done(&Command::Drain {
            member: MemberId(id),
            draining,
        })
    }

    pub(crate) fn start_nonce(&self, id: u64) -> StartNonce {
        self.cluster.members()[&MemberId(id)].start
    }

    pub(crate) fn create(&mut self, config: &ExecutorConfig) -> ExecutorId {
        let config = config.clone();
        match self.apply(&Command::CreateExecutor { config }).0 {
            Response::Executor { id } => id,
            response => panic!("{response:?}"),
        }
    }

    pub(crate) fn materialise_all(&mut self, executor: ExecutorId) {
        let partitions = keys(&self.cluster, executor)
            .map(|key| key.partition)
            .collect();
        self.done(&Command::Materialise {
            executor,
            partitions,
        });
    }

    pub(crate) fn partition(&self, key: PartitionKey) -> &PartitionRecord {
        self.cluster.partition(key).unwrap()
    }

    /// A proposal of the present primary.
    pub(crate) fn proposal(&self, partition: PartitionKey, kind: ChangeKind) -> Command {
        let record = self.partition(partition);
        Command::Change(ConfigurationChange {
            partition,
            expected: record.version,
            term: record.term,
            proposer: record.primary.unwrap(),
            kind,
        })
    }

    pub(crate) fn add_learner(&mut self, partition: PartitionKey, member: MemberId) -> ReplicaId {
        let expected = self.partition(partition).version;
        self.done(&Command::AddLearner {
            partition,
            expected,
            member,
        });
        *self.partition(partition).learners.last().unwrap()
    }

    pub(crate) fn members_up(&self) -> Vec<MemberId> {
        let up = self
            .cluster
            .members()
            .values()
            .filter(|record| record.state == MemberState::Up);
        up.map(|record| record.info.id).collect()
    }

    /// A member that is up and does not hold the partition.
    pub(crate) fn spare(&self, key: PartitionKey) -> MemberId {
        let record = self.partition(key);
        let holds = |id: MemberId| record.replicas().any(|replica| replica.member == id);
        self.members_up()
            .into_iter()
            .find(|&id| !holds(id))
            .unwrap()
    }

    /// Plays leader and primaries until nobody wants anything; answers how many rounds that took.
    pub(crate) fn run_until_settled(&mut self) -> usize {
        for round in 0..2000 {
            let steps = self.cluster.next_steps(8);
            steps.iter().for_each(|step| {
                self.apply(step);
            });
            let hand_overs = self.cluster.hand_overs(8);
            for &(key, to) in &hand_overs {
                let proposal = self.proposal(key, ChangeKind::HandOver { to });
                self.done(&proposal);
            }
            let proposals = self.replacements();
            proposals.iter().for_each(|proposal| {
                self.apply(proposal);
            });
            if steps.is_empty() && hand_overs.is_empty() && proposals.is_empty() {
                return round;
            }
        }
        panic!("never settled: {:?}", self.cluster.next_steps(8));
    }

    /// What primaries propose whose learners have caught up.
    fn replacements(&self) -> Vec<Command> {
        let mut proposals = Vec::new();
        for &executor in self.cluster.executors().keys() {
            for key in keys(&self.cluster, executor) {
                let record = self.partition(key);
                let copies = self.cluster.executors()[&executor].config.copies() as usize;
                let kind = match (record.learners.first(), self.cluster.surplus_seat(key)) {
                    (Some(&learner), Some(removed)) => ChangeKind::Swap { learner, removed },
                    (None, Some(removed)) => ChangeKind::Degrade { removed },
                    (Some(&learner), None) if record.in_sync.len() < copies.max(2) => {
                        ChangeKind::Promote { learner }
                    }
                    _ => continue,
                };
                if record.primary.is_some() {
                    proposals.push(self.proposal(key, kind));
                }
            }
        }
        proposals
    }

    /// Seats and primaries of each member over materialised or idle partitions of one executor.
    pub(crate) fn loads(&self, executor: ExecutorId) -> Vec<(MemberId, usize, usize)> {
        let partitions = &self.cluster.executors()[&executor].partitions;
        let members = self.cluster.members().keys();
        members
            .map(|&id| {
                let seats = partitions.iter().flat_map(|partition| &partition.in_sync);
                let seats = seats.filter(|seat| seat.member == id).count();
                let led = partitions.iter().filter_map(|partition| partition.primary);
                (
                    id,
                    seats,
                    led.filter(|primary| primary.member == id).count(),
                )
            })
            .collect()
    }
}

pub(crate) fn keys(
    cluster: &Cluster,
    executor: ExecutorId,
) -> impl Iterator<Item = PartitionKey> + use<> {
    let count = cluster.executors()[&executor].config.partition_count.get();
    (0..count).map(move |number| PartitionKey {
        executor,
        partition: PartitionNumber(number),
    })
}

pub(crate) fn key(executor: ExecutorId, number: u32) -> PartitionKey {
    PartitionKey {
        executor,
        partition: PartitionNumber(number),
    }
}

pub(crate) fn info(id: u64) -> MemberInfo {
    MemberInfo {
        id: MemberId(id),
        name: format!("m{id}"),
        zone: None,
        client_address: format!("m{id}:1"),
        peer_address: format!("m{id}:2"),
        http_address: format!("m{id}:3"),
        witness: false,
        feature_level: 2,
    }
}

/// An executor `reports` of 12 partitions on disk.
pub(crate) fn config(durability: u32) -> ExecutorConfig {
    named("reports", durability)
}

pub(crate) fn named(name: &str, durability: u32) -> ExecutorConfig {
    ExecutorConfig {
        durability,
        partition_count: PartitionCount::new(12).unwrap(),
        ..ExecutorConfig::with_name(ExecutorName::new(name).unwrap())
    }
}

pub(crate) fn in_memory(durability: u32) -> ExecutorConfig {
    ExecutorConfig {
        persistence: Persistence::Memory,
        ..config(durability)
    }
}
