//! Workers and tasks as others name them.

use std::sync::Arc;

use ringhold_types::{PartitionNumber, Priority, Sequence, TaskRef, WorkerId, WorkerRef};

use super::ConversionError;
use crate::v1;

impl From<TaskRef> for v1::TaskRef {
    fn from(task: TaskRef) -> Self {
        Self {
            partition: task.partition.0,
            sequence: task.sequence.bits(),
        }
    }
}

impl From<v1::TaskRef> for TaskRef {
    fn from(message: v1::TaskRef) -> Self {
        Self {
            partition: PartitionNumber(message.partition),
            sequence: Sequence::from_bits(message.sequence),
        }
    }
}

impl From<&WorkerRef> for v1::WorkerRef {
    fn from(worker: &WorkerRef) -> Self {
        Self {
            id: worker.id.0,
            name: worker.name.to_string(),
        }
    }
}

impl From<v1::WorkerRef> for Arc<WorkerRef> {
    fn from(message: v1::WorkerRef) -> Self {
        Self::new(WorkerRef {
            id: WorkerId(message.id),
            name: message.name.into(),
        })
    }
}

/// The priority that a number stands for.
pub(crate) fn priority_from_number(
    field: &'static str,
    number: i32,
) -> Result<Priority, ConversionError> {
    Priority::new(number).ok_or(ConversionError::OutOfRange { field })
}

/// The slot that a number stands for.
#[cfg(feature = "internal")]
pub(crate) fn slot_from_number(
    field: &'static str,
    number: u32,
) -> Result<ringhold_types::SlotNumber, ConversionError> {
    let slot = u16::try_from(number).ok();
    slot.map(ringhold_types::SlotNumber)
        .ok_or(ConversionError::OutOfRange { field })
}
