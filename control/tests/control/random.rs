//! Random command sequences over small clusters: every invariant after every command, equal results on every copy, and
//! full recovery once faults end.

use proptest::prelude::*;
use ringhold_control::{Cluster, Command, MemberState, StoreReport};
use ringhold_types::{
    ChangeKind, ConfigurationVersion, ExecutorId, ExecutorWish, MemberId, PartitionKey,
    PartitionNumber,
};

use crate::world::{World, in_memory, keys, named};

/// Commands as choices; what they mean depends on the state that they meet.
#[derive(Clone, Debug)]
enum Choice {
    Start {
        id: u64,
        store: u8,
        zone: u8,
    },
    Witness {
        id: u64,
    },
    Emptied {
        id: u64,
        name: u64,
    },
    Down {
        ids: Vec<u64>,
    },
    Up {
        id: u64,
    },
    Forget {
        id: u64,
        ended: bool,
    },
    Drain {
        id: u64,
        draining: bool,
    },
    Leave {
        id: u64,
    },
    Create {
        name: u8,
        durability: u32,
    },
    Update {
        name: u8,
        durability: u32,
        min_copies: Option<u32>,
    },
    Delete {
        name: u8,
    },
    State {
        name: u8,
        wish: u8,
        expects: bool,
    },
    Materialise {
        partitions: Vec<u32>,
    },
    Steps {
        most: usize,
    },
    HandOvers {
        most: usize,
    },
    Propose {
        partition: u32,
        kind: u8,
        pick: usize,
        stale: bool,
    },
    Learner {
        partition: u32,
        member: u64,
        add: bool,
    },
    Nominate {
        partition: u32,
        member: u64,
    },
}

const MEMBERS: std::ops::Range<u64> = 1..7;

fn choice() -> impl Strategy<Value = Choice> {
    let id = || MEMBERS;
    prop_oneof![
        6 => (id(), 0_u8..6, 0_u8..4).prop_map(|(id, store, zone)| Choice::Start { id, store, zone }),
        1 => (7_u64..9).prop_map(|id| Choice::Witness { id }),
        1 => (20_u64..40, id()).prop_map(|(id, name)| Choice::Emptied { id, name }),
        4 => prop::collection::vec(id(), 1..4).prop_map(|ids| Choice::Down { ids }),
        4 => id().prop_map(|id| Choice::Up { id }),
        1 => (id(), any::<bool>()).prop_map(|(id, ended)| Choice::Forget { id, ended }),
        2 => (id(), any::<bool>()).prop_map(|(id, draining)| Choice::Drain { id, draining }),
        1 => id().prop_map(|id| Choice::Leave { id }),
        2 => (0_u8..4, 0_u32..4).prop_map(|(name, durability)| Choice::Create { name, durability }),
        1 => (0_u8..4, 0_u32..4, prop::option::of(1_u32..4))
            .prop_map(|(name, durability, min_copies)| Choice::Update { name, durability, min_copies }),
        1 => (0_u8..4).prop_map(|name| Choice::Delete { name }),
        2 => (0_u8..4, 0_u8..7, any::<bool>())
            .prop_map(|(name, wish, expects)| Choice::State { name, wish, expects }),
        3 => prop::collection::vec(0_u32..12, 1..12).prop_map(|partitions| Choice::Materialise { partitions }),
        4 => (1_usize..20).prop_map(|most| Choice::Steps { most }),
        3 => (1_usize..10).prop_map(|most| Choice::HandOvers { most }),
        12 => (0_u32..12, 0_u8..5, 0_usize..4, prop::bool::weighted(0.1))
            .prop_map(|(partition, kind, pick, stale)| Choice::Propose { partition, kind, pick, stale }),
        2 => (0_u32..12, id(), any::<bool>())
            .prop_map(|(partition, member, add)| Choice::Learner { partition, member, add }),
        1 => (0_u32..12, id()).prop_map(|(partition, member)| Choice::Nominate { partition, member }),
    ]
}

fn store(choice: u8) -> StoreReport {
    match choice {
        0 => StoreReport::Empty,
        1 => StoreReport::Doubtful,
        2 | 3 => StoreReport::Torn,
        _ => StoreReport::Intact,
    }
}

fn executor_config(name: u8, durability: u32) -> ringhold_types::ExecutorConfig {
    let mut config = named(["a", "b", "c", "d"][usize::from(name)], durability);
    if name % 2 == 1 {
        config.persistence = in_memory(0).persistence;
    }
    config
}

