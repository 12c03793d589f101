//! A ring as parts and back: bounded parts, the very same ring, and refusal of parts that are not one ring's.

use crate::common::{Log, failure, request, sequence, small_limits, task};
use ringhold_ringbuffer::{Op, Ring, RingPart, SnapshotError};
use ringhold_types::limits::{RING_PART_BYTES_MAX, TASK_BYTES_MAX};
use ringhold_types::{FailureKind, RingTime};

/// A ring with something of everything.
fn varied() -> Log {
    let mut log = Log::new(small_limits());
    log.now = RingTime(3);
    for key in ["a", "b", "c"] {
        let task = log.succeed(key);
        log.apply(Op::Dispose {
            sequence: task,
            request: (key != "b").then(|| request(key)),
        });
    }
    log.start_term(2, 1);
    let running = log.accept("running");
    log.start(running, 1);
    let retrieved = log.succeed("retrieved");
    log.retrieved(retrieved);
    let failed = log.accept("failed");
    log.apply(Op::Fail {
        sequence: failed,
        attempt: None,
        failure: failure(FailureKind::TimedOut),
        dead_letter: true,
    });
    log.accept("waiting");
    log
}

#[test]
fn a_restored_ring_is_the_very_same() {
    let log = varied();
    let parts = log.ring.snapshot();
    assert!(matches!(parts[0], RingPart::Header(_)));
    let restored = Ring::restore(parts).expect("its own snapshot");
    assert_eq!(restored, log.ring);
    assert_eq!(restored.digest(), log.ring.digest());
}

#[test]
fn parts_are_bounded_and_one_larger_entry_travels_alone() {
    let mut log = Log::new(small_limits());
    for at in 0..40 {
        log.accept_task(task(&format!("k{at}"), &"x".repeat(40_000)));
    }
    log.accept_task(task("large", &"x".repeat(TASK_BYTES_MAX - 100)));
    log.accept("small");
    let parts = log.ring.snapshot();
    let mut largest = 0;
    for part in &parts {
        let RingPart::Entries(entries) = part else {
            continue;
        };
        let bytes: u64 = entries.iter().map(|entry| entry.bytes()).sum();
        let is_bounded = bytes <= RING_PART_BYTES_MAX as u64;
        assert!(is_bounded || entries.len() == 1, "{bytes}");
        largest = largest.max(bytes);
    }
    assert!(largest > RING_PART_BYTES_MAX as u64);
    assert!(parts.len() >= 5);
    assert_eq!(Ring::restore(parts).expect("its own"), log.ring);
}

#[test]
fn missing_doubled_and_headless_parts_are_refused() {
    let parts = varied().ring.snapshot();
    assert_eq!(parts.len(), 5);
    for left_out in 0..parts.len() {
        let mut rest = parts.clone();
        rest.remove(left_out);
        assert!(Ring::restore(rest).is_err(), "without part {left_out}");
        let mut doubled = parts.clone();
        doubled.push(parts[left_out].clone());
        assert!(Ring::restore(doubled).is_err(), "part {left_out} twice");
    }
    assert_eq!(Ring::restore([]), Err(SnapshotError::Header));
}

/// Restores a varied ring's snapshot after one change of it.
fn restore_changed(change: impl Fn(&mut RingPart)) -> Result<Ring, SnapshotError> {
    let mut parts = varied().ring.snapshot();
    parts.iter_mut().for_each(change);
    Ring::restore(parts)
}

#[test]
fn entries_that_no_operations_lead_to_are_refused() {
    let error = restore_changed(|part| {
        if let RingPart::Entries(entries) = part {
            entries[0].history.clear();
        }
    });
    assert!(matches!(error, Err(SnapshotError::Entry { .. })));
    let error = restore_changed(|part| {
        if let RingPart::Entries(entries) = part {
            entries.swap(0, 1);
        }
    });
    assert!(matches!(error, Err(SnapshotError::Order { .. })));
    let error = restore_changed(|part| {
        if let RingPart::Header(header) = part {
            header.next_sequence = sequence(1 << 44);
        }
    });
    assert!(matches!(error, Err(SnapshotError::Entry { .. })));
    let error = restore_changed(|part| {
        if let RingPart::Header(header) = part {
            header.time = RingTime(0);
        }
    });
    assert!(error.is_err());
}

#[test]
fn every_small_change_of_a_ring_changes_its_digest() {
    let log = varied();
    let mut digests = vec![log.ring.digest()];
    let held: Vec<_> = log.ring.entries().map(|entry| entry.sequence).collect();
    let mut limits = small_limits();
    limits.crash_limit += 1;
    let mut ops = vec![
        Op::Configure(limits),
        Op::ForgetKeys {
            removed_before: RingTime(4),
        },
        Op::Cancel { sequence: held[0] },
        Op::Cancel { sequence: held[3] },
        Op::MarkRetrieved {
            sequences: vec![held[2]],
        },
    ];
    let ended = [held[1], held[2]].map(|it| vec![it]);
    for sequences in ended {
        ops.push(Op::Evict {
            sequences: sequences.clone(),
        });
        ops.push(Op::Expire { sequences });
    }
    for op in ops {
        let mut changed = log.clone();
        changed.apply(op);
        digests.push(changed.ring.digest());
    }
    let mut later = log;
    later.now = RingTime(4);
    later.apply(Op::MarkRetrieved { sequences: vec![] });
    digests.push(later.ring.digest());
    let count = digests.len();
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), count);
}
