//! Why a call between control planes came to nothing, in our own words: gRPC's stay in this folder.

use ringhold_proto::ConversionError;
use tonic::{Code, Status};

/// Why a call between control planes came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No connection to the other member: it did not take the request.
    #[error("{0}")]
    NotConnected(String),
    /// Refused at the door: meant for another member or another cluster.
    #[error("{0}")]
    Refused(String),
    /// Refused at the door: the request cannot be understood.
    #[error("{0}")]
    Malformed(String),
    /// The other member does not answer such calls now, or the connection broke: the request may have been taken.
    #[error("{0}")]
    Unavailable(String),
    /// Anything else: the request may have been taken.
    #[error("{0}")]
    Failed(String),
}

impl CallError {
    /// Whether the other side certainly did not take the request.
    pub(crate) const fn was_not_taken(&self) -> bool {
        matches!(
            self,
            Self::NotConnected(_) | Self::Refused(_) | Self::Malformed(_)
        )
    }

    /// Whether the member cannot be reached, or is another one by now: asking again at once is no use.
    pub(crate) const fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::NotConnected(_) | Self::Refused(_) | Self::Unavailable(_)
        )
    }
}

impl From<ConversionError> for CallError {
    fn from(error: ConversionError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        let (is_connected, reason) = read(&status);
        match status.code() {
            _ if !is_connected => Self::NotConnected(reason),
            Code::FailedPrecondition => Self::Refused(reason),
            Code::InvalidArgument => Self::Malformed(reason),
            Code::Unavailable | Code::Unimplemented => Self::Unavailable(reason),
            _ => Self::Failed(reason),
        }
    }
}

impl From<CallError> for Status {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotConnected(reason) | CallError::Unavailable(reason) => {
                Self::unavailable(reason)
            }
            CallError::Refused(reason) => Self::failed_precondition(reason),
            CallError::Malformed(reason) => Self::invalid_argument(reason),
            CallError::Failed(reason) => Self::internal(reason),
        }
    }
}

/// Whether there was a connection, and the innermost reason: "connection refused" rather than "transport error".
fn read(status: &Status) -> (bool, String) {
    let mut is_connected = true;
    let mut reason = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        is_connected &= !error.is::<tonic::ConnectError>();
        reason = error.to_string();
        source = error.source();
    }
    if reason.is_empty() {
        // Servers often say no more than the code, above all of a call that they do not have.
        reason = match status.code() {
            Code::Unimplemented => {
                "the other side does not have this call: it is a member of another version, starts or stops, or is no member"
                    .to_owned()
            }
            code => code.description().to_owned(),
        };
    }
    (is_connected, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_came_to_nothing_always_has_a_reason() {
        let unknown = CallError::from(Status::unimplemented(""));
        assert!(matches!(unknown, CallError::Unavailable(_)), "{unknown:?}");
        assert!(unknown.to_string().contains("does not have this call"));
        let silent = CallError::from(Status::unavailable(""));
        assert_eq!(silent.to_string(), Code::Unavailable.description());
        let told = CallError::from(Status::unimplemented("not here"));
        assert_eq!(told.to_string(), "not here");
    }
}
