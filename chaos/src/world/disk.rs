//! A disk: writes in order, flushed one after another; what a crash leaves of it; and what a start reads from it.

use ringhold_replica::{PersistToken, Record, RecoveredReplica};
use ringhold_ringbuffer::{LogEntry, Ring, RingPart};
use ringhold_storage::replay::Replay;
use ringhold_storage::{LogRecord, PartIndex, RecordKind, StoredReplica};
use ringhold_types::{Lsn, PartitionKey, ReplicaId, Term};

use crate::plan::DiskPlan;
use crate::random::Stream;

/// One write.
#[derive(Clone, Debug)]
struct Batch {
    records: Vec<Record>,
    /// What is confirmed with it; nothing for the first half of a write.
    token: Option<PersistToken>,
    /// How many writes its writer knew to be flushed: its header's mark (PROTOCOL §5).
    known: usize,
    /// When it will be flushed.
    flushed_at: u64,
    /// Whether a cut was found before it, at a start.
    cut_before: bool,
}

/// A disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    batches: Vec<Batch>,
    /// Writes flushed.
    flushed: usize,
    /// Whether the end was found torn at the last crash.
    cut_at_end: bool,
    /// Whether a cut was found of which no start has written down yet which replicas it took whole.
    unlisted_cut: bool,
}

/// What a crash did to a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CrashTrace {
    /// Nothing that a start would notice.
    Clean,
    /// A torn tail of writes that nobody relied on.
    Torn,
    /// A damaged tail of flushed writes, above the last mark.
    Damaged,
}

impl Disk {
    /// Takes a write; tells its number and when it will be flushed. A write with a ring in it goes in two halves: it is larger
    /// than one block.
    pub(crate) fn write(
        &mut self,
        now: u64,
        records: Vec<Record>,
        token: PersistToken,
        takes: u64,
    ) -> (usize, u64) {
        let is_state = |record: &Record| matches!(record, Record::State { .. });
        let half = records
            .iter()
            .rposition(is_state)
            .map_or(0, |last| last + 1);
        let mut first = records;
        let second = first.split_off(half);
        if !first.is_empty() {
            self.push(now, first, None, takes);
        }
        self.push(now, second, Some(token), takes);
        let flushed_at = self.batches.last().map_or(now, |batch| batch.flushed_at);
        (self.batches.len() - 1, flushed_at)
    }

    fn push(&mut self, now: u64, records: Vec<Record>, token: Option<PersistToken>, takes: u64) {
        let after = self.batches.last().map_or(0, |batch| batch.flushed_at);
        self.batches.push(Batch {
            records,
            token,
            known: self.flushed,
            flushed_at: now.max(after) + takes,
            cut_before: std::mem::take(&mut self.cut_at_end),
        });
    }

    /// The write is flushed, and all before it; tells its token.
    pub(crate) fn flushed(&mut self, batch: usize) -> Option<PersistToken> {
        let token = self.batches.get(batch)?.token;
        self.flushed = self.flushed.max(batch + 1);
        token
    }

    /// The process or the machine ends here. `may_damage`: flushed writes above the last mark may be unreadable.
    pub(crate) fn crash(
        &mut self,
        plan: &DiskPlan,
        random: &mut Stream,
        may_damage: bool,
    ) -> CrashTrace {
        if may_damage && self.flushed > 0 && random.chance(plan.damaged) {
            let first = self.batches[..self.flushed]
                .last()
                .map_or(0, |last| last.known);
            let keep = random.between(first as u64, self.flushed as u64 - 1) as usize;
            self.cut(keep);
            self.cut_at_end = true;
            self.unlisted_cut = true;
            return CrashTrace::Damaged;
        }
        let unflushed = self.batches.len() - self.flushed;
        let keep = self.flushed + random.index(unflushed + 1);
        let torn = keep < self.batches.len() && random.chance(plan.torn);
        self.cut(keep);
        self.cut_at_end |= torn;
        self.unlisted_cut |= torn;
        if torn {
            CrashTrace::Torn
        } else {
            CrashTrace::Clean
        }
    }

    /// How many flushed writes are above the last mark.
    pub(crate) fn exposed(&self) -> usize {
        let last = self.batches[..self.flushed].last();
        self.flushed - last.map_or(0, |last| last.known)
    }

    /// All flushed writes above the last mark become unreadable.
    pub(crate) fn damage(&mut self) {
        let keep = self.flushed - self.exposed();
        self.cut(keep);
        self.cut_at_end = true;
        self.unlisted_cut = true;
    }

    fn cut(&mut self, keep: usize) {
        // A mark that was to be written with a lost write is found again at the next start.
        self.cut_at_end |= self.batches[keep..].iter().any(|batch| batch.cut_before);
        self.batches.truncate(keep);
        for batch in &mut self.batches {
            batch.flushed_at = 0;
        }
        self.flushed = self.batches.len();
    }

    /// Whether replicas that the next start does not find may have been cut whole.
    pub(crate) const fn is_cut_unlisted(&self) -> bool {
        self.unlisted_cut
    }

