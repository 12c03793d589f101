//! Slow replicas, stuck learners, and what a new primary may change before it leads (PROTOCOL §3).

use crate::support::*;
use ringhold_replica::*;
use ringhold_types::*;

fn quick_to_judge(world: &mut World<Sound>, member: u64) {
    let start = world.nodes[&member].start;
    let disk = world.nodes[&member].disk.clone();
    world.boot(member, start, disk);
}

/// `members` of which `seats` hold the partition; a slow one is judged after 1 s, one may go every 2 s.
fn leading(members: u64, seats: u64, min_copies: u32) -> World<Sound> {
    led(Persistence::Fsync, members, seats, min_copies)
}

fn led(persistence: Persistence, members: u64, seats: u64, min_copies: u32) -> World<Sound> {
    let copies = u32::try_from(seats).unwrap();
    let mut config = executor(persistence, copies - 1);
    config.min_copies = Some(min_copies);
    config.capacity = 0;
    let mut world = World::with_rules(Sound, members, seats, config);
    world.timing.slow_after = Millis(1_000);
    world.timing.eject_every = Millis(2_000);
    world.timing.degrade_after = Millis(1_000);
    for member in 1..=members {
        quick_to_judge(&mut world, member);
    }
    world.publish();
    world.run(2_500);
    assert_eq!(world.role(1), Some(RoleView::Leading));
    world
}

/// Lets time pass while tasks come in.
fn under_load(world: &mut World<Sound>, member: u64, millis: u64) {
    for round in 0..millis / 50 {
        world.submit(member, &format!("{member}-{}-{round}", world.now.0));
        world.run(50);
    }
}

#[test]
fn a_silent_replica_that_min_copies_does_not_need_is_ejected() {
    let mut world = leading(3, 3, 2);
    // The control plane hears it; its primary does not.
    world.cut.insert((3, 1));
    under_load(&mut world, 1, 900);
    assert_eq!(world.configuration.in_sync.len(), 3);
    under_load(&mut world, 1, 2_000);
    assert!(world.noted(1, Note::SlowEjected(P)));
    assert_eq!(world.configuration.in_sync, [replica(1), replica(2)]);
    let token = world.submit(1, "more");
    world.run(100);
    assert!(matches!(world.reply(token), Some(Reply::Submitted { .. })));
}

#[test]
fn a_slow_replica_that_min_copies_needs_keeps_its_seat_until_a_learner_takes_it() {
    let mut world = leading(3, 2, 2);
    world.nodes.get_mut(&2).unwrap().hold_disk = true;
    under_load(&mut world, 1, 3_000);
    assert_eq!(
        world.configuration.in_sync,
        [replica(1), replica(2)],
        "nobody is there to replace it"
    );
    world.configure(|it| it.learners.push(replica(3)));
    under_load(&mut world, 1, 2_000);
    assert_eq!(world.configuration.in_sync, [replica(1), replica(3)]);
    assert!(world.noted(1, Note::SlowEjected(P)));
}

#[test]
fn a_primary_asks_for_a_learner_for_a_slow_replica_that_lives_and_once_in_a_while() {
    let mut world = leading(3, 2, 2);
    world.nodes.get_mut(&2).unwrap().hold_disk = true;
    let asked = |world: &World<Sound>| {
        let all = world.proposals.iter();
        all.filter(|it| it.kind == ChangeKind::ReplaceSlow { slow: replica(2) })
            .count()
    };
    under_load(&mut world, 1, 1_900);
    assert_eq!(asked(&world), 1);
    assert!(world.noted(1, Note::StandInWanted(P)));
    // It was refused; it is asked again when the next may be ejected, not sooner.
    under_load(&mut world, 1, 1_000);
    assert_eq!(asked(&world), 1);
    under_load(&mut world, 1, 2_000);
    assert_eq!(asked(&world), 2);
    // The learner that was asked for takes the seat as soon as it is caught up.
    world.configure(|it| it.learners.push(replica(3)));
    under_load(&mut world, 1, 1_000);
    assert_eq!(world.configuration.in_sync, [replica(1), replica(3)]);
}

#[test]
fn a_living_learner_that_never_catches_up_does_not_keep_another_stand_in_away() {
    let mut world = leading(4, 2, 2);
    world.nodes.get_mut(&2).unwrap().hold_disk = true;
    world.isolate(3);
    world.configure(|it| it.learners.push(replica(3)));
    let asked = |world: &World<Sound>| {
        let all = world.proposals.iter();
        all.filter(|it| it.kind == ChangeKind::ReplaceSlow { slow: replica(2) })
            .count()
    };
    // The one that learns gets the time between two ejections; then another is asked for.
    under_load(&mut world, 1, 1_900);
    assert_eq!(asked(&world), 0);
    under_load(&mut world, 1, 3_000);
    assert_eq!(asked(&world), 1);
    world.configure(|it| it.learners.push(replica(4)));
    under_load(&mut world, 1, 1_000);
    assert_eq!(world.configuration.in_sync, [replica(1), replica(4)]);
}

#[test]
fn a_primary_with_a_slow_disk_lets_a_quick_replica_lead() {
    let mut world = leading(3, 3, 2);
    world.nodes.get_mut(&1).unwrap().hold_disk = true;
    under_load(&mut world, 1, 3_000);
    assert!(world.noted(1, Note::SlowPrimary(P)));
    let quick = world.configuration.primary.unwrap().member.0;
    assert_ne!(quick, 1);
    assert_eq!(world.configuration.in_sync.len(), 3);
    // The disk hangs for good: the one that leads does not wait for it for ever.
    under_load(&mut world, quick, 4_000);
    assert_eq!(world.role(quick), Some(RoleView::Leading));
    assert_eq!(world.configuration.in_sync, [replica(2), replica(3)]);
}

