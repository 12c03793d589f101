//! Random lives of a log: records of every kind, copies, restarts, crashes. What was synced is always found again.

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::Index;
use ringhold_storage::conformance::{entry, partition, replica};
use ringhold_storage::{
    FileSystem, LogRecord, PartIndex, RecordKind, RecordLog, Recovered, SegmentedLog,
    SimulatedFileSystem, StorageError, StoredReplica, replay,
};
use ringhold_types::{Lsn, PartitionKey, Term};
use support::{DIRECTORY, open};

const PARTITIONS: u32 = 5;

#[derive(Clone, Debug)]
enum Action {
    /// An entry that cuts `back` entries, in a batch with `more` after it.
    Entries {
        at: u32,
        back: u64,
        more: u64,
        bytes: usize,
    },
    /// A state that lies `behind` the end of the log, in parts handed over `apart` or at once.
    State {
        at: u32,
        behind: u64,
        parts: u32,
        apart: bool,
        bytes: usize,
    },
    /// A copy of a partition: its state `behind` the end of its log, then what comes after; `whole` or one record at a time.
    Copy {
        at: u32,
        behind: u64,
        bytes: usize,
        whole: bool,
    },
    /// A copy of one entry, `behind` the end.
    CopyOne {
        at: u32,
        behind: u64,
    },
    /// A snapshot from `ahead`.
    Installed {
        at: u32,
        ahead: u64,
        parts: u32,
    },
    Bare {
        at: u32,
        kind: RecordKind,
    },
    OtherReplica {
        at: u32,
    },
    Forget {
        at: u32,
    },
    Sync,
    CopyForward,
    Prepare,
    Restart,
    Crash {
        seed: u64,
    },
    FailedSync {
        seed: u64,
    },
    FailedWrite {
        seed: u64,
    },
    /// Some work on a disk that has only so much room left.
    FullDisk {
        at: u32,
        room: u64,
    },
}

fn action() -> impl Strategy<Value = Action> {
    let at = 0..PARTITIONS;
    let bytes = 0..2500_usize;
    prop_oneof![
        12 => (at.clone(), 0..3_u64, 0..4_u64, bytes.clone())
            .prop_map(|(at, back, more, bytes)| Action::Entries { at, back, more, bytes }),
        3 => (at.clone(), 0..3_u64, 1..4_u32, any::<bool>(), bytes)
            .prop_map(|(at, behind, parts, apart, bytes)| Action::State {
                at, behind, parts, apart, bytes
            }),
        3 => (at.clone(), 0..6_u64, 0..9000_usize, any::<bool>())
            .prop_map(|(at, behind, bytes, whole)| Action::Copy { at, behind, bytes, whole }),
        1 => (at.clone(), 0..6_u64).prop_map(|(at, behind)| Action::CopyOne { at, behind }),
        1 => (at.clone(), 0..9_u64, 1..4_u32)
            .prop_map(|(at, ahead, parts)| Action::Installed { at, ahead, parts }),
        1 => (at.clone(), any::<Index>()).prop_map(|(at, index)| Action::Bare {
            at,
            kind: *index.get(&[RecordKind::Reset, RecordKind::CutMark, RecordKind::CutMarkCleared]),
        }),
        1 => at.clone().prop_map(|at| Action::OtherReplica { at }),
        1 => at.clone().prop_map(|at| Action::Forget { at }),
        1 => (at, 0..40_000_u64).prop_map(|(at, room)| Action::FullDisk { at, room }),
        8 => Just(Action::Sync),
        4 => Just(Action::CopyForward),
        1 => Just(Action::Prepare),
        2 => Just(Action::Restart),
        2 => any::<u64>().prop_map(|seed| Action::Crash { seed }),
        1 => any::<u64>().prop_map(|seed| Action::FailedSync { seed }),
        1 => any::<u64>().prop_map(|seed| Action::FailedWrite { seed }),
    ]
}

/// The log, and what must be in it.
struct Life {
    disk: SimulatedFileSystem,
    log: Option<SegmentedLog>,
    /// Everything appended, after what the last crash left in the form of records.
    records: Vec<LogRecord>,
    /// How many of them are synced.
    synced: usize,
    unlisted_cut: bool,
    incarnations: BTreeMap<u32, u64>,
    copies: usize,
    most_segments: u64,
}

