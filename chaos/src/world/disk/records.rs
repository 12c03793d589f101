//! A disk as a list of records: writes in order, flushed one after another; what a crash leaves of it; and what a start reads
//! from it, by the log's own replay rules. Kept for the seeds that found something before the log itself was simulated, and
//! for schedules that need each write to be flushed for itself.

use ringhold_replica::{PersistToken, Record, RecoveredReplica};
use ringhold_storage::replay::Replay;
use ringhold_types::{PartitionKey, ReplicaId};

use super::arena::Arena;
use super::{CrashTrace, Flush, Opened, marked, missing};
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

/// Such a disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordDisk {
    batches: Vec<Batch>,
    /// Writes flushed.
    flushed: usize,
    /// Whether the end was found torn at the last crash.
    cut_at_end: bool,
    /// Whether a cut was found of which no start has written down yet which replicas it took whole.
    unlisted_cut: bool,
    /// The sabotage of a straggler copy that voids what lies beside it.
    copies_cut: bool,
}

impl RecordDisk {
    /// An empty one.
    pub(crate) fn new(copies_cut: bool) -> Self {
        Self {
            copies_cut,
            ..Self::default()
        }
    }

    /// Throws everything away.
    pub(super) fn empty(&mut self) {
        *self = Self::new(self.copies_cut);
    }

    /// Takes a write; tells when it will be flushed. A write with a ring in it goes in two halves: it is larger
    /// than one block.
    pub(crate) fn write(
        &mut self,
        now: u64,
        records: Vec<Record>,
        token: PersistToken,
        takes: u64,
    ) -> Flush {
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
        let at = self.batches.last().map_or(now, |batch| batch.flushed_at);
        let number = self.batches.len() - 1;
        Flush { number, at }
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

    /// Opens it for a process that starts. `seats` are the replicas that the control plane knows here: one that the cut took
    /// whole is empty and marked, and the mark is written down.
    pub(crate) fn open(&mut self, seats: &[(PartitionKey, ReplicaId)]) -> Opened {
        let unlisted_cut = self.unlisted_cut;
        match self.recover(seats) {
            Some(replicas) => Opened {
                replicas,
                unlisted_cut,
                ..Opened::default()
            },
            None => {
                self.empty();
                Opened {
                    doubt: Some("what is stored does not fit together".to_owned()),
                    ..Opened::default()
                }
            }
        }
    }

    /// What a start finds; `None` if it does not fit together.
    fn recover(&mut self, seats: &[(PartitionKey, ReplicaId)]) -> Option<Vec<RecoveredReplica>> {
        let mut arena = Arena::default();
        let mut replay = Replay::default();
        for batch in &self.batches {
            if batch.cut_before {
                replay.mark_all();
            }
            for record in &batch.records {
                replay.apply(arena.store(record, self.copies_cut), false);
            }
        }
        if self.cut_at_end {
            replay.mark_all();
        }
        let stored = replay.finish().ok()?;
        let found = stored.into_iter().map(|replica| arena.load(&replica));
        let mut found: Vec<RecoveredReplica> = found.collect::<Option<_>>()?;
        if std::mem::take(&mut self.unlisted_cut) {
            let missing = missing(seats, &found);
            self.write_marks(&missing);
            found.extend(marked(&missing));
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
