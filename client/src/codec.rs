//! How inputs and results of typed tasks are written: JSON, or a form of the caller's own.

use bytes::Bytes;
use ringhold_types::TaskResult;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Form of the inputs and results of typed tasks unless another [`Codec`] is named: readable from every language.
pub const JSON: &str = "application/json";

/// What a codec says went wrong.
pub type CodecCause = Box<dyn std::error::Error + Send + Sync>;

/// A form in which the inputs of typed tasks are written and their results read. The handler has to speak it too: it gets
/// the bytes and [`Codec::CONTENT_TYPE`], and states the form of its result in the same way.
///
/// ```
/// use ringhold_client::{Codec, CodecCause};
///
/// /// JSON for people.
/// struct PrettyJson;
///
/// impl Codec for PrettyJson {
///     const CONTENT_TYPE: &'static str = "application/json";
///
///     fn encode<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, CodecCause> {
///         Ok(serde_json::to_vec_pretty(value)?)
///     }
///
///     fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecCause> {
///         Ok(serde_json::from_slice(bytes)?)
///     }
/// }
/// ```
pub trait Codec: 'static {
    /// The form, as a media type. A result of another form is refused, not guessed at.
    const CONTENT_TYPE: &'static str;

    /// Writes an input.
    ///
    /// # Errors
    /// What cannot be written.
    fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecCause>;

    /// Reads a result.
    ///
    /// # Errors
    /// What cannot be read.
    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecCause>;
}

/// The codec of typed tasks unless another one is named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json;

impl Codec for Json {
    const CONTENT_TYPE: &'static str = JSON;

    fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecCause> {
        Ok(serde_json::to_vec(value)?)
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecCause> {
        Ok(serde_json::from_slice(bytes)?)
    }
}

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
