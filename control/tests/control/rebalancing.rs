//! Repair and rebalancing, with the leader and the primaries played by the test.

use ringhold_control::{Command, Response, StoreReport};
use ringhold_types::{ChangeKind, ExecutorConfig, MemberId, PartitionCount};

use crate::world::{World, config, key, keys};

fn wide(durability: u32) -> ExecutorConfig {
    ExecutorConfig {
        partition_count: PartitionCount::new(60).unwrap(),
        ..config(durability)
    }
}

#[test]
fn a_joining_member_takes_its_share_by_bounded_steps() {
    let (mut world, executor) = World::with_executor(3, &wide(1));
    let steps = world.cluster.next_steps(100);
    assert!(steps.is_empty());
    world.join(4);
    assert_eq!(world.cluster.next_steps(5).len(), 5);
    assert!(
        world.cluster.next_steps(10_000).len() <= ringhold_control::limits::MOVES_IN_FLIGHT_MAX
    );
    world.run_until_settled();
    for (id, seats, led) in world.loads(executor) {
        assert_eq!((seats, led), (30, 15), "{id}");
    }
}

#[test]
fn repair_comes_before_balance() {
    let (mut world, executor) = World::with_executor(3, &wide(1));
    let first = key(executor, 0);
    let removed = world.partition(first).in_sync[1];
    let degrade = world.proposal(first, ChangeKind::Degrade { removed });
    world.done(&degrade);
    world.join(4);
    let learner = world.partition(first).learners.len();
    assert_eq!(
        learner, 1,
        "the start names the missing copy's learner at once"
    );
    let drop_it = Command::RemoveLearner {
        partition: first,
        expected: world.partition(first).version,
        member: world.partition(first).learners[0].member,
    };
    world.done(&drop_it);
    let steps = world.cluster.next_steps(100);
    assert!(matches!(steps[..], [Command::AddLearner { partition, .. }] if partition == first));
}

#[test]
fn a_drain_moves_primaries_first_and_then_every_seat() {
    for durability in [0, 1, 2] {
        let (mut world, executor) = World::with_executor(4, &wide(durability));
        world.drain(2, true);
        if durability > 0 {
            let leaving = world.cluster.hand_overs(100);
            let led = |key| world.partition(key).primary.unwrap().member == MemberId(2);
            let first = leaving.iter().take_while(|&&(key, _)| led(key)).count();
            assert!(first > 0 && leaving.iter().skip(first).all(|&(key, _)| !led(key)));
        }
        world.run_until_settled();
        for (id, seats, _) in world.loads(executor) {
            assert_eq!(seats == 0, id == MemberId(2), "durability {durability}");
        }
        assert!(world.cluster.losses().is_empty());
        world.drain(2, false);
        world.run_until_settled();
        let expected = 60 * (durability as usize + 1) / 4;
        assert!(
            world
                .loads(executor)
                .iter()
                .all(|&(_, seats, _)| seats == expected)
        );
    }
}

#[test]
fn a_surplus_seat_is_never_the_primarys_and_needs_somebody_to_take_it() {
    let (mut world, executor) = World::with_executor(3, &wide(1));
    world.drain(1, true);
    assert!(keys(&world.cluster, executor).all(|key| world.cluster.surplus_seat(key).is_none()));
    for step in world.cluster.next_steps(1000) {
        world.done(&step);
    }
    let mut named = 0;
    for key in keys(&world.cluster, executor) {
        if let Some(seat) = world.cluster.surplus_seat(key) {
            assert_eq!(seat.member, MemberId(1));
            assert_ne!(world.partition(key).primary, Some(seat));
            named += 1;
        }
    }
    assert!(named > 0);
    let in_one_pass: usize = (1..=3)
        .map(|id| world.cluster.surplus_seats(MemberId(id)).len())
        .sum();
    assert_eq!(in_one_pass, named);
}

#[test]
fn the_dead_leave_their_seats_first() {
    let (mut world, executor) = World::with_executor(3, &config(1));
    world.down(&[1]);
    for key in keys(&world.cluster, executor) {
        let partition = world.partition(key);
        let dead = partition
            .in_sync
            .iter()
            .find(|seat| seat.member == MemberId(1));
        assert_eq!(world.cluster.surplus_seat(key), dead.copied());
    }
    world.run_until_settled();
    assert_eq!(world.loads(executor)[0].1, 0);
}

#[test]
fn a_restored_member_gets_back_what_it_held() {
    let (mut world, executor) = World::with_executor(4, &wide(1));
    let before = world.loads(executor);
    world.down(&[1]);
    world.run_until_settled();
    world.restart(1, StoreReport::Intact);
    world.run_until_settled();
    assert_eq!(world.loads(executor), before);
}

#[test]
fn zones_are_respected_when_a_zone_joins() {
    let mut world = World::empty();
    world.join_zone(1, "a");
    world.join_zone(2, "a");
    let executor = world.create(&wide(1));
    world.materialise_all(executor);
    world.join_zone(3, "b");
    world.join_zone(4, "b");
    world.run_until_settled();
    for key in keys(&world.cluster, executor) {
        let zone = |member| world.cluster.members()[&member].info.zone.clone();
        let seats = &world.partition(key).in_sync;
        assert_ne!(zone(seats[0].member), zone(seats[1].member));
    }
    assert!(
        world
            .loads(executor)
            .iter()
            .all(|&(_, seats, led)| (seats, led) == (30, 15))
    );
}

#[test]
fn a_drain_is_one_and_the_same_until_it_is_ended_and_the_next_is_another() {
    let mut world = World::with_members(3);
    let mut drain = |draining| {
        let member = MemberId(2);
        world.apply(&Command::Drain { member, draining }).0
    };
    let first = drain(true);
    assert!(matches!(first, Response::Drains { .. }));
    assert_eq!(drain(true), first, "asked for again");
    assert_eq!(drain(false), Response::Done);
    let second = drain(true);
    assert_ne!(second, first);
    let record = &world.cluster.members()[&MemberId(2)];
    assert_eq!(
        second,
        Response::Drains {
            drain: record.drain.expect("drained")
        }
    );
}
