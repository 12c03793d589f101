//! Reading a log back: which batches count, where it ends, and whether its end is clean, torn or rotten.
//!
//! Everything before the newest segment was synced before that segment was begun, so whatever is unreadable there is rot.
//! In the newest segment the log ends at the first batch that does not validate. If anything found anywhere says that this
//! batch was synced, it is rot; if there are only zeros, the end is clean; else the tail is torn.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::checkpoint::Checkpoint;
use super::files::{FilesFound, padded_end};
use super::format::{
    ALIGNMENT, BATCH_HEADER_BYTES, BatchHeader, FORMAT_VERSION, HeaderFault, Origin, PAGE_BYTES,
    RecordFault, SegmentHeader, decode_record,
};
use super::index::LogIndex;
use super::{BatchNumber, Epoch, LogOptions, SegmentNumber};
use crate::file_system::{FileSystem, read_all};
use crate::record_log::Damage;
use crate::replay::Replay;
use crate::{StorageError, StoredReplica};

/// A log that was read.
pub(super) struct ReadLog {
    pub(super) replicas: Vec<StoredReplica>,
    pub(super) index: LogIndex,
    pub(super) end: LogEnd,
}

/// Where a log ends, and what its writer has to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogEnd {
    pub(super) segment: SegmentNumber,
    pub(super) offset: u64,
    /// Where the batches begin of which nothing says that they were synced.
    pub(super) exposed_from: u64,
    pub(super) capacity: u64,
    pub(super) next_batch: BatchNumber,
    /// Higher than every epoch found.
    pub(super) next_epoch: Epoch,
    pub(super) oldest: SegmentNumber,
    pub(super) unlisted_cut: bool,
    /// The end is unreadable, not merely unwritten.
    pub(super) torn: bool,
    /// The log was created and nothing was written to it since.
    pub(super) is_new: bool,
}

/// Why a log was not read.
pub(super) enum ReadFault {
    /// Rot.
    Damage(Damage),
    /// The files cannot or must not be read.
    Error(StorageError),
}

impl From<StorageError> for ReadFault {
    fn from(error: StorageError) -> Self {
        Self::Error(error)
    }
}

/// Reads the log whose segments are given; there is at least one.
pub(super) fn read_log(
    file_system: &dyn FileSystem,
    options: &LogOptions,
    segments: &BTreeMap<SegmentNumber, PathBuf>,
    checkpoint: Option<&Checkpoint>,
) -> Result<ReadLog, ReadFault> {
    let reader = Reader {
        file_system,
        options,
        segments,
        checkpoint,
    };
    let newest = segments.last_key_value().map(|(number, _)| *number);
    let newest = reader.read_segment(newest.unwrap_or_default())?;
    let end = reader.find_end(&newest)?;
    // An old one, all of whose segments are free: what happened between it and the oldest needed segment is not known.
    let checkpoint = checkpoint.filter(|found| found.last_segment >= end.oldest);
    let mut log = Collector {
        replay: Replay::default(),
        index: LogIndex::default(),
        checkpoint,
        settled: checkpoint.is_none(),
    };
    let mut expected = None;
    for number in end.oldest.0..end.segment.0 {
        let number = SegmentNumber(number);
        if checkpoint.is_some_and(|found| found.skip.contains(&number)) {
            // Its batches are needed for nothing, but where it begins shows that the one before is whole.
            if expected.is_some() {
                check_start(&reader.read_header(number)?, expected.take())?;
            }
            continue;
        }
        let segment = reader.read_segment(number)?;
        check_start(&segment.header, expected)?;
        log.read(&segment)?;
        expected = Some((segment.next, segment.end));
    }
    check_start(&newest.header, expected)?;
    log.read(&newest)?;
    if end.torn {
        log.settle();
        log.replay.mark_all();
    }
    let (replicas, index) = log.finish()?;
    Ok(ReadLog {
        replicas,
        index,
        end,
    })
}

/// Where a batch lies. For simulations, which damage some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedBatch {
    /// The segment.
    pub path: PathBuf,
    /// Its bytes there, header included; each of them is covered by a checksum.
    pub bytes: Range<usize>,
    /// Whether nothing says that it was synced: unreadable, it passes for a torn tail. The loss of any other is rot.
    pub is_exposed: bool,
}

