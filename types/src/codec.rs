//! How inputs and results of typed tasks are written: JSON, or a form of the caller's own.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Form of the inputs and results of typed tasks unless another [`Codec`] is named: readable from every language.
pub const JSON: &str = "application/json";

/// What a codec says went wrong.
pub type CodecCause = Box<dyn std::error::Error + Send + Sync>;

/// A form in which the inputs and results of typed tasks are written and read, by callers and by handlers alike: a handler
/// gets an input with its [`Codec::CONTENT_TYPE`], and states the form of its result in the same way.
///
/// ```
/// use ringhold_types::{Codec, CodecCause};
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

    /// Writes an input or a result.
    ///
    /// # Errors
    /// What cannot be written.
    fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecCause>;

    /// Reads an input or a result.
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
