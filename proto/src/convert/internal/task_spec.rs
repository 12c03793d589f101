//! Tasks as stored.

use ringhold_types::{
    AffinityKey, ExecutorName, IdempotencyKey, LineageDepth, Millis, Origin, PartitionNumber,
    RingTime, Sequence, TaskCall, TaskId, TaskLimits, TaskSpec, UnixMillis,
};

use super::all;
use crate::convert::origin::priority_from_number;
use crate::convert::retry::{at_end_from_number, at_end_number};
use crate::convert::task::{boxed, on_interrupt_from_number};
use crate::convert::{ConversionError, owned, required};
use crate::internal as wire;
use crate::v1;

impl From<&TaskSpec> for wire::TaskSpec {
    fn from(task: &TaskSpec) -> Self {
        let call = match v1::task::Call::from(&task.call) {
            v1::task::Call::Handler(call) => wire::task_spec::Call::Handler(call),
            v1::task::Call::Process(call) => wire::task_spec::Call::Process(call),
        };
        Self {
            call: Some(call),
            idempotency_key: task.idempotency_key.as_bytes().clone(),
            affinity_key: task.affinity_key.as_ref().map(|key| key.as_bytes().clone()),
            labels: task.labels.clone(),
            wait_limit: task.limits.wait.map(|span| span.0),
            run_limit: task.limits.run.map(|span| span.0),
            total_limit: task.limits.total.map(|span| span.0),
            on_interrupt: v1::OnInterrupt::from(task.on_interrupt).into(),
            not_before: task.not_before.map(|time| time.0),
            dispose_on_success: task.dispose_on_success,
            metadata: task.metadata.clone(),
            priority: task.priority.map(|priority| priority.get().into()),
            serial: task.serial,
            retry: task.retry.as_deref().map(Into::into),
            at_end: at_end_number(task.at_end),
            not_before_at: task.not_before_at.map(|at| at.0),
            origin: task.origin.as_deref().map(Into::into),
        }
    }
}

impl TryFrom<wire::TaskSpec> for TaskSpec {
    type Error = ConversionError;

    fn try_from(message: wire::TaskSpec) -> Result<Self, Self::Error> {
        let call = match required("task.call", message.call)? {
            wire::task_spec::Call::Handler(call) => TaskCall::from(call),
            wire::task_spec::Call::Process(call) => TaskCall::try_from(call)?,
        };
        let idempotency_key = IdempotencyKey::new(message.idempotency_key);
        let affinity_key = message.affinity_key.map(AffinityKey::new).transpose();
        Ok(Self {
            call,
            idempotency_key: idempotency_key.map_err(|source| ConversionError::Key {
                field: "task.idempotency_key",
                source,
            })?,
            affinity_key: affinity_key.map_err(|source| ConversionError::Key {
                field: "task.affinity_key",
                source,
            })?,
            labels: message.labels,
            limits: TaskLimits {
                wait: message.wait_limit.map(Millis),
                run: message.run_limit.map(Millis),
                total: message.total_limit.map(Millis),
            },
            on_interrupt: on_interrupt_from_number(message.on_interrupt)?,
            not_before: message.not_before.map(RingTime),
            dispose_on_success: message.dispose_on_success,
            metadata: owned(&message.metadata),
            priority: message
                .priority
                .map(|number| priority_from_number("task.priority", number))
                .transpose()?,
            serial: message.serial,
            retry: boxed(message.retry)?,
            at_end: at_end_from_number("task.at_end", message.at_end)?,
            not_before_at: message.not_before_at.map(UnixMillis),
            origin: boxed(message.origin)?,
        })
    }
}

impl From<&Origin> for wire::Origin {
    fn from(origin: &Origin) -> Self {
        Self {
            parent: origin.parent.as_ref().map(Into::into),
            depth: origin.depth.0.into(),
            retry_of: origin.retry_of.as_ref().map(Into::into),
            group: origin.group.map(Into::into),
            callback_of: origin.callback_of.map(Sequence::bits),
            earlier: origin.earlier.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<wire::Origin> for Origin {
    type Error = ConversionError;

    fn try_from(message: wire::Origin) -> Result<Self, Self::Error> {
        let depth = u8::try_from(message.depth);
        Ok(Self {
            parent: message.parent.map(TaskId::try_from).transpose()?,
            depth: depth
                .map(LineageDepth)
                .map_err(|_| ConversionError::OutOfRange {
                    field: "origin.depth",
                })?,
            retry_of: message.retry_of.map(TaskId::try_from).transpose()?,
            group: message.group.map(Into::into),
            callback_of: message.callback_of.map(Sequence::from_bits),
            earlier: all(message.earlier)?,
        })
    }
}

impl From<&TaskId> for wire::TaskName {
    fn from(id: &TaskId) -> Self {
        Self {
            executor: id.executor.as_str().to_owned(),
            partition: id.partition.0,
            sequence: id.sequence.bits(),
        }
    }
}

impl TryFrom<wire::TaskName> for TaskId {
    type Error = ConversionError;

    fn try_from(message: wire::TaskName) -> Result<Self, Self::Error> {
        Ok(Self {
            executor: ExecutorName::new(message.executor)?,
            partition: PartitionNumber(message.partition),
            sequence: Sequence::from_bits(message.sequence),
        })
    }
}
