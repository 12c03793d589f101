//! When a ring takes one more task, and what gives way (PROTOCOL §4).

use std::collections::BTreeSet;

use crate::common::{Log, admit, small_limits, task};
use ringhold_ringbuffer::{Admission, InFlight, Op};
use ringhold_types::{RingTime, Sequence, WhenFull};

const TASK_BYTES: u64 = 9;

fn log_with(when_full: WhenFull) -> Log {
    let mut limits = small_limits();
    limits.when_full = when_full;
    Log::new(limits)
}

/// A full ring: an unread outcome, two retrieved ones (the second older), and a waiting task.
fn full_log(when_full: WhenFull) -> (Log, [Sequence; 4]) {
    let mut log = log_with(when_full);
    let unread = log.succeed("unread");
    let [late, early] = ["late", "early"].map(|key| log.accept(key));
    for (at, task) in [(10, early), (20, late)] {
        log.now = RingTime(at);
        let token = log.start(task, 1);
        log.complete(task, token, "out");
    }
    log.retrieved(late);
    log.retrieved(early);
    let waiting = log.accept("waiting");
    (log, [unread, late, early, waiting])
}

fn in_flight(accepts: u64, evictions: &BTreeSet<Sequence>) -> InFlight<'_> {
    InFlight {
        accepts,
        bytes: accepts * TASK_BYTES,
        evictions,
    }
}

#[test]
fn unfinished_tasks_and_unread_outcomes_fill_a_ring() {
    for when_full in [WhenFull::Reject, WhenFull::Wait] {
        let mut log = log_with(when_full);
        for key in ["a", "b"] {
            log.succeed(key);
        }
        log.accept("c");
        assert_eq!(log.admission(TASK_BYTES), admit(&[]));
        log.accept("d");
        assert_eq!(log.admission(TASK_BYTES), Admission::Full);
    }
}

#[test]
fn the_oldest_retrieved_outcome_makes_room_in_every_mode() {
    for when_full in [WhenFull::Reject, WhenFull::Wait, WhenFull::Overwrite] {
        let (log, [_, _, early, _]) = full_log(when_full);
        assert_eq!(log.admission(TASK_BYTES), admit(&[early]), "{when_full:?}");
    }
}

#[test]
fn unread_outcomes_give_way_under_overwrite_only_and_after_retrieved_ones() {
    for (when_full, unread_gives_way) in [(WhenFull::Reject, false), (WhenFull::Overwrite, true)] {
        let (log, [unread, late, early, _]) = full_log(when_full);
        let mut evictions = BTreeSet::from([early]);
        let admission = log.ring.admission(in_flight(1, &evictions), TASK_BYTES);
        assert_eq!(admission, admit(&[late]));
        evictions.insert(late);
        let admission = log.ring.admission(in_flight(2, &evictions), TASK_BYTES);
        let expected = if unread_gives_way {
            admit(&[unread])
        } else {
            Admission::Full
        };
        assert_eq!(admission, expected, "{when_full:?}");
        evictions.insert(unread);
        let admission = log.ring.admission(in_flight(3, &evictions), TASK_BYTES);
        assert_eq!(admission, Admission::Full, "a waiting task never gives way");
    }
}

#[test]
fn an_eviction_in_flight_counts_as_room() {
    let (log, [_, _, early, _]) = full_log(WhenFull::Reject);
    let evictions = BTreeSet::from([early]);
    let admission = log.ring.admission(in_flight(0, &evictions), TASK_BYTES);
    assert_eq!(admission, admit(&[]));
}

#[test]
fn what_is_named_for_eviction_makes_exactly_the_room_that_was_promised() {
    let (mut log, _) = full_log(WhenFull::Overwrite);
    let Admission::Admit { evict } = log.admission(TASK_BYTES) else {
        panic!("an outcome gives way");
    };
    log.apply(Op::Evict { sequences: evict });
    assert_eq!(log.admission(TASK_BYTES), admit(&[]));
    log.accept("next");
    assert_eq!(log.ring.undisposed(), log.ring.limits().capacity);
}

#[test]
fn bytes_are_bounded_as_well_as_entries() {
    let mut log = log_with(WhenFull::Reject);
    let large = log.accept_task(task("large", &"x".repeat(600)));
    let held = log.ring.bytes();
    assert_eq!(log.admission(1_000 - held), admit(&[]));
    assert_eq!(log.admission(1_001 - held), Admission::Full);
    let token = log.start(large, 1);
    log.complete(large, token, "");
    log.retrieved(large);
    assert_eq!(log.admission(1_001 - held), admit(&[large]));
    assert_eq!(log.admission(1_000), admit(&[large]));
    assert_eq!(log.admission(1_001), Admission::Full);
}

#[test]
fn a_task_that_must_make_room_takes_that_of_retrieved_outcomes() {
    let (log, [unread, late, early, _]) = full_log(WhenFull::Reject);
    let none = BTreeSet::new();
    let admission = |log: &Log, room| {
        let in_flight = in_flight(0, &none);
        log.ring.admission_making_room(in_flight, TASK_BYTES, room)
    };
    assert_eq!(admission(&log, 1_024), admit(&[early]));
    assert_eq!(admission(&log, 1_100), admit(&[early, late]));
    assert_eq!(admission(&log, 3_000), Admission::Full);
    let (log, _) = full_log(WhenFull::Overwrite);
    assert_eq!(admission(&log, 3_000), admit(&[early, late, unread]));
    assert_eq!(admission(&log, 4_000), Admission::Full);
}

#[test]
fn room_that_an_eviction_in_flight_makes_is_not_given_twice() {
    let (log, [_, late, early, _]) = full_log(WhenFull::Reject);
    let evictions = BTreeSet::from([early]);
    let in_flight = in_flight(0, &evictions);
    let admission = log.ring.admission_making_room(in_flight, TASK_BYTES, 1_000);
    assert_eq!(admission, admit(&[late]));
}

#[test]
fn an_accept_that_was_admitted_is_never_refused_even_over_the_limits() {
    let mut log = log_with(WhenFull::Reject);
    for key in ["a", "b", "c", "d"] {
        log.accept(key);
    }
    let mut limits = small_limits();
    (limits.capacity, limits.bytes) = (1, 1);
    log.apply(Op::Configure(limits));
    log.accept("e");
    assert_eq!(log.ring.undisposed(), 5);
    assert_eq!(log.admission(0), Admission::Full);
}

#[test]
fn without_a_limit_by_count_bytes_alone_decide() {
    let mut log = log_with(WhenFull::Reject);
    let mut limits = small_limits();
    limits.capacity = u64::MAX;
    log.apply(Op::Configure(limits));
    let mut accepted = 0;
    while log.admission(100) == admit(&[]) {
        log.accept_task(task("key", &"x".repeat(91)));
        accepted += 1;
    }
    assert_eq!((accepted, log.ring.bytes()), (10, 1_000));
}
