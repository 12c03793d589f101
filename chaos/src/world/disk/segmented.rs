//! The segmented log of `storage` on its simulated file system, and the thread that a member gives it: what is handed over
//! while a flush runs is written with the next one. Crashes lose what was not flushed, tear the last writes, come in the middle
//! of the log's own steps, also of those at its opening.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use ringhold_replica::{PersistToken, Record, RecoveredReplica};
use ringhold_storage::{
    LogOptions, LogRecord, PlacedBatch, RecordKind, RecordLog as _, Recovered, SegmentedLog,
    SimulatedFileSystem, StorageError, newest_batches, older_batches,
};
use ringhold_types::{ClusterId, PartitionKey, ReplicaId};

use super::arena::Arena;
use super::promises::Promises;
use super::{CrashTrace, Flush, Flushed, Opened, marked, missing};
use crate::coverage::Mark;
use crate::plan::{DiskPlan, MILLISECOND};
use crate::random::Stream;
use crate::sabotage::Sabotage;

/// Where the log lives.
const DIRECTORY: &str = "/log";
/// The smallest segments that there are: seeds cross many.
const OPTIONS: LogOptions = LogOptions {
    segment_bytes: 16 * 1024,
    zero_bytes: 4 * 1024,
    cluster: ClusterId(1),
};
/// Partitions asked for a copy at a time, as a member does.
const COPY_FORWARD_MOST: usize = 4;
/// Of so many millionths of the crashes the log's thread is at the next writes.
const ENDS_INSIDE: u32 = 400_000;
/// Of so many millionths of the starts the first try ends before the log is open.
const START_ENDS: u32 = 100_000;
/// How often it is looked for room on a full disk, in microseconds; less often than this would only make seeds longer.
const DISK_FULL_PAUSE: u64 = 50 * MILLISECOND;
/// Steps of the file system within which such an end comes. Beginning a segment takes nine.
const STEPS_MOST: u64 = 16;

/// Such a disk.
pub(crate) struct SegmentedDisk {
    files: SimulatedFileSystem,
    /// The log of the process that runs.
    log: Option<SegmentedLog>,
    arena: Arena,
    sabotage: Sabotage,
    /// What was handed over and not written yet, in order.
    waiting: VecDeque<HandOver>,
    /// The flush that runs: its number, and what is durable with it. While the disk is full it may be a mere look for room.
    flushing: Option<(usize, Option<PersistToken>)>,
    /// Flushes begun.
    flushes: usize,
    /// Partitions that the log asked for.
    asked: BTreeSet<PartitionKey>,
    /// Those of which a copy was written that is not flushed.
    copied: BTreeSet<PartitionKey>,
    promises: Promises,
    /// Whether something that was flushed was damaged since the last opening.
    hurt: bool,
    /// Whether something that was known to be durable was: the next opening must notice.
    rotten: bool,
    /// Whether that lies in an older segment.
    old_rot: bool,
    /// What is gone of what was promised, by an opening after which another one had to follow.
    gone: Option<String>,
    /// Whether an opening found it damaged and nobody was told yet: the next one must find that, too.
    doubted: bool,
    /// Whether it was ever started over. Without its first batch after that it is as damaged as before.
    started_over: bool,
    /// Segments begun and written again, as last seen.
    seen: (u64, u64),
    /// A flush is to fail, and what the log says then is no fault of its own.
    fails: bool,
    /// Others leave it too little room until then.
    full_until: Option<u64>,
    /// Whether what was handed over waits for room.
    waits_for_room: bool,
}

/// What the machine hands over in one turn.
struct HandOver {
    records: Vec<Record>,
    token: PersistToken,
    /// How long a flush that begins with it takes.
    takes: u64,
}

impl SegmentedDisk {
    /// An empty one. Records have up to `payload` bytes more than they need.
    pub(crate) fn new(payload: u64, sabotage: Sabotage) -> Self {
        Self {
            files: SimulatedFileSystem::new(),
            log: None,
            arena: Arena::padded(payload),
            sabotage,
            waiting: VecDeque::new(),
            flushing: None,
            flushes: 0,
            asked: BTreeSet::new(),
            copied: BTreeSet::new(),
            promises: Promises::default(),
            hurt: false,
            rotten: false,
            old_rot: false,
            gone: None,
            doubted: false,
            started_over: false,
            seen: (0, 0),
            fails: false,
            full_until: None,
            waits_for_room: false,
        }
    }

