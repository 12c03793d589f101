//! What was submitted.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{AffinityKey, IdempotencyKey, Millis, RingTime, limits};

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
}

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskCall {
    /// Code registered under a name in a member (or, later, a worker).
    Handler {
        /// The handler's name.
        name: String,
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
    /// An argument or environment entry holds a NUL byte, which no program can receive.
    #[error("arguments and environment must not hold NUL bytes")]
    NulByte,
}

impl TaskSpec {
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
        labels + keys + self.call.bytes()
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
        self.call.validate()
    }

    /// A hash over the fields that make the task what it is, the same in every version of the software: two submits
    /// under one idempotency key are the same submit if it is equal (PROTOCOL §4, "payload identity").
    #[must_use]
    pub fn identity(&self) -> u64 {
        let mut fields = FieldHasher::default();
        match &self.call {
            TaskCall::Handler {
                name,
                payload,
                content_type,
            } => {
                fields
                    .text("handler")
                    .text(name)
                    .bytes(payload)
                    .text(content_type);
            }
            TaskCall::Process(call) => {
                fields.text("process").number(call.arguments.len() as u64);
                for argument in &call.arguments {
                    fields.bytes(argument);
                }
                fields.map(&call.environment);
                fields.text(call.working_directory.as_deref().unwrap_or(""));
                fields.number(u64::from(call.standard_input.is_some()));
                fields.bytes(call.standard_input.as_deref().unwrap_or(&[]));
            }
        }
        fields.bytes(self.affinity_key.as_ref().map_or(&[], |key| key.as_bytes()));
        fields.map(&self.labels);
        fields.number(u64::from(self.dispose_on_success));
        fields.finish()
    }
}

impl TaskCall {
    fn bytes(&self) -> usize {
        match self {
            Self::Handler {
                name,
                payload,
                content_type,
            } => name.len() + payload.len() + content_type.len(),
            Self::Process(call) => call.bytes(),
        }
    }

    fn validate(&self) -> Result<(), TaskSpecError> {
        match self {
            Self::Handler { name, .. } if name.is_empty() => Err(TaskSpecError::NothingToRun),
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
    }

    fn validate(&self) -> Result<(), TaskSpecError> {
        if self.arguments.first().is_none_or(Bytes::is_empty) {
            return Err(TaskSpecError::NothingToRun);
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

/// Hashes fields with their lengths, so that moving a byte from one field to the next changes the hash.
struct FieldHasher(xxhash_rust::xxh64::Xxh64);

impl Default for FieldHasher {
    fn default() -> Self {
        Self(xxhash_rust::xxh64::Xxh64::new(0))
    }
}

impl FieldHasher {
    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.bytes(&number.to_le_bytes())
    }

    fn map(&mut self, map: &BTreeMap<String, String>) -> &mut Self {
        self.number(map.len() as u64);
        for (name, value) in map {
            self.text(name).text(value);
        }
        self
    }

    fn finish(&self) -> u64 {
        self.0.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(arguments: &[&str]) -> TaskSpec {
        TaskSpec {
            call: TaskCall::Process(ProcessCall {
                arguments: arguments
                    .iter()
                    .map(|a| Bytes::copy_from_slice(a.as_bytes()))
                    .collect(),
                ..ProcessCall::default()
            }),
            idempotency_key: IdempotencyKey::new("k").expect("valid"),
            affinity_key: None,
            labels: BTreeMap::new(),
            limits: TaskLimits::default(),
            on_interrupt: OnInterrupt::Rerun,
            not_before: None,
            dispose_on_success: false,
        }
    }

    #[test]
    fn a_byte_that_moves_between_arguments_changes_the_identity() {
        assert_ne!(
            process(&["ab", "c"]).identity(),
            process(&["a", "bc"]).identity()
        );
        assert_eq!(
            process(&["ab", "c"]).identity(),
            process(&["ab", "c"]).identity()
        );
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
}
