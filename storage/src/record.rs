//! Records of the shared log (PROTOCOL §5), with payloads that only `proto` understands.

use bytes::Bytes;
use ringhold_types::{Lsn, PartitionKey, ReplicaId, Term};

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKind {
    /// A log entry. Entries of its replica at or above its position that were read before it are void: that is the cut.
    Entry,
    /// An entry of this replica written again, so that its old segment can go. It takes its own position and cuts nothing
    /// below [`LogRecord::end`]: a crash in the middle of several leaves the rest where it was.
    Copied,
    /// A part of the applied ring as of a position. It never cuts; once complete it makes older entries unneeded.
    State,
    /// A new replica begins, empty; whatever was stored of the partition before is void.
    Reset,
    /// The tail of this replica may have been cut (PROTOCOL §5). The log sets marks itself when it cuts a torn tail; the
    /// shell writes this kind for replicas that the log did not know then ([`crate::Recovered::unlisted_cut`]).
    CutMark,
    /// The mark of a cut tail is no longer needed.
    CutMarkCleared,
    /// The partition no longer lives here; everything stored of it is void.
    Forgotten,
}

/// Which of several parts a record holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartIndex {
    /// The part, from 0.
    pub index: u32,
    /// How many parts there are, at least 1 for a state.
    pub count: u32,
}

/// One record. Fields that its kind does not use are zero or empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// What it says.
    pub kind: RecordKind,
    /// The partition it is about.
    pub partition: PartitionKey,
    /// The replica that wrote it.
    pub replica: ReplicaId,
    /// Term of the entry, or of the entry at the state's position.
    pub term: Term,
    /// Position of the entry or of the state.
    pub lsn: Lsn,
    /// Commit known when it was written.
    pub commit: Lsn,
    /// Last position of its log when a copied entry was written: what was read beyond it is void.
    pub end: Lsn,
    /// Which part of the state.
    pub part: PartIndex,
    /// Whether a state was installed from a snapshot: once complete, what the log held before it is void.
    pub installed: bool,
    /// The entry or the part of the state, encoded by `proto`.
    pub payload: Bytes,
}

impl LogRecord {
    /// A record of a kind that has neither position nor payload: `Reset`, `CutMark`, `CutMarkCleared`, `Forgotten`.
    #[must_use]
    pub const fn bare(kind: RecordKind, partition: PartitionKey, replica: ReplicaId) -> Self {
        Self {
            kind,
            partition,
            replica,
            term: Term::ZERO,
            lsn: Lsn::ZERO,
            commit: Lsn::ZERO,
            end: Lsn::ZERO,
            part: PartIndex { index: 0, count: 0 },
            installed: false,
            payload: Bytes::new(),
        }
    }

    /// An entry.
    #[must_use]
    pub fn entry(
        partition: PartitionKey,
        replica: ReplicaId,
        term: Term,
        lsn: Lsn,
        commit: Lsn,
        payload: Bytes,
    ) -> Self {
        let mut record = Self::bare(RecordKind::Entry, partition, replica);
        record.term = term;
        record.lsn = lsn;
        record.commit = commit;
        record.payload = payload;
        record
    }
}
