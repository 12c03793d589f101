//! The rules that the explorer's sabotages drop: each does what it says, and none is dropped by default.

use crate::common::{Log, complete, result, sequence, small_limits};
use ringhold_ringbuffer::{Applied, Op, Quirks};
use ringhold_types::{Generation, Outcome, RingTime};

#[test]
fn with_second_outcomes_the_later_report_replaces_the_first() {
    let mut log = Log::new(small_limits());
    let task = log.accept("a");
    let token = log.start(task, 1);
    log.complete(task, token, "first");
    log.quirks.second_outcome_replaces = true;
    let applied = log.apply(complete(task, token, "second, longer"));
    assert!(matches!(applied, Applied::Ended { .. }));
    let entry = log.ring.look_up(task).expect("there");
    let second = Outcome::Succeeded(result("second, longer").as_ref().clone());
    assert_eq!(entry.outcome().map(AsRef::as_ref), Some(&second));
    let held: u64 = log.ring.entries().map(|entry| entry.bytes()).sum();
    assert_eq!(log.ring.bytes(), held);
    log.dispose(task);
    assert_eq!(log.ring.bytes(), 0);
    assert!(log.ring.next_housekeeping().is_some(), "its key only");
}

#[test]
fn with_restarting_sequences_a_lost_id_is_given_again() {
    let mut log = Log::new(small_limits());
    log.accept("a");
    log.quirks.sequences_restart_after_loss = true;
    let applied = log.start_term(2, 1);
    assert_eq!(applied, Applied::TermStarted { lost: None });
    assert_eq!(log.ring.generation(), Generation(1));
    assert_eq!(log.accept("b"), sequence(1));
}

#[test]
fn with_a_local_clock_two_replicas_of_one_log_differ() {
    let mut log = Log::new(small_limits());
    let mut other = log.clone();
    other.quirks.local_clock = Some(RingTime(17));
    for log in [&mut log, &mut other] {
        log.succeed("a");
    }
    assert_ne!(log.ring.digest(), other.ring.digest());
}

#[test]
fn no_rule_is_dropped_by_default() {
    let mut log = Log::new(small_limits());
    let mut plain = log.ring.clone();
    log.now = RingTime(5);
    let op = Op::TermStart {
        primary: ringhold_types::ReplicaId::default(),
        generation: Generation(1),
    };
    log.quirks = Quirks::default();
    log.apply(op.clone());
    plain.apply(&ringhold_ringbuffer::LogEntry {
        term: log.term,
        lsn: ringhold_types::Lsn(1),
        time: log.now,
        op,
    });
    assert_eq!(log.ring, plain);
}