    /// The flush after so many more fails: what it should have made durable is gone with the next loss of power, though it
    /// can still be read.
    pub(super) fn fail_flush_after(&mut self, successes: u64) {
        self.files.fail_sync_after(successes);
        self.fails = true;
    }

    /// Whether a failure is what was asked for.
    pub(super) const fn is_to_fail(&self) -> bool {
        self.fails
    }

    /// Others take all but so many bytes, until a time.
    pub(super) fn fill(&mut self, room: u64, until: u64) {
        self.files.set_capacity(Some(self.files.used() + room));
        self.full_until = Some(until);
    }

    /// No flush fails from now on, and there is room.
    pub(super) fn end_faults(&mut self) {
        self.make_room();
        self.files.fail_sync_after(u64::MAX);
    }

    /// Whether others leave it too little room.
    pub(super) const fn is_full(&self) -> bool {
        self.full_until.is_some()
    }

    fn make_room(&mut self) {
        self.files.set_capacity(None);
        self.full_until = None;
    }

    /// No flush fails while a process begins: it would only begin again.
    fn begin_soundly(&mut self, now: u64) {
        if self.full_until.is_some_and(|until| until <= now) {
            self.make_room();
        }
        self.files.fail_sync_after(u64::MAX);
        self.fails = false;
        self.waits_for_room = false;
    }

    /// Throws all files away.
    pub(super) fn empty(&mut self) {
        self.log = None;
        self.files = SimulatedFileSystem::new();
        self.promises = Promises::default();
        self.waiting.clear();
        self.flushing = None;
        self.doubted = false;
        self.started_over = false;
        self.old_rot = false;
        self.gone = None;
        self.full_until = None;
    }

    /// Takes a write; it is on its way at once unless a flush runs.
    ///
    /// # Errors
    /// What a sound log never answers.
    pub(crate) fn write(
        &mut self,
        now: u64,
        records: Vec<Record>,
        token: PersistToken,
        takes: u64,
    ) -> Result<Option<Flush>, StorageError> {
        self.waiting.push_back(HandOver {
            records,
            token,
            takes,
        });
        if self.flushing.is_some() {
            return Ok(None);
        }
        self.begin_flush(now)
    }

    /// Writes all that waits, as far as there is room: what finds none stays, in order, until there is some.
    fn begin_flush(&mut self, now: u64) -> Result<Option<Flush>, StorageError> {
        let Some(takes) = self.waiting.front().map(|first| first.takes) else {
            return Ok(None);
        };
        let mut last = None;
        self.waits_for_room = false;
        while let Some(next) = self.waiting.pop_front() {
            // A full disk takes nothing, so nothing of it can survive.
            let before = self.full_until.map(|_| self.promises.clone());
            match (self.append(&next.records), before) {
                (Err(StorageError::DiskFull { .. }), Some(before)) => {
                    self.promises = before;
                    self.waits_for_room = true;
                    self.waiting.push_front(next);
                    break;
                }
                (appended, _) => appended?,
            }
            last = Some(next.token);
        }
        let pause = if last.is_none() { DISK_FULL_PAUSE } else { 0 };
        Ok(Some(self.flush_at(now + takes.max(pause), last)))
    }

    fn flush_at(&mut self, at: u64, token: Option<PersistToken>) -> Flush {
        self.flushes += 1;
        self.flushing = Some((self.flushes, token));
        Flush {
            number: self.flushes,
            at,
        }
    }

    fn append(&mut self, records: &[Record]) -> Result<(), StorageError> {
        let (arena, copies_cut) = (&mut self.arena, self.sabotage.copies_cut());
        let records: Vec<LogRecord> = records
            .iter()
            .map(|record| arena.store(record, copies_cut))
            .collect();
        for record in &records {
            self.promises.written(record);
            let is_copy = match record.kind {
                RecordKind::Copied => true,
                RecordKind::State => !record.installed,
                _ => false,
            };
            if is_copy && self.asked.remove(&record.partition) {
                self.copied.insert(record.partition);
            }
        }
        self.running()?.append(&records)
    }

