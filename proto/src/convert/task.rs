//! Tasks and their statuses.

use ringhold_types::{
    AffinityKey, IdempotencyKey, Millis, OnInterrupt, Origin, ProcessCall, TaskCall, TaskLimits,
    TaskSpec, TaskStatus, UnixMillis,
};

use super::origin::priority_from_number;
use super::process::{output_policy_from_number, output_policy_number};
use super::retry::{at_end_from_number, at_end_number};
use super::scalar::{duration_from_millis, unix_from_timestamp};
use super::{ConversionError, optional_millis, owned, required, value_of};
use crate::{StatedTaskId, v1};

/// A task as a caller submitted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmittedTask {
    /// The task. Its `not_before` is empty: the primary fills it in ring time from [`SubmittedTask::delay`].
    pub task: TaskSpec,
    /// The caller's wall-clock time before which no attempt starts.
    pub not_before: Option<UnixMillis>,
    /// Whether the caller gave the idempotency key.
    pub retry_safe: bool,
}

impl SubmittedTask {
    /// Reads a submitted task. A task without an idempotency key is given `made_up`'s.
    ///
    /// The task is well formed; [`TaskSpec::validate`] says whether it is acceptable.
    ///
    /// # Errors
    /// [`ConversionError`] with the first field that is wrong.
    pub fn read(
        message: v1::Task,
        made_up: impl FnOnce() -> IdempotencyKey,
    ) -> Result<Self, ConversionError> {
        let retry_safe = message.idempotency_key.is_some();
        let idempotency_key = match message.idempotency_key {
            Some(key) => IdempotencyKey::new(key).map_err(|source| ConversionError::Key {
                field: "task.idempotency_key",
                source,
            })?,
            None => made_up(),
        };
        let affinity_key = message
            .affinity_key
            .map(AffinityKey::new)
            .transpose()
            .map_err(|source| ConversionError::Key {
                field: "task.affinity_key",
                source,
            })?;
        let not_before = message
            .not_before
            .as_ref()
            .map(|at| unix_from_timestamp("task.not_before", at))
            .transpose()?;
        let priority = message.priority;
        let task = TaskSpec {
            call: required("task.call", message.call)?.try_into()?,
            idempotency_key,
            affinity_key,
            labels: message.labels,
            limits: message.limits.unwrap_or_default().try_into()?,
            on_interrupt: on_interrupt_from_number(message.on_interrupt)?,
            not_before: None,
            dispose_on_success: message.dispose_on_success,
            metadata: owned(&message.metadata),
            priority: priority
                .map(|number| priority_from_number("task.priority", number))
                .transpose()?,
            serial: message.serial,
            retry: boxed(message.retry)?,
            at_end: at_end_from_number("task.at_end", message.at_end)?,
            not_before_at: None,
            origin: stated_origin(message.parent, message.group)?,
        };
        Ok(Self {
            task,
            not_before,
            retry_safe,
        })
    }

    /// How long after `now` the first attempt may start; `None` for at once.
    #[must_use]
    pub fn delay(&self, now: UnixMillis) -> Option<Millis> {
        let delay = self.not_before?.0.saturating_sub(now.0);
        (delay > 0).then_some(Millis(delay))
    }
}

/// Where a task comes from as far as its submitter says it.
fn stated_origin(
    parent: Option<v1::TaskId>,
    group: Option<v1::TaskRef>,
) -> Result<Option<Box<Origin>>, ConversionError> {
    let parent = parent.map(StatedTaskId::try_from).transpose()?;
    let origin = Origin {
        parent: parent.map(|stated| stated.id),
        group: group.map(Into::into),
        ..Origin::default()
    };
    Ok((origin != Origin::default()).then(|| Box::new(origin)))
}

/// A part that may be absent, kept aside since most tasks have none.
pub(crate) fn boxed<M, T: TryFrom<M>>(message: Option<M>) -> Result<Option<Box<T>>, T::Error> {
    Ok(message.map(T::try_from).transpose()?.map(Box::new))
}