/// The readable batches of the newest segment of a log that nobody has open, in order; none if it has no good header.
///
/// # Errors
/// As the file system's.
pub fn newest_batches(
    file_system: &dyn FileSystem,
    directory: impl AsRef<Path>,
    options: LogOptions,
) -> Result<Vec<PlacedBatch>, StorageError> {
    let found = FilesFound::list(file_system, directory.as_ref())?;
    let Some((newest, path)) = found.segments.last_key_value() else {
        return Ok(Vec::new());
    };
    let bytes = file_system
        .open(path)
        .and_then(|file| read_all(&*file))
        .map_err(|error| StorageError::io("read", path, error))?;
    let Ok(segment) = SegmentContents::parse(*newest, path, bytes, &options.normalised()) else {
        return Ok(Vec::new());
    };
    Ok(segment.placed())
}

/// The batches of all segments but the newest one that the next opening of a log reads, in order; none of a log that is damaged.
/// Nobody has it open.
///
/// # Errors
/// As the file system's.
pub fn older_batches(
    file_system: &dyn FileSystem,
    directory: impl AsRef<Path>,
    options: LogOptions,
) -> Result<Vec<PlacedBatch>, StorageError> {
    let options = options.normalised();
    let found = FilesFound::list(file_system, directory.as_ref())?;
    let checkpoint = Checkpoint::read(file_system, directory.as_ref(), options.cluster)?;
    let reader = Reader {
        file_system,
        options: &options,
        segments: &found.segments,
        checkpoint: checkpoint.as_ref(),
    };
    match reader.older_batches() {
        Ok(placed) => Ok(placed),
        Err(ReadFault::Damage(_)) => Ok(Vec::new()),
        Err(ReadFault::Error(error)) => Err(error),
    }
}

struct Reader<'a> {
    file_system: &'a dyn FileSystem,
    options: &'a LogOptions,
    segments: &'a BTreeMap<SegmentNumber, PathBuf>,
    checkpoint: Option<&'a Checkpoint>,
}

impl Reader<'_> {
    fn path(&self, number: SegmentNumber) -> Result<&PathBuf, ReadFault> {
        let path = self.segments.get(&number);
        path.ok_or_else(|| damage(number, 0, "the segment is missing"))
    }

    /// Reads a segment's header alone.
    fn read_header(&self, number: SegmentNumber) -> Result<SegmentHeader, ReadFault> {
        let path = self.path(number)?;
        let mut page = vec![0; PAGE_BYTES as usize];
        let read = self
            .file_system
            .open(path)
            .and_then(|file| file.read_at(0, &mut page))
            .map_err(|error| StorageError::io("read", path, error))?;
        page.truncate(read);
        decode_header(number, path, &page, self.options)
    }

    fn read_segment(&self, number: SegmentNumber) -> Result<SegmentContents, ReadFault> {
        let path = self.path(number)?;
        let bytes = self
            .file_system
            .open(path)
            .and_then(|file| read_all(&*file))
            .map_err(|error| StorageError::io("read", path, error))?;
        SegmentContents::parse(number, path, bytes, self.options)
    }

    fn older_batches(&self) -> Result<Vec<PlacedBatch>, ReadFault> {
        let newest = self.segments.keys().next_back().copied();
        let end = self.find_end(&self.read_segment(newest.unwrap_or_default())?)?;
        let known = self.checkpoint.filter(|it| it.last_segment >= end.oldest);
        let mut placed = Vec::new();
        for number in (end.oldest.0..end.segment.0).map(SegmentNumber) {
            if known.is_none_or(|it| !it.skip.contains(&number)) {
                let batches = self.read_segment(number)?.placed();
                placed.extend(batches.into_iter().map(|batch| PlacedBatch {
                    is_exposed: false,
                    ..batch
                }));
            }
        }
        Ok(placed)
    }

    /// Judges the end of the newest segment.
    fn find_end(&self, newest: &SegmentContents) -> Result<LogEnd, ReadFault> {
        let beyond = newest.look_beyond();
        let last = newest.batches.last().map(|(header, _)| header);
        let checkpointed = self.checkpoint.map_or(BatchNumber(0), |found| found.synced);
        if self
            .checkpoint
            .is_some_and(|found| found.last_segment >= newest.header.number)
        {
            return Err(newest.damage("a later segment is missing"));
        }
        if newest.next <= beyond.synced.max(checkpointed) {
            return Err(newest.damage("a batch that was synced cannot be read"));
        }
        let header = &newest.header;
        if header.origin == Origin::StartedOver && last.is_none() {
            // Whoever started it over may have died before telling anybody.
            return Err(newest.damage("it was thrown away after damage, and nothing written since"));
        }
        let epoch = last.map_or(header.epoch, |last| last.epoch);
        Ok(LogEnd {
            segment: header.number,
            offset: newest.end as u64,
            exposed_from: newest.exposed_from() as u64,
            capacity: header.capacity,
            next_batch: newest.next,
            next_epoch: Epoch(epoch.max(beyond.epoch).0 + 1),
            oldest: last.map_or(header.oldest, |last| last.oldest),
            unlisted_cut: last.map_or(header.unlisted_cut, |last| last.flags.unlisted_cut),
            is_new: header.origin == Origin::Created && last.is_none(),
            torn: beyond.epoch >= epoch || !newest.ends_clean(),
        })
    }
}

