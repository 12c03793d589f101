//! How one try ended that brought no answer: refused by a member, or unanswered.

use std::time::Duration;

use ringhold_proto::{ApiError, v1};
use ringhold_types::ErrorCode;

use crate::error::{GoneReason, RequestError, RetrieveError};

/// A try that brought no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Miss {
    /// A member said no.
    Refused(ApiError),
    /// The connection broke, or no answer came in time: what was asked may have been done.
    Unanswered(String),
}

impl Miss {
    /// The stable code of a member's no.
    pub(crate) fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            Self::Unanswered(_) => None,
        }
    }

    /// What happened, for a person.
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Refused(refusal) => &refusal.message,
            Self::Unanswered(message) => message,
        }
    }

    /// When the member says that it may work.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal
                .retry_after
                .map(|span| Duration::from_millis(span.0)),
            Self::Unanswered(_) => None,
        }
    }

    /// Where the primary is, as the member thinks.
    pub(crate) fn primary_address(&self) -> Option<String> {
        match self {
            Self::Refused(refusal) => refusal.primary_address().map(str::to_owned),
            Self::Unanswered(_) => None,
        }
    }

    /// Whether the same request may succeed if it is made again.
    pub(crate) fn is_worth_another_try(&self) -> bool {
        let Some(code) = self.code() else {
            return true;
        };
        code.is_retryable()
            || matches!(code, ErrorCode::Indeterminate | ErrorCode::DeadlineExceeded)
    }

    /// Whether what met this may be done all the same. All but these may be said of an operation that was appended and
    /// whose commit was not seen (PROTOCOL §2, "a submit caught by a shrink").
    pub(crate) fn may_be_done(&self) -> bool {
        !matches!(
            self.code(),
            Some(
                ErrorCode::ExecutorFull
                    | ErrorCode::DiskFull
                    | ErrorCode::TooManyWaiters
                    | ErrorCode::NotEnoughCopies
                    | ErrorCode::TooLarge
                    | ErrorCode::InvalidArgument
                    | ErrorCode::ExecutorNotFound
                    | ErrorCode::InvalidConfiguration
                    | ErrorCode::NotAllowed
                    | ErrorCode::NotReady
                    | ErrorCode::WrongCluster
                    | ErrorCode::AlreadyExists
                    | ErrorCode::NotFound
                    | ErrorCode::Fenced
            )
        )
    }

    /// Whether this refusal is about the task itself, so that it is the answer to earlier tries of the same submit too.
    /// A disk that is full now may have had room for an earlier one.
    pub(crate) fn settles(&self) -> bool {
        let is_about_now = self.code() == Some(ErrorCode::DiskFull);
        !self.is_worth_another_try() && !self.may_be_done() && !is_about_now
    }

    /// Says which member it was, where the message does not.
    pub(crate) fn at(self, address: &str) -> Self {
        match self {
            Self::Unanswered(message) if !message.contains(address) => {
                Self::Unanswered(format!("{address}: {message}"))
            }
            other => other,
        }
    }
}

impl From<tonic::Status> for Miss {
    /// A status with Ringhold's ErrorInfo is a member's answer; one without was made on the way, by a connection that
    /// broke or by a proxy, and mostly says nothing about what the member did.
    fn from(status: tonic::Status) -> Self {
        if let Some(refusal) = ApiError::from_status(&status) {
            return Self::Refused(refusal);
        }
        let refused = |code| Self::Refused(ApiError::new(code, reason(&status)));
        match status.code() {
            tonic::Code::Unimplemented => refused(ErrorCode::FailedPrecondition),
            tonic::Code::InvalidArgument => refused(ErrorCode::InvalidArgument),
            tonic::Code::OutOfRange => refused(ErrorCode::TooLarge),
            tonic::Code::PermissionDenied | tonic::Code::Unauthenticated => {
                refused(ErrorCode::NotAllowed)
            }
            _ => Self::Unanswered(with_causes(&status)),
        }
    }
}

