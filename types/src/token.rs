//! The attempt's fencing token and the submitter's receipt.

use crate::{AttemptNumber, MemberId, PartitionKey, Persistence, Sequence, TaskId, Term};

/// The fencing token of an attempt: `(term, sequence, attempt)` in its partition, ordered by age.
///
/// User code hands it to outside systems to refuse an older attempt's writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptToken {
    /// The partition of the task.
    pub partition: PartitionKey,
    /// The task.
    pub sequence: Sequence,
    /// The term in which this attempt was started or last adopted.
    pub term: Term,
    /// Which attempt of the task.
    pub attempt: AttemptNumber,
}

/// How many full copies of a task exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Copies(pub u32);

/// The answer to a submit: what is stored, where and how durably.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The task.
    pub id: TaskId,
    /// The term in which it was committed or found.
    pub term: Term,
    /// The members of the committed in-sync set that hold it.
    pub members: Vec<MemberId>,
    /// Whether those copies are on disk or in memory.
    pub persistence: Persistence,
    /// Whether an earlier submit with the same idempotency key had stored it already.
    pub reused: bool,
}

impl Receipt {
    /// The number of copies.
    #[must_use]
    pub fn copies(&self) -> Copies {
        Copies(u32::try_from(self.members.len()).unwrap_or(u32::MAX))
    }
}
