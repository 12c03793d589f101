//! How a task ended, and what its attempts did.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    AttemptNumber, Containment, MemberId, Millis, RingTime, Sequence, SlotNumber, TaskStatus, Term,
    WorkerRef,
};

/// How a task ended. Readable once committed, and never different afterwards (DESIGN G3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran to its end.
    Succeeded(TaskResult),
    /// It ended without a result.
    Failed(Failure),
    /// It was cancelled.
    Cancelled,
    /// It gave way to other tasks of its partition.
    Replaced(Vec<Sequence>),
    /// Its attempts are used up and it is kept for a person to look at.
    DeadLettered(Failure),
}

impl Outcome {
    /// The status that goes with it.
    #[must_use]
    pub const fn status(&self) -> TaskStatus {
        match self {
            Self::Succeeded(_) => TaskStatus::Succeeded,
            Self::Failed(_) => TaskStatus::Failed,
            Self::Cancelled => TaskStatus::Cancelled,
            Self::Replaced(_) => TaskStatus::Replaced,
            Self::DeadLettered(_) => TaskStatus::DeadLettered,
        }
    }

    /// Bytes that count towards the limits of a partition.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Succeeded(result) => result.bytes(),
            Self::Failed(failure) | Self::DeadLettered(failure) => failure.bytes(),
            Self::Cancelled => 0,
            Self::Replaced(children) => children.len() * 8,
        }
    }
}

/// The result of a task that succeeded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskResult {
    /// What the handler returned, or the program's standard output.
    pub payload: Bytes,
    /// Its form, such as `application/json`.
    pub content_type: String,
    /// How the program ended, for a process task.
    pub process: Option<ProcessExit>,
}

impl TaskResult {
    fn bytes(&self) -> usize {
        self.payload.len()
            + self.content_type.len()
            + self.process.as_ref().map_or(0, ProcessExit::bytes)
    }
}

/// How a program ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessExit {
    /// Exit code, unless a signal ended it.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Process id it had.
    pub process_id: u32,
    /// Time from the decision to start to the running program.
    pub spawn: Millis,
    /// Time from the running program to its end.
    pub run: Millis,
    /// Standard output of a run that failed (of one that succeeded it is the result's payload).
    pub standard_output: Bytes,
    /// Standard error, head and tail.
    pub standard_error: Bytes,
    /// Whether standard output was longer than kept.
    pub output_truncated: bool,
    /// Whether standard error was longer than kept.
    pub error_truncated: bool,
    /// Whether the signal that ended it left a core dump.
    pub core_dumped: bool,
    /// Processor time that it and its descendants spent in their own code.
    pub cpu_user: Millis,
    /// Processor time that the system spent for them.
    pub cpu_system: Millis,
    /// Most memory that one of them had resident, in bytes.
    pub max_rss_bytes: u64,
    /// What kept hold of its descendants.
    pub containment: Containment,
    /// Descendants that were still alive when it ended.
    pub leftovers: u32,
    /// Whether a descendant could not be ended within [`crate::limits::REAP_MAX`].
    pub unreaped: bool,
}

impl ProcessExit {
    fn bytes(&self) -> usize {
        self.standard_output.len() + self.standard_error.len()
    }
}

/// Why a task, or one attempt of it, failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind; stable.
    pub kind: FailureKind,
    /// What happened, for a person; at most a few KiB.
    pub message: String,
    /// How the program ended, for a process task.
    pub process: Option<ProcessExit>,
}

impl Failure {
    /// A failure without a program behind it.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            process: None,
        }
    }

    fn bytes(&self) -> usize {
        self.message.len() + self.process.as_ref().map_or(0, ProcessExit::bytes)
    }
}

/// Kinds of failure; stable names, shown as in [`FailureKind::as_str`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// The handler returned an error.
    Handler,
    /// The handler panicked.
    Panic,
    /// No handler of that name is known here.
    UnknownHandler,
    /// The program ended with a code other than zero.
    NonzeroExit,
    /// A signal ended the program.
    Signal,
    /// The program could not be started.
    LaunchFailure,
    /// The executor's configuration does not allow this program.
    NotAllowed,
    /// A time limit ran out.
    TimedOut,
    /// It wrote more than allowed.
    OutputLimit,
    /// It used more memory than allowed.
    OutOfMemory,
    /// The worker's lease ran out.
    LeaseLost,
    /// A member died under it and it must not run twice.
    Interrupted,
    /// Too many members died under it.
    Poison,
    /// The software itself failed.
    Internal,
    /// It was told to end, by request.
    Cancelled,
    /// A kind that only a newer version knows, by its name: it is shown and passed on as it is.
    Other(KindName),
}

