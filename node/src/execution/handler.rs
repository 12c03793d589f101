//! What user code implements to run tasks inside a member.

use std::future::Future;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::AttemptContext;

/// A task's input, as submitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandlerInput {
    /// The bytes.
    pub payload: Bytes,
    /// Their form, such as `application/json`.
    pub content_type: String,
}

/// A handler's result; at most `RESULT_BYTES_MAX` bytes, or the attempt fails with `output-limit`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandlerOutput {
    /// The bytes.
    pub payload: Bytes,
    /// Their form, such as `application/json`.
    pub content_type: String,
}

/// Why a handler failed. Made from any error by `?`, its sources joined into one line.
///
/// It is no [`std::error::Error`] itself, which is what lets every error become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerError {
    message: String,
}

impl HandlerError {
    /// A failure in words.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }

    /// What went wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl<E: std::error::Error> From<E> for HandlerError {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self { message }
    }
}

/// Runs tasks in the member's process, asynchronously.
///
/// The future is dropped when the attempt is aborted or its run limit ends. A panic fails this attempt only.
pub trait Handler: Send + Sync + 'static {
    /// Runs one attempt.
    fn run(
        &self,
        context: AttemptContext,
        input: HandlerInput,
    ) -> BoxFuture<'_, Result<HandlerOutput, HandlerError>>;
}

/// A [`Handler`] whose input and output are Rust types, in JSON or in another form that the task states: see
/// [`Coded`](super::Coded). Implement `run` as an `async fn`.
pub trait TypedHandler: Send + Sync + 'static {
    /// The name that tasks call it by.
    const NAME: &'static str;
    /// What a task carries.
    type Input: DeserializeOwned + Send;
    /// What an attempt returns.
    type Output: Serialize + Send;

    /// Runs one attempt.
    fn run(
        &self,
        context: AttemptContext,
        input: Self::Input,
    ) -> impl Future<Output = Result<Self::Output, HandlerError>> + Send;
}

/// A handler that blocks its thread; run on a thread of its own while it does.
pub(super) type BlockingHandler =
    dyn Fn(AttemptContext, HandlerInput) -> Result<HandlerOutput, HandlerError> + Send + Sync;
