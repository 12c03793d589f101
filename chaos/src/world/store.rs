//! What the shell of a process does with its disk: opens it at the start, writes, hears of flushes, loses it in crashes.

use ringhold_replica::{Event, PersistToken, Record, RecoveredReplica, Rule};
use ringhold_storage::StorageError;
use ringhold_types::{PartitionKey, Persistence, ReplicaId, StartNonce};

use super::World;
use super::disk::{CrashRandom, CrashTrace, Flush, Opened};
use super::queue::Happening;
use crate::coverage::Mark;
use crate::plan::{MILLISECOND, SECOND};
use crate::sabotage::Sabotage;

/// How long a flush of a slow disk takes more than usual.
const SLOW_FLUSH: u64 = 700 * MILLISECOND;

/// Of so many millionths of the disk faults a flush fails; the others fill the disk.
const FLUSH_FAILS: u32 = 500_000;
/// Flushes that succeed before the one that fails, at most.
const FLUSHES_MOST: u64 = 8;
/// Bytes that a disk has left when it fills up, at most: some segments.
const ROOM_MOST: u64 = 40 * 1024;

/// Of so many millionths of the starts in such a seed the disk is full.
const FULL_AT_START: u32 = 150_000;
/// How long it takes at least until somebody starts it again, in microseconds.
const FULL_PAUSE: u64 = 50 * MILLISECOND;
/// Bytes that it has left then, at most: less than a segment's first chunk.
const ROOM_AT_START_MOST: u64 = 6 * 1024;

/// The invariant that the log keeps: what was flushed is there again, or its loss is noticed.
const LOG: &str = "Log";

impl World {
    /// Opens the store of a machine whose process starts: its replicas, and whether a cut may have taken others whole.
    /// `None` if the disk is too full, and the process is started again later, or if the log is broken, which ends the run.
    pub(crate) fn open_store(&mut self, slot: usize) -> Option<(Vec<RecoveredReplica>, bool)> {
        let seats = self.seats_of(slot);
        self.fill_at_start(slot);
        let host = &mut self.hosts[slot];
        let random = &mut self.random.log;
        let opened = match host.disk.open(self.now, &seats, &self.plan.disk, random) {
            Ok(opened) => opened,
            Err(StorageError::DiskFull { .. }) if host.disk.is_full() => {
                self.too_full_to_start(slot);
                return None;
            }
            Err(error) => {
                let text = format!("{} does not open: {error}", host.member);
                self.violate(LOG, text);
                return None;
            }
        };
        if std::mem::take(&mut host.was_full) {
            self.coverage.mark(Mark::StartedWithRoom);
        }
        host.has_old_rot |= opened.met.contains(&Mark::OldRotRefused);
        for mark in &opened.met {
            self.coverage.mark(*mark);
        }
        self.trace.fold(opened.replicas.len() as u64);
        self.tell(|| format!("{} opens {opened:?}", self.hosts[slot].member));
        if let Some(lost) = &opened.lost {
            self.violate(LOG, format!("on {}: {lost}", self.hosts[slot].member));
        }
        if self.is_doubtful(slot, &opened) {
            let host = &mut self.hosts[slot];
            host.is_rotten = true;
            host.emptied += 1;
            return Some((Vec::new(), false));
        }
        Some((opened.replicas, opened.unlisted_cut))
    }

    /// Where disks fill up, some are full when a process starts; none before all members were there, for nothing else happens
    /// in a run before that.
    fn fill_at_start(&mut self, slot: usize) {
        if self.control.cluster.executors().is_empty() {
            self.hosts[slot].disk.end_faults();
            return;
        }
        let is_again = self.hosts[slot].was_full;
        let random = &mut self.random.disk_faults;
        let may_fill = self.plan.disk.faults.is_some() && !self.healed && !is_again;
        if may_fill && random.chance(FULL_AT_START) {
            let room = random.skewed(0, ROOM_AT_START_MOST);
            let until = self.now + random.between(500 * MILLISECOND, 4 * SECOND);
            self.hosts[slot].disk.fill(room, until);
        }
    }

