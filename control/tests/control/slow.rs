//! A slow backup that lives: a learner is named for its seat, and it does not come back before its process starts anew.

use proptest::prelude::*;
use ringhold_control::{Cluster, Command, Refused, StoreReport};
use ringhold_types::{ChangeKind, MemberId, PartitionKey, ReplicaId};

use crate::world::{World, config, key};

fn ask(world: &World, key: PartitionKey, slow: ReplicaId) -> Command {
    world.proposal(key, ChangeKind::ReplaceSlow { slow })
}

fn forbidden(refused: &Refused, why: &str) -> bool {
    matches!(refused, Refused::Forbidden { rule } if rule.contains(why))
}

#[test]
fn a_slow_backup_keeps_its_seat_until_the_learner_named_for_it_takes_it() {
    let (mut world, executor) = World::with_executor(3, &config(1));
    let key = key(executor, 0);
    let slow = world.partition(key).in_sync[1];
    world.done(&ask(&world, key, slow));
    let after = world.partition(key).clone();
    assert!(after.in_sync.contains(&slow));
    assert_eq!(after.learners.len(), 1);
    assert_eq!(world.cluster.next_steps(8), [], "the learner is wanted");
    assert_eq!(world.cluster.surplus_seat(key), Some(slow));
    let learner = after.learners[0];
    let removed = slow;
    world.done(&world.proposal(key, ChangeKind::Swap { learner, removed }));
    assert_eq!(world.cluster.next_steps(8), [], "the slow one stays away");
}

#[test]
fn a_slow_member_that_starts_anew_gets_back_what_the_placement_meant_for_it() {
    let (mut world, executor) = World::with_executor(3, &config(1));
    let key = key(executor, 0);
    let before = world.partition(key).in_sync.clone();
    let slow = before[1];
    world.done(&ask(&world, key, slow));
    world.run_until_settled();
    assert!(!world.partition(key).in_sync.contains(&slow));
    world.restart(slow.member.0, StoreReport::Intact);
    world.run_until_settled();
    assert_eq!(world.partition(key).in_sync.len(), before.len());
    assert!(world.partition(key).in_sync.contains(&slow));
}

#[test]
fn nobody_is_replaced_where_nobody_else_could_hold_a_copy_or_by_a_word_about_oneself() {
    let (mut world, executor) = World::with_executor(2, &config(1));
    let key = key(executor, 0);
    let seats = world.partition(key).in_sync.clone();
    let refused = world.refused(&ask(&world, key, seats[1]));
    assert!(forbidden(&refused, "no other member"), "{refused:?}");
    let refused = world.refused(&ask(&world, key, seats[0]));
    assert!(forbidden(&refused, "another replica"), "{refused:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_stand_in_is_up_takes_seats_and_holds_no_copy_and_all_comes_to_rest(
        members in 3_u64..8,
        durability in 1_u32..3,
        drained in prop::collection::vec(1_u64..8, 0..2),
        picks in prop::collection::vec((0_u32..8, 0_usize..4), 1..6),
    ) {
        let (mut world, executor) = World::with_executor(members, &config(durability));
        for member in drained.into_iter().filter(|it| *it <= members) {
            world.done(&Command::Drain { member: MemberId(member), draining: true });
        }
        for (number, pick) in picks {
            let key = key(executor, number % crate::world::keys(&world.cluster, executor).count() as u32);
            let before = world.partition(key).clone();
            let slow = before.in_sync[pick % before.in_sync.len()];
            let asked = ask(&world, key, slow);
            let (_, changes) = world.apply(&asked);
            if changes.configurations.is_empty() {
                prop_assert_eq!(world.partition(key), &before);
                continue;
            }
            let learner = *world.partition(key).learners.last().unwrap();
            let record = &world.cluster.members()[&learner.member];
            prop_assert!(record.is_up() && record.takes_seats());
            prop_assert!(!before.replicas().any(|it| it.member == learner.member));
            prop_assert_eq!(&world.partition(key).in_sync, &before.in_sync);
            let restored = Cluster::restore(world.cluster.snapshot()).expect("a cluster wrote it");
            prop_assert_eq!(&restored, &world.cluster);
        }
        world.run_until_settled();
    }
}
