//! How inputs and results of typed tasks are written: JSON, or a form of the caller's own.

use bytes::Bytes;
use ringhold_types::TaskResult;
pub use ringhold_types::{Codec, CodecCause, JSON, Json};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// An input that could not be written, or a result that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The input cannot be written.
    #[error("the input cannot be written as {content_type}")]
    Encode {
        /// The form.
        content_type: &'static str,
        /// What the codec found.
        #[source]
        source: CodecCause,
    },
    /// The result is not what the caller expects.
    #[error("the result cannot be read as {expected}")]
    Decode {
        /// The type that was expected.
        expected: &'static str,
        /// What the codec found.
        #[source]
        source: CodecCause,
    },
    /// The result has another form than the codec's.
    #[error("the result is {found:?}, not {expected}")]
    ContentType {
        /// The form that the result states.
        found: String,
        /// The codec's.
        expected: &'static str,
    },
}

/// Writes an input.
pub(crate) fn encode<T: Serialize, C: Codec>(input: &T) -> Result<Bytes, CodecError> {
    let bytes = C::encode(input).map_err(|source| CodecError::Encode {
        content_type: C::CONTENT_TYPE,
        source,
    })?;
    Ok(bytes.into())
}

/// Reads a result of the codec's form.
pub(crate) fn decode<T: DeserializeOwned, C: Codec>(result: &TaskResult) -> Result<T, CodecError> {
    if result.content_type != C::CONTENT_TYPE {
        return Err(CodecError::ContentType {
            found: result.content_type.clone(),
            expected: C::CONTENT_TYPE,
        });
    }
    C::decode(&result.payload).map_err(|source| CodecError::Decode {
        expected: std::any::type_name::<T>(),
        source,
    })
}

/// Reads a JSON result.
///
/// # Errors
/// [`CodecError::Decode`] or [`CodecError::ContentType`] when it is not what was expected.
pub fn read_json<T: DeserializeOwned>(result: &TaskResult) -> Result<T, CodecError> {
    decode::<T, Json>(result)
}
