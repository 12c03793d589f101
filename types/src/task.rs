//! What was submitted.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{
    AffinityKey, AtEnd, ConfigViolation, IdempotencyKey, Millis, Origin, OutputPolicy, Priority,
    ProcessLimits, RetryPolicy, RingTime, UnixMillis, limits,
};

/// A task as stored: the call, its limits, its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskSpec {
    /// What to run.
    pub call: TaskCall,
    /// Names the submit; always present in the ring (a member gives one to raw calls without a key).
    pub idempotency_key: IdempotencyKey,
    /// Decides the partition if present.
    pub affinity_key: Option<AffinityKey>,
    /// Metadata of the caller, carried on to the result.
    pub labels: BTreeMap<String, String>,
    /// Time limits; an absent one falls back to the executor's.
    pub limits: TaskLimits,
    /// What happens when a member dies under a running attempt.
    pub on_interrupt: OnInterrupt,
    /// Ring time before which no attempt starts; the primary derives it from the caller's wall-clock `not_before`.
    pub not_before: Option<RingTime>,
    /// Fire and forget (`execute`): the entry disposes itself when the task succeeds.
    pub dispose_on_success: bool,
    /// Bytes of the caller that mean nothing here, carried on to the outcome; at most [`limits::METADATA_BYTES_MAX`].
    pub metadata: Bytes,
    /// How urgent it is; the executor's default if absent.
    pub priority: Option<Priority>,
    /// Whether tasks of its affinity key run one after the other, in the order of their submits; the executor's default if
    /// absent. Means nothing without an affinity key.
    pub serial: Option<bool>,
    /// When a failed attempt is followed by another one; the executor's policy if absent, never a mixture of both.
    pub retry: Option<Box<RetryPolicy>>,
    /// What it becomes when its last failure is final; the executor's choice if absent.
    pub at_end: Option<AtEnd>,
    /// The caller's wall-clock time before which no attempt starts, kept beside [`Self::not_before`]: ring time stands still
    /// while nobody leads.
    pub not_before_at: Option<UnixMillis>,
    /// Where it comes from, if it comes from another task.
    pub origin: Option<Box<Origin>>,
}

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskCall {
    /// Code registered under a name in a member (or, later, a worker).
    Handler {
        /// The handler's name.
        name: String,
        /// The version that it must have; any if absent.
        version: Option<String>,
        /// Its input.
        payload: Bytes,
        /// The form of the input, such as `application/json`.
        content_type: String,
    },
    /// A program, started without a shell.
    Process(ProcessCall),
}

/// A program to start: argument vector, never a shell line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessCall {
    /// Program and arguments; at least the program.
    pub arguments: Vec<Bytes>,
    /// Environment on top of the member's filtered one.
    pub environment: BTreeMap<String, String>,
    /// Working directory; the member's scratch directory if absent.
    pub working_directory: Option<String>,
    /// Bytes for standard input; `/dev/null` if absent.
    pub standard_input: Option<Bytes>,
    /// Whether the program is the executor's default binary: then `arguments` are what follows it.
    pub uses_default_binary: bool,
    /// Whether what it started may go on after it ended with success.
    pub detach_ok: bool,
    /// What it may use; the executor's limits for those that are absent.
    pub limits: Option<Box<ProcessLimits>>,
    /// What happens when it writes more than is kept; the executor's choice if absent.
    pub output_policy: Option<OutputPolicy>,
}

/// Time limits of a task in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskLimits {
    /// Longest wait from acceptance to the first start.
    pub wait: Option<Millis>,
    /// Longest run of one attempt.
    pub run: Option<Millis>,
    /// Longest time from acceptance to the outcome.
    pub total: Option<Millis>,
}

/// What happens when a member dies under a running attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OnInterrupt {
    /// The task runs again.
    #[default]
    Rerun,
    /// The start is committed before the run; after a failover the task is Failed(interrupted), never run twice.
    Fail,
}

/// Where a task is in its life; the same words in ring, API, CLI and metrics (DESIGN §1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskStatus {
    /// Waits for a slot.
    Pending,
    /// Waits for its time.
    Delayed,
    /// An attempt runs.
    Running,
    /// Waits for its next attempt.
    RetryWait,
    /// Ended with a result.
    Succeeded,
    /// Ended with a failure.
    Failed,
    /// Ended by request.
    Cancelled,
    /// Ended by giving way to other tasks.
    Replaced,
    /// Ended as a dead letter.
    DeadLettered,
    /// Its outcome was disposed.
    Disposed,
    /// Its outcome expired.
    Expired,
    /// Its outcome was overwritten by newer tasks.
    Overwritten,
    /// Every copy of it was lost.
    DataLoss,
}

