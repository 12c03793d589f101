//! What time does to a ring, in bounded logged steps (PROTOCOL I16).

use crate::common::{Log, key, small_limits};
use ringhold_ringbuffer::Op;
use ringhold_types::{RingTime, Sequence};

/// Outcomes that ended at 10, 20, 30 and 40; every second one retrieved.
fn log_of_four() -> (Log, Vec<Sequence>) {
    let mut log = Log::new(small_limits());
    let mut tasks = Vec::new();
    for (at, name) in [(10, "a"), (20, "b"), (30, "c"), (40, "d")] {
        log.now = RingTime(at);
        tasks.push(log.succeed(name));
    }
    log.retrieved(tasks[1]);
    log.retrieved(tasks[3]);
    (log, tasks)
}

#[test]
fn the_oldest_outcomes_expire_first_whether_retrieved_or_not() {
    let (mut log, tasks) = log_of_four();
    log.now = RingTime(5_000);
    for most in 1..=5 {
        let sequences = tasks[..most.min(4)].to_vec();
        let due = log.ring.due_housekeeping(log.now, most);
        assert_eq!(due, vec![Op::Expire { sequences }]);
    }
    assert_eq!(log.ring.due_housekeeping(log.now, 0), vec![]);
    let only_two = log.ring.due_housekeeping(RingTime(1_020), 10);
    let sequences = tasks[..2].to_vec();
    assert_eq!(only_two, vec![Op::Expire { sequences }]);
}

#[test]
fn keys_are_forgotten_a_bounded_number_at_a_time_and_those_of_one_time_together() {
    let (mut log, tasks) = log_of_four();
    for (at, task) in [(100, 0), (200, 1), (200, 2), (300, 3)] {
        log.now = RingTime(at);
        log.dispose(tasks[task]);
    }
    log.now = RingTime(5_000);
    let mut left = Vec::new();
    for _ in 0..3 {
        let due = log.ring.due_housekeeping(log.now, 1);
        assert_eq!(due.len(), 1);
        log.apply(due[0].clone());
        let known = ["a", "b", "c", "d"].map(|name| log.ring.find_key(&key(name)).is_some());
        left.push(known.iter().filter(|is_known| **is_known).count());
    }
    assert_eq!(left, [3, 1, 0]);
    assert_eq!(log.ring.next_housekeeping(), None);
}

#[test]
fn a_key_of_an_entry_removed_at_the_named_time_stays() {
    let (mut log, tasks) = log_of_four();
    log.now = RingTime(100);
    log.dispose(tasks[0]);
    let removed_before = RingTime(100);
    log.apply(Op::ForgetKeys { removed_before });
    assert!(log.ring.find_key(&key("a")).is_some());
    let removed_before = RingTime(101);
    log.apply(Op::ForgetKeys { removed_before });
    assert_eq!(log.ring.find_key(&key("a")), None);
}
