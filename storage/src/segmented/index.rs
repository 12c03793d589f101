//! Which segments each partition still needs: the replay rules, with places instead of payloads.

use std::collections::{BTreeMap, BTreeSet};

use ringhold_types::{Lsn, PartitionKey, ReplicaId};

use super::SegmentNumber;
use super::progress::{Progress, Step};
use crate::{LogRecord, RecordKind};

/// The index of a whole log. Memory: some hundred bytes per partition and a run per segment it has entries in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LogIndex {
    partitions: BTreeMap<PartitionKey, PartitionIndex>,
    /// The partitions whose oldest needed record is in a segment.
    pins: BTreeMap<SegmentNumber, BTreeSet<PartitionKey>>,
    state_bytes: u64,
}

/// What one partition needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PartitionIndex {
    pub(super) progress: Progress,
    /// Highest commit seen; states carry it on, so that it outlives the records it was read from.
    pub(super) commit: Lsn,
    /// Where the mark of a cut tail stands, if the replica carries one.
    pub(super) cut_mark: Option<SegmentNumber>,
    /// Whether that mark names the replica; else it marks all that were known from older records.
    mark_is_named: bool,
    state: Option<StatePlace>,
    pending: Option<PendingPlace>,
    /// In the order of positions; copied entries lie in later segments than what follows them.
    runs: Vec<Run>,
}

/// What a checkpoint says of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartitionSummary {
    pub(super) replica: ReplicaId,
    pub(super) commit: Lsn,
    pub(super) oldest: SegmentNumber,
    pub(super) cut_mark: Option<SegmentNumber>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct StatePlace {
    lsn: Lsn,
    bytes: u64,
    segments: BTreeSet<SegmentNumber>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct PendingPlace {
    place: StatePlace,
    commit: Lsn,
    /// Runs before this index were written before the first part.
    runs_before: usize,
}

/// Consecutive entries in one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    segment: SegmentNumber,
    first: Lsn,
    last: Lsn,
}

impl LogIndex {
    /// Notes a record of `bytes` encoded bytes in a segment. `marked`: it carries its replica's mark.
    pub(super) fn apply(
        &mut self,
        record: &LogRecord,
        marked: bool,
        segment: SegmentNumber,
        bytes: u64,
    ) {
        if record.kind == RecordKind::Forgotten {
            self.remove(record.partition);
            return;
        }
        self.update(record.partition, record.replica, |partition| {
            if partition.progress.replica != record.replica || record.kind == RecordKind::Reset {
                *partition = PartitionIndex::new(record.replica);
            }
            partition.apply(record, marked, segment, bytes);
        });
    }

    /// The tail was cut in a segment: every replica that holds anything carries a mark.
    pub(super) fn mark_all(&mut self, segment: SegmentNumber) {
        for (key, replica) in self.keys() {
            self.update(key, replica, |partition| {
                if partition.oldest().is_some() {
                    partition.mark(segment, false);
                }
            });
        }
    }

    /// Replicas whose mark does not name them: the mark is of no use once what they are known from is gone.
    pub(super) fn marked_without_name(&self) -> Vec<(PartitionKey, ReplicaId)> {
        self.partitions
            .iter()
            .filter(|(_, partition)| partition.cut_mark.is_some() && !partition.mark_is_named)
            .map(|(key, partition)| (*key, partition.progress.replica))
            .collect()
    }

    /// Keeps the partitions a checkpoint names, with the commit and mark it names, and drops all others.
    pub(super) fn settle(&mut self, named: &BTreeMap<PartitionKey, PartitionSummary>) {
        for (key, _) in self.keys() {
            if !named.contains_key(&key) {
                self.remove(key);
            }
        }
        for (key, summary) in named {
            self.update(*key, summary.replica, |partition| {
                if partition.progress.replica != summary.replica {
                    *partition = PartitionIndex::new(summary.replica);
                }
                partition.commit = partition.commit.max(summary.commit);
                partition.cut_mark = summary.cut_mark;
                // Every opening gives all marks names before anything else is written.
                partition.mark_is_named = true;
            });
        }
    }

    /// One partition.
    pub(super) fn get(&self, partition: PartitionKey) -> Option<&PartitionIndex> {
        self.partitions.get(&partition)
    }

