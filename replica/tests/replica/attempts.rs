//! Attempts over takeovers: adopted where they run, run again where their member died, ended as poison at the limit.

use crate::support::*;
use ringhold_replica::*;
use ringhold_types::*;

fn leading(members: u64, seats: u64) -> World<Sound> {
    let mut config = executor(Persistence::Memory, u32::try_from(seats).unwrap() - 1);
    config.min_copies = Some(1);
    let mut world = World::with_rules(Sound, members, seats, config);
    world.run(1_000);
    world
}

fn stored(world: &mut World<Sound>, key: &str) -> Sequence {
    let token = world.submit(1, key);
    world.settle();
    world.sequence(token)
}

#[test]
fn a_running_attempt_is_adopted_by_the_next_primary_and_not_run_again() {
    let mut world = leading(3, 3);
    let sequence = stored(&mut world, "a");
    let attempt = world.started(1, sequence).unwrap();
    world.nominate(2);
    world.run(2_000);
    assert!(world.noted(2, Note::Adopted(P)));
    world.run(5_000);
    assert_eq!(world.count_starts(sequence), 1);
    let waiting = world.retrieve(2, sequence);
    world.report(1, attempt, result("done"));
    world.run(1_000);
    assert!(matches!(
        world.outcome(waiting),
        Some(Outcome::Succeeded(_))
    ));
    assert_eq!(world.nodes[&1].member.finished_reports(), 0);
}

#[test]
fn an_unawaited_start_that_the_next_primary_never_saw_is_adopted_too() {
    let mut world = leading(2, 2);
    world.submit(1, "a");
    // The accept commits; the start that follows it never leaves member 1.
    for _ in 0..2 {
        let (from, to, message) = world.network.pop_front().unwrap();
        world.event(to.0, Event::Message { from, message });
    }
    world.network.clear();
    assert_eq!(world.starts.len(), 1);
    let attempt = world.starts[0].1.token;
    world.isolate(1);
    world.nodes.get_mut(&1).unwrap().control = false;
    world.run(50);
    world.nominate(2);
    world.run(300);
    world.heal();
    world.nodes.get_mut(&1).unwrap().control = true;
    world.publish();
    world.run(4_500);
    assert_eq!(world.count_starts(attempt.sequence), 1);
    assert!(world.noted(2, Note::Adopted(P)));
    world.report(1, attempt, result("done"));
    world.run(1_000);
    let token = world.retrieve(2, attempt.sequence);
    world.settle();
    assert!(matches!(world.outcome(token), Some(Outcome::Succeeded(_))));
}

#[test]
fn a_report_that_no_primary_took_is_taken_by_the_next_one() {
    let mut world = leading(3, 3);
    let sequence = stored(&mut world, "a");
    let attempt = world.started(1, sequence).unwrap();
    world.isolate(1);
    world.report(1, attempt, result("done"));
    world.nominate(2);
    world.run(1_500);
    world.heal();
    world.run(2_000);
    let token = world.retrieve(2, sequence);
    world.settle();
    assert!(matches!(world.outcome(token), Some(Outcome::Succeeded(_))));
    assert_eq!(world.count_starts(sequence), 1);
    assert_eq!(world.nodes[&1].member.finished_reports(), 0);
}

#[test]
fn a_task_whose_member_died_runs_again_after_the_adopt_window() {
    let mut world = leading(3, 3);
    let sequence = stored(&mut world, "a");
    world.kill(1);
    world.down.insert(1);
    world.nominate(2);
    world.configure(|it| it.in_sync.retain(|one| *one != replica(1)));
    world.run(2_500);
    assert_eq!(world.count_starts(sequence), 1);
    world.run(2_000);
    assert_eq!(world.count_starts(sequence), 2);
    let again = world.started(2, sequence).unwrap();
    assert_eq!(again.attempt, AttemptNumber(2));
    assert!(world.noted(2, Note::Rerun(P)));
    world.report(2, again, result("done"));
    let token = world.retrieve(2, sequence);
    world.settle();
    assert!(matches!(world.outcome(token), Some(Outcome::Succeeded(_))));
}

