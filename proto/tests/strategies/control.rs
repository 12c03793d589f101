//! Commands, their answers, and cluster state.

use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use ringhold_control::{
    ClusterSnapshot, Command, ExecutorRecord, LayoutSnapshot, LossCause, LossRecord, MemberInfo,
    MemberRecord, MemberStart, MemberState, PartitionRecord, Refused, Response, StoreReport,
};
use ringhold_types::{
    ChangeKind, ClusterId, ConfigurationChange, ConfigurationVersion, ControlIndex, ExecutorId,
    ExecutorState, ExecutorWish, Generation, Incarnation, MemberId, PartitionCount,
    PartitionNumber, Sequence, StartNonce, Term, UnixMillis,
};

use super::peer::partition;
use super::ring::replica;
use super::task::executor;
use super::{number, text};

fn member() -> impl Strategy<Value = MemberId> {
    number().prop_map(MemberId)
}

fn cluster() -> impl Strategy<Value = ClusterId> {
    any::<u128>().prop_map(ClusterId)
}

prop_compose! {
    fn info()(
        id in member(),
        (name, client_address, peer_address, http_address) in (text(), text(), text(), text()),
        zone in option::of(text()),
        witness in any::<bool>(),
        feature_level in any::<u32>(),
    ) -> MemberInfo {
        MemberInfo {
            id, name, zone, client_address, peer_address, http_address, witness, feature_level,
        }
    }
}

fn start() -> impl Strategy<Value = MemberStart> {
    let reports = [
        StoreReport::Empty,
        StoreReport::Intact,
        StoreReport::Torn,
        StoreReport::Doubtful,
    ];
    let store = proptest::sample::select(reports.to_vec());
    (info(), number(), number(), store, number()).prop_map(
        |(member, last_accepted, fresh, store, at)| MemberStart {
            member,
            last_accepted: StartNonce(last_accepted),
            fresh: StartNonce(fresh),
            store,
            at: UnixMillis(at),
        },
    )
}

fn change() -> impl Strategy<Value = ConfigurationChange> {
    let kind = prop_oneof![
        replica().prop_map(|learner| ChangeKind::Promote { learner }),
        (replica(), replica()).prop_map(|(learner, removed)| ChangeKind::Swap { learner, removed }),
        replica().prop_map(|removed| ChangeKind::Degrade { removed }),
        Just(ChangeKind::Bump),
        (number(), option::of(number())).prop_map(|(from, at)| ChangeKind::RecordLoss {
            from: Sequence::from_bits(from),
            at: at.map(UnixMillis),
        }),
        replica().prop_map(|slow| ChangeKind::ReplaceSlow { slow }),
        replica().prop_map(|replica| ChangeKind::ShortLog { replica }),
        replica().prop_map(|to| ChangeKind::HandOver { to }),
    ];
    (partition(), number(), number(), replica(), kind).prop_map(
        |(partition, expected, term, proposer, kind)| ConfigurationChange {
            partition,
            expected: ConfigurationVersion(expected),
            term: Term(term),
            proposer,
            kind,
        },
    )
}

fn executor_state() -> BoxedStrategy<ExecutorState> {
    prop_oneof![
        Just(ExecutorState::Running),
        (text(), option::of(number()), number()).prop_map(|(reason, until, since)| {
            ExecutorState::Paused {
                reason,
                until: until.map(UnixMillis),
                since: ControlIndex(since),
            }
        }),
        (text(), number()).prop_map(|(reason, since)| ExecutorState::ShutDown {
            reason,
            since: ControlIndex(since),
        }),
    ]
    .boxed()
}

fn wish_of(state: ExecutorState) -> ExecutorWish {
    match state {
        ExecutorState::Running => ExecutorWish::Run,
        ExecutorState::Paused { reason, until, .. } => ExecutorWish::Pause { reason, until },
        ExecutorState::ShutDown { reason, .. } => ExecutorWish::ShutDown { reason },
    }
}

