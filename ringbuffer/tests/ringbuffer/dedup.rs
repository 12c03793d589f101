//! Idempotency keys: as long as the entry, then for the window or until enough later keys ended (DESIGN G6).

use crate::common::{Log, key, small_limits, task};
use ringhold_ringbuffer::{KeyHit, Op};
use ringhold_types::RingTime;

#[test]
fn a_key_finds_its_task_and_that_tasks_identity() {
    let mut log = Log::new(small_limits());
    let sequence = log.accept("a");
    let identity = task("a", "in").identity();
    let hit = KeyHit { sequence, identity };
    assert_eq!(log.ring.find_key(&key("a")), Some(hit));
    assert_eq!(log.ring.find_key(&key("b")), None);
    assert_ne!(identity, task("a", "other").identity());
}

#[test]
fn a_key_outlives_its_entry_for_the_window_and_is_forgotten_by_a_logged_operation() {
    let mut log = Log::new(small_limits());
    let task = log.succeed("a");
    log.now = RingTime(500);
    log.dispose(task);
    assert_eq!(log.ring.next_housekeeping(), Some(RingTime(600)));
    assert_eq!(log.ring.due_housekeeping(RingTime(599), 10), vec![]);
    let due = log.ring.due_housekeeping(RingTime(600), 10);
    log.now = RingTime(600);
    assert!(log.ring.find_key(&key("a")).is_some());
    for op in due {
        log.apply(op);
    }
    assert_eq!(log.ring.find_key(&key("a")), None);
    assert_eq!(log.ring.next_housekeeping(), None);
}

#[test]
fn a_key_of_a_live_entry_is_never_forgotten() {
    let mut log = Log::new(small_limits());
    log.succeed("a");
    log.now = RingTime(1_000_000);
    let removed_before = log.now;
    log.apply(Op::ForgetKeys { removed_before });
    assert!(log.ring.find_key(&key("a")).is_some());
}

#[test]
fn a_key_goes_when_enough_later_keys_ended() {
    let mut log = Log::new(small_limits());
    let first = log.succeed("first");
    log.dispose(first);
    for name in 0..8 {
        assert!(log.ring.find_key(&key("first")).is_some(), "{name}");
        let task = log.succeed(&format!("k{name}"));
        log.dispose(task);
    }
    assert_eq!(log.ring.find_key(&key("first")), None);
    assert!(log.ring.find_key(&key("k0")).is_some());
}

#[test]
fn a_forgotten_key_may_store_a_task_again() {
    let mut log = Log::new(small_limits());
    let task = log.succeed("a");
    log.dispose(task);
    log.now = RingTime(100);
    for op in log.ring.due_housekeeping(log.now, 1) {
        log.apply(op);
    }
    let again = log.accept("a");
    let hit = log.ring.find_key(&key("a")).expect("remembered");
    assert_eq!(hit.sequence, again);
    assert_ne!(again, task);
}
