//! The end of a drain's time: what still runs on the drained member is handed back.

use crate::support::*;
use ringhold_replica::*;
use ringhold_types::*;

/// Member 1 runs a task, is drained, and (if `moved`) member 2 leads by now.
fn drained(moved: bool) -> (World<Sound>, Sequence, AttemptToken) {
    drained_with(task("a"), moved)
}

fn drained_with(task: TaskSpec, moved: bool) -> (World<Sound>, Sequence, AttemptToken) {
    let mut config = executor(Persistence::Memory, 2);
    config.min_copies = Some(1);
    let mut world = World::with_rules(Sound, 3, 3, config);
    world.run(1_000);
    let token = world.submit_task(1, task);
    world.settle();
    let sequence = world.sequence(token);
    let attempt = world.started(1, sequence).unwrap();
    world.set_draining(&[1]);
    if moved {
        world.nominate(2);
        world.run(2_000);
    }
    (world, sequence, attempt)
}

#[test]
fn what_runs_for_others_at_the_end_of_a_drain_is_handed_back_and_runs_elsewhere() {
    let (mut world, sequence, attempt) = drained(true);
    assert_eq!(world.hand_backs, [], "it has time");
    assert_eq!(world.nodes[&1].member.attempts_for_others(), 1);
    world.drain_over(1, true);
    assert_eq!(world.hand_backs, [(1, attempt)]);
    world.report(1, attempt, AttemptEnd::HandedBack);
    world.run(1_000);
    assert_eq!(world.nodes[&1].member.attempts_for_others(), 0);
    assert_eq!(world.nodes[&1].member.finished_reports(), 0);
    let again = world.started(2, sequence).unwrap();
    assert_eq!(again.attempt, AttemptNumber(2));
    assert!(
        !world.noted(2, Note::Rerun(P)),
        "it does not count as a death"
    );
    // Whatever a handler that ignored its end says now is of no account.
    world.report(1, attempt, result("late"));
    world.run(1_000);
    world.report(2, again, result("done"));
    let waiting = world.retrieve(2, sequence);
    world.settle();
    match world.outcome(waiting) {
        Some(Outcome::Succeeded(result)) => assert_eq!(&result.payload[..], b"done"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_task_that_must_not_run_twice_fails_when_it_is_handed_back() {
    for end in [AttemptEnd::HandedBack, AttemptEnd::Aborted] {
        let mut once = task("a");
        once.on_interrupt = OnInterrupt::Fail;
        let (mut world, sequence, attempt) = drained_with(once, true);
        world.drain_over(1, true);
        world.report(1, attempt, end);
        world.run(1_000);
        let waiting = world.retrieve(2, sequence);
        world.settle();
        match world.outcome(waiting) {
            Some(Outcome::Failed(failure)) => assert_eq!(failure.kind, FailureKind::Interrupted),
            other => panic!("{other:?}"),
        }
        assert_eq!(world.count_starts(sequence), 1);
    }
}

#[test]
fn a_drain_that_ended_before_its_time_hands_nothing_back() {
    let (mut world, sequence, attempt) = drained(true);
    world.set_draining(&[]);
    world.drain_over(1, true);
    world.run(1_000);
    // A later drain has its own time.
    world.set_draining(&[1]);
    world.run(1_000);
    assert_eq!(world.hand_backs, []);
    world.report(1, attempt, result("done"));
    world.run(1_000);
    assert_eq!(world.count_starts(sequence), 1);
}

#[test]
fn what_the_drained_member_leads_itself_is_handed_back_once_another_leads_it() {
    let (mut world, _, attempt) = drained(false);
    world.drain_over(1, true);
    world.run(1_000);
    assert_eq!(world.hand_backs, [], "it could only start here again");
    world.nominate(2);
    world.run(1_000);
    assert!(world.hand_backs.contains(&(1, attempt)));
}

#[test]
fn a_drain_that_is_given_time_again_hands_back_nothing_before_that_is_over() {
    let (mut world, _, attempt) = drained(false);
    world.drain_over(1, true);
    world.drain_over(1, false);
    world.nominate(2);
    world.run(1_000);
    assert_eq!(world.hand_backs, []);
    world.drain_over(1, true);
    assert_eq!(world.hand_backs, [(1, attempt)]);
}

#[test]
fn the_time_of_a_drain_that_ended_is_not_that_of_the_one_begun_since() {
    let (mut world, _, attempt) = drained(true);
    let first = world.drain;
    // Ended and begun again: a member that was behind sees both at once.
    world.set_draining(&[1]);
    let over = true;
    world.event(1, Event::DrainOver { drain: first, over });
    world.run(1_000);
    assert_eq!(world.hand_backs, [], "that one's time is of no account");
    world.drain_over(1, true);
    assert_eq!(world.hand_backs, [(1, attempt)]);
    let (mut world, _, attempt) = drained(false);
    world.drain_over(1, true);
    world.set_draining(&[1]);
    world.nominate(2);
    world.run(2_000);
    assert_eq!(world.hand_backs, [], "the second one has time");
    world.drain_over(1, true);
    assert_eq!(world.hand_backs, [(1, attempt)]);
}

#[test]
fn a_task_that_must_not_run_twice_waits_again_when_its_run_never_began() {
    let mut once = task("a");
    once.on_interrupt = OnInterrupt::Fail;
    let (mut world, sequence, attempt) = drained_with(once, true);
    world.drain_over(1, true);
    world.report(1, attempt, AttemptEnd::NotBegun);
    world.run(1_000);
    let again = world.started(2, sequence).unwrap();
    assert_eq!(again.attempt, AttemptNumber(2));
    world.report(2, again, result("done"));
    let waiting = world.retrieve(2, sequence);
    world.settle();
    assert!(matches!(
        world.outcome(waiting),
        Some(Outcome::Succeeded(_))
    ));
}

/// A member with one slot, whose attempt was given up at the end of a drain that was ended then; it leads again.
#[test]
fn a_slot_whose_handler_was_given_up_is_not_free_before_the_handler_has_returned() {
    let mut config = executor(Persistence::Memory, 2);
    config.min_copies = Some(1);
    config.pool_size = 1;
    let mut world = World::with_rules(Sound, 3, 3, config);
    world.run(1_000);
    let first = world.submit_task(1, task("a"));
    world.settle();
    let first = world.sequence(first);
    let attempt = world.started(1, first).unwrap();
    world.set_draining(&[1]);
    world.nominate(2);
    world.run(2_000);
    world.drain_over(1, true);
    world.event(1, Event::GivenUp(attempt));
    world.report(1, attempt, AttemptEnd::HandedBack);
    world.run(1_000);
    assert_eq!(world.nodes[&1].member.attempts_for_others(), 0);
    assert_eq!(world.nodes[&1].member.finished_reports(), 0);
    world.set_draining(&[]);
    world.nominate(1);
    world.run(2_000);
    let second = world.submit_task(1, task("b"));
    world.run(1_000);
    let second = world.sequence(second);
    assert_eq!(world.started(1, second), None, "the thread is still busy");
    world.event(1, Event::Returned(attempt));
    world.run(100);
    assert!(world.started(1, second).is_some());
}
