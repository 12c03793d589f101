//! Where a task comes from.

use crate::{Attempt, PartitionNumber, Sequence, TaskId};

/// A task of the executor at hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskRef {
    /// Its partition.
    pub partition: PartitionNumber,
    /// Its position there.
    pub sequence: Sequence,
}

/// How many replacements lie between a task and the first of its line: 0 to [`crate::limits::LINEAGE_DEPTH_MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineageDepth(pub u8);

/// Where a task comes from, for those that come from another one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The task that gave way to it, or that its submitter names.
    pub parent: Option<TaskId>,
    /// How many replacements lie behind it.
    pub depth: LineageDepth,
    /// The ended task that it is a retry of.
    pub retry_of: Option<TaskId>,
    /// The group that it belongs to; of the same executor.
    pub group: Option<TaskRef>,
    /// The group of the same partition whose closing called it.
    pub callback_of: Option<Sequence>,
    /// Attempts of the task that it is a retry of, at most [`crate::limits::ATTEMPT_HISTORY_MAX`], oldest first. Their ring
    /// times are of that task's partition: only how long they ran means something elsewhere.
    pub earlier: Vec<Attempt>,
}

impl Origin {
    /// Bytes that count towards the limits of a partition.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let name = |id: &Option<TaskId>| id.as_ref().map_or(0, |id| id.executor.as_str().len());
        let earlier: usize = self.earlier.iter().map(Attempt::bytes).sum();
        name(&self.parent) + name(&self.retry_of) + earlier
    }
}