fn member_command() -> BoxedStrategy<Command> {
    let process = || (member(), number().prop_map(StartNonce));
    prop_oneof![
        (cluster(), text()).prop_map(|(cluster, name)| Command::Initialise { cluster, name }),
        start().prop_map(Command::Start),
        vec(process(), 0..3).prop_map(|members| Command::MembersDown { members }),
        process().prop_map(|(member, start)| Command::MemberUp { member, start }),
        (member(), any::<bool>(), number()).prop_map(|(member, process_ended, at)| {
            Command::Forget {
                member,
                process_ended,
                at: UnixMillis(at),
            }
        }),
        (member(), any::<bool>())
            .prop_map(|(member, draining)| Command::Drain { member, draining }),
        (member(), number()).prop_map(|(member, start)| Command::Leave {
            member,
            start: StartNonce(start),
        }),
        (member(), number()).prop_map(|(member, start)| Command::MarksCleared {
            member,
            start: StartNonce(start),
        }),
        any::<u32>().prop_map(|level| Command::RaiseFeatureLevel { level }),
        (executor(), executor_state(), option::of(number())).prop_map(
            |(config, state, expected)| {
                Command::SetExecutorState {
                    name: config.name,
                    wish: wish_of(state),
                    expected: expected.map(ControlIndex),
                }
            }
        ),
    ]
    .boxed()
}

fn partition_command() -> BoxedStrategy<Command> {
    let step = || {
        (
            partition(),
            number().prop_map(ConfigurationVersion),
            member(),
        )
    };
    let partitions = vec(any::<u32>().prop_map(PartitionNumber), 0..3);
    prop_oneof![
        executor()
            .boxed()
            .prop_map(|config| Command::CreateExecutor { config }),
        executor()
            .boxed()
            .prop_map(|config| Command::UpdateExecutor { config }),
        executor()
            .boxed()
            .prop_map(|config| Command::DeleteExecutor { name: config.name }),
        (any::<u32>(), partitions).prop_map(|(executor, partitions)| Command::Materialise {
            executor: ExecutorId(executor),
            partitions,
        }),
        change().prop_map(Command::Change),
        step().prop_map(|(partition, expected, member)| Command::AddLearner {
            partition,
            expected,
            member,
        }),
        step().prop_map(|(partition, expected, member)| Command::RemoveLearner {
            partition,
            expected,
            member,
        }),
        step().prop_map(|(partition, expected, member)| Command::Nominate {
            partition,
            expected,
            member,
        }),
    ]
    .boxed()
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    prop_oneof![member_command(), partition_command()]
}

fn refused() -> impl Strategy<Value = Refused> {
    prop_oneof![
        Just(Refused::Initialised),
        number().prop_map(|current| Refused::StaleVersion {
            current: ConfigurationVersion(current),
        }),
        Just(Refused::NotPrimary),
        text().prop_map(|rule| Refused::Forbidden { rule: rule.into() }),
        Just(Refused::Unknown),
        text().prop_map(|reason| Refused::Identity { reason }),
        (text(), member()).prop_map(|(name, member)| Refused::NameInUse { name, member }),
        text().prop_map(|setting| Refused::ExecutorDiffers {
            setting: setting.into(),
        }),
        text().prop_map(|reason| Refused::ShutDown { reason }),
        Just(Refused::StateChanged),
        text().prop_map(|violation| Refused::Invalid { violation }),
        vec(partition(), 0..3).prop_map(|would_lose| Refused::MayBeRunning { would_lose }),
    ]
}

pub(crate) fn response() -> impl Strategy<Value = Response> {
    let lost = vec((partition(), number().prop_map(Generation)), 0..3);
    prop_oneof![
        Just(Response::Done),
        (number(), number()).prop_map(|(store, memory)| Response::Started {
            store: Incarnation(store),
            memory: Incarnation(memory),
        }),
        number().prop_map(|drain| Response::Drains {
            drain: ControlIndex(drain)
        }),
        any::<u32>().prop_map(|id| Response::Executor { id: ExecutorId(id) }),
        number().prop_map(|version| Response::Changed {
            version: ConfigurationVersion(version),
        }),
        (vec(partition(), 0..3), lost, any::<bool>()).prop_map(|(removed, lost, repeated)| {
            Response::Forgotten {
                removed,
                lost,
                repeated,
            }
        }),
        refused().prop_map(Response::Refused),
    ]
}

