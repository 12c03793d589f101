//! What a restart says of a log that is shorter than it was, or has a wrong byte: never less than the truth in silence.

mod support;

use std::path::Path;

use bytes::Bytes;
use ringhold_storage::conformance::{entry, partition, state};
use ringhold_storage::{
    LogRecord, RecordKind, RecordLog, Recovered, SimulatedFileSystem, StorageError, StoredReplica,
    newest_batches, older_batches, replay,
};
use support::{DIRECTORY, OPTIONS, open};

/// A log of three segments, and what it holds after each of its batches, the empty log first.
struct Original {
    disk: SimulatedFileSystem,
    after_batch: Vec<Vec<StoredReplica>>,
}

/// Every batch is synced before the next one is written, so that each one proves all before it.
fn original() -> Original {
    let disk = SimulatedFileSystem::new();
    let (mut log, _) = open(&disk).expect("opens");
    let mut records: Vec<LogRecord> = Vec::new();
    let mut after_batch = vec![Vec::new()];
    for number in 1..=18 {
        let batch = batch(number);
        log.append(&batch).expect("append succeeds");
        log.sync().expect("sync succeeds");
        records.extend(batch);
        after_batch.push(replay::replay(records.clone()).expect("whole"));
    }
    assert_eq!(log.statistics().segments, 3);
    drop(log);
    disk.kill();
    Original { disk, after_batch }
}

fn batch(number: u64) -> Vec<LogRecord> {
    let large = LogRecord {
        payload: Bytes::from(vec![number as u8; 1500]),
        ..entry(1, number)
    };
    let other = LogRecord {
        partition: partition(2),
        ..entry(1, number)
    };
    match number {
        8 => vec![large, state(7, 0, 2), state(7, 1, 2)],
        _ => vec![large, other_partition(other, number)],
    }
}

/// The second partition skips the batch that holds the first one's state.
fn other_partition(mut record: LogRecord, number: u64) -> LogRecord {
    if number > 8 {
        record.lsn = record.lsn.previous();
    }
    record
}

impl Original {
    /// Opens a copy with one file changed.
    fn with(&self, path: &Path, bytes: Vec<u8>) -> (SimulatedFileSystem, Recovered) {
        let disk = self.disk.fork();
        disk.tamper(path, bytes);
        let (_, recovered) = open(&disk).expect("a damaged log is reported, not an error");
        (disk, recovered)
    }

    /// Checks that what was found is the whole log, or a cut that says so, or reported damage. Returns how many batches
    /// were found, unless there is damage.
    fn judge(&self, recovered: &Recovered, what: &str) -> Option<usize> {
        if recovered.damage.is_some() {
            assert_eq!(recovered.replicas, [], "{what}: damage comes without data");
            return None;
        }
        let whole = self.after_batch.len() - 1;
        let marked = recovered.torn_tail.is_some();
        let found = self.after_batch.iter().rposition(|replicas| {
            let expected = replicas.iter().cloned().map(|replica| StoredReplica {
                cut_mark: marked,
                ..replica
            });
            expected.eq(recovered.replicas.iter().cloned())
        });
        let found = found.unwrap_or_else(|| panic!("{what}: wrong data {recovered:?}"));
        assert!(found == whole || marked, "{what}: silently short");
        assert_eq!(recovered.unlisted_cut, marked, "{what}");
        Some(found)
    }
}

fn is_segment(path: &Path) -> bool {
    path.to_string_lossy().contains("segment-")
}

#[test]
fn what_passes_for_a_torn_tail_is_known_before_it_is_damaged() {
    let original = original();
    let batches = newest_batches(&original.disk, DIRECTORY, OPTIONS).expect("reads");
    let exposed = batches.iter().filter(|batch| batch.is_exposed).count();
    assert_eq!(exposed, 1, "each batch but the last was known to be synced");
    for batch in &batches {
        for position in batch.bytes.clone() {
            let what = format!("byte {position}");
            let mut bytes = original.disk.contents()[&batch.path].clone();
            bytes[position] ^= 1 << (position % 8);
            let (_, recovered) = original.with(&batch.path, bytes);
            assert_eq!(recovered.damage.is_none(), batch.is_exposed, "{what}");
            assert_eq!(recovered.torn_tail.is_some(), batch.is_exposed, "{what}");
        }
    }
}

