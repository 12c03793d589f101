//! The segmented write-ahead log on disk.
//!
//! Positions: records travel in batches, numbered consecutively over the whole log; batches lie in segments, numbered
//! consecutively too. One flush per [`RecordLog::sync`] commits everything appended by all partitions before it. Space is
//! freed from the old end only: a segment goes once no partition needs a record in it or before it, and a synced batch
//! says so; a partition that keeps an old segment is asked to write its state again ([`RecordLog::copy_forward_wanted`]).

mod checkpoint;
mod files;
mod format;
mod index;
mod options;
pub(crate) mod progress;
mod recovery;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringhold_types::PartitionKey;

use checkpoint::Checkpoint;
use files::{FilesFound, SegmentFiles};
use format::{BatchFlags, Origin, SegmentHeader};
use index::LogIndex;
pub use options::LogOptions;
use recovery::{LogEnd, ReadFault, read_log};
pub use recovery::{PlacedBatch, newest_batches, older_batches};

use crate::file_system::FileSystem;
use crate::{
    LogRecord, LogStatistics, RealFileSystem, RecordKind, RecordLog, Recovered, StorageError,
    TornTail,
};

/// Segments below which nothing is copied forward: less saves nothing that matters.
const SEGMENTS_KEPT_MIN: u64 = 4;
/// The log may have this many times the bytes of all states before old segments are emptied by copying: each live byte is
/// then written again at most once for every two new ones.
const STATE_BYTES_FACTOR: u64 = 3;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        struct $name(u64);

        impl $name {
            /// The number after this one.
            const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }
    };
}

number! {
    /// Number of a segment; the first is 1.
    SegmentNumber
}
number! {
    /// Number of a batch in the whole log; the first is 1.
    BatchNumber
}
number! {
    /// Grows with every opening of a log.
    Epoch
}

/// The log on disk.
pub struct SegmentedLog {
    files: SegmentFiles,
    index: LogIndex,
    epoch: Epoch,
    next_batch: BatchNumber,
    /// Every batch up to this one is synced.
    synced: BatchNumber,
    /// Oldest segment needed as of `synced`.
    oldest: SegmentNumber,
    /// `oldest` as the last batch states it: older segments may be written over once that batch is synced.
    oldest_stated: SegmentNumber,
    unlisted_cut: bool,
    condition: Condition,
    /// Partitions asked to copy forward, and the newest segment then; not asked again before the next one.
    asked: BTreeMap<PartitionKey, SegmentNumber>,
    buffers: writer::Buffers,
    statistics: LogStatistics,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Sound,
    /// Found rotten at opening; waits for `start_over`.
    Damaged,
    /// A write or flush failed.
    Poisoned,
}

impl SegmentedLog {
    /// Opens the log in a directory, or makes an empty one there.
    ///
    /// # Errors
    /// `Io`, `DiskFull`, `UnknownVersion`, `OtherCluster`. Damage is no error: see [`Recovered::damage`].
    pub fn open(
        directory: impl AsRef<Path>,
        options: LogOptions,
    ) -> Result<(Self, Recovered), StorageError> {
        Self::open_on(Arc::new(RealFileSystem), directory, options)
    }

    /// As [`SegmentedLog::open`], on any file system.
    ///
    /// # Errors
    /// As [`SegmentedLog::open`].
    pub fn open_on(
        file_system: Arc<dyn FileSystem>,
        directory: impl AsRef<Path>,
        options: LogOptions,
    ) -> Result<(Self, Recovered), StorageError> {
        let directory: PathBuf = directory.as_ref().to_path_buf();
        let options = options.normalised();
        file_system
            .create_directory(&directory)
            .map_err(|error| StorageError::io("create", &directory, error))?;
        let found = FilesFound::list(&*file_system, &directory)?;
        let checkpoint = Checkpoint::read(&*file_system, &directory, options.cluster)?;
        let segments = found.segments.clone();
        let files = SegmentFiles::new(Arc::clone(&file_system), directory, options, found)?;
        let mut log = Self::unopened(files);
        if segments.is_empty() {
            return log.begin(checkpoint.as_ref());
        }
        match read_log(&*file_system, &options, &segments, checkpoint.as_ref()) {
            Ok(read) => {
                log.index = read.index;
                let torn_tail = log.resume(read.end)?;
                let recovered = Recovered {
                    replicas: read.replicas,
                    torn_tail,
                    unlisted_cut: log.unlisted_cut,
                    created: read.end.is_new,
                    ..Recovered::default()
                };
                Ok((log, recovered))
            }
            Err(ReadFault::Damage(damage)) => {
                log.condition = Condition::Damaged;
                let recovered = Recovered {
                    damage: Some(damage),
                    ..Recovered::default()
                };
                Ok((log, recovered))
            }
            Err(ReadFault::Error(error)) => Err(error),
        }
    }

