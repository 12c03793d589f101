//! What can go wrong for a caller of the SDK. Each error has a stable [`ErrorCode`]; programs decide on that or on the
//! variant, never on the text.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use ringhold_proto::ApiError;
use ringhold_types::{ClusterId, ErrorCode, Failure, PartitionNumber, Sequence, TaskStatus};

use crate::codec::CodecError;

/// Why a client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No endpoint was given.
    #[error("a client needs at least one endpoint, such as 127.0.0.1:7400")]
    NoEndpoint,
    /// An endpoint is no `host:port`.
    #[error("the endpoint {text:?} is not of the form host:port")]
    Endpoint {
        /// The refused text.
        text: String,
    },
    /// No member answered in time.
    #[error("no member answered at {}: {last}", .endpoints.join(", "))]
    Unreachable {
        /// The endpoints that were tried.
        endpoints: Vec<String>,
        /// What the last try met.
        last: String,
    },
    /// The endpoints belong to another cluster than the one that was named.
    #[error("the endpoints belong to cluster {found}, not to {expected}")]
    WrongCluster {
        /// The cluster that was named.
        expected: ClusterId,
        /// The cluster that answered.
        found: ClusterId,
    },
}

impl BuildError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NoEndpoint | Self::Endpoint { .. } => ErrorCode::InvalidArgument,
            Self::Unreachable { .. } => ErrorCode::Unavailable,
            Self::WrongCluster { .. } => ErrorCode::WrongCluster,
        }
    }
}

/// Why a submit has no receipt.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The partition is full, or a member that holds it; nothing is stored.
    #[error("not stored, since there is no room: {message}")]
    Full {
        /// What the member said: what is full, and what to do.
        message: String,
        /// The partition, where it is known.
        partition: Option<PartitionNumber>,
        /// When there may be room.
        retry_after: Option<Duration>,
    },
    /// Too few copies are in sync to promise anything; nothing is stored.
    #[error("not stored, since too few copies are in sync: {message}")]
    NotEnoughCopies {
        /// The member's words.
        message: String,
    },
    /// The task is larger than allowed; nothing is stored.
    #[error("the task is too large: {message}")]
    TooLarge {
        /// The member's words, with size and limit.
        message: String,
    },
    /// The same idempotency key was used for another task; nothing is stored.
    #[error("this idempotency key was used for another task before")]
    AlreadyExists,
    /// No executor of that name, and none may be created by it.
    #[error("{message}")]
    ExecutorNotFound {
        /// The member's words, with the nearest name.
        message: String,
    },
    /// The members found belong to another cluster than the one that the caller named.
    #[error("another cluster answered: {message}")]
    WrongCluster {
        /// Both identities.
        message: String,
    },
    /// Whether the task is stored is not known: tries went unanswered, and the deadline has passed. A submit under the
    /// same idempotency key finds it.
    #[error(
        "it is not known whether the task is stored; submit again under the same idempotency key to find out"
    )]
    Indeterminate {
        /// The key.
        idempotency_key: Bytes,
        /// What the last try met.
        last: String,
    },
    /// No member could store it before the deadline; nothing is stored.
    #[error("no member could store the task in time: {message}")]
    Unavailable {
        /// What the last try met.
        message: String,
    },
    /// The input could not be written.
    #[error("the input cannot be written")]
    Codec(#[from] CodecError),
    /// Refused for another reason; nothing is stored.
    #[error("{message}")]
    Refused {
        /// The stable code.
        code: ErrorCode,
        /// The member's words.
        message: String,
    },
}

impl SubmitError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Full { .. } => ErrorCode::ExecutorFull,
            Self::NotEnoughCopies { .. } => ErrorCode::NotEnoughCopies,
            Self::TooLarge { .. } => ErrorCode::TooLarge,
            Self::AlreadyExists => ErrorCode::AlreadyExists,
            Self::ExecutorNotFound { .. } => ErrorCode::ExecutorNotFound,
            Self::WrongCluster { .. } => ErrorCode::WrongCluster,
            Self::Indeterminate { .. } => ErrorCode::Indeterminate,
            Self::Unavailable { .. } => ErrorCode::Unavailable,
            Self::Codec(_) => ErrorCode::InvalidArgument,
            Self::Refused { code, .. } => *code,
        }
    }
}