#[test]
fn a_late_report_of_an_older_attempt_is_refused() {
    let mut world = leading(3, 3);
    let sequence = stored(&mut world, "a");
    let old = world.started(1, sequence).unwrap();
    world.isolate(1);
    world.nodes.get_mut(&1).unwrap().control = false;
    world.nominate(2);
    world.configure(|it| it.in_sync.retain(|one| *one != replica(1)));
    world.run(6_000);
    let new = world.started(2, sequence).unwrap();
    world.heal();
    world.nodes.get_mut(&1).unwrap().control = true;
    world.publish();
    world.report(1, old, result("old"));
    world.run(1_000);
    assert!(world.noted(2, Note::ReportRefused(P)));
    world.report(2, new, result("new"));
    let token = world.retrieve(2, sequence);
    world.settle();
    match world.outcome(token) {
        Some(Outcome::Succeeded(result)) => assert_eq!(&result.payload[..], b"new"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_task_that_must_not_run_twice_fails_as_interrupted() {
    let mut world = leading(3, 3);
    let mut once = task("a");
    once.on_interrupt = OnInterrupt::Fail;
    let token = world.submit_task(1, once);
    world.settle();
    let sequence = world.sequence(token);
    assert!(world.started(1, sequence).is_some());
    world.kill(1);
    world.down.insert(1);
    world.nominate(2);
    world.configure(|it| it.in_sync.retain(|one| *one != replica(1)));
    world.run(5_000);
    let token = world.retrieve(2, sequence);
    world.settle();
    match world.outcome(token) {
        Some(Outcome::Failed(failure)) => assert_eq!(failure.kind, FailureKind::Interrupted),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.count_starts(sequence), 1);
}

#[test]
fn a_task_under_which_members_keep_dying_fails_as_poison() {
    let mut config = executor(Persistence::Fsync, 0);
    config.min_copies = Some(1);
    config.crash_limit = 3;
    let mut world = World::with_rules(Sound, 1, 1, config);
    world.run(1_000);
    let sequence = stored(&mut world, "a");
    for death in 1..=3 {
        assert_eq!(world.count_starts(sequence), death);
        world.kill(1);
        world.restart(1);
        world.run(5_000);
    }
    let token = world.retrieve(1, sequence);
    world.settle();
    match world.outcome(token) {
        Some(Outcome::Failed(failure)) => assert_eq!(failure.kind, FailureKind::Poison),
        other => panic!("{other:?}"),
    }
    assert!(world.noted(1, Note::Poisoned(P)));
}

#[test]
fn suspects_run_one_at_a_time() {
    let mut config = executor(Persistence::Fsync, 0);
    config.min_copies = Some(1);
    let mut world = World::with_rules(Sound, 1, 1, config);
    world.run(1_000);
    for key in ["a", "b"] {
        world.submit(1, key);
    }
    world.settle();
    for _ in 0..2 {
        world.kill(1);
        world.restart(1);
        world.starts.clear();
        world.run(5_000);
    }
    assert_eq!(world.starts.len(), 1);
    let first = world.starts[0].1.token;
    world.report(1, first, result("done"));
    assert_eq!(world.starts.len(), 2);
}

#[test]
fn an_attempt_whose_partition_moved_is_stopped_when_its_task_is_cancelled() {
    let mut world = leading(3, 3);
    let sequence = stored(&mut world, "a");
    let attempt = world.started(1, sequence).unwrap();
    world.nominate(2);
    world.run(2_000);
    let cancel = world.ask(2, Request::Cancel { sequence });
    world.run(1_000);
    assert_eq!(world.reply(cancel), Some(&Reply::Done));
    assert!(world.aborts.contains(&(1, attempt)));
    world.report(1, attempt, AttemptEnd::Aborted);
    world.run(1_000);
    assert_eq!(world.nodes[&1].member.busy_slots(P.executor), 0);
    assert_eq!(world.nodes[&1].member.finished_reports(), 0);
}

#[test]
fn a_delayed_task_waits_for_its_time_and_a_wait_limit_ends_it() {
    let mut config = executor(Persistence::Memory, 1);
    config.pool_size = 1;
    let mut world = World::with_rules(Sound, 2, 2, config);
    world.run(1_000);
    let submission = Submission {
        task: std::sync::Arc::new(task("late")),
        delay: Some(Millis(500)),
        now: UnixMillis(0),
    };
    world.ask(1, Request::Submit(submission));
    world.run(400);
    assert!(world.starts.is_empty());
    world.run(200);
    assert_eq!(world.starts.len(), 1);
    let mut impatient = task("impatient");
    impatient.limits.wait = Some(Millis(300));
    let token = world.submit_task(1, impatient);
    world.settle();
    let sequence = world.sequence(token);
    world.run(500);
    let token = world.retrieve(1, sequence);
    world.settle();
    match world.outcome(token) {
        Some(Outcome::Failed(failure)) => assert_eq!(failure.kind, FailureKind::TimedOut),
        other => panic!("{other:?}"),
    }
}
