//! When tasks were seen last: a task that was seen by an operation that began after a loss is not in what was lost, whatever
//! others were told before or after.

use std::collections::BTreeMap;

use ringhold_types::ErrorCode;

use crate::event::{Action, Sighting};
use crate::history::{End, History, Operation};

/// When the last operations that saw a task began, in nanoseconds of true time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LastSeen {
    /// The last one that showed that the partition knew of it, also if only why it is gone.
    pub(crate) known: Option<u64>,
    /// The last one that showed it in its partition: not removed yet, and so with its idempotency key.
    pub(crate) held: Option<u64>,
}

/// When each task was seen last.
pub(crate) fn last_seen(history: &History) -> BTreeMap<&str, LastSeen> {
    let mut tasks: BTreeMap<&str, LastSeen> = BTreeMap::new();
    for operation in &history.operations {
        let End::Ok(sighting) = &operation.end else {
            continue;
        };
        let id = match sighting {
            Sighting::Stored { id, .. } => Some(id.as_str()),
            _ => operation.action.id(),
        };
        let Some(last) = id.map(|id| tasks.entry(id).or_default()) else {
            continue;
        };
        // Operations are in order of their begin.
        let at = Some(operation.invoked);
        if is_known(sighting) {
            last.known = at;
        }
        if is_held(operation, sighting) {
            last.held = at;
        }
    }
    tasks
}

fn is_known(sighting: &Sighting) -> bool {
    match sighting {
        Sighting::Stored { .. } | Sighting::Pending | Sighting::Outcome { .. } => true,
        // Answered to who cancels or disposes only by a partition that knows the task.
        Sighting::Done => true,
        Sighting::Absent { code } => matches!(
            code,
            ErrorCode::Disposed | ErrorCode::Overwritten | ErrorCode::Expired
        ),
    }
}

fn is_held(operation: &Operation, sighting: &Sighting) -> bool {
    // Who takes an outcome is answered it again after it was removed.
    let reads = matches!(
        operation.action,
        Action::Retrieve { .. } | Action::Get { .. }
    );
    reads && matches!(sighting, Sighting::Pending | Sighting::Outcome { .. })
}
