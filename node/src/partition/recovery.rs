//! Turns what the log found on disk into replicas for the machine.

use ringhold_proto::stored;
use ringhold_replica::RecoveredReplica;
use ringhold_ringbuffer::{Ring, SnapshotError};
use ringhold_storage::StoredReplica;
use ringhold_types::{Lsn, PartitionKey, Term};

/// A record whose bytes were intact and still make no sense: written by another version, or a bug. The replica must not
/// serve; its store counts as doubtful.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// A payload that does not decode.
    #[error("a stored record of partition {partition} does not decode")]
    Decode {
        /// The partition.
        partition: PartitionKey,
        /// What is wrong with it.
        #[source]
        source: ringhold_proto::ConversionError,
    },
    /// Parts that do not make a ring.
    #[error("the stored ring of partition {partition} is not whole")]
    Ring {
        /// The partition.
        partition: PartitionKey,
        /// What is wrong with it.
        #[source]
        source: SnapshotError,
    },
}

/// Rebuilds one replica.
///
/// # Errors
/// [`RecoveryError`] when a stored payload cannot be understood.
pub fn recover(found: StoredReplica) -> Result<RecoveredReplica, RecoveryError> {
    let partition = found.partition;
    let decode = |source| RecoveryError::Decode { partition, source };
    let (ring, ring_lsn, ring_term) = match found.state {
        Some(state) => {
            let parts: Result<Vec<_>, _> = state
                .parts
                .iter()
                .map(|part| stored::decode_part(part))
                .collect();
            let ring = Ring::restore(parts.map_err(decode)?)
                .map_err(|source| RecoveryError::Ring { partition, source })?;
            (Some(ring), state.lsn, state.term)
        }
        None => (None, Lsn::ZERO, Term::ZERO),
    };
    let entries: Result<Vec<_>, _> = found
        .entries
        .iter()
        .map(|record| stored::decode_entry(&record.payload))
        .collect();
    Ok(RecoveredReplica {
        partition,
        replica: found.replica,
        ring,
        ring_lsn,
        ring_term,
        entries: entries.map_err(decode)?,
        commit: found.commit,
        cut_mark: found.cut_mark,
    })
}
