//! Errors as they travel: a stable code, its gRPC code, and google.rpc details.

use std::collections::{BTreeMap, HashMap};

use ringhold_types::task::TaskSpecError;
use ringhold_types::{ErrorCode, MemberId, Millis, Term, limits};
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

/// Metadata of NOT_PRIMARY: the partition's term as the answering member knows it, a decimal number.
pub const TERM: &str = "term";

/// Metadata of a refused ForgetMember: partitions that would be lost, as `executor/number`, separated by commas; the
/// first few if they are many.
pub const WOULD_LOSE: &str = "would_lose";

/// Metadata of a refused ForgetMember: how many partitions would be lost, a decimal number.
pub const WOULD_LOSE_PARTITIONS: &str = "would_lose_partitions";

/// Metadata of DRAIN_TIMEOUT: partitions that the draining member still leads, a decimal number.
pub const LEFT_PRIMARIES: &str = "left_primaries";

/// Metadata of DRAIN_TIMEOUT: partitions of which the draining member still holds a required copy, a decimal number.
pub const LEFT_SEATS: &str = "left_seats";

/// Metadata of DRAIN_TIMEOUT: attempts that ran on the draining member and that nobody has taken back yet, a decimal number;
/// absent if that member did not say.
pub const LEFT_ATTEMPTS: &str = "left_attempts";

/// Metadata of DRAIN_TIMEOUT: attempts that still ran on the draining member and were handed back, a decimal number.
pub const HANDED_BACK: &str = "handed_back";

/// When to retry if nothing better is known: one heartbeat, in which a new primary can have been named.
pub const RETRY_AFTER_DEFAULT: Millis = limits::HEARTBEAT;