fn wish_of(choice: u8) -> ExecutorWish {
    let reason = "a reason".to_owned();
    match choice {
        0..3 => ExecutorWish::Run,
        3..6 => ExecutorWish::Pause {
            reason,
            until: (choice == 3).then_some(ringhold_types::UnixMillis(5)),
        },
        _ => ExecutorWish::ShutDown { reason },
    }
}

/// The commands that a choice stands for in this state.
fn commands(world: &mut World, choice: &Choice) -> Vec<Command> {
    match choice {
        Choice::Start {
            id,
            store: found,
            zone,
        } => {
            let mut start = world.start_of(*id, store(*found));
            start.member.zone = ["a", "b"]
                .get(usize::from(*zone))
                .map(|&zone| zone.to_owned());
            vec![Command::Start(start)]
        }
        Choice::Witness { id } => {
            let mut start = world.start_of(*id, StoreReport::Empty);
            start.member.witness = true;
            vec![Command::Start(start)]
        }
        Choice::Emptied { id, name } => {
            let mut start = world.start_of(*id, StoreReport::Empty);
            start.member.name = format!("m{name}");
            vec![Command::Start(start)]
        }
        Choice::Down { ids } => {
            let members = ids.iter().filter_map(|&id| {
                let record = world.cluster.members().get(&MemberId(id))?;
                Some((MemberId(id), record.start))
            });
            vec![Command::MembersDown {
                members: members.collect(),
            }]
        }
        Choice::Up { id } => {
            let record = world.cluster.members().get(&MemberId(*id));
            let start = record.map(|record| record.start).unwrap_or_default();
            vec![Command::MemberUp {
                member: MemberId(*id),
                start,
            }]
        }
        Choice::Forget { id, ended } => {
            vec![Command::Forget {
                member: MemberId(*id),
                process_ended: *ended,
                at: ringhold_types::UnixMillis(5),
            }]
        }
        Choice::Drain { id, draining } => {
            vec![Command::Drain {
                member: MemberId(*id),
                draining: *draining,
            }]
        }
        Choice::Leave { id } => {
            let known = world.cluster.members().get(&MemberId(*id));
            vec![Command::Leave {
                member: MemberId(*id),
                start: known.map_or(ringhold_types::StartNonce::ZERO, |record| record.start),
            }]
        }
        _ => executor_commands(world, choice),
    }
}

fn executor_commands(world: &World, choice: &Choice) -> Vec<Command> {
    match choice {
        Choice::Create { name, durability } => {
            vec![Command::CreateExecutor {
                config: executor_config(*name, *durability),
            }]
        }
        Choice::Update {
            name,
            durability,
            min_copies,
        } => {
            let mut config = executor_config(*name, *durability);
            config.min_copies = *min_copies;
            vec![Command::UpdateExecutor { config }]
        }
        Choice::Delete { name } => {
            vec![Command::DeleteExecutor {
                name: executor_config(*name, 0).name,
            }]
        }
        Choice::State {
            name,
            wish,
            expects,
        } => {
            let name = executor_config(*name, 0).name;
            let present = world.cluster.executor_by_name(&name);
            let since = present.and_then(|(_, record)| record.state.since());
            vec![Command::SetExecutorState {
                name,
                wish: wish_of(*wish),
                expected: since.filter(|_| *expects),
            }]
        }
        Choice::Materialise { partitions } => {
            let partitions: Vec<_> = partitions.iter().copied().map(PartitionNumber).collect();
            let executors = world.cluster.executors().keys();
            let all = executors.map(|&executor| Command::Materialise {
                executor,
                partitions: partitions.clone(),
            });
            all.collect()
        }
        Choice::Steps { most } => world.cluster.next_steps(*most),
        Choice::HandOvers { most } => {
            let wanted = world.cluster.hand_overs(*most);
            let proposal = |&(key, to): &_| world.proposal(key, ChangeKind::HandOver { to });
            wanted.iter().map(proposal).collect()
        }
        _ => partition_commands(world, choice),
    }
}

