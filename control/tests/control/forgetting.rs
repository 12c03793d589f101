//! Members that will not come back.

use ringhold_control::{Command, LossCause, Refused, Response, StoreReport};
use ringhold_types::{Generation, MemberId};

use crate::world::{World, config, keys};

fn forget(member: u64, process_ended: bool) -> Command {
    Command::Forget {
        member: MemberId(member),
        process_ended,
        at: ringhold_types::UnixMillis(5),
    }
}

#[test]
fn a_member_that_is_heard_is_forgotten_only_with_the_operators_word() {
    let (mut world, executor) = World::with_executor(2, &config(0));
    let held = keys(&world.cluster, executor)
        .filter(|&key| world.partition(key).in_sync[0].member == MemberId(1));
    let would_lose: Vec<_> = held.collect();
    assert_eq!(
        world.refused(&forget(1, false)),
        Refused::MayBeRunning { would_lose }
    );
}

#[test]
fn a_dead_member_that_holds_no_last_copy_is_forgotten_without_more_ado() {
    let (mut world, executor) = World::with_executor(3, &config(1));
    world.down(&[1]);
    let (response, _) = world.apply(&forget(1, false));
    let Response::Forgotten {
        removed,
        lost,
        repeated,
    } = response
    else {
        panic!("{response:?}");
    };
    assert!(!removed.is_empty() && lost.is_empty() && !repeated);
    for key in keys(&world.cluster, executor) {
        assert!(
            world
                .partition(key)
                .replicas()
                .all(|replica| replica.member != MemberId(1))
        );
    }
    world.run_until_settled();
    assert!(keys(&world.cluster, executor).all(|key| world.partition(key).in_sync.len() == 2));
}

#[test]
fn the_last_copy_of_a_dead_member_needs_the_operators_word_and_becomes_a_named_loss() {
    let (mut world, _) = World::with_executor(2, &config(0));
    world.down(&[1]);
    let Refused::MayBeRunning { would_lose } = world.refused(&forget(1, false)) else {
        panic!("another refusal");
    };
    let (response, _) = world.apply(&forget(1, true));
    let Response::Forgotten {
        removed,
        lost,
        repeated: false,
    } = response
    else {
        panic!("{response:?}");
    };
    assert_eq!(removed, would_lose);
    let named: Vec<_> = would_lose.iter().map(|&key| (key, Generation(1))).collect();
    assert_eq!(lost, named);
    for (loss, key) in world.cluster.losses().iter().zip(&would_lose) {
        assert_eq!((loss.partition, loss.cause), (*key, LossCause::Forgotten));
        assert_eq!(loss.last[0].member, MemberId(1));
    }
    for key in would_lose {
        assert_eq!(world.partition(key).primary.unwrap().member, MemberId(2));
    }
    // Whoever did not get that answer asks again.
    let (again, _) = world.apply(&forget(1, true));
    let said_again = Response::Forgotten {
        removed: Vec::new(),
        lost,
        repeated: true,
    };
    assert_eq!(again, said_again);
}

#[test]
fn a_forgotten_id_never_comes_back() {
    let mut world = World::with_members(2);
    world.done(&forget(1, true));
    let start = world.start_of(1, StoreReport::Intact);
    let Refused::Identity { reason } = world.refused(&Command::Start(start)) else {
        panic!("another refusal");
    };
    assert!(reason.contains("empty its data directory"), "{reason}");
    let again = world.apply(&forget(1, true)).0;
    assert_eq!(
        again,
        Response::Forgotten {
            removed: vec![],
            lost: vec![],
            repeated: true,
        }
    );
    assert_eq!(world.refused(&forget(42, true)), Refused::Unknown);
}

#[test]
fn a_partition_that_nobody_can_hold_is_placed_when_a_member_joins() {
    let (mut world, executor) = World::with_executor(1, &config(0));
    world.done(&forget(1, true));
    for key in keys(&world.cluster, executor) {
        assert!(world.partition(key).in_sync.is_empty());
        assert_eq!(world.partition(key).generation, Generation(1));
    }
    world.join(2);
    for key in keys(&world.cluster, executor) {
        assert_eq!(world.partition(key).primary.unwrap().member, MemberId(2));
        assert_eq!(world.partition(key).generation, Generation(1));
    }
    assert_eq!(world.cluster.losses().len(), 12, "one loss each, not two");
}
