//! Errors as they travel: a stable code, its gRPC code, and google.rpc details.

use std::collections::{BTreeMap, HashMap};

use ringhold_types::task::TaskSpecError;
use ringhold_types::{ErrorCode, MemberId, Millis, limits};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::convert::{ConversionError, duration_from_millis, millis_from_duration};
use crate::v1;

/// The `domain` of every ErrorInfo of Ringhold.
pub const ERROR_DOMAIN: &str = "ringhold";

/// Metadata of NOT_PRIMARY: identity of the member that leads, as [`MemberId`] prints it.
pub const PRIMARY_ID: &str = "primary_id";

/// Metadata of NOT_PRIMARY: where clients reach the member that leads, `host:port`.
pub const PRIMARY_ADDRESS: &str = "primary_address";

/// When to retry if nothing better is known: one heartbeat, in which a new primary can have been named.
pub const RETRY_AFTER_DEFAULT: Millis = limits::HEARTBEAT;

/// An error as a caller sees it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// What programs decide on.
    pub code: ErrorCode,
    /// What happened, for a person.
    pub message: String,
    /// When the same request may succeed.
    pub retry_after: Option<Millis>,
    /// Facts for programs.
    pub metadata: BTreeMap<String, String>,
}

impl ApiError {
    /// An error with the retry time that its code has by default.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after: carries_retry(code).then_some(RETRY_AFTER_DEFAULT),
            metadata: BTreeMap::new(),
        }
    }

    /// The same error with another retry time.
    #[must_use]
    pub fn with_retry_after(mut self, span: Millis) -> Self {
        self.retry_after = Some(span);
        self
    }

    /// The same error with one more fact.
    #[must_use]
    pub fn with_metadata(mut self, name: &str, value: impl Into<String>) -> Self {
        self.metadata.insert(name.to_owned(), value.into());
        self
    }

    /// The same error with a hint at the member that leads, and where clients reach it if that is known.
    #[must_use]
    pub fn with_primary(self, member: MemberId, address: Option<&str>) -> Self {
        let hinted = self.with_metadata(PRIMARY_ID, member.to_string());
        match address {
            Some(address) => hinted.with_metadata(PRIMARY_ADDRESS, address),
            None => hinted,
        }
    }

    /// The member that leads, if the error names it.
    #[must_use]
    pub fn primary(&self) -> Option<MemberId> {
        let text = self.metadata.get(PRIMARY_ID)?;
        u64::from_str_radix(text, 16).ok().map(MemberId)
    }

    /// Where clients reach the member that leads, if the error names it.
    #[must_use]
    pub fn primary_address(&self) -> Option<&str> {
        self.metadata.get(PRIMARY_ADDRESS).map(String::as_str)
    }

    /// The error as gRPC carries it: the code of [`grpc_code`], ErrorInfo, and RetryInfo if there is a retry time.
    #[must_use]
    pub fn into_status(self) -> Status {
        let metadata: HashMap<_, _> = self.metadata.into_iter().collect();
        let mut details = ErrorDetails::new();
        details.set_error_info(self.code.as_str(), ERROR_DOMAIN, metadata);
        if let Some(span) = self.retry_after {
            details.set_retry_info(Some(std::time::Duration::from_millis(span.0)));
        }
        Status::with_error_details(grpc_code(self.code), self.message, details)
    }

    /// Reads what [`ApiError::into_status`] wrote. `None` for a status that is not Ringhold's (a proxy's, a broken
    /// connection's) or whose reason this version does not know.
    #[must_use]
    pub fn from_status(status: &Status) -> Option<Self> {
        let info = status.get_details_error_info()?;
        if info.domain != ERROR_DOMAIN {
            return None;
        }
        let retry = status.get_details_retry_info();
        let millis =
            |span: std::time::Duration| Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        Some(Self {
            code: ErrorCode::from_name(&info.reason)?,
            message: status.message().to_owned(),
            retry_after: retry.and_then(|info| info.retry_delay).map(millis),
            metadata: info.metadata.into_iter().collect(),
        })
    }
}

