//! The payloads of stored records. Golden files of each form are in `proto/vectors/stored.json`.
//!
//! Decoding never takes what it does not know for something else: a log that holds an unknown operation stops its replica.

use bytes::Bytes;
use prost::Message;
use ringhold_control::{ClusterSnapshot, Command};
use ringhold_ringbuffer::{LogEntry, RingPart};

use crate::convert::ConversionError;
use crate::internal as wire;

/// A log entry as stored.
#[must_use]
pub fn encode_entry(entry: &LogEntry) -> Bytes {
    encode(&wire::LogEntry::from(entry))
}

/// Reads what [`encode_entry`] wrote.
///
/// # Errors
/// [`ConversionError`] for bytes that are no entry, or hold an operation that this version does not know.
pub fn decode_entry(bytes: &[u8]) -> Result<LogEntry, ConversionError> {
    wire::LogEntry::decode(bytes)?.try_into()
}

/// A part of a ring as stored.
#[must_use]
pub fn encode_part(part: &RingPart) -> Bytes {
    encode(&wire::RingPart::from(part))
}

/// Reads what [`encode_part`] wrote.
///
/// # Errors
/// [`ConversionError`] for bytes that are no part of a ring, or of a kind that this version does not know.
pub fn decode_part(bytes: &[u8]) -> Result<RingPart, ConversionError> {
    wire::RingPart::decode(bytes)?.try_into()
}

/// A command of the control plane as stored.
#[must_use]
pub fn encode_command(command: &Command) -> Bytes {
    encode(&wire::Command::from(command))
}

/// Reads what [`encode_command`] wrote.
///
/// # Errors
/// [`ConversionError`] for bytes that are no command, or one that this version does not know.
pub fn decode_command(bytes: &[u8]) -> Result<Command, ConversionError> {
    wire::Command::decode(bytes)?.try_into()
}

/// The cluster state as stored.
#[must_use]
pub fn encode_cluster(snapshot: &ClusterSnapshot) -> Bytes {
    encode(&wire::ClusterSnapshot::from(snapshot))
}

/// Reads what [`encode_cluster`] wrote.
///
/// # Errors
/// [`ConversionError`] for bytes that are no cluster state.
pub fn decode_cluster(bytes: &[u8]) -> Result<ClusterSnapshot, ConversionError> {
    wire::ClusterSnapshot::decode(bytes)?.try_into()
}

fn encode(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}
