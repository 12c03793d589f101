//! What a sequence of records means: the replay rules of PROTOCOL §5, pure.
//!
//! - An entry at position n voids that replica's entries ≥ n read before it.
//! - A copied entry at position n takes the place of the entry at n and voids only what lies beyond the end it names. It
//!   drops a state of which parts are missing.
//! - A state never cuts: entries above it, read before it, stay. The complete state of the highest position wins.
//! - An installed state, once complete, voids everything read before its first part.
//! - `Reset`, `Forgotten` and a record of another replica void what the partition held.
//! - Commit is the highest one seen; that of a state counts once it is complete: before, what it says is committed may not
//!   be what the replica holds.
//!
//! Replay may start in the middle of a log, at or before the oldest record that is needed; what it meets of older,
//! superseded records before that changes nothing in the end.

use std::collections::BTreeMap;

use bytes::Bytes;
use ringhold_types::{Lsn, PartitionKey, ReplicaId, Term};

use crate::{LogRecord, RecordKind, StoredReplica, StoredState};

/// Collects records into replicas.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    replicas: BTreeMap<PartitionKey, ReplicaReplay>,
}

/// A partition whose entries do not join: records that were durable are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("partition {partition} has entries from {first} on, but nothing up to {}", first.previous())]
pub struct MissingEntries {
    /// The partition.
    pub partition: PartitionKey,
    /// The first entry after the hole.
    pub first: Lsn,
}

/// Replays a whole log.
///
/// # Errors
/// [`MissingEntries`] if a replica's entries do not join its state or begin at position 1.
pub fn replay(
    records: impl IntoIterator<Item = LogRecord>,
) -> Result<Vec<StoredReplica>, MissingEntries> {
    let mut replay = Replay::default();
    for record in records {
        replay.apply(record, false);
    }
    replay.finish()
}

impl Replay {
    /// Reads the next record. `marked` says that the record itself carries its replica's cut mark forward (the segmented
    /// log writes that into states).
    pub fn apply(&mut self, record: LogRecord, marked: bool) {
        if record.kind == RecordKind::Forgotten {
            self.replicas.remove(&record.partition);
            return;
        }
        let replica = self
            .replicas
            .entry(record.partition)
            .or_insert_with(|| ReplicaReplay::new(record.replica));
        if replica.replica != record.replica || record.kind == RecordKind::Reset {
            *replica = ReplicaReplay::new(record.replica);
        }
        replica.apply(record, marked);
    }

    /// The tail was cut here: every replica that holds anything may have lost entries.
    pub fn mark_all(&mut self) {
        for replica in self.replicas.values_mut() {
            replica.cut_mark |= !replica.is_empty() || replica.pending.is_some();
        }
    }

    /// Keeps exactly the partitions named, and sets commit and mark to what is known of them from elsewhere (a
    /// checkpoint) at this point of the log: `(partition, replica, commit, cut mark)`.
    pub fn settle(
        &mut self,
        named: impl IntoIterator<Item = (PartitionKey, ReplicaId, Lsn, bool)>,
    ) {
        let mut read = std::mem::take(&mut self.replicas);
        for (partition, id, commit, cut_mark) in named {
            let mut replica = read
                .remove(&partition)
                .filter(|replica| replica.replica == id)
                .unwrap_or_else(|| ReplicaReplay::new(id));
            replica.commit = replica.commit.max(commit);
            replica.cut_mark = cut_mark;
            self.replicas.insert(partition, replica);
        }
    }

    /// The replicas that hold anything or carry a mark, by partition.
    ///
    /// # Errors
    /// [`MissingEntries`] if a replica's entries do not join its state or begin at position 1.
    pub fn finish(self) -> Result<Vec<StoredReplica>, MissingEntries> {
        self.replicas
            .into_iter()
            .filter(|(_, replica)| !replica.is_empty())
            .map(|(partition, replica)| replica.finish(partition))
            .collect()
    }
}

/// One partition while it is replayed.
#[derive(Clone, Debug)]
struct ReplicaReplay {
    replica: ReplicaId,
    state: Option<StoredState>,
    /// A state of which not all parts were read yet.
    pending: Option<PendingState>,
    /// In the order of positions. Holes may come and go while dead records are read of which some are skipped.
    entries: Vec<LogRecord>,
    commit: Lsn,
    cut_mark: bool,
}

#[derive(Clone, Debug)]
struct PendingState {
    lsn: Lsn,
    term: Term,
    count: u32,
    installed: bool,
    commit: Lsn,
    parts: Vec<Bytes>,
    /// Entries before this index were read before the first part.
    entries_before: usize,
}

impl ReplicaReplay {
    const fn new(replica: ReplicaId) -> Self {
        Self {
            replica,
            state: None,
            pending: None,
            entries: Vec::new(),
            commit: Lsn::ZERO,
            cut_mark: false,
        }
    }

    const fn is_empty(&self) -> bool {
        self.state.is_none() && self.entries.is_empty() && !self.cut_mark
    }

    fn apply(&mut self, record: LogRecord, marked: bool) {
        if record.kind != RecordKind::State {
            self.commit = self.commit.max(record.commit);
        }
        match record.kind {
            RecordKind::Entry => self.push_entry(record),
            RecordKind::Copied => self.push_copied(record),
            RecordKind::State => self.push_part(record, marked),
            RecordKind::CutMark => self.cut_mark = true,
            RecordKind::CutMarkCleared => self.cut_mark = false,
            RecordKind::Reset | RecordKind::Forgotten => {}
        }
    }