/// Why there is no outcome to give for an id. The first five are answers, the same from every member (DESIGN G9).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetrieveError {
    /// No task had this id yet.
    #[error("no task has this id")]
    NeverExisted,
    /// There was an outcome, and it is no longer kept.
    #[error("the outcome is no longer kept: {reason}")]
    Gone {
        /// Why.
        reason: GoneReason,
    },
    /// Every copy was lost.
    #[error("every copy of this task was lost: {message}")]
    DataLoss {
        /// The member's words.
        message: String,
    },
    /// The id belongs to another cluster.
    #[error("this id belongs to another cluster: {message}")]
    WrongCluster {
        /// Both identities.
        message: String,
    },
    /// There is no executor of that name.
    #[error("{message}")]
    ExecutorNotFound {
        /// The member's words.
        message: String,
    },
    /// The task has not ended yet; the deadline has passed, or the caller did not want to wait.
    #[error("the task has not ended yet, it is {status}")]
    NotYet {
        /// Where it is.
        status: TaskStatus,
    },
    /// No member could answer in time.
    #[error("no member could answer in time: {message}")]
    Unavailable {
        /// What the last try met.
        message: String,
    },
    /// Refused for another reason.
    #[error("{message}")]
    Refused {
        /// The stable code.
        code: ErrorCode,
        /// The member's words.
        message: String,
    },
}

/// Why an outcome is no longer kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoneReason {
    /// Somebody disposed it.
    Disposed,
    /// Newer tasks overwrote it.
    Overwritten,
    /// It was kept for as long as the executor says.
    Expired,
    /// The id is older than the history kept.
    Forgotten,
}

impl GoneReason {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Disposed => ErrorCode::Disposed,
            Self::Overwritten => ErrorCode::Overwritten,
            Self::Expired => ErrorCode::Expired,
            Self::Forgotten => ErrorCode::Gone,
        }
    }
}

impl std::fmt::Display for GoneReason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Disposed => "it was disposed",
            Self::Overwritten => "newer tasks overwrote it",
            Self::Expired => "it expired",
            Self::Forgotten => "it is older than the history kept",
        })
    }
}

impl RetrieveError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NeverExisted => ErrorCode::NeverExisted,
            Self::Gone { reason } => reason.code(),
            Self::DataLoss { .. } => ErrorCode::DataLoss,
            Self::WrongCluster { .. } => ErrorCode::WrongCluster,
            Self::ExecutorNotFound { .. } => ErrorCode::ExecutorNotFound,
            Self::NotYet { .. } => ErrorCode::DeadlineExceeded,
            Self::Unavailable { .. } => ErrorCode::Unavailable,
            Self::Refused { code, .. } => *code,
        }
    }

    /// Whether no waiting and no other member would give another answer.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::NeverExisted
                | Self::Gone { .. }
                | Self::DataLoss { .. }
                | Self::WrongCluster { .. }
        )
    }
}

/// Why a task has no result to give.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// It failed.
    #[error("the task failed: {}: {}", .0.kind, .0.message)]
    Failed(Box<Failure>),
    /// Its attempts are used up and it is kept for a person to look at.
    #[error("the task is a dead letter: {}: {}", .0.kind, .0.message)]
    DeadLettered(Box<Failure>),
    /// It was cancelled.
    #[error("the task was cancelled")]
    Cancelled,
    /// It gave way to other tasks of its partition.
    #[error("the task gave way to {} others", .0.len())]
    Replaced(Vec<Sequence>),
    /// There is no outcome to give.
    #[error("there is no outcome to give")]
    Retrieve(#[from] RetrieveError),
    /// The result is not what the caller expects.
    #[error("the result is not what was expected")]
    Codec(#[from] CodecError),
}

impl TaskError {
    /// The stable code, for errors that have one: how a task ended is not an error of Ringhold's.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Retrieve(error) => Some(error.code()),
            Self::Codec(_) => Some(ErrorCode::InvalidArgument),
            Self::Failed(_) | Self::DeadLettered(_) | Self::Cancelled | Self::Replaced(_) => None,
        }
    }
}

/// Why a request other than submit and retrieve was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RequestError {
    /// The stable code.
    pub code: ErrorCode,
    /// What happened, for a person.
    pub message: String,
    /// Facts for programs, by name, as the member gave them; see `ringhold.v1.Error`.
    pub metadata: BTreeMap<String, String>,
}

impl RequestError {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            metadata: BTreeMap::new(),
        }
    }
}

impl From<ApiError> for RequestError {
    fn from(error: ApiError) -> Self {
        Self {
            code: error.code,
            message: error.message,
            metadata: error.metadata,
        }
    }
}