/// Name of a kind of failure that this version does not know: 1 to 32 bytes of text, kept in place so that kinds stay
/// cheap to copy. Only [`FailureKind::from_name`] makes one, so that no known kind ever hides in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KindName {
    length: u8,
    bytes: [u8; Self::BYTES_MAX],
}

impl KindName {
    /// Longest name of any kind, in bytes; every version keeps to it.
    pub const BYTES_MAX: usize = 32;

    fn new(name: &str) -> Option<Self> {
        let length = u8::try_from(name.len()).ok().filter(|length| *length > 0)?;
        let mut bytes = [0; Self::BYTES_MAX];
        bytes
            .get_mut(..name.len())?
            .copy_from_slice(name.as_bytes());
        Some(Self { length, bytes })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.length));
        std::str::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
    }
}

impl std::fmt::Debug for KindName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self.as_str(), formatter)
    }
}

impl FailureKind {
    /// All kinds that this version knows.
    pub const ALL: [Self; 15] = [
        Self::Handler,
        Self::Panic,
        Self::UnknownHandler,
        Self::NonzeroExit,
        Self::Signal,
        Self::LaunchFailure,
        Self::NotAllowed,
        Self::TimedOut,
        Self::OutputLimit,
        Self::OutOfMemory,
        Self::LeaseLost,
        Self::Interrupted,
        Self::Poison,
        Self::Internal,
        Self::Cancelled,
    ];

    /// The kind of a stable name, known or not; `None` for a text that is no name of any version: an empty one, or one of
    /// more than [`KindName::BYTES_MAX`] bytes.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == name);
        known.or_else(|| KindName::new(name).map(Self::Other))
    }

    /// The stable name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Handler => "handler",
            Self::Panic => "panic",
            Self::UnknownHandler => "unknown-handler",
            Self::NonzeroExit => "nonzero-exit",
            Self::Signal => "signal",
            Self::LaunchFailure => "launch-failure",
            Self::NotAllowed => "not-allowed",
            Self::TimedOut => "timeout",
            Self::OutputLimit => "output-limit",
            Self::OutOfMemory => "oom",
            Self::LeaseLost => "lease-lost",
            Self::Interrupted => "interrupted",
            Self::Poison => "poison",
            Self::Internal => "internal",
            Self::Cancelled => "cancelled",
            Self::Other(name) => name.as_str(),
        }
    }
}

impl std::fmt::Display for FailureKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// One run of a task, as kept in its history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// Which run.
    pub number: AttemptNumber,
    /// The term in which it was started or last adopted.
    pub term: Term,
    /// The member that ran it.
    pub member: MemberId,
    /// Ring time of its start.
    pub started: RingTime,
    /// Ring time of its end, if it ended.
    pub ended: Option<RingTime>,
    /// Why it did not succeed, if it ended so.
    pub failure: Option<FailureKind>,
    /// The worker that ran it, if it was one; then `member` is the one it was handed out by.
    pub worker: Option<Arc<WorkerRef>>,
    /// The slot that it took on its member.
    pub slot: Option<SlotNumber>,
    /// Process id of its program on its member.
    pub process_id: Option<u32>,
    /// Text of its failure, at most [`crate::limits::ATTEMPT_TEXT_BYTES_MAX`] bytes.
    pub message: Option<Box<str>>,
    /// The end of what its program wrote, at most [`crate::limits::ATTEMPT_TAIL_BYTES_MAX`] bytes.
    pub tail: Bytes,
}

impl Attempt {
    /// Bytes of variable length, which count towards the limits of a partition.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let worker = self.worker.as_ref().map_or(0, |worker| worker.name.len());
        worker + self.message.as_ref().map_or(0, |text| text.len()) + self.tail.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_own_name_and_fits_the_bound_of_names() {
        for kind in FailureKind::ALL {
            assert_eq!(FailureKind::from_name(kind.as_str()), Some(kind));
            assert!(kind.as_str().len() <= KindName::BYTES_MAX);
        }
    }

    #[test]
    fn a_kind_of_a_newer_version_keeps_its_name() {
        for name in ["gravity", "ü", &"x".repeat(KindName::BYTES_MAX)] {
            let kind = FailureKind::from_name(name).expect("a name");
            assert_eq!(kind.as_str(), name);
            assert_eq!(kind.to_string(), name);
        }
        assert_eq!(FailureKind::from_name(""), None);
        assert_eq!(FailureKind::from_name(&"x".repeat(33)), None);
    }
}