/// Where a partition stands.
#[derive(Clone, Copy, Default)]
struct Standing {
    commit: u64,
    base: u64,
    last: u64,
}

impl Life {
    fn new() -> Self {
        let disk = SimulatedFileSystem::new();
        let (log, _) = open(&disk).expect("opens");
        Self {
            disk,
            log: Some(log),
            records: Vec::new(),
            synced: 0,
            unlisted_cut: false,
            incarnations: BTreeMap::new(),
            copies: 0,
            most_segments: 0,
        }
    }

    fn log(&mut self) -> &mut SegmentedLog {
        self.log.as_mut().expect("the log is open")
    }

    fn model(&self, records: usize) -> Vec<StoredReplica> {
        replay::replay(self.records[..records].iter().cloned()).expect("the model has no holes")
    }

    fn standing(&self, at: u32) -> Standing {
        let all = self.model(self.records.len());
        let found = all.iter().find(|found| found.partition == partition(at));
        found.map_or(Standing::default(), |found| Standing {
            commit: found.commit.0,
            base: found.state.as_ref().map_or(0, |state| state.lsn.0),
            last: found.last_lsn().0,
        })
    }

    fn bare(&self, at: u32, kind: RecordKind) -> LogRecord {
        let incarnation = self.incarnations.get(&at).copied().unwrap_or(1);
        LogRecord::bare(kind, partition(at), replica(incarnation))
    }

    fn entry(&self, at: u32, lsn: u64, bytes: usize) -> LogRecord {
        LogRecord {
            lsn: Lsn(lsn),
            term: Term(self.records.len() as u64),
            commit: Lsn(self.standing(at).commit.max(lsn / 2)),
            payload: Bytes::from(vec![lsn as u8 | 1; bytes]),
            ..self.bare(at, RecordKind::Entry)
        }
    }

    fn state(&self, at: u32, lsn: u64, parts: u32, bytes: usize) -> Vec<LogRecord> {
        let part = |index| LogRecord {
            lsn: Lsn(lsn),
            term: Term(self.records.len() as u64),
            commit: Lsn(lsn),
            part: PartIndex {
                index,
                count: parts,
            },
            payload: Bytes::from(vec![index as u8; bytes]),
            ..self.bare(at, RecordKind::State)
        };
        (0..parts).map(part).collect()
    }

    /// The entries a partition holds after its state, as copies.
    fn copied(&self, at: u32) -> Vec<LogRecord> {
        let end = Lsn(self.standing(at).last);
        let all = self.model(self.records.len());
        let found = all.into_iter().find(|it| it.partition == partition(at));
        let entries = found.into_iter().flat_map(|found| found.entries);
        let copied = |entry| LogRecord {
            kind: RecordKind::Copied,
            end,
            ..entry
        };
        entries.map(copied).collect()
    }

    /// A state `behind` the end of a partition's log, and copies of the entries after it.
    fn copy(&self, at: u32, behind: u64, bytes: usize) -> Vec<LogRecord> {
        let Standing { base, last, .. } = self.standing(at);
        let lsn = last.saturating_sub(behind).max(base);
        let mut copy = self.state(at, lsn, 2, bytes);
        copy.extend(self.copied(at).into_iter().filter(|it| it.lsn.0 > lsn));
        copy
    }

    fn append(&mut self, records: Vec<LogRecord>) -> Result<(), StorageError> {
        self.log().append(&records)?;
        self.records.extend(records);
        Ok(())
    }

    fn append_at_once_or_apart(
        &mut self,
        records: Vec<LogRecord>,
        at_once: bool,
    ) -> Result<(), StorageError> {
        if at_once {
            return self.append(records);
        }
        let mut records = records.into_iter();
        records.try_for_each(|record| self.append(vec![record]))
    }

    fn copy_one(&mut self, at: u32, behind: u64) -> Result<(), StorageError> {
        let mut behind_last = self.copied(at).into_iter().rev();
        match behind_last.nth(behind as usize) {
            Some(copied) => self.append(vec![copied]),
            None => Ok(()),
        }
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.log().sync()?;
        self.synced = self.records.len();
        self.most_segments = self.most_segments.max(self.log().statistics().segments);
        Ok(())
    }