    /// Throws everything away and begins an empty log, after damage. Until the first record is appended each opening
    /// reports damage again, or a new log: the caller may die before it told anybody, and appends nothing before the store
    /// counts as a new incarnation.
    ///
    /// # Errors
    /// `Io`, `DiskFull`: the member must stop; the next opening finds damage again, or a new log.
    pub fn start_over(&mut self) -> Result<(), StorageError> {
        let newest = self.files.used().next_back().unwrap_or_default();
        Checkpoint::remove(&*self.files.file_system, &self.files.directory)?;
        self.files.remove_spares()?;
        self.files.remove_all()?;
        self.index = LogIndex::default();
        self.asked.clear();
        self.next_batch = BatchNumber(1);
        self.synced = BatchNumber(0);
        self.unlisted_cut = false;
        self.epoch = self.epoch.next();
        self.begin_segment(newest.next(), Origin::StartedOver)?;
        self.condition = Condition::Sound;
        Ok(())
    }

    fn unopened(files: SegmentFiles) -> Self {
        Self {
            files,
            index: LogIndex::default(),
            epoch: Epoch(1),
            next_batch: BatchNumber(1),
            synced: BatchNumber(0),
            oldest: SegmentNumber(1),
            oldest_stated: SegmentNumber(1),
            unlisted_cut: false,
            condition: Condition::Sound,
            asked: BTreeMap::new(),
            buffers: writer::Buffers::default(),
            statistics: LogStatistics::default(),
        }
    }

    /// Begins the first segment of an empty log.
    fn begin(mut self, checkpoint: Option<&Checkpoint>) -> Result<(Self, Recovered), StorageError> {
        if let Some(checkpoint) = checkpoint {
            self.condition = Condition::Damaged;
            let damage = crate::Damage {
                segment: checkpoint.last_segment.0,
                offset: 0,
                what: "all segments are missing".to_owned(),
            };
            let recovered = Recovered {
                damage: Some(damage),
                ..Recovered::default()
            };
            return Ok((self, recovered));
        }
        self.files.remove_spares()?;
        self.begin_segment(SegmentNumber(1), Origin::Created)?;
        let recovered = Recovered {
            created: true,
            ..Recovered::default()
        };
        Ok((self, recovered))
    }

    /// Goes on at the end that was found. A torn tail is cut by the batch that is written over its first bytes: it has a
    /// higher epoch, so that nothing after it can ever join the log, and marks every replica.
    fn resume(&mut self, end: LogEnd) -> Result<Option<TornTail>, StorageError> {
        self.files.resume(end.segment, end.offset, end.capacity)?;
        self.files.write_again(end.exposed_from)?;
        // A process that was killed may have left its last writes in memory only: what is written from now on, here or in a
        // later segment, states them as flushed.
        self.files.sync()?;
        self.epoch = end.next_epoch;
        self.next_batch = end.next_batch;
        self.synced = BatchNumber(end.next_batch.0 - 1);
        self.oldest = end.oldest;
        self.oldest_stated = end.oldest;
        self.unlisted_cut = end.unlisted_cut;
        self.files.release_before(end.oldest)?;
        if end.torn {
            self.unlisted_cut = true;
            self.write_flags(BatchFlags {
                cut_here: true,
                unlisted_cut: true,
            })?;
            self.index.mark_all(self.files.current_number());
        }
        self.name_marks()?;
        self.flush()?;
        Ok(end.torn.then_some(TornTail {
            segment: end.segment.0,
            offset: end.offset,
        }))
    }