    /// A process ends at once because its disk is full, and is started again and again until it is not.
    fn too_full_to_start(&mut self, slot: usize) {
        self.coverage.mark(Mark::FullAtStart);
        self.tell(|| format!("the disk of {} is full", self.hosts[slot].member));
        self.hosts[slot].was_full = true;
        let random = &mut self.random.disk_faults;
        let away = random.sloped(FULL_PAUSE, self.plan.faults.downtime.max(FULL_PAUSE));
        self.queue.push(self.now + away, Happening::Start { slot });
    }

    /// Whether nothing that was found can be trusted. The log must notice it by itself, and only where something happened.
    fn is_doubtful(&mut self, slot: usize, opened: &Opened) -> bool {
        let host = &self.hosts[slot];
        let (member, was_rotten) = (host.member, host.is_rotten);
        // This sabotage empties the store, and nobody says so.
        let emptied = self.sabotage == Sabotage::Rule(Rule::NewIncarnation);
        let is_new = opened.created && !host.is_fresh && !emptied;
        if let Some(doubt) = &opened.doubt
            && !(was_rotten || opened.was_rotten)
        {
            self.violate(LOG, format!("{member} finds rot in a sound log: {doubt}"));
        }
        // Without its first batch a log is as new, whatever took that.
        if is_new && !(was_rotten || opened.was_hurt) {
            self.violate(LOG, format!("{member} finds a new log where its own was"));
        }
        was_rotten || is_new || opened.doubt.is_some()
    }

    /// The replicas on disk that a member knows of, by the control state that its directory holds.
    fn seats_of(&self, slot: usize) -> Vec<(PartitionKey, ReplicaId)> {
        let host = &self.hosts[slot];
        let known = host.applied.checked_sub(1);
        let Some(state) = known.and_then(|index| self.control.states.get(index)) else {
            return Vec::new();
        };
        if self.plan.persistence == Persistence::Memory {
            return Vec::new();
        }
        let seat = |partition: &PartitionKey| {
            let configuration = state.cluster.configuration(*partition)?;
            let all = configuration.in_sync.iter().chain(&configuration.learners);
            let own = all.copied().find(|it| it.member == host.member);
            own.filter(|_| configuration.materialised)
                .map(|own| (*partition, own))
        };
        self.partitions.iter().filter_map(seat).collect()
    }

    /// A process hands records over.
    pub(crate) fn persist(
        &mut self,
        slot: usize,
        start: StartNonce,
        records: Vec<Record>,
        token: PersistToken,
    ) {
        let now = self.now;
        let usual = self.random.disk.skewed(50, self.plan.disk.flush.max(100));
        let slow = self.hosts[slot].slow_until > now;
        let takes = if slow { usual + SLOW_FLUSH } else { usual };
        match self.hosts[slot].disk.write(now, records, token, takes) {
            Ok(flush) => self.expect_flush(slot, start, flush),
            Err(error) => self.log_refuses(slot, start, &format!("a write is refused: {error}")),
        }
    }

    /// A log refuses to go on. If its disk was to fail, its process ends: nothing is tried again on a log of which nobody
    /// knows what is durable.
    fn log_refuses(&mut self, slot: usize, start: StartNonce, text: &str) {
        if self.hosts[slot].disk.is_to_fail() {
            self.queue
                .push(self.now, Happening::LogFailed { slot, start });
        } else {
            self.violate(LOG, text.to_owned());
        }
    }

    /// A process ends because its log failed, and another one follows.
    pub(crate) fn log_failed(&mut self, slot: usize, start: StartNonce) {
        let process = self.hosts[slot].process.as_ref();
        if process.is_none_or(|it| it.start != start) {
            return;
        }
        self.coverage.mark(Mark::FlushFailed);
        self.tell(|| format!("the log of {} failed", self.hosts[slot].member.0));
        self.crash(slot);
        let random = &mut self.random.disk_faults;
        let away = random.sloped(MILLISECOND, self.plan.faults.downtime);
        self.queue.push(self.now + away, Happening::Start { slot });
    }