    fn copy_forward(&mut self) -> Result<(), StorageError> {
        for wanted in self.log().copy_forward_wanted(2) {
            let at = wanted.partition.0;
            let copy = self.copy(at, 3, 300);
            self.copies += 1;
            self.append(copy)?;
        }
        self.sync()
    }

    fn perform(&mut self, action: &Action) -> Result<(), StorageError> {
        match *action {
            Action::Entries {
                at,
                back,
                more,
                bytes,
            } => {
                let Standing { base, last, .. } = self.standing(at);
                let first = (last + 1).saturating_sub(back).max(base + 1);
                let entries = first..=first + more;
                let entries = entries.map(|lsn| self.entry(at, lsn, bytes)).collect();
                self.append(entries)
            }
            Action::State {
                at,
                behind,
                parts,
                apart,
                bytes,
            } => {
                let lsn = self.standing(at).last.saturating_sub(behind);
                let state = self.state(at, lsn, parts, bytes);
                self.append_at_once_or_apart(state, !apart)
            }
            Action::Copy {
                at,
                behind,
                bytes,
                whole,
            } => {
                let copy = self.copy(at, behind, bytes);
                self.append_at_once_or_apart(copy, whole)
            }
            Action::CopyOne { at, behind } => self.copy_one(at, behind),
            Action::Installed { at, ahead, parts } => {
                let lsn = self.standing(at).last + ahead;
                let mut state = self.state(at, lsn, parts, 100);
                state.iter_mut().for_each(|part| part.installed = true);
                self.append(state)
            }
            Action::Bare { at, kind } => self.append(vec![self.bare(at, kind)]),
            Action::OtherReplica { at } => {
                *self.incarnations.entry(at).or_insert(1) += 1;
                self.append(vec![self.entry(at, 1, 10)])
            }
            Action::Forget { at } => self.append(vec![self.bare(at, RecordKind::Forgotten)]),
            Action::Sync => self.sync(),
            Action::CopyForward => self.copy_forward(),
            Action::Prepare => self.log().prepare(),
            Action::Restart => {
                self.restart();
                Ok(())
            }
            Action::Crash { seed } => {
                self.crash(seed);
                Ok(())
            }
            Action::FullDisk { at, room } => self.write_on_full_disk(at, room),
            Action::FailedSync { seed } => {
                self.disk.fail_sync_after(seed % 3);
                self.fail(seed, Self::copy_forward)
            }
            Action::FailedWrite { seed } => {
                self.disk.fail_write_after(seed % 3);
                self.fail(seed, Self::copy_forward)
            }
        }
    }

    /// Writes while the disk has only so much room left: what is taken is stored, what is refused is not.
    fn write_on_full_disk(&mut self, at: u32, room: u64) -> Result<(), StorageError> {
        self.disk.set_capacity(Some(self.disk.used() + room));
        for _ in 0..20 {
            let next = self.standing(at).last + 1;
            let entries = vec![self.entry(at, next, 1500), self.entry(at, next + 1, 1500)];
            match self.append(entries) {
                Ok(()) | Err(StorageError::DiskFull { .. }) => self.sync()?,
                Err(error) => return Err(error),
            }
        }
        self.disk.set_capacity(None);
        self.log().prepare()
    }

    /// Works under an injected fault, and crashes, at once or in the next process.
    fn fail(
        &mut self,
        seed: u64,
        work: fn(&mut Self) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        // An append that fails may have stored any of it.
        let next = self.standing(0).last + 1;
        let entries = (next..next + 12).map(|lsn| self.entry(0, lsn, 2000));
        let entries: Vec<LogRecord> = entries.collect();
        let failed = match self.append(entries.clone()) {
            Ok(()) => work(self).is_err(),
            Err(_) => {
                self.records.extend(entries);
                true
            }
        };
        if failed {
            let again = self.log().sync();
            assert!(matches!(again, Err(StorageError::Poisoned)), "{again:?}");
            let again = self.log().append(&[]);
            assert!(matches!(again, Err(StorageError::Poisoned)), "{again:?}");
        }
        if seed.is_multiple_of(2) {
            // Another process goes on before the power goes: whatever it reports must outlast that.
            self.log = None;
            self.disk.kill();
            self.reopen(self.synced);
        }
        self.crash(seed);
        Ok(())
    }