    /// All partitions that need anything.
    pub(super) fn summaries(&self) -> impl Iterator<Item = (PartitionKey, PartitionSummary)> {
        self.partitions.iter().filter_map(|(key, partition)| {
            let summary = PartitionSummary {
                replica: partition.progress.replica,
                commit: partition.commit,
                oldest: partition.oldest()?,
                cut_mark: partition.cut_mark,
            };
            Some((*key, summary))
        })
    }

    /// The oldest segment that anything needs.
    pub(super) fn oldest(&self) -> Option<SegmentNumber> {
        self.pins.first_key_value().map(|(segment, _)| *segment)
    }

    /// Partitions whose oldest needed record is in a segment before `end`, oldest first.
    pub(super) fn pinning_before(&self, end: SegmentNumber) -> impl Iterator<Item = PartitionKey> {
        self.pins
            .range(..end)
            .flat_map(|(_, partitions)| partitions.iter().copied())
    }

    /// Every segment that holds a needed record.
    pub(super) fn needed_segments(&self) -> BTreeSet<SegmentNumber> {
        self.partitions
            .values()
            .flat_map(PartitionIndex::needed)
            .collect()
    }

    /// Bytes of the latest states of all partitions.
    pub(super) const fn state_bytes(&self) -> u64 {
        self.state_bytes
    }

    /// Partitions that need anything.
    pub(super) fn partitions(&self) -> u64 {
        self.pins.values().map(|pinning| pinning.len() as u64).sum()
    }

    fn keys(&self) -> Vec<(PartitionKey, ReplicaId)> {
        let key_and_replica =
            |(key, partition): (&PartitionKey, &PartitionIndex)| (*key, partition.progress.replica);
        self.partitions.iter().map(key_and_replica).collect()
    }

    fn update(
        &mut self,
        key: PartitionKey,
        replica: ReplicaId,
        work: impl FnOnce(&mut PartitionIndex),
    ) {
        let partition = self
            .partitions
            .entry(key)
            .or_insert_with(|| PartitionIndex::new(replica));
        let (oldest, bytes) = (partition.oldest(), partition.state_bytes());
        work(partition);
        let (oldest_now, bytes_now) = (partition.oldest(), partition.state_bytes());
        self.state_bytes = self.state_bytes - bytes + bytes_now;
        if oldest != oldest_now {
            self.unpin(key, oldest);
            if let Some(segment) = oldest_now {
                self.pins.entry(segment).or_default().insert(key);
            }
        }
    }

    fn remove(&mut self, key: PartitionKey) {
        if let Some(partition) = self.partitions.remove(&key) {
            self.state_bytes -= partition.state_bytes();
            self.unpin(key, partition.oldest());
        }
    }

    fn unpin(&mut self, key: PartitionKey, segment: Option<SegmentNumber>) {
        let Some(segment) = segment else { return };
        if let Some(pinning) = self.pins.get_mut(&segment) {
            pinning.remove(&key);
            if pinning.is_empty() {
                self.pins.remove(&segment);
            }
        }
    }
}

impl PartitionIndex {
    const fn new(replica: ReplicaId) -> Self {
        Self {
            progress: Progress::new(replica),
            commit: Lsn::ZERO,
            cut_mark: None,
            mark_is_named: false,
            state: None,
            pending: None,
            runs: Vec::new(),
        }
    }

    fn apply(&mut self, record: &LogRecord, marked: bool, segment: SegmentNumber, bytes: u64) {
        if record.kind != RecordKind::State {
            self.commit = self.commit.max(record.commit);
        }
        let step = self.progress.advance(record);
        match record.kind {
            RecordKind::Entry => self.push_entry(record.lsn, segment, step == Step::Entry),
            RecordKind::Copied => self.push_copied(record, segment, step == Step::Entry),
            RecordKind::State => self.push_part(record, step, segment, bytes),
            RecordKind::CutMark => self.mark(segment, true),
            RecordKind::CutMarkCleared => self.cut_mark = None,
            RecordKind::Reset | RecordKind::Forgotten => {}
        }
        if marked && matches!(step, Step::StateComplete { .. }) {
            self.mark(segment, true);
        }
    }

    fn mark(&mut self, segment: SegmentNumber, named: bool) {
        self.cut_mark = Some(segment);
        self.mark_is_named = named;
    }