/// The gRPC code that goes with a stable code.
#[must_use]
pub const fn grpc_code(code: ErrorCode) -> Code {
    match code {
        ErrorCode::ExecutorFull | ErrorCode::TooManyWaiters | ErrorCode::DiskFull => {
            Code::ResourceExhausted
        }
        ErrorCode::NotPrimary
        | ErrorCode::Unavailable
        | ErrorCode::NotEnoughCopies
        | ErrorCode::NotReady => Code::Unavailable,
        ErrorCode::NeverExisted
        | ErrorCode::Disposed
        | ErrorCode::Overwritten
        | ErrorCode::Expired
        | ErrorCode::Gone
        | ErrorCode::ExecutorNotFound => Code::NotFound,
        ErrorCode::DataLoss => Code::DataLoss,
        ErrorCode::WrongCluster
        | ErrorCode::FailedPrecondition
        | ErrorCode::DataDirectory
        | ErrorCode::AddressInUse => Code::FailedPrecondition,
        ErrorCode::Indeterminate => Code::Unknown,
        ErrorCode::AlreadyExists => Code::AlreadyExists,
        ErrorCode::TooLarge | ErrorCode::InvalidArgument | ErrorCode::InvalidConfiguration => {
            Code::InvalidArgument
        }
        ErrorCode::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorCode::NotAllowed => Code::PermissionDenied,
        ErrorCode::Internal => Code::Internal,
    }
}

/// Whether an error of this code tells when to retry even if its maker did not say. NOT_PRIMARY does not: its hint is to
/// be followed at once.
#[must_use]
pub const fn carries_retry(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::ExecutorFull
            | ErrorCode::TooManyWaiters
            | ErrorCode::Unavailable
            | ErrorCode::NotReady
            | ErrorCode::NotEnoughCopies
    )
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        error.into_status()
    }
}

impl From<ConversionError> for ApiError {
    /// A request that does not hold what it must.
    fn from(error: ConversionError) -> Self {
        let message = match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        Self::new(ErrorCode::InvalidArgument, message)
    }
}

impl From<TaskSpecError> for ApiError {
    fn from(error: TaskSpecError) -> Self {
        let code = match error {
            TaskSpecError::TooLarge { .. } => ErrorCode::TooLarge,
            TaskSpecError::NothingToRun | TaskSpecError::Labels | TaskSpecError::NulByte => {
                ErrorCode::InvalidArgument
            }
        };
        Self::new(code, error.to_string())
    }
}

impl From<&ApiError> for v1::Error {
    fn from(error: &ApiError) -> Self {
        Self {
            code: error.code.as_str().to_owned(),
            message: error.message.clone(),
            retry_after: error.retry_after.map(duration_from_millis),
            metadata: error.metadata.clone(),
        }
    }
}

impl TryFrom<v1::Error> for ApiError {
    type Error = ConversionError;

