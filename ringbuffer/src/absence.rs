//! Why an id has no entry (DESIGN G9).

use ringhold_types::ErrorCode;

/// Why a sequence has no entry in the ring. Each is a different answer to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Absence {
    /// No task has had this sequence yet. Exact: the sequence is at or above the ring's next one.
    #[error("no task had this id yet")]
    NeverExisted,
    /// The outcome was disposed, by request or by the task's own wish.
    #[error("the outcome was disposed")]
    Disposed,
    /// The outcome made room for newer tasks.
    #[error("the outcome was overwritten by newer tasks")]
    Overwritten,
    /// The outcome outlived `result-ttl`.
    #[error("the outcome expired")]
    Expired,
    /// The reason is older than the history kept.
    #[error("the id is older than the history kept")]
    Gone,
    /// Every copy was lost.
    #[error("every copy was lost")]
    DataLoss,
}

impl Absence {
    /// The stable code that the caller gets.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::NeverExisted => ErrorCode::NeverExisted,
            Self::Disposed => ErrorCode::Disposed,
            Self::Overwritten => ErrorCode::Overwritten,
            Self::Expired => ErrorCode::Expired,
            Self::Gone => ErrorCode::Gone,
            Self::DataLoss => ErrorCode::DataLoss,
        }
    }
}
