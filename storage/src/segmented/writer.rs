//! Appending: check everything, plan the batches, make sure of the room, only then write.

use std::collections::BTreeMap;
use std::ops::Range;

use ringhold_types::{Lsn, PartitionKey};

use super::checkpoint::Checkpoint;
use super::format::{
    ALIGNMENT, BATCH_HEADER_BYTES, BatchFlags, BatchHeader, Origin, PAGE_BYTES, encode_batch,
    encode_record,
};
use super::progress::Progress;
use super::{BatchNumber, SegmentNumber, SegmentedLog};
use crate::{LogRecord, RecordKind, StorageError};

/// Capacity above which a buffer is given back after use: one large append must not be paid for ever.
const BUFFER_BYTES_KEPT: usize = 4 * 1024 * 1024;

/// Memory used again by each append.
#[derive(Default)]
pub(super) struct Buffers {
    records: Vec<u8>,
    batch: Vec<u8>,
}

/// The batches of one append. The first goes to the current segment, unless it has no room for any of it; each of the
/// others begins a segment.
pub(super) struct Plan {
    records: Vec<EncodedRecord>,
    batches: Vec<PlannedBatch>,
}

struct EncodedRecord {
    bytes: Range<usize>,
    marked: bool,
}

struct PlannedBatch {
    records: Range<usize>,
    /// Bytes in the segment, header included.
    bytes: u64,
    begins_segment: bool,
}

/// What is known of a partition in the middle of an append.
#[derive(Clone, Copy)]
struct Draft {
    progress: Option<Progress>,
    commit: Lsn,
    marked: bool,
}

impl SegmentedLog {
    /// Checks and encodes records and lays them out in batches. Nothing is taken yet.
    pub(super) fn plan(&mut self, records: &[LogRecord]) -> Result<Plan, StorageError> {
        let mut drafts: BTreeMap<PartitionKey, Draft> = BTreeMap::new();
        let mut encoded = Vec::with_capacity(records.len());
        self.buffers.records.clear();
        self.buffers.records.shrink_to(BUFFER_BYTES_KEPT);
        for record in records {
            let draft = drafts
                .entry(record.partition)
                .or_insert_with(|| self.draft(record.partition));
            draft.take(record)?;
            let is_state = record.kind == RecordKind::State;
            let commit = if is_state {
                draft.commit
            } else {
                record.commit
            };
            let marked = is_state && draft.marked;
            let start = self.buffers.records.len();
            encode_record(record, commit, marked, &mut self.buffers.records);
            encoded.push(EncodedRecord {
                bytes: start..self.buffers.records.len(),
                marked,
            });
        }
        let batches = self.lay_out(&encoded)?;
        Ok(Plan {
            records: encoded,
            batches,
        })
    }

    /// Makes sure of the room for a plan.
    pub(super) fn reserve(&mut self, plan: &Plan) -> Result<(), StorageError> {
        let bytes_of = |begins_segment: bool| {
            plan.batches
                .iter()
                .filter(move |batch| batch.begins_segment == begins_segment)
                .map(|batch| batch.bytes)
        };
        let following: Vec<u64> = bytes_of(true).collect();
        let reserved = self.files.reserve(bytes_of(false).sum(), &following);
        match reserved {
            Err(StorageError::DiskFull { path }) => Err(StorageError::DiskFull { path }),
            other => self.or_poison(other),
        }
    }

    /// Writes a plan and notes it in the index.
    pub(super) fn write_plan(
        &mut self,
        records: &[LogRecord],
        plan: &Plan,
    ) -> Result<(), StorageError> {
        let flags = BatchFlags {
            cut_here: false,
            unlisted_cut: self.unlisted_cut,
        };
        for batch in &plan.batches {
            if batch.begins_segment {
                self.next_segment()?;
            }
            let encoded = &plan.records[batch.records.clone()];
            let bytes = encoded.first().map_or(0, |record| record.bytes.start)
                ..encoded.last().map_or(0, |record| record.bytes.end);
            self.write_batch(flags, encoded.len(), bytes)?;
            let segment = self.files.current_number();
            for (record, encoded) in records[batch.records.clone()].iter().zip(encoded) {
                let bytes = encoded.bytes.len() as u64;
                self.index.apply(record, encoded.marked, segment, bytes);
            }
        }
        self.statistics.records += records.len() as u64;
        self.files.keep_pace()
    }

    /// Writes a batch without records, for its flags.
    pub(super) fn write_flags(&mut self, flags: BatchFlags) -> Result<(), StorageError> {
        let bytes = BATCH_HEADER_BYTES as u64;
        if self.files.room() < bytes {
            self.files.reserve(0, &[bytes])?;
            self.next_segment()?;
        } else {
            self.files.reserve(bytes, &[])?;
        }
        self.write_batch(flags, 0, 0..0)
    }

