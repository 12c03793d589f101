//! Ringhold's messages: `.proto` files, the code generated from them, and conversions to and from the words of
//! [`ringhold_types`].
//!
//! [`v1`] is the public API. With feature `internal` there is also what members say to each other and what they store; an SDK
//! does not need it.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod code;
pub mod convert;
#[cfg(feature = "internal")]
pub mod stored;
#[cfg(feature = "internal")]
pub mod stored_raft;
pub mod task_id;

pub use code::ApiError;
pub use convert::{ConversionError, StatedReceipt, SubmittedTask};
pub use task_id::StatedTaskId;

/// Generated code, nested as the packages are, since the packages refer to each other by relative paths.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::cast_lossless)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/generated.rs"));
}

/// A span as messages carry it.
pub use prost_types::Duration as WireDuration;
/// A wall-clock time as messages carry it.
pub use prost_types::Timestamp as WireTimestamp;

pub use generated::ringhold::v1;

/// Bytes that a message takes on the wire.
#[must_use]
pub fn encoded_length(message: &impl prost::Message) -> usize {
    message.encoded_len()
}

/// Messages between members and records in their stores: package `ringhold.internal.v1`. Never promised to others.
#[cfg(feature = "internal")]
pub use generated::ringhold::internal::v1 as internal;

/// Descriptors of the public package and what it imports, encoded, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/ringhold_descriptor.bin"));