/// When to retry on a full disk: somebody has to make room first.
pub const RETRY_AFTER_DISK_FULL: Millis = Millis(5_000);

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
            retry_after: default_retry(code),
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

    /// The same error with the term that the answering member knows of.
    #[must_use]
    pub fn with_term(self, term: Term) -> Self {
        self.with_metadata(TERM, term.get().to_string())
    }

    /// The term that the answering member knows of, if the error names it.
    #[must_use]
    pub fn term(&self) -> Option<Term> {
        self.metadata.get(TERM)?.parse().ok().map(Term)
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
    /// connection's). A reason that only a newer version knows is taken for what its gRPC code says in general, and
    /// stands in the message.
    #[must_use]
    pub fn from_status(status: &Status) -> Option<Self> {
        let info = status.get_details_error_info()?;
        if info.domain != ERROR_DOMAIN {
            return None;
        }
        let retry = status.get_details_retry_info();
        let millis =
            |span: std::time::Duration| Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        let (code, message) = match ErrorCode::from_name(&info.reason) {
            Some(code) => (code, status.message().to_owned()),
            None => {
                let message = format!("{}: {}", info.reason, status.message());
                (general_code(status.code())?, message)
            }
        };
        Some(Self {
            code,
            message,
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
        | ErrorCode::ExecutorNotFound
        | ErrorCode::NotFound => Code::NotFound,
        ErrorCode::Fenced => Code::Aborted,
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
        ErrorCode::DeadlineExceeded | ErrorCode::DrainTimeout => Code::DeadlineExceeded,
        ErrorCode::NotAllowed => Code::PermissionDenied,
        ErrorCode::Internal => Code::Internal,
    }
}

/// When an error of this code says to retry if its maker did not say. NOT_PRIMARY does not: its hint is to be followed at
/// once.
#[must_use]
pub const fn default_retry(code: ErrorCode) -> Option<Millis> {
    match code {
        ErrorCode::ExecutorFull
        | ErrorCode::TooManyWaiters
        | ErrorCode::Unavailable
        | ErrorCode::NotReady
        | ErrorCode::NotEnoughCopies => Some(RETRY_AFTER_DEFAULT),
        ErrorCode::DiskFull => Some(RETRY_AFTER_DISK_FULL),
        _ => None,
    }
}

/// The code that claims no more than a gRPC code does: for reasons of newer versions. `None` for gRPC codes that tell
/// nothing of what the member did.
const fn general_code(code: Code) -> Option<ErrorCode> {
    match code {
        Code::Ok | Code::Cancelled => None,
        Code::InvalidArgument => Some(ErrorCode::InvalidArgument),
        Code::OutOfRange => Some(ErrorCode::TooLarge),
        Code::NotFound => Some(ErrorCode::NotFound),
        Code::AlreadyExists => Some(ErrorCode::AlreadyExists),
        Code::PermissionDenied | Code::Unauthenticated => Some(ErrorCode::NotAllowed),
        // Nothing is stored, and there may be room later: this code says just that.
        Code::ResourceExhausted => Some(ErrorCode::TooManyWaiters),
        Code::FailedPrecondition | Code::Unimplemented => Some(ErrorCode::FailedPrecondition),
        Code::Aborted => Some(ErrorCode::Fenced),
        Code::DeadlineExceeded => Some(ErrorCode::DeadlineExceeded),
        Code::Unavailable => Some(ErrorCode::Unavailable),
        Code::DataLoss => Some(ErrorCode::DataLoss),
        Code::Unknown => Some(ErrorCode::Indeterminate),
        Code::Internal => Some(ErrorCode::Internal),
    }
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
            TaskSpecError::NothingToRun
            | TaskSpecError::Labels
            | TaskSpecError::Metadata
            | TaskSpecError::Version
            | TaskSpecError::Setting { .. }
            | TaskSpecError::NulByte => ErrorCode::InvalidArgument,
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
    const TABLE: [(&str, Code, bool); 29] = [
        ("EXECUTOR_FULL", Code::ResourceExhausted, true),
        ("TOO_MANY_WAITERS", Code::ResourceExhausted, true),
        ("DISK_FULL", Code::ResourceExhausted, true),
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
        ("NOT_FOUND", Code::NotFound, false),
        ("FENCED", Code::Aborted, false),
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
        ("DRAIN_TIMEOUT", Code::DeadlineExceeded, false),
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
        assert_eq!((error.primary_address(), error.term()), (None, None));
        let error = error.with_term(Term(41));
        assert_eq!(error.term(), Some(Term(41)));
        let read = ApiError::from_status(&error.into_status()).expect("ours");
        assert_eq!(read.metadata["term"], "41");
    }

    #[test]
    fn a_reason_that_only_a_newer_version_knows_is_what_its_grpc_code_says() {
        let newer = |code| {
            let mut details = ErrorDetails::new();
            details.set_error_info("TOO_SHINY", ERROR_DOMAIN, HashMap::new());
            let status = Status::with_error_details(code, "not today", details);
            ApiError::from_status(&status)
        };
        for (grpc, code) in [
            (Code::NotFound, ErrorCode::NotFound),
            (Code::FailedPrecondition, ErrorCode::FailedPrecondition),
            (Code::Aborted, ErrorCode::Fenced),
            (Code::ResourceExhausted, ErrorCode::TooManyWaiters),
            (Code::PermissionDenied, ErrorCode::NotAllowed),
            (Code::Unknown, ErrorCode::Indeterminate),
        ] {
            let error = newer(grpc).expect("a member said so");
            assert_eq!(error.code, code, "{grpc:?}");
            assert_eq!(error.message, "TOO_SHINY: not today");
        }
        assert_eq!(newer(Code::Cancelled), None);
    }

    #[test]
    fn what_a_grpc_code_says_in_general_travels_under_that_grpc_code() {
        for number in 0..17 {
            let grpc = Code::from(number);
            let back = general_code(grpc).map(grpc_code);
            let same = [Code::OutOfRange, Code::Unauthenticated, Code::Unimplemented];
            if !same.contains(&grpc) && ![Code::Ok, Code::Cancelled].contains(&grpc) {
                assert_eq!(back, Some(grpc));
            }
        }
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