/// A segment in memory, parsed as far as it validates.
struct SegmentContents {
    path: PathBuf,
    header: SegmentHeader,
    bytes: Vec<u8>,
    batches: Vec<(BatchHeader, Range<usize>)>,
    /// End of the last batch.
    end: usize,
    /// Number of the batch that would follow.
    next: BatchNumber,
}

/// What headers beyond the end of a segment's batches say.
struct Beyond {
    /// Highest batch that one of them knew synced.
    synced: BatchNumber,
    /// Highest epoch of any; zero if there is none.
    epoch: Epoch,
}

impl SegmentContents {
    /// Where the batches begin of which nothing says that they were synced.
    fn exposed_from(&self) -> usize {
        let known = self.batches.last().map_or(0, |(last, _)| last.synced.0);
        let mut exposed = self.batches.iter().filter(|(it, _)| it.number.0 > known);
        exposed
            .next()
            .map_or(self.end, |(_, body)| body.start - BATCH_HEADER_BYTES)
    }

    fn placed(&self) -> Vec<PlacedBatch> {
        let exposed_from = self.exposed_from();
        let place = |(_, body): &(BatchHeader, Range<usize>)| {
            let bytes = body.start - BATCH_HEADER_BYTES..body.end;
            PlacedBatch {
                path: self.path.clone(),
                is_exposed: bytes.start >= exposed_from,
                bytes,
            }
        };
        self.batches.iter().map(place).collect()
    }

    fn parse(
        number: SegmentNumber,
        path: &Path,
        bytes: Vec<u8>,
        options: &LogOptions,
    ) -> Result<Self, ReadFault> {
        let header = decode_header(number, path, &bytes, options)?;
        let mut contents = Self {
            path: path.to_path_buf(),
            header,
            batches: Vec::new(),
            end: PAGE_BYTES as usize,
            next: header.first_batch,
            bytes,
        };
        contents.parse_batches();
        Ok(contents)
    }

    /// Follows the chain: each batch validates at its place, has the next number and no lower epoch than the one before.
    fn parse_batches(&mut self) {
        let mut epoch = self.header.epoch;
        while let Some(header) = BatchHeader::decode(self.header.number, &self.bytes, self.end) {
            let body = header.body(self.header.number, &self.bytes, self.end);
            if body.is_none() || header.number != self.next || header.epoch < epoch {
                break;
            }
            let start = self.end + BATCH_HEADER_BYTES;
            self.end += header.total_bytes();
            self.batches.push((header, start..self.end));
            self.next = self.next.next();
            epoch = header.epoch;
        }
    }

    /// Looks at every place beyond the end where a batch could begin.
    fn look_beyond(&self) -> Beyond {
        let mut beyond = Beyond {
            synced: BatchNumber(0),
            epoch: Epoch(0),
        };
        let last_start = self.bytes.len().saturating_sub(BATCH_HEADER_BYTES);
        for offset in (self.end..=last_start).step_by(ALIGNMENT) {
            if let Some(found) = BatchHeader::decode(self.header.number, &self.bytes, offset) {
                beyond.synced = beyond.synced.max(found.synced);
                beyond.epoch = beyond.epoch.max(found.epoch);
            }
        }
        beyond
    }

    /// Whether the place of the next batch is as the writer leaves it: zeros to the end of the page, or no room.
    fn ends_clean(&self) -> bool {
        let padded = padded_end(self.end as u64, self.header.capacity);
        let padded = usize::try_from(padded).unwrap_or(usize::MAX);
        self.bytes
            .get(self.end..padded)
            .is_some_and(|rest| rest.iter().all(|byte| *byte == 0))
    }

