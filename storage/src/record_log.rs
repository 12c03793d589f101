//! The contract of the shared log, and what is found in it at start.

use bytes::Bytes;
use ringhold_types::{Lsn, PartitionKey, ReplicaId, Term};

use crate::{LogRecord, StorageError};

/// The durable half of all partitions of a member (DESIGN §3.5). Every backend passes [`crate::conformance`].
///
/// After any error but [`StorageError::DiskFull`], [`StorageError::RecordTooLarge`] and the two out-of-order errors
/// (which leave everything as it was) the log is poisoned: what reached the disk is unknown and nothing is retried.
pub trait RecordLog: Send {
    /// Hands records over, in order. They are durable after the next [`RecordLog::sync`], not before; a crash in between
    /// keeps some prefix of them, or none.
    ///
    /// # Errors
    /// `DiskFull`, `RecordTooLarge`, `OutOfOrder`, `PartOutOfOrder`: nothing was taken. `Damaged` after a recovery that
    /// found damage. `Poisoned` and `Io`: the member must stop.
    fn append(&mut self, records: &[LogRecord]) -> Result<(), StorageError>;

    /// Makes everything appended so far durable, with one flush to the device.
    ///
    /// # Errors
    /// Any error is final: the member must stop.
    fn sync(&mut self) -> Result<(), StorageError>;

    /// At most `most` partitions whose old records keep the log from shrinking, oldest first; empty while the log is
    /// small enough. The caller answers by appending fresh `State` parts and [`crate::RecordKind::Copied`] entries for each,
    /// or [`crate::RecordKind::Forgotten`].
    fn copy_forward_wanted(&mut self, most: usize) -> Vec<PartitionKey>;

    /// Tells the log that what was found at its opening is dealt with: the store has its incarnation
    /// ([`Recovered::created`]), and every replica which lived here when its tail was cut is known and marked
    /// ([`Recovered::unlisted_cut`]). Durable after the next sync.
    ///
    /// # Errors
    /// As [`RecordLog::append`].
    fn settle(&mut self) -> Result<(), StorageError>;

    /// Makes room on disk ready ahead of need, one step of about a mebibyte. The committer calls it when it is idle, some
    /// times a second; while the disk is full it is also what finds out that there is room again.
    ///
    /// # Errors
    /// `Poisoned`, `Io`, `Damaged`. A full disk is no error: see [`RecordLog::is_nearly_full`].
    fn prepare(&mut self) -> Result<(), StorageError>;

    /// Whether new work should be refused because room on disk runs out; work that was promised may still end.
    fn is_nearly_full(&self) -> bool;

    /// Figures for metrics.
    fn statistics(&self) -> LogStatistics;
}

/// Figures of a log since it was opened (sizes: now).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStatistics {
    /// Segments that hold needed records, the one written to included.
    pub segments: u64,
    /// Segments ready to be written.
    pub spare_segments: u64,
    /// Bytes of all segment files.
    pub disk_bytes: u64,
    /// Bytes of the latest states of all partitions: about what is live.
    pub state_bytes: u64,
    /// Partitions that need records.
    pub partitions: u64,
    /// Records appended.
    pub records: u64,
    /// Bytes appended, headers included and padding not.
    pub appended_bytes: u64,
    /// Flushes asked for by [`RecordLog::sync`] that had something to flush.
    pub syncs: u64,
    /// Segments begun.
    pub begun: u64,
    /// Segments that were written again instead of created.
    pub recycled: u64,
}

/// What a log held when it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Every replica that has content or a mark, by partition. Empty if there is damage. A replica that was only reset
    /// may be absent: it holds nothing.
    pub replicas: Vec<StoredReplica>,
    /// Rot: something that was durable is no longer readable. The member gives the store up (PROTOCOL I9).
    pub damage: Option<Damage>,
    /// The end of the log was cut now because it could not be read: every listed replica carries a mark.
    pub torn_tail: Option<TornTail>,
    /// The tail was cut, now or before an earlier start, and [`RecordLog::settle`] was not called since:
    /// a replica that should be here and is not listed may have lost everything. The shell gives it a
    /// [`crate::RecordKind::CutMark`], then settles.
    pub unlisted_cut: bool,
    /// There was no log, or one that was never written to nor settled; it is empty. A store that held anything before, or
    /// that was given an incarnation, was emptied.
    pub created: bool,
}

/// A replica found in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredReplica {
    /// The partition.
    pub partition: PartitionKey,
    /// The replica that wrote it.
    pub replica: ReplicaId,
    /// The latest complete state; absent when the log holds everything from position 1.
    pub state: Option<StoredState>,
    /// Entries after the state, or from position 1, consecutive.
    pub entries: Vec<LogRecord>,
    /// Highest commit seen.
    pub commit: Lsn,
    /// Whether the tail was cut and may have held acknowledged entries (PROTOCOL §5).
    pub cut_mark: bool,
}

impl StoredReplica {
    /// The last position held; zero if there is none.
    #[must_use]
    pub fn last_lsn(&self) -> Lsn {
        let state = self.state.as_ref().map_or(Lsn::ZERO, |state| state.lsn);
        self.entries.last().map_or(state, |entry| entry.lsn)
    }
}

/// A complete state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredState {
    /// It holds everything up to here.
    pub lsn: Lsn,
    /// Term of the entry at `lsn`.
    pub term: Term,
    /// The parts, in order.
    pub parts: Vec<Bytes>,
}

/// Rot in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Number of the segment, 0 if a whole segment is missing and unknown.
    pub segment: u64,
    /// Byte in the segment at which reading stopped.
    pub offset: u64,
    /// What is wrong, for people.
    pub what: String,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            segment,
            offset,
            what,
        } = self;
        write!(formatter, "log segment {segment} at byte {offset}: {what}")
    }
}

/// Where an unreadable end was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// Number of the segment.
    pub segment: u64,
    /// Byte in the segment at which the log now ends.
    pub offset: u64,
}