impl From<&TaskSpec> for v1::Task {
    /// The task as a caller could submit it, without `not_before`: ring time means nothing to callers. Of where it comes from
    /// just what a caller could say: its parent and its group.
    fn from(task: &TaskSpec) -> Self {
        let origin = task.origin.as_deref();
        let parent = origin.and_then(|origin| origin.parent.clone());
        Self {
            call: Some((&task.call).into()),
            idempotency_key: Some(task.idempotency_key.as_bytes().clone()),
            affinity_key: task.affinity_key.as_ref().map(|key| key.as_bytes().clone()),
            labels: task.labels.clone(),
            limits: (task.limits != TaskLimits::default()).then(|| task.limits.into()),
            on_interrupt: v1::OnInterrupt::from(task.on_interrupt).into(),
            not_before: None,
            dispose_on_success: task.dispose_on_success,
            metadata: task.metadata.clone(),
            priority: task.priority.map(|priority| priority.get().into()),
            serial: task.serial,
            retry: task.retry.as_deref().map(Into::into),
            at_end: at_end_number(task.at_end),
            parent: parent.map(|id| v1::TaskId::from(&StatedTaskId { cluster: None, id })),
            group: origin.and_then(|it| it.group).map(Into::into),
        }
    }
}

impl From<&TaskCall> for v1::task::Call {
    fn from(call: &TaskCall) -> Self {
        match call {
            TaskCall::Handler {
                name,
                version,
                payload,
                content_type,
            } => Self::Handler(v1::HandlerCall {
                name: name.clone(),
                version: version.clone(),
                payload: payload.clone(),
                content_type: content_type.clone(),
            }),
            TaskCall::Process(call) => Self::Process(v1::ProcessCall {
                arguments: call.arguments.clone(),
                environment: call.environment.clone(),
                working_directory: call.working_directory.clone(),
                standard_input: call.standard_input.clone(),
                uses_default_binary: call.uses_default_binary,
                detach_ok: call.detach_ok,
                limits: call.limits.as_deref().map(Into::into),
                output_policy: output_policy_number(call.output_policy),
            }),
        }
    }
}

impl TryFrom<v1::task::Call> for TaskCall {
    type Error = ConversionError;

    fn try_from(call: v1::task::Call) -> Result<Self, Self::Error> {
        match call {
            v1::task::Call::Handler(call) => Ok(call.into()),
            v1::task::Call::Process(call) => call.try_into(),
        }
    }
}

impl From<v1::HandlerCall> for TaskCall {
    fn from(call: v1::HandlerCall) -> Self {
        Self::Handler {
            name: call.name,
            version: call.version,
            payload: owned(&call.payload),
            content_type: call.content_type,
        }
    }
}

impl TryFrom<v1::ProcessCall> for TaskCall {
    type Error = ConversionError;

    fn try_from(call: v1::ProcessCall) -> Result<Self, Self::Error> {
        Ok(Self::Process(ProcessCall {
            arguments: call.arguments.iter().map(owned).collect(),
            environment: call.environment,
            working_directory: call.working_directory,
            standard_input: call.standard_input.as_ref().map(owned),
            uses_default_binary: call.uses_default_binary,
            detach_ok: call.detach_ok,
            limits: boxed(call.limits)?,
            output_policy: output_policy_from_number("call.output_policy", call.output_policy)?,
        }))
    }
}

impl From<TaskLimits> for v1::TaskLimits {
    fn from(limits: TaskLimits) -> Self {
        Self {
            wait: limits.wait.map(duration_from_millis),
            run: limits.run.map(duration_from_millis),
            total: limits.total.map(duration_from_millis),
        }
    }
}

impl TryFrom<v1::TaskLimits> for TaskLimits {
    type Error = ConversionError;

    fn try_from(limits: v1::TaskLimits) -> Result<Self, Self::Error> {
        Ok(Self {
            wait: optional_millis("limits.wait", limits.wait.as_ref())?,
            run: optional_millis("limits.run", limits.run.as_ref())?,
            total: optional_millis("limits.total", limits.total.as_ref())?,
        })
    }
}

impl From<OnInterrupt> for v1::OnInterrupt {
    fn from(choice: OnInterrupt) -> Self {
        match choice {
            OnInterrupt::Rerun => Self::Rerun,
            OnInterrupt::Fail => Self::Fail,
        }
    }
}

/// Unspecified means the default.
pub(crate) fn on_interrupt_from_number(number: i32) -> Result<OnInterrupt, ConversionError> {
    Ok(match value_of("on_interrupt", number)? {
        v1::OnInterrupt::Unspecified | v1::OnInterrupt::Rerun => OnInterrupt::Rerun,
        v1::OnInterrupt::Fail => OnInterrupt::Fail,
    })
}

