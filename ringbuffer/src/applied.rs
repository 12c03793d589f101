//! What applying an operation did.

use std::sync::Arc;

use ringhold_types::{AttemptNumber, Outcome, Sequence, Term};

use crate::{Absence, LostRange};

/// What applying an operation did: all that a primary needs to answer, wake and start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Nothing that concerns anybody who waits.
    Nothing,
    /// A term began.
    TermStarted {
        /// The sequences that were lost with every copy, if a new generation began.
        lost: Option<LostRange>,
    },
    /// A task is stored.
    Accepted {
        /// The task.
        sequence: Sequence,
    },
    /// An attempt runs.
    Started {
        /// The task.
        sequence: Sequence,
        /// The attempt.
        attempt: AttemptNumber,
    },
    /// An attempt of an older term goes on under this one.
    Adopted {
        /// The task.
        sequence: Sequence,
        /// The attempt.
        attempt: AttemptNumber,
    },
    /// The task waits for its next attempt.
    Waiting {
        /// The task.
        sequence: Sequence,
    },
    /// The task ended: this is its one outcome.
    Ended {
        /// The task.
        sequence: Sequence,
        /// How.
        outcome: Arc<Outcome>,
        /// Whether the entry disposed itself.
        disposed: bool,
    },
    /// Outcomes are gone.
    Removed {
        /// Which and why; at least one.
        sequences: Vec<(Sequence, Absence)>,
    },
    /// The operation did not apply; nothing but ring time changed.
    Refused {
        /// The task it was for.
        sequence: Sequence,
        /// Why.
        why: Refusal,
    },
}

/// Why an operation did not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Refusal {
    /// The task is not in the ring.
    #[error("the task is not in the ring")]
    Absent(#[source] Absence),
    /// The task has its outcome already (PROTOCOL I12).
    #[error("the task has ended already")]
    AlreadyEnded,
    /// Only outcomes can be disposed; cancel the task first.
    #[error("the task has not ended yet")]
    Unfinished,
    /// No attempt runs: the task waits for its next one.
    #[error("no attempt of the task runs")]
    NotRunning,
    /// The newest attempt is another one.
    #[error("the newest attempt is {newest}")]
    OtherAttempt {
        /// The attempt that runs.
        newest: AttemptNumber,
    },
    /// The attempt runs under another term: it was adopted, or started by another primary.
    #[error("the attempt runs under term {current}")]
    OtherTerm {
        /// The term under which it runs.
        current: Term,
    },
    /// A start whose number is not the one after the newest attempt's.
    #[error("the next attempt is {expected}")]
    NotNextAttempt {
        /// The number it must have.
        expected: AttemptNumber,
    },
    /// An accept whose sequence is not the ring's next; only a broken primary appends one.
    #[error("the next sequence is {next}")]
    NotNextSequence {
        /// The ring's next sequence.
        next: Sequence,
    },
    /// The sequence space of the generation is used up; it never wraps (DESIGN G5).
    #[error("the sequences of this generation are used up")]
    SequencesExhausted,
    /// A checkpoint larger than [`ringhold_types::limits::CHECKPOINT_BYTES_MAX`].
    #[error("the checkpoint is too large")]
    CheckpointTooLarge,
}