    fn try_from(message: v1::Error) -> Result<Self, Self::Error> {
        let Some(code) = ErrorCode::from_name(&message.code) else {
            return Err(ConversionError::UnknownName {
                field: "error.code",
                name: message.code,
            });
        };
        let retry_after = message.retry_after.as_ref();
        Ok(Self {
            code,
            message: message.message,
            retry_after: retry_after
                .map(|span| millis_from_duration("error.retry_after", span))
                .transpose()?,
            metadata: message.metadata,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The promised codes: name, gRPC code, whether RetryInfo is always there.
    const TABLE: [(&str, Code, bool); 26] = [
        ("EXECUTOR_FULL", Code::ResourceExhausted, true),
        ("TOO_MANY_WAITERS", Code::ResourceExhausted, true),
        ("DISK_FULL", Code::ResourceExhausted, false),
        ("NOT_PRIMARY", Code::Unavailable, false),
        ("UNAVAILABLE", Code::Unavailable, true),
        ("NOT_READY", Code::Unavailable, true),
        ("NOT_ENOUGH_COPIES", Code::Unavailable, true),
        ("NEVER_EXISTED", Code::NotFound, false),
        ("DISPOSED", Code::NotFound, false),
        ("OVERWRITTEN", Code::NotFound, false),
        ("EXPIRED", Code::NotFound, false),
        ("GONE", Code::NotFound, false),
        ("EXECUTOR_NOT_FOUND", Code::NotFound, false),
        ("DATA_LOSS", Code::DataLoss, false),
        ("WRONG_CLUSTER", Code::FailedPrecondition, false),
        ("FAILED_PRECONDITION", Code::FailedPrecondition, false),
        ("DATA_DIRECTORY", Code::FailedPrecondition, false),
        ("ADDRESS_IN_USE", Code::FailedPrecondition, false),
        ("INDETERMINATE", Code::Unknown, false),
        ("ALREADY_EXISTS", Code::AlreadyExists, false),
        ("TOO_LARGE", Code::InvalidArgument, false),
        ("INVALID_ARGUMENT", Code::InvalidArgument, false),
        ("INVALID_CONFIGURATION", Code::InvalidArgument, false),
        ("DEADLINE_EXCEEDED", Code::DeadlineExceeded, false),
        ("NOT_ALLOWED", Code::PermissionDenied, false),
        ("INTERNAL", Code::Internal, false),
    ];

    #[test]
    fn every_code_travels_with_its_grpc_code_reason_domain_and_retry_time() {
        for (name, grpc, retries) in TABLE {
            let code = ErrorCode::from_name(name).expect("the table names codes");
            let status = ApiError::new(code, "text").into_status();
            let info = status.get_details_error_info().expect("always there");
            assert_eq!(status.code(), grpc, "{name}");
            assert_eq!(
                (info.reason.as_str(), info.domain.as_str()),
                (name, "ringhold")
            );
            assert_eq!(status.get_details_retry_info().is_some(), retries, "{name}");
        }
        assert_eq!(TABLE.len(), ErrorCode::ALL.len());
    }

    #[test]
    fn an_error_comes_back_from_its_status_and_from_its_message() {
        for code in ErrorCode::ALL {
            let error = ApiError::new(code, "what happened")
                .with_retry_after(Millis(1_234))
                .with_primary(MemberId(0xabc), Some("host:7400"))
                .with_metadata("term", "7");
            let message = v1::Error::from(&error);
            let status = error.clone().into_status();
            assert_eq!(ApiError::from_status(&status), Some(error.clone()));
            assert_eq!(ApiError::try_from(message), Ok(error));
        }
    }

    #[test]
    fn a_hint_at_the_primary_is_read_back() {
        let error = ApiError::new(ErrorCode::NotPrimary, "").with_primary(MemberId(0xabc), None);
        assert_eq!(error.primary(), Some(MemberId(0xabc)));
        assert_eq!(error.primary_address(), None);
    }

    #[test]
    fn a_status_of_somebody_else_is_not_taken_for_ours() {
        assert_eq!(ApiError::from_status(&Status::unavailable("proxy")), None);
        let mut details = ErrorDetails::new();
        details.set_error_info("EXECUTOR_FULL", "other", HashMap::new());
        let other = Status::with_error_details(Code::ResourceExhausted, "", details);
        assert_eq!(ApiError::from_status(&other), None);
    }

    #[test]
    fn a_refused_request_says_what_is_wrong_with_which_field() {
        let key = ringhold_types::IdempotencyKey::new("").expect_err("empty");
        let error = ApiError::from(ConversionError::Key {
            field: "task.idempotency_key",
            source: key,
        });
        assert_eq!(error.code, ErrorCode::InvalidArgument);
        assert!(error.message.contains("task.idempotency_key"));
        assert!(error.message.contains("1 to 512 bytes"));
    }
}