    fn restart(&mut self) {
        self.log = None;
        self.disk.kill();
        self.reopen(self.records.len());
    }

    fn crash(&mut self, seed: u64) {
        self.log = None;
        self.disk.crash(seed);
        self.reopen(self.synced);
    }

    /// Opens the log and checks it: it holds at least the first `at_least` records, and no more than were appended.
    fn reopen(&mut self, at_least: usize) {
        self.check_checkpoints_change_nothing();
        let (log, recovered) = open(&self.disk).expect("opens");
        self.log = Some(log);
        assert_eq!(recovered.damage, None);
        let marked = recovered.torn_tail.is_some();
        let found = (at_least..=self.records.len()).rev().find(|records| {
            let expected = self
                .model(*records)
                .into_iter()
                .map(|replica| StoredReplica {
                    cut_mark: replica.cut_mark || marked,
                    ..replica
                });
            // A replica of which only half a state was stored holds nothing but the mark.
            let mark_only = |found: &&StoredReplica| found.last_lsn() != Lsn(0) || !marked;
            let found = recovered.replicas.iter().filter(mark_only).cloned();
            found.eq(expected.filter(|expected| mark_only(&expected)))
        });
        assert!(
            found.is_some(),
            "not a prefix of at least {at_least} records: {:?}\nof {:?}",
            summary(&recovered.replicas),
            summary(&self.model(at_least)),
        );
        self.unlisted_cut |= marked;
        assert_eq!(recovered.unlisted_cut, self.unlisted_cut);
        self.begin_anew(&recovered);
    }

    /// What was found becomes what must be in the log from now on.
    fn begin_anew(&mut self, recovered: &Recovered) {
        self.records.clear();
        for found in &recovered.replicas {
            let incarnation = found.replica.incarnation.0;
            self.incarnations
                .insert(found.partition.partition.0, incarnation);
            let bare = LogRecord::bare(RecordKind::CutMark, found.partition, found.replica);
            if let Some(state) = &found.state {
                let count = u32::try_from(state.parts.len()).expect("few parts");
                for (index, payload) in (0..).zip(&state.parts) {
                    self.records.push(LogRecord {
                        kind: RecordKind::State,
                        lsn: state.lsn,
                        term: state.term,
                        commit: found.commit,
                        part: PartIndex { index, count },
                        payload: payload.clone(),
                        ..bare.clone()
                    });
                }
            }
            self.records.extend(found.entries.iter().cloned());
            let kind = match found.cut_mark {
                true => RecordKind::CutMark,
                false => RecordKind::CutMarkCleared,
            };
            self.records.push(LogRecord {
                kind,
                commit: found.commit,
                ..bare
            });
        }
        self.synced = self.records.len();
    }

    fn check_checkpoints_change_nothing(&self) {
        let with = |change: fn(&SimulatedFileSystem, &Path)| {
            let disk = self.disk.fork();
            change(&disk, &Path::new(DIRECTORY).join("checkpoint"));
            open(&disk).expect("opens").1
        };
        let good = with(|_, _| {});
        let missing = with(|disk, path| {
            // There may be none yet.
            let _ = disk.remove(path);
        });
        let bad = with(|disk, path| disk.tamper(path, b"rhlogck1 but not really".to_vec()));
        let replicas = [&good, &missing].map(|found| summary(&found.replicas));
        assert!(
            good == missing,
            "with and without checkpoint: {replicas:#?} {:?}",
            good.damage
        );
        assert!(good == bad);
    }
}

/// Replicas for people: partition, incarnation, state, entries, commit, mark.
fn summary(replicas: &[StoredReplica]) -> Vec<String> {
    let of = |found: &StoredReplica| {
        let state = found.state.as_ref().map(|state| state.lsn.0);
        let entries: Vec<_> = found.entries.iter().map(|e| (e.term.0, e.lsn.0)).collect();
        let StoredReplica {
            partition,
            replica,
            commit,
            cut_mark,
            ..
        } = found;
        let incarnation = replica.incarnation;
        format!("{partition}.{incarnation}: {state:?} {entries:?} {commit} {cut_mark}")
    };
    replicas.iter().map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn everything_synced_before_a_crash_is_recovered(
        actions in proptest::collection::vec(action(), 1..150)
    ) {
        let mut life = Life::new();
        for action in &actions {
            life.perform(action).expect("no fault was injected");
        }
        life.crash(actions.len() as u64);
    }
}