impl From<TaskStatus> for v1::TaskStatus {
    fn from(status: TaskStatus) -> Self {
        match status {
            TaskStatus::Pending => Self::Pending,
            TaskStatus::Delayed => Self::Delayed,
            TaskStatus::Running => Self::Running,
            TaskStatus::RetryWait => Self::RetryWait,
            TaskStatus::Succeeded => Self::Succeeded,
            TaskStatus::Failed => Self::Failed,
            TaskStatus::Cancelled => Self::Cancelled,
            TaskStatus::Replaced => Self::Replaced,
            TaskStatus::DeadLettered => Self::DeadLettered,
            TaskStatus::Disposed => Self::Disposed,
            TaskStatus::Expired => Self::Expired,
            TaskStatus::Overwritten => Self::Overwritten,
            TaskStatus::DataLoss => Self::DataLoss,
        }
    }
}

impl TryFrom<v1::TaskStatus> for TaskStatus {
    type Error = ConversionError;

    fn try_from(status: v1::TaskStatus) -> Result<Self, Self::Error> {
        Ok(match status {
            v1::TaskStatus::Unspecified => {
                return Err(ConversionError::Missing { field: "status" });
            }
            v1::TaskStatus::Pending => Self::Pending,
            v1::TaskStatus::Delayed => Self::Delayed,
            v1::TaskStatus::Running => Self::Running,
            v1::TaskStatus::RetryWait => Self::RetryWait,
            v1::TaskStatus::Succeeded => Self::Succeeded,
            v1::TaskStatus::Failed => Self::Failed,
            v1::TaskStatus::Cancelled => Self::Cancelled,
            v1::TaskStatus::Replaced => Self::Replaced,
            v1::TaskStatus::DeadLettered => Self::DeadLettered,
            v1::TaskStatus::Disposed => Self::Disposed,
            v1::TaskStatus::Expired => Self::Expired,
            v1::TaskStatus::Overwritten => Self::Overwritten,
            v1::TaskStatus::DataLoss => Self::DataLoss,
        })
    }
}

/// The status in a message's field.
///
/// # Errors
/// [`ConversionError`] for an unspecified or unknown one.
pub fn status_from_number(number: i32) -> Result<TaskStatus, ConversionError> {
    value_of::<v1::TaskStatus>("status", number)?.try_into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> v1::Task {
        v1::Task {
            call: Some(v1::task::Call::Handler(v1::HandlerCall {
                name: "render".into(),
                ..v1::HandlerCall::default()
            })),
            ..v1::Task::default()
        }
    }

    fn made_up() -> IdempotencyKey {
        IdempotencyKey::new("made up").expect("valid")
    }

    #[test]
    fn a_task_without_a_key_gets_one_and_is_not_retry_safe() {
        let read = SubmittedTask::read(message(), made_up).expect("well formed");
        assert_eq!(read.task.idempotency_key, made_up());
        assert!(!read.retry_safe);
        let named = v1::Task {
            idempotency_key: Some("mine".into()),
            ..message()
        };
        let read =
            SubmittedTask::read(named, || unreachable!("a key was given")).expect("well formed");
        assert!(read.retry_safe);
    }

    #[test]
    fn a_task_that_calls_nothing_is_refused_by_name() {
        assert_eq!(
            SubmittedTask::read(v1::Task::default(), made_up),
            Err(ConversionError::Missing { field: "task.call" })
        );
    }

    #[test]
    fn an_empty_key_is_refused_and_not_taken_for_an_absent_one() {
        let empty = v1::Task {
            idempotency_key: Some(bytes::Bytes::new()),
            ..message()
        };
        assert!(matches!(
            SubmittedTask::read(empty, made_up),
            Err(ConversionError::Key {
                field: "task.idempotency_key",
                ..
            })
        ));
    }

    #[test]
    fn an_unknown_choice_is_refused_and_not_taken_for_the_default() {
        let unknown = v1::Task {
            on_interrupt: 77,
            ..message()
        };
        assert_eq!(
            SubmittedTask::read(unknown, made_up),
            Err(ConversionError::UnknownValue {
                field: "on_interrupt",
                number: 77
            })
        );
    }

    #[test]
    fn a_time_in_the_past_delays_nothing() {
        let at = |seconds| v1::Task {
            not_before: Some(prost_types::Timestamp { seconds, nanos: 0 }),
            ..message()
        };
        let delay = |seconds| {
            SubmittedTask::read(at(seconds), made_up)
                .expect("well formed")
                .delay(UnixMillis(10_000))
        };
        assert_eq!(delay(9), None);
        assert_eq!(delay(10), None);
        assert_eq!(delay(12), Some(Millis(2_000)));
    }

    #[test]
    fn every_status_has_its_own_number() {
        for status in TaskStatus::ALL {
            assert_eq!(
                status_from_number(v1::TaskStatus::from(status).into()),
                Ok(status)
            );
        }
        assert!(status_from_number(0).is_err());
        assert!(status_from_number(99).is_err());
    }
}
