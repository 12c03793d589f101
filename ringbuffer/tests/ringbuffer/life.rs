//! The life of one task: statuses, attempts, crashes, and which reports are refused.

use crate::common::{Log, complete, failure, sequence, small_limits, task};
use bytes::Bytes;
use ringhold_ringbuffer::{Absence, Applied, Op, Refusal};
use ringhold_types::limits::{ATTEMPT_HISTORY_MAX, CHECKPOINT_BYTES_MAX};
use ringhold_types::{
    AttemptNumber, FailureKind, MemberId, Millis, Outcome, RingTime, Sequence, TaskStatus, Term,
};

fn status(log: &Log, sequence: Sequence) -> TaskStatus {
    let entry = log.ring.look_up(sequence).expect("the task is there");
    entry.status(log.ring.time())
}

fn adopt(sequence: Sequence, token: (Term, AttemptNumber), member: u64) -> Op {
    Op::Adopt {
        sequence,
        attempt_term: token.0,
        attempt: token.1,
        member: MemberId(member),
    }
}

#[test]
fn a_task_with_a_later_start_is_delayed_until_its_time_and_then_pending() {
    let mut log = Log::new(small_limits());
    let mut delayed = task("a", "in");
    delayed.not_before = Some(RingTime(50));
    let task = log.accept_task(delayed);
    assert_eq!(status(&log, task), TaskStatus::Delayed);
    let entry = log.ring.look_up(task).expect("there");
    assert_eq!(entry.status(RingTime(49)), TaskStatus::Delayed);
    assert_eq!(entry.status(RingTime(50)), TaskStatus::Pending);
}

#[test]
fn a_failed_attempt_waits_for_its_retry_and_then_runs_again() {
    let mut log = Log::new(small_limits());
    let task = log.accept("a");
    let (attempt_term, attempt) = log.start(task, 1);
    let applied = log.apply(Op::RetryAt {
        sequence: task,
        attempt_term,
        attempt,
        failure: failure(FailureKind::Handler),
        due: RingTime(30),
    });
    assert_eq!(applied, Applied::Waiting { sequence: task });
    assert_eq!(status(&log, task), TaskStatus::RetryWait);
    log.now = RingTime(30);
    let token = log.start(task, 2);
    assert_eq!(token.1, AttemptNumber(2));
    let entry = log.ring.look_up(task).expect("there");
    assert_eq!(entry.history[0].failure, Some(FailureKind::Handler));
    assert_eq!(entry.history[0].ended, Some(RingTime(0)));
    assert_eq!(entry.crashes, 0);
}

#[test]
fn a_start_over_a_running_attempt_counts_a_crash_and_closes_it_as_interrupted() {
    let mut log = Log::new(small_limits());
    let task = log.accept("a");
    let first = log.start(task, 1);
    log.term = Term(2);
    log.now = RingTime(900);
    let second = log.start(task, 2);
    let entry = log.ring.look_up(task).expect("there");
    assert_eq!((entry.crashes, entry.attempts), (1, AttemptNumber(2)));
    assert_eq!(entry.history[0].failure, Some(FailureKind::Interrupted));
    assert_eq!(entry.history[0].ended, Some(RingTime(900)));
    let newest = second.1;
    let why = log.refusal(complete(task, first, "old"));
    assert_eq!(why, Refusal::OtherAttempt { newest });
    let applied = log.complete(task, second, "new");
    assert!(matches!(applied, Applied::Ended { .. }));
}

#[test]
fn a_start_with_another_number_than_the_next_is_refused() {
    let mut log = Log::new(small_limits());
    let task = log.accept("a");
    log.start(task, 1);
    for number in [0, 1, 3, u64::MAX] {
        let why = log.refusal(Op::Start {
            sequence: task,
            attempt: AttemptNumber(number),
            member: MemberId(2),
        });
        let expected = AttemptNumber(2);
        assert_eq!(why, Refusal::NotNextAttempt { expected });
    }
}

#[test]
fn an_adopted_attempt_answers_to_its_raised_token_only() {
    let mut log = Log::new(small_limits());
    let task = log.accept("a");
    let old = log.start(task, 1);
    log.term = Term(2);
    let attempt = old.1;
    let applied = log.apply(adopt(task, old, 1));
    let sequence = task;
    assert_eq!(applied, Applied::Adopted { sequence, attempt });
    let current = Term(2);
    let why = log.refusal(complete(task, old, "late"));
    assert_eq!(why, Refusal::OtherTerm { current });
    let applied = log.complete(task, (current, attempt), "done");
    assert!(matches!(applied, Applied::Ended { .. }));
    let entry = log.ring.look_up(task).expect("there");
    assert_eq!((entry.history[0].term, entry.crashes), (current, 0));
}

#[test]
fn a_token_of_an_older_term_stands_while_its_attempt_is_the_newest() {
    let mut log = Log::new(small_limits());
    let task = log.accept("a");
    let token = log.start(task, 1);
    log.start_term(2, 0);
    let applied = log.complete(task, token, "done");
    assert!(matches!(applied, Applied::Ended { .. }));
}

