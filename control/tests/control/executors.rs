//! Executors: created, changed, deleted, materialised.

use ringhold_control::{Command, Refused, Response};
use ringhold_types::{
    ChangeKind, ExecutorConfig, Generation, PartitionCount, PartitionNumber, Persistence,
};

use crate::world::{World, config, key, keys, named};

fn create(config: ExecutorConfig) -> Command {
    Command::CreateExecutor { config }
}

fn update(config: ExecutorConfig) -> Command {
    Command::UpdateExecutor { config }
}

fn invalid(refused: Refused) -> String {
    match refused {
        Refused::Invalid { violation } => violation,
        other => panic!("{other:?}"),
    }
}

#[test]
fn creating_an_executor_twice_alike_answers_the_same_number() {
    let mut world = World::with_members(2);
    let first = world.create(&config(1));
    let (response, changes) = world.apply(&create(config(1)));
    assert_eq!(response, Response::Executor { id: first });
    assert_eq!(changes, Default::default());
}

#[test]
fn creating_an_executor_with_another_setting_names_the_setting() {
    let mut world = World::with_members(2);
    world.create(&config(1));
    let mut other = config(1);
    other.capacity = 7;
    let differs = Refused::ExecutorDiffers {
        setting: "capacity".into(),
    };
    assert_eq!(world.refused(&create(other)), differs);
}

#[test]
fn durability_beyond_the_cluster_is_refused_with_both_numbers() {
    let mut world = World::with_members(3);
    world.down(&[3]);
    world.drain(2, true);
    let violation = invalid(world.refused(&create(config(2))));
    assert!(
        violation.contains("needs 3") && violation.contains("1 are available"),
        "{violation}"
    );
    let out_of_range = invalid(world.refused(&create(config(9))));
    assert!(out_of_range.contains("durability"), "{out_of_range}");
}

#[test]
fn executor_numbers_and_sequences_of_a_deleted_name_are_never_used_again() {
    let (mut world, first) = World::with_executor(1, &config(0));
    world.done(&Command::Forget {
        member: ringhold_types::MemberId(1),
        process_ended: true,
        at: ringhold_types::UnixMillis(5),
    });
    world.join(2);
    assert_eq!(world.partition(key(first, 0)).generation, Generation(1));
    let name = config(0).name;
    let delete = Command::DeleteExecutor { name };
    assert_eq!(world.done(&delete).deleted, vec![first]);
    assert_eq!(world.refused(&delete), Refused::Unknown);
    let second = world.create(&config(0));
    assert!(second > first);
    assert_eq!(world.partition(key(second, 0)).generation, Generation(2));
}

#[test]
fn equal_partition_counts_are_placed_alike() {
    let mut world = World::with_members(5);
    let first = world.create(&named("first", 1));
    world.materialise_all(first);
    world.join(6);
    let second = world.create(&named("second", 1));
    world.run_until_settled();
    for (a, b) in keys(&world.cluster, first).zip(keys(&world.cluster, second)) {
        let (a, b) = (world.partition(a), world.partition(b));
        assert_eq!(a.primary, b.primary);
        assert!(a.in_sync.iter().all(|seat| b.in_sync.contains(seat)));
    }
}

#[test]
fn immutable_settings_stay() {
    let mut world = World::with_members(2);
    world.create(&config(1));
    let mut memory = config(1);
    memory.persistence = Persistence::Memory;
    let mut wider = config(1);
    wider.partition_count = PartitionCount::new(13).unwrap();
    for (changed, setting) in [(memory, "persistence"), (wider, "partition-count")] {
        assert_eq!(
            world.refused(&update(changed)),
            Refused::ExecutorDiffers {
                setting: setting.into()
            }
        );
    }
    assert_eq!(
        world.refused(&update(named("unknown", 1))),
        Refused::Unknown
    );
}

#[test]
fn a_higher_durability_adds_learners_first_and_asks_for_more_copies_once_they_have_seats() {
    let (mut world, executor) = World::with_executor(3, &config(0));
    world.done(&update(config(1)));
    for key in keys(&world.cluster, executor) {
        let partition = world.partition(key);
        assert_eq!((partition.in_sync.len(), partition.learners.len()), (1, 1));
        assert_eq!(partition.min_copies, 1, "submits go on meanwhile");
    }
    let first = key(executor, 0);
    let learner = world.partition(first).learners[0];
    let promote = world.proposal(first, ChangeKind::Promote { learner });
    world.done(&promote);
    assert_eq!(world.partition(first).min_copies, 2);
}

#[test]
fn a_lower_durability_gives_up_seats_but_never_the_primarys() {
    let (mut world, executor) = World::with_executor(3, &config(2));
    let before = world.cluster.clone();
    world.done(&update(config(0)));
    for key in keys(&world.cluster, executor) {
        let partition = world.partition(key);
        assert_eq!(partition.primary, before.partition(key).unwrap().primary);
        assert_eq!(partition.in_sync, vec![partition.primary.unwrap()]);
        assert_eq!(partition.min_copies, 1);
    }
}

#[test]
fn materialising_is_idempotent_and_all_or_nothing() {
    let mut world = World::with_members(2);
    let executor = world.create(&config(1));
    let some = |partitions: &[u32]| Command::Materialise {
        executor,
        partitions: partitions.iter().copied().map(PartitionNumber).collect(),
    };
    assert_eq!(world.refused(&some(&[0, 12])), Refused::Unknown);
    assert_eq!(
        world.done(&some(&[3, 0, 3])).configurations,
        vec![key(executor, 0), key(executor, 3)]
    );
    assert_eq!(world.done(&some(&[0])), Default::default());
    assert!(world.partition(key(executor, 3)).materialised);
    assert!(!world.partition(key(executor, 1)).materialised);
}

#[test]
fn a_lower_durability_holds_while_every_member_is_away() {
    let mut world = World::with_members(3);
    let executor = world.create(&config(2));
    world.down(&[1, 2, 3]);
    world.done(&update(config(0)));
    assert!(world.partition(key(executor, 0)).in_sync.len() <= 2);
    world.up(1);
    assert_eq!(world.partition(key(executor, 0)).in_sync.len(), 1);
}