impl TaskStatus {
    /// All statuses, in the order of a task's life.
    pub const ALL: [Self; 13] = [
        Self::Pending,
        Self::Delayed,
        Self::Running,
        Self::RetryWait,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Replaced,
        Self::DeadLettered,
        Self::Disposed,
        Self::Expired,
        Self::Overwritten,
        Self::DataLoss,
    ];

    /// Whether the task still has to end.
    #[must_use]
    pub const fn is_unfinished(self) -> bool {
        matches!(
            self,
            Self::Pending | Self::Delayed | Self::Running | Self::RetryWait
        )
    }

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Delayed => "Delayed",
            Self::Running => "Running",
            Self::RetryWait => "RetryWait",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
            Self::Replaced => "Replaced",
            Self::DeadLettered => "DeadLettered",
            Self::Disposed => "Disposed",
            Self::Expired => "Expired",
            Self::Overwritten => "Overwritten",
            Self::DataLoss => "DataLoss",
        }
    }
}

impl std::fmt::Display for TaskStatus {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A task that is not acceptable in itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskSpecError {
    /// More bytes than a task may have.
    #[error("the task has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Bytes it has.
        bytes: usize,
        /// Bytes it may have.
        limit: usize,
    },
    /// A process call without a program, or a handler call without a name.
    #[error("the task names no handler and no program")]
    NothingToRun,
    /// More or larger labels than allowed.
    #[error(
        "a task has at most {} labels of at most {} bytes each",
        limits::LABELS_MAX,
        limits::LABEL_BYTES_MAX
    )]
    Labels,
    /// More metadata than allowed.
    #[error("a task has at most {} bytes of metadata", limits::METADATA_BYTES_MAX)]
    Metadata,
    /// A handler's version that is empty or too long.
    #[error(
        "a handler's version has 1 to {} bytes",
        limits::HANDLER_VERSION_BYTES_MAX
    )]
    Version,
    /// A part of its retry policy, or of its program's limits, is outside its range.
    #[error("{violation}")]
    Setting {
        /// Which, and what must hold.
        violation: ConfigViolation,
    },
    /// An argument or environment entry holds a NUL byte, which no program can receive.
    #[error("arguments and environment must not hold NUL bytes")]
    NulByte,
}

impl TaskSpec {
    /// A task with nothing said but what to run and the name of its submit.
    #[must_use]
    pub const fn new(call: TaskCall, idempotency_key: IdempotencyKey) -> Self {
        Self {
            call,
            idempotency_key,
            affinity_key: None,
            labels: BTreeMap::new(),
            limits: TaskLimits {
                wait: None,
                run: None,
                total: None,
            },
            on_interrupt: OnInterrupt::Rerun,
            not_before: None,
            dispose_on_success: false,
            metadata: Bytes::new(),
            priority: None,
            serial: None,
            retry: None,
            at_end: None,
            not_before_at: None,
            origin: None,
        }
    }

    /// Bytes that count towards the limits of a partition: everything of variable length.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let labels: usize = self
            .labels
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        let keys = self.idempotency_key.as_bytes().len()
            + self
                .affinity_key
                .as_ref()
                .map_or(0, |key| key.as_bytes().len());
        let retry = self.retry.as_ref().map_or(0, |policy| policy.bytes());
        let origin = self.origin.as_ref().map_or(0, |origin| origin.bytes());
        labels + keys + self.metadata.len() + retry + origin + self.call.bytes()
    }

    /// Checks what holds for every task, whatever the executor.
    ///
    /// # Errors
    /// [`TaskSpecError`] with the first rule that is broken.
    pub fn validate(&self) -> Result<(), TaskSpecError> {
        let bytes = self.bytes();
        if bytes > limits::TASK_BYTES_MAX {
            return Err(TaskSpecError::TooLarge {
                bytes,
                limit: limits::TASK_BYTES_MAX,
            });
        }
        let too_long = |(name, value): (&String, &String)| {
            name.is_empty() || name.len() + value.len() > limits::LABEL_BYTES_MAX
        };
        if self.labels.len() > limits::LABELS_MAX || self.labels.iter().any(too_long) {
            return Err(TaskSpecError::Labels);
        }
        if self.metadata.len() > limits::METADATA_BYTES_MAX {
            return Err(TaskSpecError::Metadata);
        }
        let retry = self.retry.as_ref().map(|policy| policy.violations());
        if let Some(violation) = retry.into_iter().flatten().next() {
            return Err(TaskSpecError::Setting { violation });
        }
        self.call.validate()
    }
}

impl TaskCall {
    fn bytes(&self) -> usize {
        match self {
            Self::Handler {
                name,
                version,
                payload,
                content_type,
            } => {
                let version = version.as_ref().map_or(0, String::len);
                name.len() + version + payload.len() + content_type.len()
            }
            Self::Process(call) => call.bytes(),
        }
    }

