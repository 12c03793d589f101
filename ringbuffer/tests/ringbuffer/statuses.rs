//! Every step that an operation takes is one that the table of statuses knows.

use std::collections::BTreeSet;

use ringhold_ringbuffer::{Absence, Op, Ring};
use ringhold_types::{Sequence, TaskStatus};

/// The status of a sequence at the ring's own time; `None` where there is no task, or nobody knows any more.
fn status(ring: &Ring, sequence: Sequence) -> Option<TaskStatus> {
    match ring.look_up(sequence) {
        Ok(entry) => Some(entry.status(ring.time())),
        Err(Absence::Disposed) => Some(TaskStatus::Disposed),
        Err(Absence::Overwritten) => Some(TaskStatus::Overwritten),
        Err(Absence::Expired) => Some(TaskStatus::Expired),
        Err(Absence::DataLoss) => Some(TaskStatus::DataLoss),
        Err(Absence::NeverExisted | Absence::Gone) => None,
    }
}

/// Holds what an operation did to the statuses of all tasks against [`TaskStatus::may_become`] and
/// [`TaskStatus::may_begin`].
pub(crate) fn assert_legal(before: &Ring, op: &Op, after: &Ring) {
    let removed = (0..12).map(|back| after.next_sequence().bits().saturating_sub(back));
    let tasks: BTreeSet<Sequence> = before
        .entries()
        .chain(after.entries())
        .map(|entry| entry.sequence)
        .chain(removed.map(Sequence::from_bits))
        .collect();
    for sequence in tasks {
        match (status(before, sequence), status(after, sequence)) {
            (Some(from), Some(to)) if from != to => {
                assert!(from.may_become(to), "{sequence}: {from} to {to} by {op:?}");
            }
            // A loss takes also what nobody had used.
            (None, Some(to)) if to != TaskStatus::DataLoss => {
                assert!(to.may_begin(), "{sequence}: begins as {to} by {op:?}");
            }
            // Fire and forget, in a ring that keeps no reasons.
            (Some(TaskStatus::Running), None) if matches!(op, Op::Complete { .. }) => {}
            (Some(from), None) => {
                let gone = from.is_unfinished();
                assert!(!gone, "{sequence}: {from} is gone by {op:?}");
            }
            _ => {}
        }
    }
}