    fn push_entry(&mut self, lsn: Lsn, segment: SegmentNumber, needed: bool) {
        while let Some(run) = self.runs.last_mut() {
            if run.first >= lsn {
                self.runs.pop();
            } else {
                run.last = run.last.min(lsn.previous());
                break;
            }
        }
        let length = self.runs.len();
        let first_after_part = self.pending.as_mut().is_some_and(|pending| {
            pending.runs_before = pending.runs_before.min(length);
            pending.runs_before == length
        });
        if !needed {
            return;
        }
        match self.runs.last_mut() {
            // A run never crosses the first part of a pending state, which may end what was written before.
            Some(run) if run.segment == segment && run.last.next() == lsn && !first_after_part => {
                run.last = lsn;
            }
            _ => self.runs.push(Run {
                segment,
                first: lsn,
                last: lsn,
            }),
        }
    }

    fn push_copied(&mut self, record: &LogRecord, segment: SegmentNumber, needed: bool) {
        self.pending = None;
        self.cut_runs_after(record.end);
        if !needed {
            return;
        }
        let lsn = record.lsn;
        let mut place = self.runs.partition_point(|run| run.last < lsn);
        if let Some(run) = self.runs.get(place).copied().filter(|run| run.first <= lsn) {
            let before = (run.first < lsn).then(|| Run {
                last: lsn.previous(),
                ..run
            });
            let after = (run.last > lsn).then(|| Run {
                first: lsn.next(),
                ..run
            });
            let rest = before.into_iter().chain(after);
            self.runs.splice(place..=place, rest);
            place += usize::from(before.is_some());
        }
        let before = place
            .checked_sub(1)
            .and_then(|index| self.runs.get_mut(index));
        match before {
            Some(run) if run.segment == segment && run.last.next() == lsn => run.last = lsn,
            _ => {
                let run = Run {
                    segment,
                    first: lsn,
                    last: lsn,
                };
                self.runs.insert(place, run);
            }
        }
    }

    /// Drops what lies beyond `end`.
    fn cut_runs_after(&mut self, end: Lsn) {
        let keep = self.runs.partition_point(|run| run.first <= end);
        self.runs.truncate(keep);
        if let Some(run) = self.runs.last_mut() {
            run.last = run.last.min(end);
        }
    }

    fn push_part(&mut self, record: &LogRecord, step: Step, segment: SegmentNumber, bytes: u64) {
        if step == Step::Nothing {
            self.pending = None;
            return;
        }
        if record.part.index == 0 {
            self.pending = None;
        }
        let runs_before = self.runs.len();
        let pending = self.pending.get_or_insert_with(|| PendingPlace {
            place: StatePlace {
                lsn: record.lsn,
                ..StatePlace::default()
            },
            commit: Lsn::ZERO,
            runs_before,
        });
        pending.commit = pending.commit.max(record.commit);
        pending.place.bytes += bytes;
        pending.place.segments.insert(segment);
        if let Step::StateComplete { installed, newest } = step {
            self.complete(installed, newest);
        }
    }

    fn complete(&mut self, installed: bool, newest: bool) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        self.commit = self.commit.max(pending.commit);
        if installed {
            self.runs.drain(..pending.runs_before);
            self.state = None;
        }
        if newest {
            let lsn = pending.place.lsn;
            self.commit = self.commit.max(lsn);
            self.runs.retain(|run| run.last > lsn);
            if let Some(first) = self.runs.first_mut() {
                first.first = first.first.max(lsn.next());
            }
            self.state = Some(pending.place);
        }
    }

    fn needed(&self) -> impl Iterator<Item = SegmentNumber> {
        let pending = self.pending.iter().map(|pending| &pending.place);
        self.state
            .iter()
            .chain(pending)
            .flat_map(|place| place.segments.iter().copied())
            .chain(self.runs.iter().map(|run| run.segment))
            .chain(self.cut_mark)
    }

    fn oldest(&self) -> Option<SegmentNumber> {
        let first_of = |place: &StatePlace| place.segments.first().copied();
        [
            self.state.as_ref().and_then(first_of),
            self.pending.as_ref().and_then(|p| first_of(&p.place)),
            self.runs.iter().map(|run| run.segment).min(),
            self.cut_mark,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn state_bytes(&self) -> u64 {
        self.state.as_ref().map_or(0, |state| state.bytes)
    }
}