#[test]
fn a_straggler_is_copied_forward_and_the_log_stays_small() {
    let mut life = Life::new();
    let write = |life: &mut Life, at, bytes| {
        let next = life.standing(at).last + 1;
        let entry = life.entry(at, next, bytes);
        life.append(vec![entry]).expect("append succeeds");
        life.sync().expect("sync succeeds");
    };
    // One partition writes once; another goes on for a hundred segments.
    write(&mut life, 1, 10);
    for _ in 0..1000 {
        write(&mut life, 0, 1600);
        life.copy_forward().expect("copies");
    }
    let statistics = life.log().statistics();
    assert!(life.most_segments <= 6, "{} segments", life.most_segments);
    assert!(statistics.disk_bytes <= 9 * 16 * 1024, "{statistics:?}");
    assert!(statistics.recycled > 90, "{statistics:?}");
    assert!(
        life.copies > 20 && life.copies < 200,
        "{} copies",
        life.copies
    );
    life.crash(1);
    let found: Vec<PartitionKey> = life.records.iter().map(|record| record.partition).collect();
    assert!(found.contains(&partition(1)) && found.contains(&partition(0)));
}

/// A log whose partition 0 has its entries in the oldest segment, all synced, and whose current segment has little room left.
fn before_a_copy_over_a_boundary() -> Life {
    let mut life = Life::new();
    let entries = (1..=6).map(|lsn| life.entry(0, lsn, 1500)).collect();
    life.append(entries).expect("append succeeds");
    for lsn in 1..=12 {
        let filler = life.entry(1, lsn, 1500);
        life.append(vec![filler]).expect("append succeeds");
    }
    life.sync().expect("sync succeeds");
    life
}

/// Copies partition 0 with a fault set up, writes on until it strikes, and crashes; tells whether it struck.
fn copy_and_crash(set_up: impl Fn(&SimulatedFileSystem), seed: u64) -> bool {
    let mut life = before_a_copy_over_a_boundary();
    let segments = life.log().statistics().segments;
    let synced = life.records.len();
    set_up(&life.disk);
    let copy = life.copy(0, 4, 300);
    let whole = life.log().append(&copy);
    // An append that fails may have stored any of it.
    life.records.extend(copy);
    let struck = whole.is_err() || life.log().sync().is_err();
    assert!(
        struck || life.log().statistics().segments > segments,
        "the copy crosses a boundary"
    );
    life.synced = synced;
    life.crash(seed);
    assert_eq!(life.standing(0).last, 6, "what was synced is found again");
    struck
}

#[test]
fn a_copy_over_a_segment_boundary_loses_nothing_at_any_step() {
    let mut steps = 0;
    for seed in 0..30 {
        for fault in [
            SimulatedFileSystem::fail_write_after,
            SimulatedFileSystem::fail_sync_after,
        ] {
            let struck = |step: &u64| copy_and_crash(|disk| fault(disk, *step), seed);
            steps += (0..50).take_while(struck).count();
        }
    }
    assert!(steps > 30 * 6, "only {steps} steps");
}

/// Steps of the file system that beginning a segment takes at most, with room to spare.
const STEPS_OF_A_SEGMENT: u64 = 24;

/// A process is killed after `steps` of what `work` does, the next one writes an entry and flushes it, and power goes. The
/// last position found after that, and the one that was flushed.
fn killed_then_power_cut(
    disk: &SimulatedFileSystem,
    steps: u64,
    work: impl FnOnce(&SimulatedFileSystem) -> Result<(), StorageError>,
) -> (Lsn, Lsn) {
    disk.stop_after(steps);
    let _killed = work(disk);
    disk.kill();
    let (mut log, found) = open(disk).expect("opens");
    let last = found
        .replicas
        .first()
        .map_or(Lsn::ZERO, StoredReplica::last_lsn);
    let flushed = last.next();
    log.append(&[entry(1, flushed.0)]).expect("appends");
    log.sync().expect("flushes");
    drop(log);
    disk.lose_unflushed();
    let (_, found) = open(disk).expect("opens");
    let last = found
        .replicas
        .first()
        .map_or(Lsn::ZERO, StoredReplica::last_lsn);
    (last, flushed)
}

