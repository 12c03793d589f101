//! Conversions between messages and the words of [`ringhold_types`]: one file per family of messages.
//!
//! Encoding cannot fail. Decoding is total: whatever does not fit is a [`ConversionError`] that names the field.

mod executor;
#[cfg(feature = "internal")]
mod internal;
mod origin;
mod outcome;
mod process;
mod receipt;
mod retry;
mod scalar;
mod task;

pub use receipt::StatedReceipt;
pub use scalar::{
    cluster_bytes, cluster_from_bytes, duration_from_millis, millis_from_duration, stated_cluster,
    timestamp_from_unix, unix_from_timestamp,
};
pub use task::{SubmittedTask, status_from_number};

pub(crate) use scalar::{optional_millis, owned, required, value_of};

use ringhold_types::IdParseError;
use ringhold_types::key::KeyLengthError;

/// A message that does not hold what it must.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConversionError {
    /// A field that must be there is absent, or names something that this version does not know.
    #[error("{field} is missing, or of a kind that this version does not know")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// An operation, record, message or command is of none of the kinds that this version knows. A log that holds one stops
    /// its replica (PROTOCOL §6, versions).
    #[error("this version does not know that kind of {what}")]
    UnknownOperation {
        /// What it was to be.
        what: &'static str,
    },
    /// A number that stands for no known value.
    #[error("{field} holds {number}, which stands for nothing known")]
    UnknownValue {
        /// The field.
        field: &'static str,
        /// The number.
        number: i32,
    },
    /// A name that stands for no known value.
    #[error("{field} holds {name:?}, which stands for nothing known")]
    UnknownName {
        /// The field.
        field: &'static str,
        /// The name.
        name: String,
    },
    /// A number outside its range, or a time that cannot be.
    #[error("{field} is outside its range")]
    OutOfRange {
        /// The field.
        field: &'static str,
    },
    /// Bytes of another length than the field must have.
    #[error("{field} has {length} bytes, not {expected}")]
    Length {
        /// The field.
        field: &'static str,
        /// Bytes it has.
        length: usize,
        /// Bytes it must have.
        expected: usize,
    },
    /// Two fields that say the same thing and do not agree.
    #[error("{first} and {second} do not agree")]
    Contradiction {
        /// One field.
        first: &'static str,
        /// The other field.
        second: &'static str,
    },
    /// Something that must stand once in a list and stands there again.
    #[error("{field} names something twice")]
    Repeated {
        /// The list.
        field: &'static str,
    },
    /// A key that is empty or too long.
    #[error("{field} is not acceptable")]
    Key {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: KeyLengthError,
    },
    /// An executor name or task id of the wrong form.
    #[error(transparent)]
    Id(#[from] IdParseError),
    /// Bytes that are no message.
    #[error("the bytes are not a whole message")]
    Decode(#[from] prost::DecodeError),
}
