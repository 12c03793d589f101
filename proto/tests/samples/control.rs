//! Commands and cluster state.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringhold_control::{
    ClusterSnapshot, Command, ExecutorRecord, LayoutSnapshot, LossCause, LossRecord, MemberInfo,
    MemberRecord, MemberStart, MemberState, PartitionRecord, StoreReport,
};
use ringhold_types::{
    ChangeKind, ClusterId, ConfigurationChange, ConfigurationVersion, ControlIndex, ExecutorConfig,
    ExecutorId, ExecutorName, ExecutorState, ExecutorWish, Generation, Incarnation, Millis,
    PartitionCount, PartitionKey, PartitionNumber, Persistence, Sequence, StartNonce, Term,
    UnixMillis, WhenFull,
};

use super::{MEMBER, OTHER, replica};

const CLUSTER: ClusterId = ClusterId(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
const VERSION: ConfigurationVersion = ConfigurationVersion(17);
const START: StartNonce = StartNonce(0x1122_3344_5566_7788);
const PARTITION: PartitionKey = PartitionKey {
    executor: ExecutorId(4),
    partition: PartitionNumber(270),
};

/// One of every command, and one of every change of a configuration.
pub(crate) fn commands() -> Vec<(&'static str, Command)> {
    let mut all = member_commands();
    all.extend(partition_commands());
    all.extend(changes());
    all
}

fn member_commands() -> Vec<(&'static str, Command)> {
    let member = MEMBER;
    vec![
        (
            "initialise",
            Command::Initialise {
                cluster: CLUSTER,
                name: "demo".into(),
            },
        ),
        (
            "start",
            Command::Start(MemberStart {
                member: info(),
                last_accepted: StartNonce::ZERO,
                fresh: START,
                store: StoreReport::Doubtful,
                at: UnixMillis(1_795_000_000_000),
            }),
        ),
        (
            "members-down",
            Command::MembersDown {
                members: vec![(MEMBER, START), (OTHER, StartNonce(1))],
            },
        ),
        (
            "member-up",
            Command::MemberUp {
                member,
                start: START,
            },
        ),
        (
            "marks-cleared",
            Command::MarksCleared {
                member,
                start: START,
            },
        ),
        (
            "forget",
            Command::Forget {
                member,
                process_ended: true,
                at: UnixMillis(0),
            },
        ),
        (
            "drain",
            Command::Drain {
                member,
                draining: true,
            },
        ),
        (
            "leave",
            Command::Leave {
                member,
                start: START,
            },
        ),
        (
            "raise-feature-level",
            Command::RaiseFeatureLevel { level: 2 },
        ),
    ]
}

fn set_state(wish: ExecutorWish, expected: Option<ControlIndex>) -> Command {
    Command::SetExecutorState {
        name: name(),
        wish,
        expected,
    }
}

fn pause(until: Option<UnixMillis>) -> ExecutorWish {
    ExecutorWish::Pause {
        reason: "the printer is broken".into(),
        until,
    }
}

fn partition_commands() -> Vec<(&'static str, Command)> {
    let (partition, expected, member) = (PARTITION, VERSION, MEMBER);
    vec![
        (
            "create-executor",
            Command::CreateExecutor { config: defaults() },
        ),
        (
            "update-executor",
            Command::UpdateExecutor { config: changed() },
        ),
        ("delete-executor", Command::DeleteExecutor { name: name() }),
        ("resume-executor", set_state(ExecutorWish::Run, None)),
        ("pause-executor", set_state(pause(None), None)),
        (
            "pause-executor-until",
            set_state(
                pause(Some(UnixMillis(1_700_000_000_000))),
                Some(ControlIndex(700)),
            ),
        ),
        (
            "shut-down-executor",
            set_state(
                ExecutorWish::ShutDown {
                    reason: "replaced by reports-2".into(),
                },
                None,
            ),
        ),
        (
            "materialise",
            Command::Materialise {
                executor: ExecutorId(4),
                partitions: vec![PartitionNumber(0), PartitionNumber(270)],
            },
        ),
        (
            "add-learner",
            Command::AddLearner {
                partition,
                expected,
                member,
            },
        ),
        (
            "remove-learner",
            Command::RemoveLearner {
                partition,
                expected,
                member,
            },
        ),
        (
            "nominate",
            Command::Nominate {
                partition,
                expected,
                member,
            },
        ),
    ]
}

fn changes() -> Vec<(&'static str, Command)> {
    let (learner, removed) = (replica(OTHER), replica(MEMBER));
    let change = |kind| {
        Command::Change(ConfigurationChange {
            partition: PARTITION,
            expected: VERSION,
            term: Term(42),
            proposer: replica(MEMBER),
            kind,
        })
    };
    vec![
        ("promote", change(ChangeKind::Promote { learner })),
        ("swap", change(ChangeKind::Swap { learner, removed })),
        ("degrade", change(ChangeKind::Degrade { removed })),
        ("bump", change(ChangeKind::Bump)),
        ("hand-over", change(ChangeKind::HandOver { to: learner })),
        (
            "record-loss",
            change(ChangeKind::RecordLoss {
                from: Sequence::default(),
                at: None,
            }),
        ),
        (
            "record-loss-range",
            change(ChangeKind::RecordLoss {
                from: Sequence::from_bits(17),
                at: Some(UnixMillis(1_700_000_000_000)),
            }),
        ),
        (
            "replace-slow",
            change(ChangeKind::ReplaceSlow { slow: removed }),
        ),
        (
            "short-log",
            change(ChangeKind::ShortLog { replica: removed }),
        ),
    ]
}

fn in_state(wish: &ExecutorWish) -> ExecutorRecord {
    ExecutorRecord {
        config: Arc::new(changed()),
        state: wish.at(ControlIndex(700)),
        partitions: Vec::new(),
    }
}

/// Cluster state before its first command, and with one of everything.
pub(crate) fn clusters() -> Vec<(&'static str, ClusterSnapshot)> {
    let record = ExecutorRecord {
        config: Arc::new(changed()),
        state: ExecutorState::Running,
        partitions: vec![partition(), PartitionRecord::default()],
    };
    let full = ClusterSnapshot {
        index: ControlIndex(1_234),
        id: Some(CLUSTER),
        name: "demo".into(),
        feature_level: 1,
        members: BTreeMap::from([(MEMBER, member())]),
        executors: BTreeMap::from([(ExecutorId(4), record)]),
        next_executor: ExecutorId(5),
        tombstones: BTreeMap::from([(name(), Generation(2))]),
        tombstone_floor: Generation(1),
        losses: vec![LossRecord {
            partition: PARTITION,
            generation: Generation(1),
            last: vec![replica(OTHER)],
            cause: LossCause::StoreGone,
            at: ControlIndex(1_000),
            from: Sequence::default(),
            to: Sequence::default(),
            time: None,
        }],
        layouts: vec![LayoutSnapshot {
            partitions: PartitionCount::new(2).expect("in range"),
            copies: 2,
            seats: vec![vec![MEMBER, OTHER], Vec::new()],
        }],
    };
    let lost = ClusterSnapshot {
        losses: vec![LossRecord {
            partition: PARTITION,
            generation: Generation(1),
            last: vec![replica(OTHER)],
            cause: LossCause::Forgotten,
            at: ControlIndex(1_000),
            from: Sequence::from_bits(1 << 44),
            to: Sequence::from_bits((1 << 45) - 1),
            time: Some(UnixMillis(1_700_000_000_000)),
        }],
        ..ClusterSnapshot::default()
    };
    let states = ClusterSnapshot {
        executors: BTreeMap::from([
            (ExecutorId(4), in_state(&pause(None))),
            (
                ExecutorId(5),
                in_state(&ExecutorWish::ShutDown {
                    reason: "replaced by reports-2".into(),
                }),
            ),
        ]),
        ..ClusterSnapshot::default()
    };
    vec![
        ("empty", ClusterSnapshot::default()),
        ("full", full),
        ("lost", lost),
        ("states", states),
    ]
}

fn name() -> ExecutorName {
    ExecutorName::new("reports").expect("valid")
}

fn defaults() -> ExecutorConfig {
    ExecutorConfig {
        name: name(),
        pool_size: 16,
        durability: 1,
        capacity: 10_000,
        when_full: WhenFull::Reject,
        partition_count: PartitionCount::DEFAULT,
        persistence: Persistence::Fsync,
        min_copies: None,
        result_ttl: Millis(86_400_000),
        dedup_window: Millis(600_000),
        crash_limit: 5,
        allowed_binaries: Vec::new(),
        run_limit: None,
        kill_grace: Millis(5_000),
        output_bytes_max: 1_048_576,
        statistics_enabled: true,
        ..ExecutorConfig::with_name(name())
    }
}

fn changed() -> ExecutorConfig {
    ExecutorConfig {
        pool_size: 8,
        durability: 0,
        capacity: 0,
        when_full: WhenFull::Wait,
        partition_count: PartitionCount::new(2).expect("in range"),
        persistence: Persistence::Memory,
        min_copies: Some(1),
        result_ttl: Millis(1_001),
        dedup_window: Millis(0),
        allowed_binaries: vec!["/usr/bin/sha256sum".into(), "*".into()],
        run_limit: Some(Millis(30_000)),
        statistics_enabled: false,
        ..defaults()
    }
}

fn info() -> MemberInfo {
    MemberInfo {
        id: MEMBER,
        name: "m1".into(),
        zone: Some("a".into()),
        client_address: "127.0.0.1:7400".into(),
        peer_address: "127.0.0.1:7401".into(),
        http_address: "127.0.0.1:7402".into(),
        witness: false,
        feature_level: 1,
    }
}

fn member() -> MemberRecord {
    MemberRecord {
        info: info(),
        start: START,
        state: MemberState::Down,
        // As written before drains were told apart.
        drain: Some(ControlIndex(0)),
        leaving: false,
        marked: false,
        store: Incarnation(3),
        memory: Incarnation(5),
        last_incarnation: Incarnation(5),
        started_at: UnixMillis(1_795_000_000_000),
        since: ControlIndex(1_200),
    }
}

fn partition() -> PartitionRecord {
    PartitionRecord {
        version: VERSION,
        term: Term(42),
        generation: Generation(2),
        primary: Some(replica(MEMBER)),
        primary_start: START,
        in_sync: vec![replica(MEMBER), replica(OTHER)],
        learners: vec![replica(OTHER)],
        min_copies: 1,
        materialised: true,
        slow: None,
        kept_by: None,
    }
}