#[test]
fn the_first_outcome_wins_whatever_comes_second() {
    let mut log = Log::new(small_limits());
    let task = log.accept("a");
    let token = log.start(task, 1);
    log.apply(Op::Cancel { sequence: task });
    let fail = |attempt| Op::Fail {
        sequence: task,
        attempt,
        failure: failure(FailureKind::TimedOut),
        dead_letter: false,
    };
    let seconds = [
        complete(task, token, "late"),
        fail(Some(token)),
        fail(None),
        Op::Cancel { sequence: task },
        adopt(task, token, 1),
        Op::Start {
            sequence: task,
            attempt: AttemptNumber(2),
            member: MemberId(1),
        },
    ];
    for second in seconds {
        let before = log.ring.digest();
        assert_eq!(log.refusal(second), Refusal::AlreadyEnded);
        assert_eq!(log.ring.digest(), before);
    }
    assert_eq!(status(&log, task), TaskStatus::Cancelled);
}

#[test]
fn reports_for_a_waiting_or_unknown_task_are_refused_with_the_reason() {
    let mut log = Log::new(small_limits());
    let task = log.accept("a");
    let token = (Term(1), AttemptNumber(1));
    assert_eq!(log.refusal(complete(task, token, "")), Refusal::NotRunning);
    assert_eq!(log.refusal(adopt(task, token, 1)), Refusal::NotRunning);
    let unknown = Refusal::Absent(Absence::NeverExisted);
    assert_eq!(log.refusal(complete(sequence(9), token, "")), unknown);
}

#[test]
fn poison_ends_a_running_task_and_counts_the_death_that_led_to_it() {
    let mut log = Log::new(small_limits());
    let task = log.accept("a");
    for member in 1..=5 {
        log.start(task, member);
    }
    let applied = log.apply(Op::Fail {
        sequence: task,
        attempt: None,
        failure: failure(FailureKind::Poison),
        dead_letter: true,
    });
    assert!(matches!(
        applied,
        Applied::Ended {
            disposed: false,
            ..
        }
    ));
    let entry = log.ring.look_up(task).expect("there");
    assert_eq!(entry.crashes, log.ring.limits().crash_limit);
    assert_eq!(status(&log, task), TaskStatus::DeadLettered);
}

#[test]
fn only_the_newest_attempts_are_kept_and_all_are_counted() {
    let mut log = Log::new(small_limits());
    let task = log.accept("a");
    let attempts = ATTEMPT_HISTORY_MAX as u64 + 4;
    for member in 1..=attempts {
        log.start(task, member);
    }
    let entry = log.ring.look_up(task).expect("there");
    assert_eq!(entry.history.len(), ATTEMPT_HISTORY_MAX);
    assert_eq!(entry.history[0].number, AttemptNumber(5));
    assert_eq!(entry.attempts, AttemptNumber(attempts));
    assert_eq!(u64::from(entry.crashes), attempts - 1);
}

#[test]
fn a_checkpoint_outlives_its_attempt_and_goes_with_the_end() {
    let mut log = Log::new(small_limits());
    let task = log.accept("a");
    let before = log.ring.bytes();
    let token = log.start(task, 1);
    let checkpoint = |token: (Term, AttemptNumber), size| Op::Checkpoint {
        sequence: task,
        attempt_term: token.0,
        attempt: token.1,
        bytes: Bytes::from(vec![7; size]),
    };
    log.apply(checkpoint(token, 40));
    assert_eq!(log.apply(checkpoint(token, 10)), Applied::Nothing);
    assert_eq!(log.ring.bytes(), before + 10);
    let too_large = checkpoint(token, CHECKPOINT_BYTES_MAX + 1);
    assert_eq!(log.refusal(too_large), Refusal::CheckpointTooLarge);
    let token = log.start(task, 2);
    let entry = log.ring.look_up(task).expect("there");
    assert_eq!(entry.checkpoint, Some(Bytes::from(vec![7; 10])));
    log.complete(task, token, "");
    assert_eq!(log.ring.bytes(), before);
}

#[test]
fn fire_and_forget_disposes_itself_on_success_only() {
    let mut log = Log::new(small_limits());
    let forgettable = |key: &str| {
        let mut spec = task(key, "in");
        spec.dispose_on_success = true;
        spec
    };
    let good = log.accept_task(forgettable("a"));
    let bad = log.accept_task(forgettable("b"));
    let token = log.start(good, 1);
    let applied = log.complete(good, token, "out");
    assert!(matches!(applied, Applied::Ended { disposed: true, .. }));
    assert_eq!(log.ring.look_up(good), Err(Absence::Disposed));
    let token = log.start(bad, 1);
    let applied = log.apply(Op::Fail {
        sequence: bad,
        attempt: Some(token),
        failure: failure(FailureKind::Panic),
        dead_letter: false,
    });
    assert!(matches!(
        applied,
        Applied::Ended {
            disposed: false,
            ..
        }
    ));
    assert_eq!(status(&log, bad), TaskStatus::Failed);
}

#[test]
fn ring_time_never_goes_back() {
    let mut log = Log::new(small_limits());
    log.now = RingTime(100);
    let first = log.accept("a");
    log.now = RingTime(40);
    let second = log.accept("b");
    assert_eq!(log.ring.time(), RingTime(100));
    let accepted = |sequence| log.ring.look_up(sequence).map(|entry| entry.accepted);
    assert_eq!(accepted(first), accepted(second));
}

#[test]
fn an_outcome_is_what_the_report_said() {
    let mut log = Log::new(small_limits());
    log.now = RingTime(5).after(Millis(2));
    let task = log.succeed("a");
    let entry = log.ring.look_up(task).expect("there");
    let expected = Outcome::Succeeded(crate::common::result("out").as_ref().clone());
    assert_eq!(entry.outcome().map(AsRef::as_ref), Some(&expected));
    assert_eq!(entry.ended_at(), Some(RingTime(7)));
}
