//! The operations of a partition's log: the only way a ring changes.

use std::sync::Arc;

use bytes::Bytes;
use ringhold_types::{
    AttemptNumber, ExecutorConfig, Failure, Generation, Lsn, MemberId, Millis, ReplicaId,
    RequestId, RingTime, Sequence, TaskResult, TaskSpec, Term, UnixMillis, WhenFull,
};

/// One entry of a partition's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The reign in which it was appended.
    pub term: Term,
    /// Its position; the first is 1.
    pub lsn: Lsn,
    /// Ring time from this entry on (PROTOCOL I16); never lower than the entry before.
    pub time: RingTime,
    /// What it does.
    pub op: Op,
}

/// What an entry does. `(attempt_term, attempt)` of an operation on a running task must name its newest attempt, else
/// apply refuses it (DESIGN G3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// First entry of every term (I8). A higher generation than the ring's records the loss of what the ring does not hold.
    TermStart {
        /// Who leads.
        primary: ReplicaId,
        /// The partition's life it leads in.
        generation: Generation,
    },
    /// The limits that apply uses from here on (I13).
    Configure(RingLimits),
    /// Stores a task under the next sequence. Never refused by apply: admission happened before (PROTOCOL §4).
    Accept {
        /// Must be the ring's next sequence.
        sequence: Sequence,
        /// The task.
        task: Arc<TaskSpec>,
        /// Wall clock of the primary, for people only.
        accepted_at: UnixMillis,
    },
    /// An attempt begins. Over a running attempt it means that the earlier one's member died: a crash is counted.
    Start {
        /// The task.
        sequence: Sequence,
        /// Must be the number of attempts so far plus one.
        attempt: AttemptNumber,
        /// Who runs it.
        member: MemberId,
    },
    /// A running attempt of an older term goes on under this entry's term (PROTOCOL §3).
    Adopt {
        /// The task.
        sequence: Sequence,
        /// The term of the token that the executing member holds.
        attempt_term: Term,
        /// The attempt.
        attempt: AttemptNumber,
        /// Who runs it.
        member: MemberId,
    },
    /// Bytes handed to the next attempt.
    Checkpoint {
        /// The task.
        sequence: Sequence,
        /// The term of the attempt's token.
        attempt_term: Term,
        /// The attempt.
        attempt: AttemptNumber,
        /// At most [`ringhold_types::limits::CHECKPOINT_BYTES_MAX`].
        bytes: Bytes,
    },
    /// The newest attempt succeeded.
    Complete {
        /// The task.
        sequence: Sequence,
        /// The term of the attempt's token.
        attempt_term: Term,
        /// The attempt.
        attempt: AttemptNumber,
        /// The result.
        result: Arc<TaskResult>,
    },
    /// The task ends with a failure: of its newest attempt, or of itself (`attempt` absent: poison, wait limit, …).
    Fail {
        /// The task.
        sequence: Sequence,
        /// The token's term and number; absent when no attempt reported this.
        attempt: Option<(Term, AttemptNumber)>,
        /// Why.
        failure: Arc<Failure>,
        /// Whether the outcome is DeadLettered instead of Failed.
        dead_letter: bool,
    },
    /// The newest attempt failed; the next one may start at `due`.
    RetryAt {
        /// The task.
        sequence: Sequence,
        /// The term of the attempt's token.
        attempt_term: Term,
        /// The attempt that failed.
        attempt: AttemptNumber,
        /// Why.
        failure: Arc<Failure>,
        /// Ring time of the next attempt.
        due: RingTime,
    },
    /// The task ends as cancelled, whatever it was doing.
    Cancel {
        /// The task.
        sequence: Sequence,
    },
    /// A running attempt was given back unfinished; counts neither as failure nor as crash.
    HandBack {
        /// The task.
        sequence: Sequence,
        /// The term of the attempt's token.
        attempt_term: Term,
        /// The attempt.
        attempt: AttemptNumber,
    },
    /// These outcomes reached their callers (PROTOCOL §4); only such may a full ring overwrite.
    MarkRetrieved {
        /// The tasks.
        sequences: Vec<Sequence>,
    },
    /// The outcome goes, for everybody at once. With a request id it is kept aside for `dispose-grace`.
    Dispose {
        /// The task.
        sequence: Sequence,
        /// The destructive read that asked for it.
        request: Option<RequestId>,
    },
    /// These outcomes make room.
    Evict {
        /// The tasks, ended ones only.
        sequences: Vec<Sequence>,
    },
    /// These outcomes outlived `result-ttl`.
    Expire {
        /// The tasks, ended ones only.
        sequences: Vec<Sequence>,
    },
    /// Idempotency keys of entries removed before a ring time are forgotten, and with them the outcomes whose
    /// `dispose-grace` is over at the ring time of this very entry.
    ForgetKeys {
        /// Entries removed before this ring time lose their keys.
        removed_before: RingTime,
    },
    /// The primary gives the partition to `to` (PROTOCOL §3, planned hand-over): last entry it appends in its term.
    HandOver {
        /// The next primary.
        to: ReplicaId,
        /// Attempts that go on running here as the next primary's: sequence, term and attempt.
        running: Vec<(Sequence, Term, AttemptNumber)>,
    },
}

/// The values of an executor's configuration that apply uses; they enter the log as [`Op::Configure`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingLimits {
    /// Undisposed entries admitted; `u64::MAX` for no limit by count.
    pub capacity: u64,
    /// What happens when full.
    pub when_full: WhenFull,
    /// Bytes of live entries admitted.
    pub bytes: u64,
    /// How long an outcome is kept.
    pub result_ttl: Millis,
    /// How long a key outlives its entry.
    pub dedup_window: Millis,
    /// Keys of removed entries kept at most.
    pub dedup_keys: u64,
    /// Ended sequences whose reason is kept.
    pub history: u64,
    /// Deaths of members under a task after which it is poison.
    pub crash_limit: u32,
}

impl RingLimits {
    /// The ring's part of an executor's configuration.
    #[must_use]
    pub fn of(config: &ExecutorConfig) -> Self {
        Self {
            capacity: config.effective_capacity(),
            when_full: config.when_full,
            bytes: ringhold_types::limits::PARTITION_BYTES_MAX,
            result_ttl: config.result_ttl,
            dedup_window: config.dedup_window,
            dedup_keys: config.dedup_keys(),
            history: config.history(),
            crash_limit: config.crash_limit,
        }
    }
}