    fn validate(&self) -> Result<(), TaskSpecError> {
        match self {
            Self::Handler { name, .. } if name.is_empty() => Err(TaskSpecError::NothingToRun),
            Self::Handler {
                version: Some(version),
                ..
            } if version.is_empty() || version.len() > limits::HANDLER_VERSION_BYTES_MAX => {
                Err(TaskSpecError::Version)
            }
            Self::Handler { .. } => Ok(()),
            Self::Process(call) => call.validate(),
        }
    }
}

impl ProcessCall {
    fn bytes(&self) -> usize {
        self.arguments.iter().map(Bytes::len).sum::<usize>()
            + self
                .environment
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum::<usize>()
            + self.working_directory.as_ref().map_or(0, String::len)
            + self.standard_input.as_ref().map_or(0, Bytes::len)
            + self.limits.as_ref().map_or(0, |limits| limits.bytes())
    }

    fn validate(&self) -> Result<(), TaskSpecError> {
        if !self.uses_default_binary && self.arguments.first().is_none_or(Bytes::is_empty) {
            return Err(TaskSpecError::NothingToRun);
        }
        let limits = self.limits.as_ref().map(|limits| limits.violations());
        if let Some(violation) = limits.into_iter().flatten().next() {
            return Err(TaskSpecError::Setting { violation });
        }
        let nul = |text: &[u8]| text.contains(&0);
        let bad_argument = self.arguments.iter().any(|argument| nul(argument));
        let bad_entry = self.environment.iter().any(|(name, value)| {
            name.is_empty() || name.contains('=') || nul(name.as_bytes()) || nul(value.as_bytes())
        });
        if bad_argument || bad_entry {
            Err(TaskSpecError::NulByte)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(arguments: &[&str]) -> TaskSpec {
        let arguments = arguments.iter();
        let call = ProcessCall {
            arguments: arguments
                .map(|a| Bytes::copy_from_slice(a.as_bytes()))
                .collect(),
            ..ProcessCall::default()
        };
        TaskSpec::new(
            TaskCall::Process(call),
            IdempotencyKey::new("k").expect("valid"),
        )
    }

    #[test]
    fn a_task_without_a_program_or_with_a_nul_byte_is_refused() {
        assert_eq!(process(&[]).validate(), Err(TaskSpecError::NothingToRun));
        assert_eq!(process(&["a\0b"]).validate(), Err(TaskSpecError::NulByte));
        assert_eq!(process(&["true"]).validate(), Ok(()));
    }

    #[test]
    fn an_oversized_task_is_refused_with_its_size_and_the_limit() {
        let mut task = process(&["cat"]);
        if let TaskCall::Process(call) = &mut task.call {
            call.standard_input = Some(Bytes::from(vec![0; limits::TASK_BYTES_MAX]));
        }
        assert!(matches!(
            task.validate(),
            Err(TaskSpecError::TooLarge { .. })
        ));
    }

    #[test]
    fn what_is_outside_its_range_is_refused_by_name() {
        let refused = |change: fn(&mut TaskSpec)| {
            let mut task = process(&["cat"]);
            change(&mut task);
            task.validate().expect_err("refused").to_string()
        };
        let much = |task: &mut TaskSpec| {
            task.metadata = Bytes::from(vec![0; limits::METADATA_BYTES_MAX + 1]);
        };
        assert_eq!(refused(much), "a task has at most 16384 bytes of metadata");
        let often = |task: &mut TaskSpec| {
            task.retry = Some(Box::new(RetryPolicy {
                max_attempts: 1001,
                ..RetryPolicy::default()
            }));
        };
        assert_eq!(refused(often), "retry.max-attempts must be 1 to 1000");
        let polite = |task: &mut TaskSpec| {
            if let TaskCall::Process(call) = &mut task.call {
                call.limits = Some(Box::new(ProcessLimits {
                    nice: Some(20),
                    ..ProcessLimits::default()
                }));
            }
        };
        assert_eq!(refused(polite), "process-limits.nice must be -20 to 19");
        let versionless = |task: &mut TaskSpec| {
            task.call = TaskCall::Handler {
                name: "render".into(),
                version: Some(String::new()),
                payload: Bytes::new(),
                content_type: String::new(),
            };
        };
        assert_eq!(
            refused(versionless),
            "a handler's version has 1 to 128 bytes"
        );
    }

    #[test]
    fn the_default_binary_needs_no_arguments() {
        let mut task = process(&[]);
        if let TaskCall::Process(call) = &mut task.call {
            call.uses_default_binary = true;
        }
        assert_eq!(task.validate(), Ok(()));
    }

    #[test]
    fn all_that_a_task_carries_counts_as_its_bytes() {
        let mut task = process(&["cat"]);
        let before = task.bytes();
        task.metadata = Bytes::from_static(b"12345");
        assert_eq!(task.bytes(), before + 5);
    }
}
