//! The normal case: stored before acknowledged, committed before shown, one outcome, one answer.

use crate::support::*;
use ringhold_replica::*;
use ringhold_types::*;

fn leading(members: u64, seats: u64, persistence: Persistence) -> World<Sound> {
    let mut world = World::new(members, seats, persistence);
    world.run(1_000);
    assert_eq!(world.role(1), Some(RoleView::Leading));
    world
}

#[test]
fn a_submit_is_answered_with_the_members_that_hold_it() {
    for persistence in [Persistence::Memory, Persistence::Fsync] {
        let mut world = leading(2, 2, persistence);
        let token = world.submit(1, "a");
        world.settle();
        match world.reply(token) {
            Some(Reply::Submitted {
                members,
                reused: false,
                term: Term(1),
                ..
            }) => {
                assert_eq!(*members, [MemberId(1), MemberId(2)]);
            }
            other => panic!("{other:?}"),
        }
        world.run(300);
        assert_eq!(world.at(2).committed(), world.at(1).committed());
        world.assert_equal_rings();
    }
}

#[test]
fn no_submit_is_answered_before_the_backup_has_acknowledged() {
    let mut world = leading(2, 2, Persistence::Memory);
    world.cut.insert((1, 2));
    let token = world.submit(1, "a");
    world.settle();
    assert_eq!(world.reply(token), None);
    world.heal();
    world.run(1_000);
    assert!(matches!(world.reply(token), Some(Reply::Submitted { .. })));
}

#[test]
fn no_submit_is_answered_before_every_disk_has_it() {
    for slow in [1, 2] {
        let mut world = leading(2, 2, Persistence::Fsync);
        world.nodes.get_mut(&slow).unwrap().hold_disk = true;
        let token = world.submit(1, "a");
        world.settle();
        assert_eq!(world.reply(token), None, "disk of {slow} is slow");
        world.nodes.get_mut(&slow).unwrap().hold_disk = false;
        world.settle();
        assert!(matches!(world.reply(token), Some(Reply::Submitted { .. })));
    }
}

#[test]
fn a_task_starts_only_after_it_is_committed_and_runs_once() {
    let mut world = leading(2, 2, Persistence::Fsync);
    world.nodes.get_mut(&2).unwrap().hold_disk = true;
    world.submit(1, "a");
    world.settle();
    assert!(world.starts.is_empty());
    world.nodes.get_mut(&2).unwrap().hold_disk = false;
    world.settle();
    world.run(500);
    assert_eq!(world.starts.len(), 1);
}