    fn push_entry(&mut self, record: LogRecord) {
        let keep = self.entries.partition_point(|entry| entry.lsn < record.lsn);
        self.entries.truncate(keep);
        let length = self.entries.len();
        if let Some(pending) = &mut self.pending {
            pending.entries_before = pending.entries_before.min(length);
        }
        if self
            .state
            .as_ref()
            .is_none_or(|state| record.lsn > state.lsn)
        {
            self.entries.push(record);
        }
    }

    fn push_copied(&mut self, record: LogRecord) {
        self.pending = None;
        let keep = self
            .entries
            .partition_point(|entry| entry.lsn <= record.end);
        self.entries.truncate(keep);
        if self
            .state
            .as_ref()
            .is_some_and(|state| record.lsn <= state.lsn)
        {
            return;
        }
        let entry = LogRecord {
            kind: RecordKind::Entry,
            end: Lsn::ZERO,
            ..record
        };
        let place = self.entries.partition_point(|other| other.lsn < entry.lsn);
        match self.entries.get_mut(place) {
            Some(found) if found.lsn == entry.lsn => *found = entry,
            // What it was copied from was skipped, because it is no longer needed.
            _ => self.entries.insert(place, entry),
        }
    }

    fn push_part(&mut self, record: LogRecord, marked: bool) {
        if record.part.index == 0 && record.part.count > 0 {
            self.pending = Some(PendingState {
                lsn: record.lsn,
                term: record.term,
                count: record.part.count,
                installed: record.installed,
                commit: Lsn::ZERO,
                parts: Vec::new(),
                entries_before: self.entries.len(),
            });
        }
        let Some(pending) = &mut self.pending else {
            return;
        };
        let follows = pending.lsn == record.lsn
            && pending.term == record.term
            && pending.count == record.part.count
            && pending.installed == record.installed
            && usize::try_from(record.part.index).is_ok_and(|index| index == pending.parts.len());
        if !follows {
            self.pending = None;
            return;
        }
        pending.parts.push(record.payload);
        pending.commit = pending.commit.max(record.commit);
        if record.part.index + 1 >= record.part.count {
            self.complete(marked);
        }
    }

    fn complete(&mut self, marked: bool) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        if pending.installed {
            self.entries.drain(..pending.entries_before);
            self.state = None;
        }
        self.cut_mark |= marked;
        self.commit = self.commit.max(pending.commit);
        let newer = self
            .state
            .as_ref()
            .is_none_or(|state| pending.lsn >= state.lsn);
        if newer {
            self.commit = self.commit.max(pending.lsn);
            let superseded = self
                .entries
                .partition_point(|entry| entry.lsn <= pending.lsn);
            self.entries.drain(..superseded);
            self.state = Some(StoredState {
                lsn: pending.lsn,
                term: pending.term,
                parts: pending.parts,
            });
        }
    }

    fn finish(self, partition: PartitionKey) -> Result<StoredReplica, MissingEntries> {
        let base = self.state.as_ref().map_or(Lsn::ZERO, |state| state.lsn);
        let before = std::iter::once(base).chain(self.entries.iter().map(|entry| entry.lsn));
        let hole = before
            .zip(&self.entries)
            .find(|(before, entry)| before.next() != entry.lsn);
        match hole {
            Some((_, entry)) => Err(MissingEntries {
                partition,
                first: entry.lsn,
            }),
            None => Ok(StoredReplica {
                partition,
                replica: self.replica,
                state: self.state,
                entries: self.entries,
                commit: self.commit,
                cut_mark: self.cut_mark,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{entry, state};

    fn positions(records: Vec<LogRecord>) -> Result<Vec<u64>, MissingEntries> {
        let replicas = replay(records)?;
        let entries = replicas.first().map(|found| found.entries.iter());
        Ok(entries
            .into_iter()
            .flatten()
            .map(|entry| entry.lsn.0)
            .collect())
    }

    #[test]
    fn dead_entries_beyond_a_hole_change_nothing() {
        // Entry 3 of term 1 was skipped because it is dead; entry 4, dead as well, was not.
        let records = vec![entry(1, 1), entry(1, 2), entry(1, 4), entry(2, 3)];
        assert_eq!(positions(records), Ok(vec![1, 2, 3]));
        let records = vec![entry(1, 5), entry(1, 9), entry(1, 10), state(9, 0, 1)];
        assert_eq!(positions(records), Ok(vec![10]));
    }

    #[test]
    fn a_hole_that_remains_is_told() {
        for (records, first) in [
            (vec![entry(1, 2)], 2),
            (vec![entry(1, 1), entry(1, 2), entry(1, 4)], 4),
            (vec![state(3, 0, 1), entry(1, 5)], 5),
        ] {
            let missing = positions(records).expect_err("a hole");
            assert_eq!(missing.first, Lsn(first));
        }
    }

    #[test]
    fn a_cut_tail_marks_what_holds_anything() {
        let mut replay = Replay::default();
        let other = LogRecord {
            partition: crate::conformance::partition(2),
            ..entry(1, 1)
        };
        let reset = LogRecord::bare(RecordKind::Reset, entry(1, 1).partition, other.replica);
        replay.apply(reset, false);
        replay.apply(other, false);
        replay.mark_all();
        let found = replay.finish().expect("no hole");
        assert_eq!((found.len(), found[0].cut_mark), (1, true));
    }
}