prop_compose! {
    fn member_record()(
        info in info(),
        state in prop_oneof![Just(MemberState::Up), Just(MemberState::Down), Just(MemberState::Forgotten)],
        drain in prop::option::of(number().prop_map(ControlIndex)),
        (leaving, marked) in any::<(bool, bool)>(),
        (start, started_at, since) in (number(), number(), number()),
        (store, memory, last) in (number(), number(), number()),
    ) -> MemberRecord {
        MemberRecord {
            info, start: StartNonce(start), state, drain, leaving, marked, store: Incarnation(store),
            memory: Incarnation(memory), last_incarnation: Incarnation(last),
            started_at: UnixMillis(started_at), since: ControlIndex(since),
        }
    }
}

prop_compose! {
    fn partition_record()(
        (version, term, generation, primary_start) in (number(), number(), number(), number()),
        primary in option::of(replica()),
        (in_sync, learners) in (vec(replica(), 0..3), vec(replica(), 0..3)),
        min_copies in any::<u32>(),
        materialised in any::<bool>(),
        slow in option::of((replica(), number())),
        kept_by in option::of(replica()),
    ) -> PartitionRecord {
        PartitionRecord {
            version: ConfigurationVersion(version), term: Term(term),
            generation: Generation(generation), primary, primary_start: StartNonce(primary_start),
            in_sync, learners, min_copies, materialised, kept_by,
            slow: slow.map(|(replica, start)| (replica, StartNonce(start))),
        }
    }
}

fn loss() -> impl Strategy<Value = LossRecord> {
    let causes = [
        LossCause::ProcessEnded,
        LossCause::StoreGone,
        LossCause::Forgotten,
    ];
    let cause = proptest::sample::select(causes.to_vec());
    let range = (number(), number(), option::of(number()));
    (
        partition(),
        number(),
        vec(replica(), 0..3),
        cause,
        number(),
        range,
    )
        .prop_map(
            |(partition, generation, last, cause, at, (from, to, time))| LossRecord {
                partition,
                generation: Generation(generation),
                last,
                cause,
                at: ControlIndex(at),
                from: Sequence::from_bits(from),
                to: Sequence::from_bits(to),
                time: time.map(UnixMillis),
            },
        )
}

fn layout() -> impl Strategy<Value = LayoutSnapshot> {
    let seats = vec(vec(member(), 0..3), 0..3);
    (1..=65_536_u32, any::<u32>(), seats).prop_map(|(partitions, copies, seats)| LayoutSnapshot {
        partitions: PartitionCount::new(partitions).expect("in range"),
        copies,
        seats,
    })
}

prop_compose! {
    pub(crate) fn snapshot()(
        (index, tombstone_floor) in (number(), number()),
        id in option::of(cluster()),
        name in text(),
        (feature_level, next_executor) in any::<(u32, u32)>(),
        members in vec(member_record().boxed(), 0..3),
        executors in btree_map(
            any::<u32>().prop_map(ExecutorId),
            (executor().boxed(), executor_state(), vec(partition_record().boxed(), 0..3)),
            0..3,
        ),
        tombstones in vec((executor().boxed(), number()), 0..3),
        losses in vec(loss(), 0..3),
        layouts in vec(layout(), 0..2),
    ) -> ClusterSnapshot {
        let record = |(id, (config, state, partitions))| {
            (id, ExecutorRecord { config: Arc::new(config), state, partitions })
        };
        ClusterSnapshot {
            index: ControlIndex(index), id, name, feature_level,
            members: members.into_iter().map(|record| (record.info.id, record)).collect(),
            executors: executors.into_iter().map(record).collect(),
            next_executor: ExecutorId(next_executor),
            tombstones: tombstones
                .into_iter()
                .map(|(config, generation)| (config.name, Generation(generation)))
                .collect(),
            tombstone_floor: Generation(tombstone_floor), losses, layouts,
        }
    }
}