    /// A flush is to fail somewhere, or a disk fills up for a while.
    pub(crate) fn disk_fault(&mut self) {
        let Some(interval) = self.plan.disk.faults.filter(|_| !self.healed) else {
            return;
        };
        let random = &mut self.random.disk_faults;
        let next = random.between(1, 2 * interval);
        self.queue.push(self.now + next, Happening::DiskFault);
        let slot = random.index(self.hosts.len());
        let disk = &mut self.hosts[slot].disk;
        if random.chance(FLUSH_FAILS) {
            disk.fail_flush_after(random.below(FLUSHES_MOST));
        } else {
            let room = random.skewed(0, ROOM_MOST);
            let until = self.now + random.between(500 * MILLISECOND, 8 * SECOND);
            disk.fill(room, until);
        }
    }

    fn expect_flush(&mut self, slot: usize, start: StartNonce, flush: Option<Flush>) {
        if let Some(Flush { number, at }) = flush {
            let batch = number;
            self.queue
                .push(at, Happening::Flushed { slot, start, batch });
        }
    }

    /// Writes are flushed.
    pub(crate) fn flushed(&mut self, slot: usize, start: StartNonce, batch: usize) {
        let host = &mut self.hosts[slot];
        if host.process.as_ref().is_none_or(|it| it.start != start) {
            return;
        }
        let flushed = match host.disk.flushed(self.now, batch) {
            Ok(flushed) => flushed,
            Err(error) => {
                self.log_refuses(slot, start, &format!("a flush fails: {error}"));
                return;
            }
        };
        let is_nearly_full = flushed.is_nearly_full;
        for mark in flushed.met {
            self.coverage.mark(mark);
        }
        if let Some(token) = flushed.token {
            self.put(slot, Event::Persisted(token));
        }
        for partition in flushed.copies {
            self.put(slot, Event::CopyForward(partition));
        }
        self.expect_flush(slot, start, flushed.next);
        let process = self.hosts[slot].process.as_mut();
        let told = process.map(|it| std::mem::replace(&mut it.disk_full, is_nearly_full));
        if told.is_some_and(|told| told != is_nearly_full) {
            self.put(slot, Event::DiskFull(is_nearly_full));
        }
    }

    /// A start is registered: what was found on the disk is dealt with. `false` if the log failed before that, or the disk is
    /// too full to write it down: the process ends, and nobody knows that it was registered.
    pub(crate) fn settle_store(&mut self, slot: usize, start: StartNonce) -> bool {
        let host = &mut self.hosts[slot];
        if !(host.is_fresh || host.is_rotten) {
            return true;
        }
        let settled = host.disk.settle();
        if let Err(error) = &settled {
            self.log_refuses(slot, start, &format!("a log cannot be settled: {error}"));
        }
        settled.is_ok()
    }

    /// What a crash does to the disk of a process that has ended.
    pub(crate) fn crash_disk(&mut self, slot: usize, may_damage: bool) {
        let host = &mut self.hosts[slot];
        if self.sabotage == Sabotage::Rule(Rule::NewIncarnation) {
            // The store is emptied, and nobody says so.
            host.empty_disk();
        }
        let random = &mut CrashRandom {
            records: &mut self.random.disk,
            log: &mut self.random.log,
        };
        match host.disk.crash(&self.plan.disk, random, may_damage) {
            CrashTrace::Clean => {}
            CrashTrace::Torn => self.coverage.mark(Mark::TornTail),
            CrashTrace::Damaged => {
                self.damaged = Some(host.member);
                self.coverage.mark(Mark::DamagedTail);
            }
        }
    }
}