    /// Writes a mark of its own for every replica that is marked because it was known when the tail was cut: the records
    /// it was known from may be freed from now on.
    fn name_marks(&mut self) -> Result<(), StorageError> {
        let marks: Vec<LogRecord> = self
            .index
            .marked_without_name()
            .into_iter()
            .map(|(partition, replica)| LogRecord::bare(RecordKind::CutMark, partition, replica))
            .collect();
        let plan = self.plan(&marks)?;
        self.reserve(&plan)?;
        self.write_plan(&marks, &plan)
    }

    /// Begins a segment; everything before it is synced.
    fn begin_segment(&mut self, number: SegmentNumber, origin: Origin) -> Result<(), StorageError> {
        self.oldest = self.index.oldest().unwrap_or(number).max(self.oldest);
        self.files.advance(&SegmentHeader {
            number,
            cluster: self.files.options.cluster,
            capacity: self.files.options.segment_bytes,
            first_batch: self.next_batch,
            oldest: self.oldest,
            epoch: self.epoch,
            unlisted_cut: self.unlisted_cut,
            origin,
        })?;
        self.statistics.begun += 1;
        Ok(())
    }

    fn check_condition(&self) -> Result<(), StorageError> {
        match self.condition {
            Condition::Sound => Ok(()),
            Condition::Damaged => Err(StorageError::Damaged),
            Condition::Poisoned => Err(StorageError::Poisoned),
        }
    }

    /// Poisons the log if a step failed after which the disk's contents are unknown.
    fn or_poison<T>(&mut self, result: Result<T, StorageError>) -> Result<T, StorageError> {
        if result.is_err() {
            self.condition = Condition::Poisoned;
        }
        result
    }

    /// Segments from the oldest needed one to the current one.
    fn segments_in_use(&self) -> impl Iterator<Item = SegmentNumber> {
        let oldest = self.index.oldest().unwrap_or(self.files.current_number());
        self.files.used().filter(move |number| *number >= oldest)
    }
}

impl RecordLog for SegmentedLog {
    fn append(&mut self, records: &[LogRecord]) -> Result<(), StorageError> {
        self.check_condition()?;
        let mut plan = self.plan(records)?;
        match self.reserve(&plan) {
            Err(StorageError::DiskFull { .. }) if self.files.end_early() => {
                plan = self.plan(records)?;
                self.reserve(&plan)?;
            }
            reserved => reserved?,
        }
        let written = self.write_plan(records, &plan);
        self.or_poison(written)
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.check_condition()?;
        let flushed = self.flush();
        self.or_poison(flushed)
    }

    fn copy_forward_wanted(&mut self, most: usize) -> Vec<PartitionKey> {
        let newest = self.files.current_number();
        let needed = STATE_BYTES_FACTOR
            .saturating_mul(self.index.state_bytes())
            .div_ceil(self.files.options.segment_bytes);
        let target = needed.max(SEGMENTS_KEPT_MIN);
        let in_use: Vec<SegmentNumber> = self.segments_in_use().collect();
        let excess = (in_use.len() as u64).saturating_sub(target);
        let Some(end) = usize::try_from(excess)
            .ok()
            .filter(|excess| *excess > 0)
            .and_then(|excess| in_use.get(excess))
        else {
            return Vec::new();
        };
        self.asked.retain(|_, asked_at| *asked_at == newest);
        let wanted: Vec<PartitionKey> = self
            .index
            .pinning_before(*end)
            .filter(|partition| !self.asked.contains_key(partition))
            .take(most)
            .collect();
        self.asked
            .extend(wanted.iter().map(|partition| (*partition, newest)));
        wanted
    }

    fn settle(&mut self) -> Result<(), StorageError> {
        self.check_condition()?;
        self.unlisted_cut = false;
        let written = self.write_flags(BatchFlags::default());
        self.or_poison(written)
    }

    fn prepare(&mut self) -> Result<(), StorageError> {
        self.check_condition()?;
        let prepared = self.files.prepare();
        self.or_poison(prepared)
    }

    fn is_nearly_full(&self) -> bool {
        self.files.is_nearly_full()
    }

    fn statistics(&self) -> LogStatistics {
        let (spare_segments, disk_bytes, recycled) = self.files.figures();
        LogStatistics {
            segments: self.segments_in_use().count() as u64,
            spare_segments,
            disk_bytes,
            state_bytes: self.index.state_bytes(),
            partitions: self.index.partitions(),
            recycled,
            ..self.statistics
        }
    }
}