#[test]
fn a_seat_that_min_copies_needs_and_that_stores_nothing_is_swapped_before_the_next_primary_leads() {
    let mut world = leading(3, 2, 2);
    world.nodes.get_mut(&1).unwrap().hold_disk = true;
    under_load(&mut world, 1, 3_000);
    assert_eq!(world.configuration.primary, Some(replica(2)));
    under_load(&mut world, 2, 4_000);
    let asked = world.proposals.iter();
    let asked = asked.filter(|it| it.kind == ChangeKind::ReplaceSlow { slow: replica(1) });
    assert!(asked.count() > 0);
    world.configure(|it| it.learners.push(replica(3)));
    under_load(&mut world, 2, 2_000);
    assert_eq!(world.configuration.in_sync, [replica(2), replica(3)]);
    assert_eq!(world.role(2), Some(RoleView::Leading));
}

#[test]
fn a_released_hand_over_does_not_wait_for_a_seat_that_stores_nothing() {
    let mut world = leading(4, 3, 2);
    world.nodes.get_mut(&3).unwrap().hold_disk = true;
    let to = replica(2);
    world.event(1, Event::HandOver { partition: P, to });
    world.settle();
    assert_eq!(world.configuration.primary, Some(replica(1)));
    under_load(&mut world, 1, 4_000);
    assert_eq!(world.configuration.in_sync, [replica(1), replica(2)]);
    assert_eq!(world.role(2), Some(RoleView::Leading));
}

#[test]
fn a_primary_that_nobody_answers_suspects_itself_and_removes_nobody() {
    let mut world = leading(3, 3, 2);
    world.isolate(1);
    under_load(&mut world, 1, 3_000);
    assert!(world.noted(1, Note::SlowPrimary(P)));
    assert!(!world.noted(1, Note::SlowEjected(P)));
    assert_ne!(world.configuration.primary, Some(replica(1)));
    assert_eq!(world.configuration.in_sync.len(), 3);
}

#[test]
fn one_slow_replica_goes_at_a_time() {
    let mut world = leading(5, 5, 2);
    world.cut.insert((4, 1));
    under_load(&mut world, 1, 1_500);
    assert_eq!(world.configuration.in_sync.len(), 4);
    world.cut.insert((5, 1));
    under_load(&mut world, 1, 1_300);
    assert_eq!(world.configuration.in_sync.len(), 4);
    under_load(&mut world, 1, 1_500);
    assert_eq!(world.configuration.in_sync.len(), 3);
}

#[test]
fn a_living_learner_that_never_catches_up_does_not_keep_a_dead_seat() {
    let mut world = leading(3, 2, 1);
    world.kill(2);
    world.set_down(&[2]);
    world.isolate(3);
    world.configure(|it| it.learners.push(replica(3)));
    world.run(1_500);
    assert_eq!(world.configuration.in_sync, [replica(1), replica(2)]);
    world.run(1_000);
    assert_eq!(world.configuration.in_sync, [replica(1)]);
}

#[test]
fn a_seat_stays_while_another_that_started_anew_has_not_said_what_it_holds() {
    let mut world = leading(3, 3, 3);
    world.kill(3);
    world.cut.insert((3, 1));
    world.restart(3);
    world.publish();
    world.kill(2);
    world.set_down(&[2]);
    world.run(1_500);
    assert!(world.noted(1, Note::RemovalWaitsForMark(P)));
    assert_eq!(world.configuration.in_sync.len(), 3);
    world.cut.clear();
    world.run(2_500);
    assert_eq!(world.configuration.in_sync, [replica(1), replica(3)]);
}

#[test]
fn a_counted_learner_that_falls_silent_is_not_waited_for_without_end() {
    let mut world = led(Persistence::Memory, 3, 2, 1);
    world.configure(|it| it.in_sync = vec![replica(1)]);
    world.configure(|it| it.learners.push(replica(3)));
    // It is counted while it lacks the newest entry, which it never gets.
    for round in 0..1_000 {
        world.submit(1, &format!("late-{round}"));
        let Some((from, to, message)) = world.network.pop_front() else {
            continue;
        };
        world.event(to.0, Event::Message { from, message });
        if !world.at(1).counted().is_empty() {
            break;
        }
    }
    assert_eq!(world.at(1).counted(), [replica(3)]);
    world.isolate(3);
    world.network.clear();
    world.submit(1, "required of it too");
    world.run(500);
    assert!(world.at(1).committed() < world.at(1).last());
    world.run(2_500);
    assert!(world.noted(1, Note::LearnerGivenUp(P)));
    assert_eq!(world.at(1).committed(), world.at(1).last());
}

#[test]
fn a_new_primary_gives_no_learner_a_seat_while_an_older_lease_may_run() {
    let mut world = World::new(4, 3, Persistence::Memory);
    world.run(1_000);
    world.isolate(1);
    world.nodes.get_mut(&1).unwrap().control = false;
    world.down.insert(1);
    world.configure(|it| {
        it.in_sync.retain(|seat| *seat != replica(1));
        it.learners.push(replica(4));
    });
    world.nominate(2);
    world.run(400);
    assert_eq!(world.configuration.learners, [replica(4)]);
    world.run(1_500);
    assert_eq!(
        world.configuration.in_sync,
        [replica(2), replica(3), replica(4)]
    );
}