    fn running(&mut self) -> Result<&mut SegmentedLog, StorageError> {
        self.log.as_mut().ok_or(StorageError::Poisoned)
    }

    /// A flush ends; the next one begins if anything waits for it.
    ///
    /// # Errors
    /// As [`SegmentedDisk::write`].
    pub(crate) fn flushed(&mut self, now: u64, number: usize) -> Result<Flushed, StorageError> {
        let Some((_, token)) = self.flushing.take_if(|(running, _)| *running == number) else {
            return Ok(Flushed::default());
        };
        let log = self.running()?;
        log.sync()?;
        self.promises.flushed();
        let log = self.running()?;
        let copies = log.copy_forward_wanted(COPY_FORWARD_MOST);
        self.asked.extend(copies.iter().copied());
        let copied = std::mem::take(&mut self.copied);
        let mut met: Vec<Mark> = copied.iter().map(|_| Mark::StragglerCopied).collect();
        if self.full_until.is_some_and(|until| until <= now) {
            self.make_room();
        }
        let waited = self.waits_for_room;
        let mut next = self.begin_flush(now)?;
        if self.waits_for_room {
            met.push(Mark::WaitedForDisk);
        } else if waited {
            met.push(Mark::DiskHadRoomAgain);
        }
        if next.is_none() || self.waits_for_room {
            self.running()?.prepare()?;
        }
        let is_nearly_full = self.running()?.is_nearly_full();
        if is_nearly_full && next.is_none() {
            // Nothing but looking finds out that there is room again.
            next = Some(self.flush_at(now + DISK_FULL_PAUSE, None));
        }
        met.extend(self.segments_met()?);
        Ok(Flushed {
            token,
            next,
            copies,
            met,
            is_nearly_full,
        })
    }

    /// What the log did with its segments since it was last looked at.
    fn segments_met(&mut self) -> Result<Vec<Mark>, StorageError> {
        let statistics = self.running()?.statistics();
        let (begun, recycled) = (statistics.begun, statistics.recycled);
        let before = std::mem::replace(&mut self.seen, (begun, recycled));
        let rotated = (before.0..begun).map(|_| Mark::SegmentBegun);
        let again = (before.1..recycled).map(|_| Mark::SegmentRecycled);
        Ok(rotated.chain(again).collect())
    }

    /// Tells the log that this start is registered.
    ///
    /// # Errors
    /// As [`SegmentedDisk::write`].
    pub(super) fn settle(&mut self) -> Result<(), StorageError> {
        // No flush fails in the middle of it: the process would only begin again.
        self.files.fail_sync_after(u64::MAX);
        let log = self.running()?;
        let settled = log.settle().and_then(|()| log.sync());
        if matches!(settled, Err(StorageError::DiskFull { .. })) && self.is_full() {
            self.fails = true;
        }
        settled?;
        self.doubted = false;
        Ok(())
    }

    /// The process or the machine ends here. `may_damage`: flushed writes above the last mark may be unreadable.
    pub(super) fn crash(
        &mut self,
        plan: &DiskPlan,
        random: &mut Stream,
        may_damage: bool,
    ) -> CrashTrace {
        let damages = may_damage && random.chance(plan.damaged);
        if !damages && random.chance(ENDS_INSIDE) {
            self.files.stop_after(random.below(STEPS_MOST));
            // Where it stops is as good a place as any: what the log says to it, nobody hears.
            let _stopped = self.go_on();
        }
        self.log = None;
        self.waiting.clear();
        self.flushing = None;
        self.asked.clear();
        self.copied.clear();
        if damages {
            self.files.lose_unflushed();
            return self.damage(random);
        }
        self.end_power(plan, random);
        CrashTrace::Clean
    }

    /// What the log's thread does next.
    fn go_on(&mut self) -> Result<(), StorageError> {
        self.running()?.sync()?;
        while let Some(next) = self.waiting.pop_front() {
            self.append(&next.records)?;
        }
        self.running()?.sync()?;
        self.running()?.prepare()
    }