#[test]
fn what_passes_for_rot_in_an_older_segment_is_known_before_it_is_damaged() {
    for disk in [original().disk, with_a_dead_segment()] {
        let batches = older_batches(&disk, DIRECTORY, OPTIONS).expect("reads");
        let newest = newest_batches(&disk, DIRECTORY, OPTIONS).expect("reads");
        assert!(!batches.is_empty());
        for batch in &batches {
            assert!(newest.iter().all(|it| it.path != batch.path));
            for position in batch.bytes.clone().step_by(5) {
                let damaged = disk.fork();
                let mut bytes = damaged.contents()[&batch.path].clone();
                bytes[position] ^= 1 << (position % 8);
                damaged.tamper(&batch.path, bytes);
                let (_, recovered) = open(&damaged).expect("opens");
                let what = format!("{} byte {position}", batch.path.display());
                assert!(recovered.damage.is_some(), "{what}");
            }
        }
    }
}

#[test]
fn a_flipped_byte_anywhere_is_rot_or_a_marked_cut_of_the_last_batch() {
    let original = original();
    let whole = original.after_batch.len() - 1;
    let mut outcomes = [0_u32; 3];
    for (path, bytes) in original.disk.contents() {
        for position in 0..bytes.len() {
            let what = format!("{} byte {position}", path.display());
            let mut bytes = bytes.clone();
            bytes[position] ^= 1 << (position % 8);
            let (_, recovered) = original.with(&path, bytes);
            match original.judge(&recovered, &what) {
                None => outcomes[0] += 1,
                Some(found) => {
                    assert!(
                        found + 1 >= whole,
                        "{what}: more than the last batch is gone"
                    );
                    outcomes[1 + usize::from(found == whole)] += 1;
                }
            }
        }
    }
    let [rot, cut, intact] = outcomes;
    assert!(
        rot > 25_000 && cut > 1_500 && intact > 1_000,
        "{outcomes:?}"
    );
}

#[test]
fn a_file_cut_at_any_length_is_rot_or_a_marked_cut() {
    let original = original();
    let files = original.disk.contents();
    let newest = files.keys().rfind(|path| is_segment(path));
    for (path, bytes) in &files {
        for length in 0..bytes.len() {
            let what = format!("{} cut to {length}", path.display());
            let (_, recovered) = original.with(path, bytes[..length].to_vec());
            let found = original.judge(&recovered, &what);
            if is_segment(path) && Some(path) != newest && length < 12_000 {
                assert_eq!(found, None, "{what}: every batch there was proven synced");
            }
        }
    }
}

#[test]
fn a_missing_segment_is_rot() {
    let original = original();
    for (path, _) in original.disk.contents() {
        let disk = original.disk.fork();
        ringhold_storage::FileSystem::remove(&disk, &path).expect("removed");
        let (_, recovered) = open(&disk).expect("opens");
        let found = original.judge(&recovered, &path.display().to_string());
        assert_eq!(found.is_none(), is_segment(&path), "{}", path.display());
    }
}

#[test]
fn a_cut_mark_survives_restarts_and_copies_until_it_is_cleared() {
    let original = original();
    let (path, bytes) = original
        .disk
        .contents()
        .into_iter()
        .rfind(|(path, _)| is_segment(path))
        .expect("there are segments");
    // The last byte that is not zero belongs to the last batch.
    let last = bytes.iter().rposition(|byte| *byte != 0).expect("written");
    let (disk, recovered) = original.with(&path, bytes[..last].to_vec());
    assert_eq!(original.judge(&recovered, "cut"), Some(17));
    assert!(recovered.torn_tail.is_some());

    let (mut log, recovered) = open(&disk).expect("opens");
    assert_eq!((recovered.torn_tail, recovered.unlisted_cut), (None, true));
    assert!(recovered.replicas.iter().all(|replica| replica.cut_mark));
    // The first partition's mark moves on with a new state, the second one's is cleared.
    let second = recovered.replicas[1].replica;
    log.append(&[
        entry(2, 18),
        state(18, 0, 1),
        LogRecord::bare(RecordKind::CutMarkCleared, partition(2), second),
    ])
    .expect("append succeeds");
    log.settle().expect("settles");
    log.sync().expect("sync succeeds");
    drop(log);
    let (_, recovered) = open(&disk).expect("opens");
    assert!(!recovered.unlisted_cut);
    let marks: Vec<bool> = recovered
        .replicas
        .iter()
        .map(|found| found.cut_mark)
        .collect();
    assert_eq!(marks, [true, false]);
}