    /// Flushes what was appended, and frees the segments that a synced batch says nobody needs.
    pub(super) fn flush(&mut self) -> Result<(), StorageError> {
        let last = BatchNumber(self.next_batch.0 - 1);
        if self.synced == last {
            return Ok(());
        }
        self.files.sync()?;
        self.statistics.syncs += 1;
        self.synced = last;
        let current = self.files.current_number();
        self.oldest = self.index.oldest().unwrap_or(current).max(self.oldest);
        self.files.release_before(self.oldest_stated)
    }

    fn draft(&self, partition: PartitionKey) -> Draft {
        let known = self.index.get(partition);
        Draft {
            progress: known.map(|known| known.progress),
            commit: known.map_or(Lsn::ZERO, |known| known.commit),
            marked: known.is_some_and(|known| known.cut_mark.is_some()),
        }
    }

    fn lay_out(&self, encoded: &[EncodedRecord]) -> Result<Vec<PlannedBatch>, StorageError> {
        let whole = self.files.options.segment_bytes - PAGE_BYTES;
        let mut batches: Vec<PlannedBatch> = Vec::new();
        let mut room = self.files.room();
        let mut body = 0;
        for (place, record) in encoded.iter().enumerate() {
            let bytes = record.bytes.len();
            if batch_bytes(bytes) > whole {
                return Err(StorageError::RecordTooLarge {
                    bytes: bytes as u64,
                    limit: whole - (BATCH_HEADER_BYTES + ALIGNMENT) as u64,
                });
            }
            let fits = batch_bytes(body + bytes) <= room;
            match batches.last_mut() {
                Some(batch) if fits => {
                    body += bytes;
                    batch.records.end = place + 1;
                    batch.bytes = batch_bytes(body);
                }
                _ => {
                    body = bytes;
                    if !fits {
                        room = whole;
                    }
                    batches.push(PlannedBatch {
                        records: place..place + 1,
                        bytes: batch_bytes(body),
                        begins_segment: !fits,
                    });
                }
            }
        }
        Ok(batches)
    }

    /// Flushes the current segment, begins the next one, and writes what a restart may skip. The checkpoint comes last, so
    /// that it also proves that the next segment exists.
    fn next_segment(&mut self) -> Result<(), StorageError> {
        self.flush()?;
        let checkpoint = self.checkpoint();
        self.begin_segment(checkpoint.last_segment.next(), Origin::Continued)?;
        match checkpoint.write(&*self.files.file_system, &self.files.directory) {
            // A hint that finds no room is left out.
            Err(StorageError::DiskFull { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What the log needs now, at the synced end of the current segment.
    fn checkpoint(&self) -> Checkpoint {
        let current = self.files.current_number();
        let oldest = self.index.oldest().unwrap_or(current.next());
        let needed = self.index.needed_segments();
        let dead = |number: &SegmentNumber| *number >= oldest && !needed.contains(number);
        Checkpoint {
            cluster: self.files.options.cluster,
            last_segment: current,
            synced: self.synced,
            skip: self.files.used().filter(dead).collect(),
            partitions: self.index.summaries().collect(),
        }
    }

    fn write_batch(
        &mut self,
        flags: BatchFlags,
        records: usize,
        bytes: Range<usize>,
    ) -> Result<(), StorageError> {
        let header = BatchHeader::new(
            self.next_batch,
            self.epoch,
            self.synced,
            self.oldest,
            flags,
            u32::try_from(records).unwrap_or(u32::MAX),
        );
        let segment = self.files.current_number();
        let (offset, body) = (self.files.offset(), &self.buffers.records[bytes]);
        encode_batch(header, segment, offset, body, &mut self.buffers.batch);
        self.statistics.appended_bytes += self.buffers.batch.len() as u64;
        self.files.write(&mut self.buffers.batch)?;
        self.buffers.batch.clear();
        self.buffers.batch.shrink_to(BUFFER_BYTES_KEPT);
        self.oldest_stated = self.oldest;
        self.next_batch = self.next_batch.next();
        Ok(())
    }
}

impl Draft {
    /// Takes a record; returns the highest commit known of its replica by then.
    fn take(&mut self, record: &LogRecord) -> Result<Lsn, StorageError> {
        let known = Progress::of(self.progress, record);
        if self.progress != Some(known) {
            // Another replica begins: nothing of the former is carried on.
            self.commit = Lsn::ZERO;
            self.marked = false;
        }
        let progress = Progress::check(Some(known), record)?;
        let commit = self.commit.max(record.commit);
        // As in replay, the commit of a state counts once all its parts are there.
        if !(record.kind == RecordKind::State && progress.has_pending()) {
            self.commit = commit;
        }
        match record.kind {
            RecordKind::CutMark => self.marked = true,
            RecordKind::CutMarkCleared | RecordKind::Reset | RecordKind::Forgotten => {
                self.marked = false;
            }
            RecordKind::Entry | RecordKind::Copied | RecordKind::State => {}
        }
        self.progress = Some(progress);
        Ok(commit)
    }
}

/// Bytes of a batch whose records have `bytes`.
const fn batch_bytes(bytes: usize) -> u64 {
    (BATCH_HEADER_BYTES + bytes).next_multiple_of(ALIGNMENT) as u64
}