    /// What was not flushed survives whole, not at all, or torn.
    fn end_power(&self, plan: &DiskPlan, random: &mut Stream) {
        if random.chance(plan.torn) {
            self.files.crash(random.bits());
        } else if random.chance(500_000) {
            self.files.lose_unflushed();
        } else {
            self.files.kill();
        }
    }

    /// One of the flushed batches above the last mark, and so all behind it, becomes unreadable.
    fn damage(&mut self, random: &mut Stream) -> CrashTrace {
        let mut batches = self.batches();
        batches.retain(|batch| batch.is_exposed);
        let Some(batch) = random.pick(&batches) else {
            return CrashTrace::Clean;
        };
        self.garble(batch, random);
        CrashTrace::Damaged
    }

    /// A batch that is known to be durable becomes unreadable; everything, if there is none.
    pub(super) fn rot(&mut self, plan: &DiskPlan, random: &mut Stream) {
        if plan.old_rot > 0 && random.chance(plan.old_rot) {
            let older = older_batches(&self.files, DIRECTORY, OPTIONS).unwrap_or_default();
            if let Some(batch) = random.pick(&older) {
                // Who does not look at checksums sees nothing of it.
                if self.sabotage != Sabotage::OldSegmentsTrusted {
                    self.garble(batch, random);
                }
                self.hurt = true;
                self.rotten = true;
                self.old_rot = true;
                return;
            }
        }
        let mut batches = self.batches();
        batches.retain(|batch| !batch.is_exposed);
        match random.pick(&batches) {
            Some(batch) => self.garble(batch, random),
            None => self.empty(),
        }
        self.hurt = true;
        self.rotten = true;
    }

    fn batches(&self) -> Vec<PlacedBatch> {
        newest_batches(&self.files, DIRECTORY, OPTIONS).unwrap_or_default()
    }

    fn garble(&mut self, batch: &PlacedBatch, random: &mut Stream) {
        let mut contents = self.files.contents();
        let Some(mut bytes) = contents.remove(&batch.path) else {
            return;
        };
        let place = batch.bytes.start + random.index(batch.bytes.len());
        bytes[place] ^= 1 << random.below(8);
        self.files.tamper(&batch.path, bytes);
        self.hurt = true;
    }

    /// Opens the log for a process that starts, at the second try if the first one is cut short.
    ///
    /// # Errors
    /// `DiskFull` on a full disk. Else as [`SegmentedDisk::write`].
    pub(super) fn open(
        &mut self,
        now: u64,
        seats: &[(PartitionKey, ReplicaId)],
        plan: &DiskPlan,
        random: &mut Stream,
    ) -> Result<Opened, StorageError> {
        self.begin_soundly(now);
        let doubted = self.doubted;
        let mut met = Vec::new();
        if random.chance(START_ENDS) {
            self.files.stop_after(random.below(STEPS_MOST));
            match self.try_open(seats) {
                Err(StorageError::DiskFull { .. }) => {}
                Err(_) => met.push(Mark::OpeningCutShort),
                // It came to its end, and dealt with a cut, of which the next one finds no more than what was marked.
                Ok(first) if first.doubt.is_none() && !first.created => {
                    let unlisted_cut = first.unlisted_cut;
                    let hurt = self.hurt;
                    let gone = self.promises.opened(&first.replicas, unlisted_cut, hurt);
                    self.gone = self.gone.take().or(gone);
                }
                Ok(_) => {}
            }
            self.log = None;
            self.end_power(plan, random);
        }
        let mut opened = match self.try_open(seats) {
            Err(error) => {
                // Whatever it did before it found that out: the process ends, and power may, too.
                self.end_power(plan, random);
                return Err(error);
            }
            Ok(opened) => opened,
        };
        let hurt = std::mem::take(&mut self.hurt);
        let gone = self
            .promises
            .opened(&opened.replicas, opened.unlisted_cut, hurt);
        let lost = self.gone.take().or(gone);
        opened.was_hurt = hurt;
        let rotten = std::mem::take(&mut self.rotten);
        let old_rot = std::mem::take(&mut self.old_rot);
        if old_rot && opened.doubt.is_some() {
            met.push(Mark::OldRotRefused);
        }
        opened.was_rotten = rotten || (hurt && self.started_over);
        if opened.doubt.is_none() && !opened.created {
            let unnoticed = || "rot was not noticed".to_owned();
            opened.lost = opened.lost.or(lost).or_else(|| rotten.then(unnoticed));
        }
        // A log that was thrown away and not begun anew passes for a new one, which is as good.
        if doubted && opened.doubt.is_none() && !opened.created {
            opened.lost = Some("damage that nobody was told of is forgotten".to_owned());
        }
        opened.met.extend(met);
        Ok(opened)
    }