fn partition_commands(world: &World, choice: &Choice) -> Vec<Command> {
    let executors: Vec<ExecutorId> = world.cluster.executors().keys().copied().collect();
    let of_all = |number: u32, command: &dyn Fn(PartitionKey) -> Option<Command>| {
        let keys = executors.iter().map(|&executor| PartitionKey {
            executor,
            partition: PartitionNumber(number),
        });
        keys.filter_map(command).collect()
    };
    match *choice {
        Choice::Propose {
            partition,
            kind,
            pick,
            stale,
        } => of_all(partition, &|key| {
            let mut command = world
                .cluster
                .partition(key)?
                .primary
                .map(|_| world.proposal(key, kind_of(world, key, kind, pick)))?;
            if let Command::Change(change) = &mut command
                && stale
            {
                change.expected = ConfigurationVersion(change.expected.0.saturating_sub(1));
            }
            Some(command)
        }),
        Choice::Learner {
            partition,
            member,
            add,
        } => of_all(partition, &|key| {
            let expected = world.cluster.partition(key)?.version;
            let member = MemberId(member);
            Some(if add {
                Command::AddLearner {
                    partition: key,
                    expected,
                    member,
                }
            } else {
                Command::RemoveLearner {
                    partition: key,
                    expected,
                    member,
                }
            })
        }),
        Choice::Nominate { partition, member } => of_all(partition, &|key| {
            let expected = world.cluster.partition(key)?.version;
            Some(Command::Nominate {
                partition: key,
                expected,
                member: MemberId(member),
            })
        }),
        _ => Vec::new(),
    }
}

fn kind_of(world: &World, key: PartitionKey, kind: u8, pick: usize) -> ChangeKind {
    let record = world.partition(key);
    let any_of = |replicas: &[_]| {
        replicas
            .get(pick % replicas.len().max(1))
            .copied()
            .unwrap_or_default()
    };
    let (learner, seat) = (any_of(&record.learners), any_of(&record.in_sync));
    match kind {
        0 => ChangeKind::Promote { learner },
        1 => ChangeKind::Swap {
            learner,
            removed: world.cluster.surplus_seat(key).unwrap_or(seat),
        },
        2 => ChangeKind::Degrade { removed: seat },
        3 => ChangeKind::Bump,
        4 => ChangeKind::ReplaceSlow { slow: seat },
        _ => ChangeKind::HandOver { to: seat },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_invariant_holds_after_every_command(choices in prop::collection::vec(choice(), 1..120)) {
        let mut world = World::empty();
        for choice in &choices {
            for command in commands(&mut world, choice) {
                world.apply(&command);
            }
            let raise = world.cluster.level_step();
            raise.iter().for_each(|raise| drop(world.done(raise)));
        }
    }

    #[test]
    fn a_snapshot_gives_back_an_equal_cluster_that_goes_on_equally(
        choices in prop::collection::vec(choice(), 1..80),
        more in prop::collection::vec(choice(), 1..10),
    ) {
        let mut world = World::with_members(3);
        for choice in &choices {
            for command in commands(&mut world, choice) {
                world.apply(&command);
            }
        }
        let mut restored = Cluster::restore(world.cluster.snapshot()).expect("a cluster wrote it");
        prop_assert_eq!(&restored, &world.cluster);
        for choice in &more {
            for command in commands(&mut world, choice) {
                let answer = world.apply(&command);
                prop_assert_eq!(restored.apply(world.cluster.index(), &command), answer);
            }
        }
        prop_assert_eq!(&restored, &world.cluster);
    }

    #[test]
    fn once_faults_end_every_partition_becomes_full_and_balanced(
        choices in prop::collection::vec(choice(), 1..80),
    ) {
        let mut world = World::with_members(4);
        for choice in &choices {
            for command in commands(&mut world, choice) {
                world.apply(&command);
            }
        }
        let down = world.cluster.members().values().filter(|record| record.state == MemberState::Down);
        let down: Vec<u64> = down.map(|record| record.info.id.0).collect();
        for id in down {
            world.up(id);
        }
        world.run_until_settled();
        for (&executor, record) in world.cluster.executors() {
            let takers = world.cluster.members().values().filter(|record| record.takes_seats());
            let copies = takers.count().min(record.config.copies() as usize);
            for key in keys(&world.cluster, executor) {
                let partition = world.partition(key);
                prop_assert!(partition.learners.is_empty(), "{:?}", partition);
                if copies > 0 {
                    // A draining member keeps a seat that nobody else can take.
                    prop_assert!(partition.in_sync.len() >= copies);
                    prop_assert!(partition.primary.is_some());
                }
            }
        }
    }
}
