//! Conversions of what members say to each other and store.
//!
//! What this version does not know is an error, never nothing and never something else (PROTOCOL §6, versions).

mod adoption;
mod change;
mod command;
mod entry;
mod executor_state;
mod log_entry;
mod message;
mod prepare;
mod response;
mod ring;
mod snapshot;
mod task_spec;

use ringhold_types::{
    ExecutorId, Incarnation, MemberId, PartitionKey, PartitionNumber, ReplicaId, Sequence,
};

use super::ConversionError;
use crate::internal as wire;

impl From<ReplicaId> for wire::ReplicaId {
    fn from(replica: ReplicaId) -> Self {
        Self {
            member: replica.member.0,
            incarnation: replica.incarnation.get(),
        }
    }
}

impl From<wire::ReplicaId> for ReplicaId {
    fn from(message: wire::ReplicaId) -> Self {
        Self {
            member: MemberId(message.member),
            incarnation: Incarnation(message.incarnation),
        }
    }
}

impl From<PartitionKey> for wire::PartitionKey {
    fn from(key: PartitionKey) -> Self {
        Self {
            executor: key.executor.0,
            partition: key.partition.0,
        }
    }
}

impl From<wire::PartitionKey> for PartitionKey {
    fn from(message: wire::PartitionKey) -> Self {
        Self {
            executor: ExecutorId(message.executor),
            partition: PartitionNumber(message.partition),
        }
    }
}

/// A replica that must be named.
fn replica(
    field: &'static str,
    message: Option<wire::ReplicaId>,
) -> Result<ReplicaId, ConversionError> {
    super::required(field, message).map(Into::into)
}

/// A partition that must be named.
fn partition(
    field: &'static str,
    message: Option<wire::PartitionKey>,
) -> Result<PartitionKey, ConversionError> {
    super::required(field, message).map(Into::into)
}

fn bits_of(sequences: &[Sequence]) -> Vec<u64> {
    sequences.iter().map(|sequence| sequence.bits()).collect()
}

fn sequences_of(bits: Vec<u64>) -> Vec<Sequence> {
    bits.into_iter().map(Sequence::from_bits).collect()
}

/// Decodes each message of a list.
fn all<M, T: TryFrom<M>>(messages: Vec<M>) -> Result<Vec<T>, T::Error> {
    messages.into_iter().map(T::try_from).collect()
}