    /// What a start finds; `None` if it does not fit together. `seats` are the replicas that the control plane knows here: one
    /// that the cut took whole is empty and marked, and the mark is written down. `copies_cut` is the sabotage of a straggler copy that voids what lies
    /// beside it.
    pub(crate) fn recover(
        &mut self,
        seats: &[(PartitionKey, ReplicaId)],
        copies_cut: bool,
    ) -> Option<Vec<RecoveredReplica>> {
        let mut arena = Arena::default();
        let mut replay = Replay::default();
        for batch in &self.batches {
            if batch.cut_before {
                replay.mark_all();
            }
            for record in &batch.records {
                replay.apply(arena.store(record, copies_cut), false);
            }
        }
        if self.cut_at_end {
            replay.mark_all();
        }
        let stored = replay.finish().ok()?;
        let found = stored.into_iter().map(|replica| arena.load(&replica));
        let mut found: Vec<RecoveredReplica> = found.collect::<Option<_>>()?;
        if std::mem::take(&mut self.unlisted_cut) {
            let listed = |key: &PartitionKey| found.iter().any(|it| it.partition == *key);
            let missing: Vec<(PartitionKey, ReplicaId)> = seats
                .iter()
                .copied()
                .filter(|(key, _)| !listed(key))
                .collect();
            self.write_marks(&missing);
            found.extend(
                missing
                    .iter()
                    .map(|(key, id)| RecoveredReplica::empty_and_marked(*key, *id)),
            );
        }
        Some(found)
    }

    /// Writes the marks of replicas that a cut took whole, and syncs them, before the process begins.
    fn write_marks(&mut self, missing: &[(PartitionKey, ReplicaId)]) {
        let mark = |(partition, replica): &(PartitionKey, ReplicaId)| Record::CutMark {
            partition: *partition,
            replica: *replica,
        };
        let records = missing.iter().map(mark).collect();
        self.push(0, records, None, 0);
        self.flushed = self.batches.len();
    }
}

/// Keeps entries and parts beside the log's records, whose payload is their number.
#[derive(Default)]
struct Arena {
    entries: Vec<LogEntry>,
    parts: Vec<RingPart>,
}

impl Arena {
    fn store(&mut self, record: &Record, copies_cut: bool) -> LogRecord {
        match record {
            Record::Entry {
                partition,
                replica,
                entry,
                commit,
            } => {
                let bare = LogRecord::bare(RecordKind::Entry, *partition, *replica);
                self.store_entry(entry, *commit, bare)
            }
            Record::Copied {
                partition,
                replica,
                entry,
                commit,
                end,
            } => {
                let kind = if copies_cut {
                    RecordKind::Entry
                } else {
                    RecordKind::Copied
                };
                let mut bare = LogRecord::bare(kind, *partition, *replica);
                bare.end = *end;
                self.store_entry(entry, *commit, bare)
            }
            Record::State {
                partition,
                replica,
                lsn,
                term,
                index,
                count,
                part,
                installed,
            } => {
                self.parts.push(part.clone());
                LogRecord {
                    term: *term,
                    lsn: *lsn,
                    commit: *lsn,
                    part: PartIndex {
                        index: *index,
                        count: *count,
                    },
                    installed: *installed || copies_cut,
                    payload: number(self.parts.len()),
                    ..LogRecord::bare(RecordKind::State, *partition, *replica)
                }
            }
            Record::Reset { partition, replica } => {
                LogRecord::bare(RecordKind::Reset, *partition, *replica)
            }
            Record::CutMark { partition, replica } => {
                LogRecord::bare(RecordKind::CutMark, *partition, *replica)
            }
            Record::Forgotten { partition, replica } => {
                LogRecord::bare(RecordKind::Forgotten, *partition, *replica)
            }
            Record::CutMarkCleared { partition, replica } => {
                LogRecord::bare(RecordKind::CutMarkCleared, *partition, *replica)
            }
        }
    }

    fn store_entry(&mut self, entry: &LogEntry, commit: Lsn, bare: LogRecord) -> LogRecord {
        self.entries.push(entry.clone());
        LogRecord {
            term: entry.term,
            lsn: entry.lsn,
            commit,
            payload: number(self.entries.len()),
            ..bare
        }
    }

    fn load(&self, stored: &StoredReplica) -> Option<RecoveredReplica> {
        let mut found = RecoveredReplica {
            partition: stored.partition,
            replica: stored.replica,
            ring: None,
            ring_lsn: Lsn::ZERO,
            ring_term: Term::ZERO,
            entries: Vec::new(),
            commit: stored.commit,
            cut_mark: stored.cut_mark,
        };
        if let Some(state) = &stored.state {
            let parts = state
                .parts
                .iter()
                .map(|payload| self.parts[index(payload)].clone());
            found.ring = Some(Ring::restore(parts).ok()?);
            found.ring_lsn = state.lsn;
            found.ring_term = state.term;
        }
        let entries = stored.entries.iter();
        found.entries = entries
            .map(|it| self.entries[index(&it.payload)].clone())
            .collect();
        Some(found)
    }
}

/// The number of the last thing kept, as a payload.
fn number(length: usize) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(&(length as u64 - 1).to_le_bytes())
}

fn index(payload: &[u8]) -> usize {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(payload);
    u64::from_le_bytes(bytes) as usize
}