    fn damage(&self, what: &str) -> ReadFault {
        damage(self.header.number, self.end as u64, what)
    }
}

/// Checks that a segment goes on where the one before, if it was read, ends.
fn check_start(
    header: &SegmentHeader,
    expected: Option<(BatchNumber, usize)>,
) -> Result<(), ReadFault> {
    match expected {
        Some((next, end)) if next != header.first_batch => {
            let before = SegmentNumber(header.number.0 - 1);
            let what = "a batch that was synced cannot be read";
            Err(damage(before, end as u64, what))
        }
        _ => Ok(()),
    }
}

/// Replays and indexes batches, in order.
struct Collector<'a> {
    replay: Replay,
    index: LogIndex,
    checkpoint: Option<&'a Checkpoint>,
    /// Whether the end of what the checkpoint describes was passed.
    settled: bool,
}

impl Collector<'_> {
    fn read(&mut self, segment: &SegmentContents) -> Result<(), ReadFault> {
        let number = segment.header.number;
        if self
            .checkpoint
            .is_some_and(|found| number > found.last_segment)
        {
            self.settle();
        }
        for (header, body) in &segment.batches {
            if header.flags.cut_here {
                self.replay.mark_all();
                self.index.mark_all(number);
            }
            let mut body = &segment.bytes[body.clone()];
            for _ in 0..header.records {
                self.read_record(segment, &mut body)?;
            }
        }
        Ok(())
    }

    fn read_record(
        &mut self,
        segment: &SegmentContents,
        body: &mut &[u8],
    ) -> Result<(), ReadFault> {
        let number = segment.header.number;
        let before = body.len();
        let (record, marked) = decode_record(body).map_err(|fault| match fault {
            RecordFault::Malformed => segment.damage("a record cannot be decoded"),
            RecordFault::UnknownKind(kind) => {
                unknown_version(&segment.path, format!("record kind {kind}")).into()
            }
        })?;
        if !self.settled && !self.is_needed(record.partition, number) {
            return Ok(());
        }
        let bytes = (before - body.len()) as u64;
        self.index.apply(&record, marked, number, bytes);
        self.replay.apply(record, marked);
        Ok(())
    }

    fn is_needed(&self, partition: ringhold_types::PartitionKey, segment: SegmentNumber) -> bool {
        let known = self
            .checkpoint
            .and_then(|found| found.partitions.get(&partition));
        known.is_some_and(|summary| segment >= summary.oldest)
    }

    fn settle(&mut self) {
        if let Some(checkpoint) = self.checkpoint.filter(|_| !self.settled) {
            let named = checkpoint.partitions.iter().map(|(key, summary)| {
                let marked = summary.cut_mark.is_some();
                (*key, summary.replica, summary.commit, marked)
            });
            self.replay.settle(named);
            self.index.settle(&checkpoint.partitions);
        }
        self.settled = true;
    }

    fn finish(mut self) -> Result<(Vec<StoredReplica>, LogIndex), ReadFault> {
        self.settle();
        let replicas = self.replay.finish().map_err(|missing| {
            let what = format!("records are missing: {missing}");
            damage(SegmentNumber(0), 0, &what)
        })?;
        Ok((replicas, self.index))
    }
}

fn decode_header(
    number: SegmentNumber,
    path: &Path,
    bytes: &[u8],
    options: &LogOptions,
) -> Result<SegmentHeader, ReadFault> {
    let header = match SegmentHeader::decode(number, bytes) {
        Ok(header) if header.number == number => header,
        Ok(_) | Err(HeaderFault::Damaged) => {
            return Err(damage(number, 0, "the header cannot be read"));
        }
        Err(HeaderFault::Version(version)) => {
            return Err(unknown_version(path, version.to_string()).into());
        }
    };
    if header.cluster != options.cluster {
        return Err(ReadFault::Error(StorageError::OtherCluster {
            path: path.to_path_buf(),
            expected: options.cluster,
            found: header.cluster,
        }));
    }
    Ok(header)
}

fn damage(segment: SegmentNumber, offset: u64, what: &str) -> ReadFault {
    ReadFault::Damage(Damage {
        segment: segment.0,
        offset,
        what: what.to_owned(),
    })
}

fn unknown_version(path: &Path, found: String) -> StorageError {
    StorageError::UnknownVersion {
        path: path.to_path_buf(),
        found,
        supported: FORMAT_VERSION,
    }
}
