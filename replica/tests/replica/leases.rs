//! When leases are asked for.

use crate::support::*;
use ringhold_replica::*;
use ringhold_types::*;

/// Three members of which the first leads, and every lease is held.
fn leading() -> World<Sound> {
    let mut world = World::new(3, 3, Persistence::Memory);
    world.run(1_000);
    assert_eq!(world.role(1), Some(RoleView::Leading));
    world
}

/// Lets time pass and says when member 1 asked member 2 for a lease.
fn asked_at(world: &mut World<Sound>, millis: u64) -> Vec<Tick> {
    let mut asked = Vec::new();
    for _ in 0..millis / 10 {
        world.now = world.now.after(Millis(10));
        for id in [1, 2, 3] {
            world.event(id, Event::Timer);
        }
        let asks = world.network.iter().any(|(from, to, message)| {
            (from.0, to.0) == (1, 2) && matches!(message, PeerMessage::Heartbeat(_))
        });
        asked.extend(asks.then_some(world.now));
        world.settle();
    }
    asked
}

/// Whether each time is this long after the one before it.
fn are_apart(asked: &[Tick], pause: Millis) -> bool {
    let mut pairs = asked.windows(2);
    asked.len() > 2 && pairs.all(|pair| pair[1] == pair[0].after(pause))
}

#[test]
fn leases_that_everybody_grants_are_renewed_in_long_rounds() {
    let mut world = leading();
    let asked = asked_at(&mut world, 2_000);
    assert!(asked.len() >= 9, "{asked:?}");
    assert!(are_apart(&asked, limits::LEASE_RENEWAL), "{asked:?}");
    assert!(world.nodes[&1].member.is_answering(P, world.now));
}

#[test]
fn a_lease_that_was_not_granted_is_asked_for_again_after_a_heartbeat() {
    let mut world = leading();
    world.cut.insert((3, 1));
    asked_at(&mut world, 400);
    let asked = asked_at(&mut world, 1_000);
    assert!(are_apart(&asked, limits::HEARTBEAT), "{asked:?}");
    // It answers again: back to the long rounds.
    world.cut.clear();
    asked_at(&mut world, 400);
    let asked = asked_at(&mut world, 1_000);
    assert!(are_apart(&asked, limits::LEASE_RENEWAL), "{asked:?}");
}

#[test]
fn a_full_disk_is_told_at_once() {
    let mut world = leading();
    asked_at(&mut world, 10);
    world.event(1, Event::DiskFull(true));
    let told = world.network.iter().any(|(_, to, message)| {
        to.0 == 2 && matches!(message, PeerMessage::Heartbeat(it) if it.disk_full)
    });
    assert!(told);
}

#[test]
fn a_member_that_newly_shares_a_partition_is_asked_at_once() {
    let mut world = World::new(3, 2, Persistence::Memory);
    world.run(1_000);
    world.configure(|it| it.learners.push(replica(3)));
    world.publish();
    let asked = world.network.iter().any(|(from, to, message)| {
        (from.0, to.0) == (1, 3) && matches!(message, PeerMessage::Heartbeat(_))
    });
    assert!(asked);
}
