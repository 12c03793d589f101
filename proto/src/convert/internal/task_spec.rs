//! Tasks as stored.

use ringhold_types::{
    AffinityKey, IdempotencyKey, Millis, RingTime, TaskCall, TaskLimits, TaskSpec,
};

use crate::convert::task::on_interrupt_from_number;
use crate::convert::{ConversionError, required};
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
        }
    }
}

impl TryFrom<wire::TaskSpec> for TaskSpec {
    type Error = ConversionError;

    fn try_from(message: wire::TaskSpec) -> Result<Self, Self::Error> {
        let call = match required("task.call", message.call)? {
            wire::task_spec::Call::Handler(call) => TaskCall::from(call),
            wire::task_spec::Call::Process(call) => TaskCall::from(call),
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
        })
    }
}
