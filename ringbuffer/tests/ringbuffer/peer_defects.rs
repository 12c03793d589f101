//! The defects of the peer's ring that follow from its rules (reference `hazelcast.md` §1.4, D1 to D8), each shown not
//! to be in ours.

use crate::common::{Log, admit, request, sequence, small_limits};
use ringhold_ringbuffer::{Absence, Admission, Applied, Op, Refusal};
use ringhold_types::{MemberId, Outcome, TaskStatus, Term};

/// A destructive read of the newest entry lowers the peer's head, and the next submit gets an id again.
#[test]
fn d1_a_disposed_id_is_never_given_to_another_task() {
    let mut log = Log::new(small_limits());
    let tasks: Vec<_> = ["a", "b", "c"].iter().map(|key| log.succeed(key)).collect();
    let read = request("read-0");
    log.apply(Op::Dispose {
        sequence: tasks[0],
        request: Some(read),
    });
    let next = log.accept("d");
    assert_eq!(next, sequence(3));
    for kept in &tasks[1..] {
        let entry = log.ring.look_up(*kept).expect("untouched");
        assert_eq!(entry.status(log.now), TaskStatus::Succeeded);
    }
    assert_eq!(log.ring.look_up(tasks[0]), Err(Absence::Disposed));
}

/// The peer's destructive read changes the primary's head only, so that its backups give other ids after a failover.
#[test]
fn d2_primary_and_backup_stay_equal_after_a_destructive_read() {
    let mut primary = Log::new(small_limits());
    let mut backup = primary.clone();
    for log in [&mut primary, &mut backup] {
        for key in ["a", "b", "c"] {
            log.succeed(key);
        }
        log.apply(Op::Dispose {
            sequence: sequence(0),
            request: Some(request("read-0")),
        });
    }
    assert_eq!(primary.ring, backup.ring);
    assert_eq!(primary.ring.digest(), backup.ring.digest());
    assert_eq!(primary.ring.next_sequence(), backup.ring.next_sequence());
}

/// The peer's count of unfinished tasks is not replicated, so a moved partition takes more than its capacity.
#[test]
fn d3_a_copied_ring_is_as_full_as_its_origin() {
    let mut log = Log::new(small_limits());
    for key in ["a", "b", "c", "d"] {
        log.accept(key);
    }
    assert_eq!(log.admission(1), Admission::Full);
    let parts = log.ring.snapshot();
    log.ring = ringhold_ringbuffer::Ring::restore(parts).expect("its own snapshot");
    assert_eq!(log.ring.undisposed(), 4);
    assert_eq!(log.admission(1), Admission::Full);
}

/// Two completions of one task lower the peer's counter twice, and the second result replaces the first.
#[test]
fn d4_a_second_completion_changes_neither_outcome_nor_count() {
    let mut log = Log::new(small_limits());
    let task = log.accept("a");
    let token = log.start(task, 1);
    log.complete(task, token, "first");
    let before = (log.ring.clone(), log.ring.digest());
    let why = log.refusal(crate::common::complete(task, token, "second"));
    assert_eq!(why, Refusal::AlreadyEnded);
    assert_eq!((log.ring.clone(), log.ring.digest()), before);
    let entry = log.ring.look_up(task).expect("kept");
    let first = Outcome::Succeeded(crate::common::result("first").as_ref().clone());
    assert_eq!(entry.outcome().map(AsRef::as_ref), Some(&first));
    assert_eq!(log.ring.undisposed(), 1);
}

/// The peer disposes a running task's place; its result then lands in that place, and the counter falls below zero.
#[test]
fn d5_a_running_task_cannot_be_disposed_and_a_late_report_finds_no_place() {
    let mut log = Log::new(small_limits());
    let task = log.accept("a");
    let token = log.start(task, 1);
    let dispose = Op::Dispose {
        sequence: task,
        request: None,
    };
    assert_eq!(log.refusal(dispose.clone()), Refusal::Unfinished);
    log.apply(Op::Cancel { sequence: task });
    assert!(matches!(log.apply(dispose), Applied::Removed { .. }));
    let late = log.refusal(crate::common::complete(task, token, "late"));
    assert_eq!(late, Refusal::Absent(Absence::Disposed));
    assert_eq!((log.ring.undisposed(), log.ring.bytes()), (0, 0));
}

/// Never-used id 0 reads as a success without a value at the peer, since a fresh place is stamped 0.
#[test]
fn d6_an_id_that_no_task_had_is_never_an_outcome() {
    let mut log = Log::new(small_limits());
    for bits in [0, 1, 7] {
        let never = Err(Absence::NeverExisted);
        assert_eq!(log.ring.look_up(sequence(bits)), never);
    }
    log.accept("a");
    log.ring = ringhold_ringbuffer::Ring::new(log.ring.generation(), small_limits());
    log.start_term(2, 1);
    assert_eq!(log.ring.look_up(sequence(0)), Err(Absence::DataLoss));
}

/// When the peer's pool refuses a task whose place is taken, the place stays occupied by a task that never runs.
#[test]
fn d7_a_task_that_a_pool_refuses_goes_back_and_runs_elsewhere() {
    let mut log = Log::new(small_limits());
    let task = log.accept("a");
    let (attempt_term, attempt) = log.start(task, 1);
    let applied = log.apply(Op::HandBack {
        sequence: task,
        attempt_term,
        attempt,
    });
    assert_eq!(applied, Applied::Waiting { sequence: task });
    let entry = log.ring.look_up(task).expect("kept");
    assert_eq!(entry.status(log.now), TaskStatus::Pending);
    assert_eq!((entry.crashes, entry.history[0].failure), (0, None));
    let again = log.start(task, 2);
    assert_eq!(again, (Term(1), attempt.next()));
    let entry = log.ring.look_up(task).expect("kept");
    assert_eq!(entry.history[1].member, MemberId(2));
    log.complete(task, again, "done");
    log.retrieved(task);
    log.dispose(task);
    assert_eq!(log.admission(1), admit(&[]));
    assert_eq!(log.ring.undisposed(), 0);
}

/// The peer's client repeats a destructive read whose answer got lost, and reads nothing the second time.
#[test]
fn d8_a_repeated_destructive_read_gets_the_same_outcome_again() {
    let mut log = Log::new(small_limits());
    let task = log.succeed("a");
    let outcome = log.ring.look_up(task).expect("kept").outcome().cloned();
    let dispose = |id: &str| Op::Dispose {
        sequence: task,
        request: Some(request(id)),
    };
    log.apply(dispose("read-1"));
    let again = log.refusal(dispose("read-1"));
    assert_eq!(again, Refusal::Absent(Absence::Disposed));
    let mine = log.ring.disposed_outcome(task, &request("read-1"));
    assert_eq!(mine.map(|it| &it.outcome), outcome.as_ref());
    let other = log.ring.disposed_outcome(task, &request("read-2"));
    assert_eq!(other, None);
    assert_eq!(log.ring.look_up(task), Err(Absence::Disposed));
}
