//! What is recorded: every operation of every client with its begin and end, and every run of a task.

use ringhold_types::ErrorCode;

/// Values from here on stand for outcomes that no run produced: cancelled, poison, timed out, … Values below are runs'.
pub const NOT_FROM_A_RUN: u64 = 1 << 63;

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// True time in nanoseconds: all processes of a run share one clock. An invocation is stamped before its first byte is
    /// sent, an end after its last byte is read.
    pub at: u64,
    /// The client.
    pub process: u64,
    /// Names the operation, over all clients; begin and end have the same.
    pub operation: u64,
    /// What happened.
    pub kind: Kind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A client begins an operation.
    Invoke(Action),
    /// It was answered.
    Ok(Sighting),
    /// It was refused, and had no effect.
    Fail(ErrorCode),
    /// It was not answered: it may take effect at any later time.
    Unknown,
    /// A task ran (written by the task itself, outside of the cluster).
    Ran(Run),
    /// A partition lost copies beyond what durability covers, and that took effect: its new generation committed for the first
    /// time, so that nobody answers from the old one any more (written by who watches the cluster).
    Lost(Loss),
}

/// A recorded loss. What was true of the partition's older tasks may differ before and after it (DESIGN G5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The partition, as ids begin: `executor/partition`.
    pub partition: String,
    /// The generation that began with it.
    pub generation: u64,
}

/// One run of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The task.
    pub id: String,
    /// Term of its token.
    pub term: u64,
    /// Attempt of its token.
    pub attempt: u64,
    /// The value that this run ends with; no other run has it. Below [`NOT_FROM_A_RUN`].
    pub value: u64,
}

/// What a client asks. Ids read `executor/partition/sequence`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Store a task.
    Submit {
        /// Its idempotency key.
        key: String,
        /// A hash of what it is.
        payload: u64,
    },
    /// Read its outcome.
    Retrieve {
        /// The task.
        id: String,
    },
    /// Read it as it is.
    Get {
        /// The task.
        id: String,
    },
    /// Read its outcome and remove it.
    Take {
        /// The task.
        id: String,
    },
    /// Remove its outcome.
    Dispose {
        /// The task.
        id: String,
    },
    /// End it.
    Cancel {
        /// The task.
        id: String,
    },
    /// Something else that no checker judges.
    Other,
}

impl Action {
    /// The task it is about, if that has an id yet.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Retrieve { id }
            | Self::Get { id }
            | Self::Take { id }
            | Self::Dispose { id }
            | Self::Cancel { id } => Some(id),
            Self::Submit { .. } | Self::Other => None,
        }
    }
}

/// What a client saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// A task is stored.
    Stored {
        /// Its id.
        id: String,
        /// The term of the receipt.
        term: u64,
        /// Whether an earlier submit had stored it.
        reused: bool,
    },
    /// It has not ended.
    Pending,
    /// Its outcome.
    Outcome {
        /// A number that stands for it: equal outcomes have equal ones.
        value: u64,
    },
    /// It is not there.
    Absent {
        /// Why.
        code: ErrorCode,
    },
    /// Done.
    Done,
}
