//! Stable error codes: the `reason` of gRPC's ErrorInfo, the code in the CLI's and the log's messages.

/// What went wrong, as a program sees it. Names never change; texts may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorCode {
    /// The partition is full.
    ExecutorFull,
    /// This member is not the partition's primary; the hint names it.
    NotPrimary,
    /// No primary can answer now; try again.
    Unavailable,
    /// Fewer copies than `min-copies` are in sync.
    NotEnoughCopies,
    /// Whether the submit was stored is not known, and it had no idempotency key to ask with.
    Indeterminate,
    /// No task had this id yet.
    NeverExisted,
    /// The outcome was disposed.
    Disposed,
    /// The outcome was overwritten by newer tasks.
    Overwritten,
    /// The outcome expired.
    Expired,
    /// The id is older than the history kept.
    Gone,
    /// Every copy was lost.
    DataLoss,
    /// The id, receipt or request belongs to another cluster.
    WrongCluster,
    /// No executor of that name, and none may be created by it.
    ExecutorNotFound,
    /// What was named, such as a member, does not exist.
    NotFound,
    /// The same idempotency key was used for another task.
    AlreadyExists,
    /// The task is larger than allowed.
    TooLarge,
    /// The request is malformed.
    InvalidArgument,
    /// The caller's deadline ran out while waiting.
    DeadlineExceeded,
    /// A drain is not over within the time that its operator gave it; it goes on.
    DrainTimeout,
    /// The task cannot be changed any more, or not yet.
    FailedPrecondition,
    /// It was decided under a term, version or lease that is not the newest any more.
    Fenced,
    /// Too many requests wait here already.
    TooManyWaiters,
    /// The data directory belongs to another member, cluster or version.
    DataDirectory,
    /// An address is in use.
    AddressInUse,
    /// The disk is full.
    DiskFull,
    /// The configuration is not acceptable.
    InvalidConfiguration,
    /// The member cannot join, or is not ready.
    NotReady,
    /// This member has no permission for what was asked.
    NotAllowed,
    /// The software itself failed.
    Internal,
}

impl ErrorCode {
    /// Whether it says for good that an id has no task or outcome any more, and why.
    #[must_use]
    pub const fn is_absence(self) -> bool {
        matches!(
            self,
            Self::NeverExisted
                | Self::Disposed
                | Self::Overwritten
                | Self::Expired
                | Self::Gone
                | Self::DataLoss
        )
    }

    /// All codes.
    pub const ALL: [Self; 29] = [
        Self::ExecutorFull,
        Self::NotPrimary,
        Self::Unavailable,
        Self::NotEnoughCopies,
        Self::Indeterminate,
        Self::NeverExisted,
        Self::Disposed,
        Self::Overwritten,
        Self::Expired,
        Self::Gone,
        Self::DataLoss,
        Self::WrongCluster,
        Self::ExecutorNotFound,
        Self::NotFound,
        Self::AlreadyExists,
        Self::TooLarge,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::DrainTimeout,
        Self::FailedPrecondition,
        Self::Fenced,
        Self::TooManyWaiters,
        Self::DataDirectory,
        Self::AddressInUse,
        Self::DiskFull,
        Self::InvalidConfiguration,
        Self::NotReady,
        Self::NotAllowed,
        Self::Internal,
    ];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ExecutorFull => "EXECUTOR_FULL",
            Self::NotPrimary => "NOT_PRIMARY",
            Self::Unavailable => "UNAVAILABLE",
            Self::NotEnoughCopies => "NOT_ENOUGH_COPIES",
            Self::Indeterminate => "INDETERMINATE",
            Self::NeverExisted => "NEVER_EXISTED",
            Self::Disposed => "DISPOSED",
            Self::Overwritten => "OVERWRITTEN",
            Self::Expired => "EXPIRED",
            Self::Gone => "GONE",
            Self::DataLoss => "DATA_LOSS",
            Self::WrongCluster => "WRONG_CLUSTER",
            Self::ExecutorNotFound => "EXECUTOR_NOT_FOUND",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::TooLarge => "TOO_LARGE",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::DrainTimeout => "DRAIN_TIMEOUT",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Fenced => "FENCED",
            Self::TooManyWaiters => "TOO_MANY_WAITERS",
            Self::DataDirectory => "DATA_DIRECTORY",
            Self::AddressInUse => "ADDRESS_IN_USE",
            Self::DiskFull => "DISK_FULL",
            Self::InvalidConfiguration => "INVALID_CONFIGURATION",
            Self::NotReady => "NOT_READY",
            Self::NotAllowed => "NOT_ALLOWED",
            Self::Internal => "INTERNAL",
        }
    }

    /// The code of a stable name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }

    /// Whether the same request may succeed later, unchanged, with the same idempotency key.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::ExecutorFull
                | Self::NotPrimary
                | Self::Unavailable
                | Self::NotEnoughCopies
                | Self::TooManyWaiters
                | Self::NotReady
        )
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_by_its_own_name_only() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_name(code.as_str()), Some(code));
        }
    }
}