#[test]
fn a_retrieve_parks_and_wakes_exactly_once() {
    let mut world = leading(2, 2, Persistence::Fsync);
    let submitted = world.submit(1, "a");
    world.settle();
    let sequence = world.sequence(submitted);
    let first = world.retrieve(1, sequence);
    let second = world.retrieve(1, sequence);
    world.run(200);
    assert_eq!(world.reply(first), None);
    assert_eq!(world.nodes[&1].member.waiters(), 2);
    let attempt = world.started(1, sequence).expect("it runs");
    world.report(1, attempt, result("done"));
    for token in [first, second] {
        match world.outcome(token) {
            Some(Outcome::Succeeded(result)) => assert_eq!(&result.payload[..], b"done"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(world.nodes[&1].member.waiters(), 0);
    assert_eq!(world.nodes[&1].member.busy_slots(P.executor), 0);
}

#[test]
fn an_outcome_is_not_shown_before_it_is_committed() {
    let mut world = leading(2, 2, Persistence::Memory);
    let submitted = world.submit(1, "a");
    world.settle();
    let sequence = world.sequence(submitted);
    let waiting = world.retrieve(1, sequence);
    let attempt = world.started(1, sequence).expect("it runs");
    world.cut.insert((1, 2));
    world.report(1, attempt, result("done"));
    assert_eq!(world.reply(waiting), None);
    let get = world.ask(1, Request::Get { sequence });
    match world.reply(get) {
        Some(Reply::Task(view)) => assert_eq!(view.status, TaskStatus::Running),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_second_report_is_refused_and_counted() {
    let mut world = leading(2, 2, Persistence::Memory);
    let submitted = world.submit(1, "a");
    world.settle();
    let sequence = world.sequence(submitted);
    let attempt = world.started(1, sequence).expect("it runs");
    let cancel = world.ask(1, Request::Cancel { sequence });
    world.settle();
    assert_eq!(world.reply(cancel), Some(&Reply::Done));
    assert_eq!(world.aborts, [(1, attempt)]);
    world.report(1, attempt, result("late"));
    assert!(world.noted(1, Note::ReportRefused(P)));
    let token = world.retrieve(1, sequence);
    world.settle();
    assert_eq!(world.outcome(token), Some(Outcome::Cancelled));
    assert_eq!(world.nodes[&1].member.busy_slots(P.executor), 0);
}

#[test]
fn the_same_key_finds_the_same_task_and_another_task_is_refused() {
    let mut world = leading(2, 2, Persistence::Memory);
    world.cut.insert((1, 2));
    let first = world.submit(1, "a");
    let repeated = world.submit(1, "a");
    let mut other = task("a");
    other.labels.insert("x".into(), "y".into());
    let clash = world.submit_task(1, other.clone());
    world.settle();
    assert_eq!(world.reply(clash), None);
    world.heal();
    world.run(1_000);
    assert_eq!(world.sequence(first), world.sequence(repeated));
    assert!(matches!(
        world.reply(repeated),
        Some(Reply::Submitted { reused: true, .. })
    ));
    assert_eq!(world.refusal(clash), Some(ErrorCode::AlreadyExists));
    let later = world.submit(1, "a");
    let clash = world.submit_task(1, other);
    world.settle();
    assert_eq!(world.sequence(later), world.sequence(first));
    assert_eq!(world.refusal(clash), Some(ErrorCode::AlreadyExists));
}

#[test]
fn a_destructive_read_is_answered_again_to_the_same_request_only() {
    let mut world = leading(2, 2, Persistence::Memory);
    let submitted = world.submit(1, "a");
    world.settle();
    let sequence = world.sequence(submitted);
    let take = |id: &'static [u8]| Request::Retrieve {
        sequence,
        dispose: Some(RequestId::new(id).unwrap()),
        wait: true,
        keep: false,
    };
    let first = world.ask(1, take(b"one"));
    let attempt = world.started(1, sequence).expect("it runs");
    world.report(1, attempt, result("done"));
    assert!(matches!(world.outcome(first), Some(Outcome::Succeeded(_))));
    let again = world.ask(1, take(b"one"));
    let other = world.ask(1, take(b"two"));
    let plain = world.retrieve(1, sequence);
    world.settle();
    assert_eq!(world.reply(again), world.reply(first), "attempts included");
    assert_eq!(world.refusal(other), Some(ErrorCode::Disposed));
    assert_eq!(world.refusal(plain), Some(ErrorCode::Disposed));
    assert_eq!(
        world.at(1).served_outcomes(),
        0,
        "what is disposed needs no mark"
    );
}

#[test]
fn an_outcome_that_its_reader_keeps_never_makes_room_for_others() {
    let mut config = executor(Persistence::Memory, 1);
    config.capacity = 1;
    let mut world = World::with_rules(Sound, 2, 2, config);
    world.run(1_000);
    let submitted = world.submit(1, "a");
    world.settle();
    let sequence = world.sequence(submitted);
    let keep = Request::Retrieve {
        sequence,
        dispose: None,
        wait: true,
        keep: true,
    };
    let parked = world.ask(1, keep.clone());
    let attempt = world.started(1, sequence).expect("it runs");
    world.report(1, attempt, result("done"));
    let again = world.ask(1, keep);
    world.run(120_000);
    assert!(world.outcome(parked).is_some() && world.outcome(again).is_some());
    let refused = world.submit(1, "b");
    world.run(100);
    assert_eq!(world.refusal(refused), Some(ErrorCode::ExecutorFull));
    let read = world.retrieve(1, sequence);
    world.run(120_000);
    assert!(world.outcome(read).is_some());
    let stored = world.submit(1, "c");
    world.run(100);
    assert!(
        world.sequence(stored) > sequence,
        "a read that counts makes room"
    );
}

#[test]
fn a_key_is_looked_up_without_storing_anything() {
    let mut world = leading(2, 2, Persistence::Memory);
    let find = |key: &str| Request::Find {
        key: task(key).idempotency_key,
    };
    let nothing = world.ask(1, find("a"));
    world.settle();
    assert_eq!(world.refusal(nothing), Some(ErrorCode::NotFound));
    assert_eq!(world.at(1).ring().undisposed(), 0);
    world.cut.insert((1, 2));
    let submitted = world.submit(1, "a");
    let early = world.ask(1, find("a"));
    world.run(100);
    assert_eq!(world.reply(early), None, "it is not committed yet");
    world.heal();
    world.run(1_000);
    let later = world.ask(1, find("a"));
    world.run(100);
    assert_eq!(world.sequence(early), world.sequence(submitted));
    assert_eq!(world.sequence(later), world.sequence(submitted));
}

#[test]
fn a_submit_that_waits_for_commits_is_not_told_that_the_ring_is_full() {
    let mut world = leading(2, 2, Persistence::Fsync);
    world.nodes.get_mut(&2).unwrap().hold_disk = true;
    let submit = |world: &mut World<Sound>, key: usize| {
        let submission = Submission {
            task: std::sync::Arc::new(task(&format!("k{key}"))),
            delay: None,
            now: UnixMillis(0),
        };
        world.ask_within(1, Request::Submit(submission), 200)
    };
    for key in 0..limits::UNCOMMITTED_ENTRIES_MAX {
        submit(&mut world, key);
    }
    let last = submit(&mut world, limits::UNCOMMITTED_ENTRIES_MAX);
    world.run(300);
    match world.reply(last) {
        Some(Reply::Refused(refusal)) => {
            assert_eq!(refusal.code, ErrorCode::Unavailable, "{refusal:?}");
            assert!(refusal.message.contains("not committed"), "{refusal:?}");
            assert!(refusal.retry_after.is_some(), "{refusal:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_submit_that_is_stored_already_does_not_wait_behind_those_that_wait_for_room() {
    let mut config = executor(Persistence::Memory, 1);
    config.capacity = 1;
    config.when_full = WhenFull::Wait;
    let mut world = World::with_rules(Sound, 2, 2, config);
    world.run(1_000);
    let stored = world.submit(1, "a");
    world.run(100);
    let waits = world.submit(1, "b");
    world.run(100);
    assert_eq!(world.reply(waits), None, "the ring is full");
    let again = world.submit(1, "a");
    world.run(100);
    let Some(Reply::Submitted { reused, .. }) = world.reply(again) else {
        panic!("it is stored, so it is answered");
    };
    assert!(reused);
    assert_eq!(world.sequence(again), world.sequence(stored));
}

#[test]
fn a_pool_gives_as_many_slots_as_it_has() {
    let mut config = executor(Persistence::Memory, 1);
    config.pool_size = 2;
    let mut world = World::with_rules(Sound, 2, 2, config);
    world.run(1_000);
    for key in ["a", "b", "c"] {
        world.submit(1, key);
    }
    world.settle();
    assert_eq!(world.starts.len(), 2);
    let first = world.starts[0].1.token;
    world.report(1, first, result("done"));
    assert_eq!(world.starts.len(), 3);
}

#[test]
fn a_submit_is_refused_with_fewer_copies_than_min_copies() {
    let mut world = leading(2, 2, Persistence::Memory);
    world.configure(|it| it.in_sync = vec![replica(1)]);
    world.run(300);
    let token = world.submit(1, "a");
    world.settle();
    assert_eq!(world.refusal(token), Some(ErrorCode::NotEnoughCopies));
}

#[test]
fn a_backup_sends_callers_to_the_primary() {
    let mut world = leading(2, 2, Persistence::Memory);
    let token = world.submit(2, "a");
    match world.reply(token) {
        Some(Reply::Refused(refusal)) => {
            assert_eq!(refusal.code, ErrorCode::NotPrimary);
            assert_eq!(refusal.primary, Some(MemberId(1)));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_is_told_at_its_deadline_what_is_known() {
    let mut world = leading(2, 2, Persistence::Memory);
    let submitted = world.submit(1, "a");
    world.settle();
    let sequence = world.sequence(submitted);
    let request = Request::Retrieve {
        sequence,
        dispose: None,
        wait: true,
        keep: false,
    };
    let parked = world.ask_within(1, request, 200);
    world.cut.insert((1, 2));
    let submission = Submission {
        task: std::sync::Arc::new(task("b")),
        delay: None,
        now: UnixMillis(0),
    };
    let stored = world.ask_within(1, Request::Submit(submission), 200);
    world.run(300);
    assert_eq!(
        world.reply(parked),
        Some(&Reply::NotYet {
            status: TaskStatus::Running
        })
    );
    assert_eq!(world.refusal(stored), Some(ErrorCode::Indeterminate));
}

#[test]
fn lost_and_repeated_messages_change_nothing() {
    let mut world = leading(3, 3, Persistence::Memory);
    for round in 0..30_u64 {
        world.submit(1, &format!("k{round}"));
        // Every third message is lost, every second repeated, and the order is turned around.
        let mut messages: Vec<_> = world.network.drain(..).collect();
        messages.reverse();
        for (index, message) in messages.into_iter().enumerate() {
            if index % 3 != 2 {
                if index % 2 == 0 {
                    world.network.push_back(message.clone());
                }
                world.network.push_back(message);
            }
        }
        world.run(50);
    }
    world.run(3_000);
    for token in 1..=30 {
        assert!(
            matches!(world.reply(token), Some(Reply::Submitted { .. })),
            "{token}"
        );
    }
    assert_eq!(world.at(1).ring().undisposed(), 30);
    assert_eq!(world.at(3).committed(), world.at(1).committed());
    world.assert_equal_rings();
}

#[test]
fn a_backlog_starts_in_the_order_in_which_it_was_accepted() {
    let mut config = executor(Persistence::Memory, 1);
    config.pool_size = 3;
    let mut world = World::with_rules(Sound, 2, 2, config);
    world.run(1_000);
    for key in 0..60 {
        world.submit(1, &format!("k{key}"));
    }
    world.settle();
    // Slots come free out of order.
    for round in 0..60 {
        let running = world.starts.len();
        let next = world.starts[round.min(running - 1)].1.token;
        world.report(1, next, result("done"));
    }
    let started: Vec<Sequence> = world.starts.iter().map(|it| it.1.token.sequence).collect();
    assert_eq!(started.len(), 60);
    assert!(started.is_sorted(), "{started:?}");
}