#[test]
fn what_is_flushed_after_a_kill_in_the_middle_of_the_first_opening_survives_a_power_cut() {
    for steps in 0..STEPS_OF_A_SEGMENT {
        let disk = SimulatedFileSystem::new();
        let opened = |disk: &SimulatedFileSystem| open(disk).map(drop);
        let (found, flushed) = killed_then_power_cut(&disk, steps, opened);
        assert_eq!(found, flushed, "killed after {steps} steps");
    }
}

#[test]
fn what_is_flushed_after_a_kill_in_the_middle_of_a_new_segment_survives_a_power_cut() {
    let large = |lsn: u64| LogRecord {
        payload: Bytes::from(vec![1; 5_000]),
        ..entry(1, lsn)
    };
    for steps in 0..STEPS_OF_A_SEGMENT {
        let disk = SimulatedFileSystem::new();
        let (mut log, _) = open(&disk).expect("opens");
        for lsn in 1..=2 {
            log.append(&[large(lsn)]).expect("appends");
            log.sync().expect("flushes");
        }
        assert_eq!(log.statistics().begun, 1, "the third one has no room");
        let append = |_: &SimulatedFileSystem| log.append(&[large(3)]);
        let (found, flushed) = killed_then_power_cut(&disk, steps, append);
        assert_eq!(found, flushed, "killed after {steps} steps");
    }
}

/// A log of all partitions whose last entry, of `bytes`, nears the end of the first segment and is not flushed.
fn unflushed_near_the_end_of_a_segment(bytes: usize) -> SimulatedFileSystem {
    let disk = SimulatedFileSystem::new();
    let (mut log, _) = open(&disk).expect("opens");
    let of = |at: u32| LogRecord {
        partition: partition(at),
        ..entry(1, 1)
    };
    let first: Vec<LogRecord> = (0..PARTITIONS).map(of).collect();
    log.append(&first).expect("appends");
    log.sync().expect("flushes");
    let last = LogRecord {
        payload: Bytes::from(vec![1; bytes]),
        partition: partition(0),
        ..entry(1, 2)
    };
    log.append(&[last]).expect("appends");
    disk
}

/// Opens what a process left that ended without its machine, stops that after `steps`, and lets power go. Returns whether it
/// came to its end.
fn opened_then_power_cut(disk: &SimulatedFileSystem, steps: u64, seed: Option<u64>) -> bool {
    disk.stop_after(steps);
    let whole = open(disk).is_ok();
    match seed {
        Some(seed) => disk.crash(seed),
        None => disk.lose_unflushed(),
    }
    let (_, found) = open(disk).expect("opens");
    assert_eq!(found.damage, None, "stopped after {steps} steps");
    let replicas = found.replicas.len();
    assert_eq!(replicas, PARTITIONS as usize, "what was flushed is there");
    whole
}

#[test]
fn an_opening_states_nothing_as_flushed_that_a_power_cut_can_take() {
    let mut stopped = 0;
    for (seed, bytes) in (0..).zip((10_500..12_000).step_by(48)) {
        let torn = unflushed_near_the_end_of_a_segment(bytes);
        torn.crash(seed);
        for killed_after in 0..STEPS_OF_A_SEGMENT {
            let disk = torn.fork();
            disk.stop_after(killed_after);
            let whole = open(&disk).is_ok();
            disk.kill();
            for seed in [None, Some(seed), Some(seed + 1_000)] {
                let ends = |steps: &u64| opened_then_power_cut(&disk.fork(), *steps, seed);
                stopped += (0..STEPS_OF_A_SEGMENT).take_while(|it| !ends(it)).count();
            }
            if whole {
                break;
            }
        }
    }
    assert!(stopped > 1_000, "only {stopped} openings were cut short");
}
