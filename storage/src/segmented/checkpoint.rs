//! The index checkpoint: what a restart may skip. It is a hint; without it, or with a bad one, everything is read.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use ringhold_types::{
    ClusterId, ExecutorId, Incarnation, Lsn, MemberId, PartitionKey, PartitionNumber, ReplicaId,
};

use super::format::{Fields, RecordFault, checksum, push_varint};
use super::index::PartitionSummary;
use super::{BatchNumber, SegmentNumber};
use crate::StorageError;
use crate::file_system::{FileSystem, read_all};

const FILE_NAME: &str = "checkpoint";
const TEMPORARY_NAME: &str = "checkpoint.new";
const MAGIC: &[u8; 8] = b"rhlogck1";

/// What the log needed at the end of a segment, all of it synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) cluster: ClusterId,
    /// It describes everything up to the end of this segment; the next one was begun.
    pub(super) last_segment: SegmentNumber,
    /// The last batch of that segment.
    pub(super) synced: BatchNumber,
    /// Segments up to there that hold nothing needed although an older one does.
    pub(super) skip: BTreeSet<SegmentNumber>,
    /// Every partition that needs something, and from where on.
    pub(super) partitions: BTreeMap<PartitionKey, PartitionSummary>,
}

impl Checkpoint {
    /// Writes it so that a crash leaves the old one or the new one.
    ///
    /// # Errors
    /// As the file system's. A full disk leaves the old one.
    pub(super) fn write(
        &self,
        file_system: &dyn FileSystem,
        directory: &Path,
    ) -> Result<(), StorageError> {
        let temporary = directory.join(TEMPORARY_NAME);
        let failed = |source| StorageError::io("write", &temporary, source);
        let file = file_system.create(&temporary).map_err(failed)?;
        if let Err(error) = file.write_at(0, &self.encode()) {
            drop(file);
            file_system.remove(&temporary).map_err(failed)?;
            return Err(failed(error));
        }
        file.sync_data().map_err(failed)?;
        file_system
            .rename(&temporary, &directory.join(FILE_NAME))
            .map_err(failed)?;
        file_system.sync_directory(directory).map_err(failed)
    }

    /// Reads the one of a directory; `None` if there is none that is good and of this cluster.
    ///
    /// # Errors
    /// As the file system's.
    pub(super) fn read(
        file_system: &dyn FileSystem,
        directory: &Path,
        cluster: ClusterId,
    ) -> Result<Option<Self>, StorageError> {
        let path = directory.join(FILE_NAME);
        let read = file_system.open(&path).and_then(|file| read_all(&*file));
        match read {
            Ok(bytes) => Ok(Self::decode(&bytes).filter(|found| found.cluster == cluster)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StorageError::io("read", &path, error)),
        }
    }

    /// Removes the one of a directory, durably.
    ///
    /// # Errors
    /// As the file system's.
    pub(super) fn remove(
        file_system: &dyn FileSystem,
        directory: &Path,
    ) -> Result<(), StorageError> {
        let path = directory.join(FILE_NAME);
        match file_system.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StorageError::io("remove", &path, error));
            }
            _ => {}
        }
        file_system
            .sync_directory(directory)
            .map_err(|error| StorageError::io("flush", directory, error))
    }

    fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend_from_slice(&self.cluster.0.to_le_bytes());
        push_varint(&mut body, self.last_segment.0);
        push_varint(&mut body, self.synced.0);
        push_varint(&mut body, self.skip.len() as u64);
        for segment in &self.skip {
            push_varint(&mut body, segment.0);
        }
        push_varint(&mut body, self.partitions.len() as u64);
        for (key, summary) in &self.partitions {
            body.extend_from_slice(&summary.replica.member.0.to_le_bytes());
            for number in [
                u64::from(key.executor.0),
                u64::from(key.partition.0),
                summary.replica.incarnation.0,
                summary.commit.0,
                summary.oldest.0,
                // Segments count from 1.
                summary.cut_mark.map_or(0, |segment| segment.0),
            ] {
                push_varint(&mut body, number);
            }
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&checksum(SegmentNumber(0), 0, &body).to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (stored, mut body) = rest.split_at_checked(4)?;
        if stored != checksum(SegmentNumber(0), 0, body).to_le_bytes() {
            return None;
        }
        Self::decode_body(&mut Fields(&mut body)).ok()
    }

    fn decode_body(fields: &mut Fields<'_, '_>) -> Result<Self, RecordFault> {
        let cluster = u128::from(fields.u64()?) | u128::from(fields.u64()?) << 64;
        let last_segment = SegmentNumber(fields.varint()?);
        let synced = BatchNumber(fields.varint()?);
        let mut skip = BTreeSet::new();
        for _ in 0..fields.varint()? {
            skip.insert(SegmentNumber(fields.varint()?));
        }
        let mut partitions = BTreeMap::new();
        for _ in 0..fields.varint()? {
            let (key, summary) = Self::decode_partition(fields)?;
            partitions.insert(key, summary);
        }
        Ok(Self {
            cluster: ClusterId(cluster),
            last_segment,
            synced,
            skip,
            partitions,
        })
    }

    fn decode_partition(
        fields: &mut Fields<'_, '_>,
    ) -> Result<(PartitionKey, PartitionSummary), RecordFault> {
        let member = MemberId(fields.u64()?);
        let key = PartitionKey {
            executor: ExecutorId(fields.varint32()?),
            partition: PartitionNumber(fields.varint32()?),
        };
        let incarnation = Incarnation(fields.varint()?);
        let summary = PartitionSummary {
            replica: ReplicaId {
                member,
                incarnation,
            },
            commit: Lsn(fields.varint()?),
            oldest: SegmentNumber(fields.varint()?),
            cut_mark: Some(SegmentNumber(fields.varint()?)).filter(|segment| segment.0 != 0),
        };
        Ok((key, summary))
    }
}