    fn try_open(&mut self, seats: &[(PartitionKey, ReplicaId)]) -> Result<Opened, StorageError> {
        let files = Arc::new(self.files.clone());
        let (mut log, found) = SegmentedLog::open_on(files, DIRECTORY, OPTIONS)?;
        self.seen = (log.statistics().begun, log.statistics().recycled);
        let mut opened = self.read(&found);
        if opened.doubt.is_some() {
            self.doubted = true;
            self.started_over = true;
            log.start_over()?;
        } else if opened.unlisted_cut {
            let missing = missing(seats, &opened.replicas);
            let marks: Vec<LogRecord> = missing
                .iter()
                .map(|(key, id)| LogRecord::bare(RecordKind::CutMark, *key, *id))
                .collect();
            log.append(&marks)?;
            opened.replicas.extend(marked(&missing));
            log.settle()?;
            log.sync()?;
        }
        self.log = Some(log);
        Ok(opened)
    }

    /// What an opening found.
    fn read(&self, found: &Recovered) -> Opened {
        let replicas = found.replicas.iter().map(|it| self.arena.load(it));
        let replicas: Option<Vec<RecoveredReplica>> = replicas.collect();
        let damage = found.damage.as_ref().map(ToString::to_string);
        let nonsense = || "a record holds what was not written".to_owned();
        let lost = replicas.is_none().then(nonsense);
        let doubt = damage;
        let torn = found.torn_tail.map(|_| Mark::TornTail);
        Opened {
            unlisted_cut: found.unlisted_cut && doubt.is_none(),
            replicas: replicas.unwrap_or_default(),
            doubt,
            created: found.created,
            lost,
            was_hurt: false,
            was_rotten: false,
            met: torn.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ringhold_ringbuffer::{LogEntry, Op};
    use ringhold_types::{Lsn, RingTime, Term};

    use super::*;
    use crate::plan::{DiskModel, SECOND};
    use crate::random::Concern;

    const SOUND: DiskPlan = DiskPlan {
        model: DiskModel::Segmented { payload: 0 },
        flush: 0,
        torn: 0,
        damaged: 0,
        old_rot: 0,
        faults: None,
    };

    fn entry(lsn: u64) -> Record {
        let op = Op::MarkRetrieved {
            sequences: Vec::new(),
        };
        Record::Entry {
            partition: PartitionKey::default(),
            replica: ReplicaId::default(),
            entry: LogEntry {
                term: Term(1),
                lsn: Lsn(lsn),
                time: RingTime(0),
                op,
            },
            commit: Lsn::ZERO,
        }
    }

    fn opened(random: &mut Stream) -> SegmentedDisk {
        opened_under(Sabotage::None, random)
    }

    fn opened_under(sabotage: Sabotage, random: &mut Stream) -> SegmentedDisk {
        let mut disk = SegmentedDisk::new(0, sabotage);
        disk.open(0, &[], &SOUND, random).expect("a new log");
        let (partition, replica) = (PartitionKey::default(), ReplicaId::default());
        let first = vec![Record::Reset { partition, replica }, entry(1)];
        let flush = disk.write(0, first, PersistToken(1), 10);
        let flush = flush.expect("there is room").expect("nothing runs");
        let done = disk.flushed(flush.at, flush.number).expect("it is flushed");
        assert_eq!(done.token, Some(PersistToken(1)));
        disk
    }

    #[test]
    fn a_failed_flush_ends_the_log_and_the_next_start_has_what_was_flushed_before() {
        let random = &mut Stream::new(1, Concern::Log);
        let mut disk = opened(random);
        disk.fail_flush_after(0);
        let flush = disk.write(100, vec![entry(2)], PersistToken(2), 10);
        let flush = flush.expect("there is room").expect("nothing runs");
        assert!(disk.flushed(flush.at, flush.number).is_err());
        assert!(disk.is_to_fail());
        let again = disk.write(200, vec![entry(3)], PersistToken(3), 10);
        assert!(again.is_err(), "nothing is tried again");
        disk.crash(&SOUND, random, false);
        let found = disk.open(0, &[], &SOUND, random).expect("it opens");
        assert_eq!((found.lost, found.doubt), (None, None));
        assert!(found.replicas[0].last() >= Lsn(1));
        assert!(!disk.is_to_fail());
    }

    #[test]
    fn what_a_full_disk_does_not_take_waits_in_order_until_there_is_room() {
        const LAST: u64 = 600;
        let random = &mut Stream::new(1, Concern::Log);
        let mut disk = opened(random);
        disk.fill(0, 60 * SECOND);
        let (mut now, mut running) = (100, None);
        let (mut heard, mut met, mut was_full) = (Vec::new(), Vec::new(), false);
        for number in 2..=LAST {
            let begun = disk.write(now, vec![entry(number)], PersistToken(number), 10);
            running = running.or(begun.expect("a full disk is no failure"));
            while let Some(Flush { number: flush, at }) = running.take() {
                now = at;
                let done = disk.flushed(now, flush).expect("a full disk is no failure");
                heard.extend(done.token);
                met.extend(done.met);
                was_full |= done.is_nearly_full;
                running = done.next;
                if number < LAST {
                    break;
                }
            }
        }
        assert!(was_full && met.contains(&Mark::WaitedForDisk));
        assert!(met.contains(&Mark::DiskHadRoomAgain));
        assert!(now >= 60 * SECOND, "there was no room before");
        assert!(heard.is_sorted());
        assert_eq!(heard.last(), Some(&PersistToken(LAST)));
    }

    #[test]
    fn a_full_disk_lets_no_process_start_by_name_and_loses_nothing() {
        let random = &mut Stream::new(1, Concern::Log);
        let mut new = SegmentedDisk::new(0, Sabotage::None);
        new.fill(0, SECOND);
        for now in [0, SECOND - 1] {
            let refused = new.open(now, &[], &SOUND, random);
            assert!(matches!(refused, Err(StorageError::DiskFull { .. })));
        }
        let found = new.open(SECOND, &[], &SOUND, random).expect("it has room");
        assert!(found.created && found.lost.is_none());
        let mut used = opened(random);
        used.crash(&SOUND, random, false);
        used.fill(0, SECOND);
        // What needs no more room than it has is no reason to refuse.
        let found = used.open(0, &[], &SOUND, random).expect("nothing is torn");
        assert_eq!((found.lost, found.doubt), (None, None));
        assert_eq!(found.replicas[0].last(), Lsn(1));
    }

    #[test]
    fn rot_in_an_older_segment_is_doubted_and_a_reader_that_trusts_it_is_found_out() {
        let plan = DiskPlan {
            old_rot: 1_000_000,
            ..SOUND
        };
        for sabotage in [Sabotage::None, Sabotage::OldSegmentsTrusted] {
            let random = &mut Stream::new(1, Concern::Log);
            let mut disk = opened_under(sabotage, random);
            for number in 2..=300 {
                let begun = disk.write(0, vec![entry(number)], PersistToken(number), 10);
                let flush = begun.expect("there is room").expect("nothing runs");
                disk.flushed(flush.at, flush.number).expect("it is flushed");
            }
            disk.crash(&plan, random, false);
            disk.rot(&plan, random);
            assert!(disk.old_rot, "there are older segments");
            let found = disk.open(0, &[], &plan, random).expect("it opens");
            let trusted = sabotage == Sabotage::OldSegmentsTrusted;
            assert_eq!(found.doubt.is_none(), trusted);
            assert_eq!(found.lost.is_some(), trusted);
            assert_eq!(found.met.contains(&Mark::OldRotRefused), !trusted);
        }
    }
}