/// Why a call was refused by somebody who does not say so in Ringhold's way; servers often leave out the text for a method
/// that they do not have.
fn reason(status: &tonic::Status) -> String {
    match (status.message(), status.code()) {
        ("", tonic::Code::Unimplemented) => {
            "the server at this address does not have this call: the member is of another \
             version, or the address is that of something else"
                .to_owned()
        }
        ("", code) => format!("refused without a reason ({})", code.description()),
        (message, _) => message.to_owned(),
    }
}

/// A status with its causes: tonic says "transport error" and hides the reason in the source.
fn with_causes(status: &tonic::Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = error.source();
    }
    text
}

impl From<v1::Error> for Miss {
    fn from(error: v1::Error) -> Self {
        let message = error.message.clone();
        let unknown = |_| ApiError::new(ErrorCode::Internal, message);
        Self::Refused(ApiError::try_from(error).unwrap_or_else(unknown))
    }
}

impl From<Miss> for RetrieveError {
    fn from(miss: Miss) -> Self {
        let refusal = match miss {
            Miss::Unanswered(message) => return Self::Unavailable { message },
            Miss::Refused(refusal) => refusal,
        };
        let message = refusal.message;
        let gone = |reason| Self::Gone { reason };
        match refusal.code {
            ErrorCode::NeverExisted => Self::NeverExisted,
            ErrorCode::Disposed => gone(GoneReason::Disposed),
            ErrorCode::Overwritten => gone(GoneReason::Overwritten),
            ErrorCode::Expired => gone(GoneReason::Expired),
            ErrorCode::Gone => gone(GoneReason::Forgotten),
            ErrorCode::DataLoss => Self::DataLoss { message },
            ErrorCode::WrongCluster => Self::WrongCluster { message },
            ErrorCode::ExecutorNotFound => Self::ExecutorNotFound { message },
            code if code.is_retryable() => Self::Unavailable { message },
            code => Self::Refused { code, message },
        }
    }
}

impl From<Miss> for RequestError {
    fn from(miss: Miss) -> Self {
        match miss {
            Miss::Unanswered(message) => Self::new(ErrorCode::Unavailable, message),
            Miss::Refused(refusal) => refusal.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use ringhold_proto::code::ERROR_DOMAIN;
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    fn newer(code: tonic::Code) -> Miss {
        let mut details = ErrorDetails::new();
        details.set_error_info("TOO_SHINY", ERROR_DOMAIN, HashMap::new());
        tonic::Status::with_error_details(code, "not today", details).into()
    }

    #[test]
    fn a_clear_refusal_for_an_unknown_reason_is_a_refusal_and_nothing_is_stored() {
        for code in [
            tonic::Code::NotFound,
            tonic::Code::Aborted,
            tonic::Code::ResourceExhausted,
            tonic::Code::PermissionDenied,
        ] {
            let miss = newer(code);
            assert!(matches!(miss, Miss::Refused(_)), "{code:?}");
            assert!(!miss.may_be_done(), "{code:?}");
        }
        assert!(newer(tonic::Code::Unavailable).may_be_done());
        assert!(matches!(newer(tonic::Code::Cancelled), Miss::Unanswered(_)));
    }

    #[test]
    fn a_refusal_without_a_text_of_its_own_has_a_reason_all_the_same() {
        for (status, reason) in [
            (tonic::Status::unimplemented(""), "does not have this call"),
            (tonic::Status::permission_denied(""), "without a reason"),
            (tonic::Status::unimplemented("not here"), "not here"),
        ] {
            let error = RequestError::from(Miss::from(status));
            assert!(error.to_string().contains(reason), "{error}");
        }
    }

    #[test]
    fn a_refused_request_keeps_its_facts() {
        let refusal = ApiError::new(ErrorCode::FailedPrecondition, "it may be running");
        let refusal = refusal.with_metadata("would_lose", "reports/7");
        let error = RequestError::from(Miss::Refused(refusal));
        assert_eq!(error.metadata["would_lose"], "reports/7");
    }
}