#[test]
fn a_damaged_log_takes_nothing_until_it_is_started_over_empty() {
    let original = original();
    let first = original
        .disk
        .contents()
        .into_iter()
        .find(|(path, _)| is_segment(path));
    let (path, mut bytes) = first.expect("there are segments");
    bytes[5000] ^= 1;
    let (disk, _) = original.with(&path, bytes);
    let (mut log, recovered) = open(&disk).expect("opens");
    assert!(recovered.damage.is_some());
    assert!(matches!(
        log.append(&[entry(1, 1)]),
        Err(StorageError::Damaged)
    ));
    assert!(matches!(log.sync(), Err(StorageError::Damaged)));
    log.start_over().expect("starts over");
    drop(log);
    // Whoever started it over died before it could tell anybody: the next start is told again.
    let (mut log, recovered) = open(&disk).expect("opens");
    assert!(recovered.damage.is_some());
    log.start_over().expect("starts over");
    log.append(&[entry(1, 1)]).expect("append succeeds");
    log.sync().expect("sync succeeds");
    drop(log);
    disk.crash(3);
    let (_, recovered) = open(&disk).expect("opens");
    assert_eq!(recovered.damage, None);
    assert_eq!(recovered.replicas.len(), 1);
    assert_eq!(recovered.replicas[0].entries, [entry(1, 1)]);
}

#[test]
fn starting_over_never_turns_damage_into_a_shorter_log() {
    let original = original();
    let first = original
        .disk
        .contents()
        .into_iter()
        .find(|(path, _)| is_segment(path));
    let (path, mut bytes) = first.expect("there are segments");
    bytes[5000] ^= 1;
    for syncs in 0..8 {
        for seed in 0..20 {
            let (disk, _) = original.with(&path, bytes.clone());
            let (mut log, _) = open(&disk).expect("opens");
            disk.fail_sync_after(syncs);
            let started = log.start_over();
            drop(log);
            disk.crash(seed);
            let (_, recovered) = open(&disk).expect("opens");
            assert_eq!((recovered.replicas, recovered.torn_tail), (vec![], None));
            assert!(recovered.damage.is_some() || recovered.created);
            assert!(
                started.is_err() || !recovered.created,
                "a finished one is remembered"
            );
        }
    }
}

/// A log whose second segment nobody needs, while the first one holds all of the second partition, to its last batch.
fn with_a_dead_segment() -> SimulatedFileSystem {
    let disk = SimulatedFileSystem::new();
    let (mut log, _) = open(&disk).expect("opens");
    let other = |number| LogRecord {
        partition: partition(2),
        ..entry(1, number)
    };
    let mut others = 0;
    let mut written = 0;
    let write = |log: &mut ringhold_storage::SegmentedLog, records: &[LogRecord]| {
        log.append(records).expect("append succeeds");
        log.sync().expect("sync succeeds");
        log.statistics().begun
    };
    let large = |number: u64| LogRecord {
        payload: Bytes::from(vec![number as u8; 1500]),
        ..entry(1, number)
    };
    let mut begun = 1;
    while begun < 3 {
        written += 1;
        let mut records = vec![large(written)];
        if written <= 7 {
            others += 1;
            records.push(other(others));
        }
        begun = write(&mut log, &records);
    }
    write(&mut log, &[state(written, 0, 1)]);
    while begun < 4 {
        written += 1;
        begun = write(&mut log, &[large(written)]);
    }
    drop(log);
    disk.kill();
    disk
}

#[test]
fn a_flipped_byte_in_any_batch_before_a_segment_that_nobody_needs_is_rot() {
    let sound = with_a_dead_segment();
    let (_, whole) = open(&sound.fork()).expect("opens");
    assert_eq!(whole.damage, None);
    let (path, bytes) = sound
        .contents()
        .into_iter()
        .find(|(path, _)| is_segment(path))
        .expect("there are segments");
    let last = bytes.iter().rposition(|byte| *byte != 0).expect("written");
    for position in (4096..last).step_by(7) {
        let mut bytes = bytes.clone();
        bytes[position] ^= 1;
        let disk = sound.fork();
        disk.tamper(&path, bytes);
        let (_, recovered) = open(&disk).expect("opens");
        assert!(
            recovered.damage.is_some() || recovered.replicas == whole.replicas,
            "byte {position}: silently short"
        );
    }
}
