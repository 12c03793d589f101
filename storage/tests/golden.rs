//! Golden files of what the storage writes: an earlier version's files are read, and today's are the same byte for byte.
//!
//! `tests/golden/*.txt` were written by some version and stay readable for ever. A new version of the format gets files of
//! its own beside them; from then on the old ones are only read.

mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ringhold_storage::conformance::{entry, partition, replica, state};
use ringhold_storage::{
    DataDirectory, DirectoryExpectation, DirectoryIdentity, FileSystem, LogRecord, RecordKind,
    RecordLog, SimulatedFileSystem, replay,
};
use ringhold_types::{ClusterId, Lsn, MemberId, PartitionKey, UnixMillis};
use support::{DIRECTORY, open};

const LOG: &str = include_str!("golden/log-1.txt");
const IDENTITY: &str = include_str!("golden/identity-1.txt");

/// Bytes of one line.
const LINE_BYTES: usize = 32;

fn in_partition(number: u32, record: LogRecord) -> LogRecord {
    LogRecord {
        partition: partition(number),
        ..record
    }
}

/// An entry large enough that the second one begins a segment, and a checkpoint is written.
fn large(lsn: u64) -> LogRecord {
    let payload = Bytes::from(vec![0xab; 9_000]);
    in_partition(
        2,
        LogRecord {
            payload,
            ..entry(1, lsn)
        },
    )
}

/// Batches that hold every kind of record, with and without each of its flags.
fn batches() -> Vec<Vec<LogRecord>> {
    let bare =
        |kind, number, incarnation| LogRecord::bare(kind, partition(number), replica(incarnation));
    let installed = LogRecord {
        installed: true,
        ..in_partition(3, state(300, 0, 1))
    };
    vec![
        vec![bare(RecordKind::Reset, 1, 1), entry(1, 1), entry(1, 2)],
        vec![state(2, 0, 2), entry(1, 3), state(2, 1, 2), installed],
        vec![large(1)],
        vec![large(2), entry(2, 3)],
        vec![
            bare(RecordKind::CutMark, 1, 1),
            bare(RecordKind::CutMark, 3, 1),
        ],
        vec![bare(RecordKind::CutMarkCleared, 1, 1)],
        vec![
            in_partition(4, entry(1, 1)),
            bare(RecordKind::Forgotten, 4, 1),
        ],
    ]
}

/// The files as text: of each its name and length, then its lines in hexadecimal, `* n` for n more lines like the last.
fn shown(disk: &SimulatedFileSystem) -> String {
    let mut text = String::new();
    for (path, bytes) in disk.contents() {
        let name = path.file_name().expect("a file").to_string_lossy();
        let _ = writeln!(text, "file {name} {}", bytes.len());
        let mut lines = bytes.chunks(LINE_BYTES).peekable();
        while let Some(line) = lines.next() {
            let hex: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
            let _ = writeln!(text, "{hex}");
            let mut more = 0;
            while lines.next_if_eq(&line).is_some() {
                more += 1;
            }
            if more > 0 {
                let _ = writeln!(text, "* {more}");
            }
        }
    }
    text
}

/// A disk with the files that a text shows.
fn disk_of(text: &str) -> SimulatedFileSystem {
    let disk = SimulatedFileSystem::new();
    disk.create_directory(Path::new(DIRECTORY)).expect("made");
    let mut files: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["file", name, _] => files.push((Path::new(DIRECTORY).join(name), Vec::new())),
            ["*", more] => {
                let (_, bytes) = files.last_mut().expect("a file");
                let last = bytes[bytes.len() - LINE_BYTES..].to_vec();
                bytes.extend(last.repeat(more.parse().expect("a number")));
            }
            [hex] => {
                let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits");
                let (_, bytes) = files.last_mut().expect("a file");
                bytes.extend((0..hex.len()).step_by(2).map(digits));
            }
            _ => panic!("{line:?} is no line of a golden file"),
        }
    }
    for (path, bytes) in files {
        let file = disk.create(&path).expect("made");
        file.write_at(0, &bytes).expect("written");
        file.sync_data().expect("flushed");
    }
    disk.sync_directory(Path::new(DIRECTORY)).expect("flushed");
    disk
}

fn log_of_today() -> SimulatedFileSystem {
    let disk = SimulatedFileSystem::new();
    let (mut log, _) = open(&disk).expect("opens");
    for batch in batches() {
        log.append(&batch).expect("append succeeds");
        log.sync().expect("sync succeeds");
    }
    drop(log);
    disk.kill();
    disk
}

#[test]
fn a_log_of_today_has_the_bytes_of_the_golden_file() {
    let shown = shown(&log_of_today());
    assert!(
        shown.contains("file checkpoint"),
        "no checkpoint was written"
    );
    assert!(shown == LOG, "today's files are others:\n{shown}");
}

#[test]
fn a_log_of_an_earlier_version_is_read_and_goes_on() {
    let disk = disk_of(LOG);
    let (mut log, recovered) = open(&disk).expect("opens");
    assert_eq!((recovered.damage, recovered.torn_tail), (None, None));
    let expected = replay::replay(batches().into_iter().flatten()).expect("consistent");
    assert!(recovered.replicas == expected, "other contents are read");
    let found: Vec<(PartitionKey, Lsn, bool)> = recovered
        .replicas
        .iter()
        .map(|replica| (replica.partition, replica.last_lsn(), replica.cut_mark))
        .collect();
    let expected = [
        (partition(1), Lsn(3), false),
        (partition(2), Lsn(2), false),
        (partition(3), Lsn(300), true),
    ];
    assert_eq!(found, expected);
    log.append(&[entry(2, 4)]).expect("append succeeds");
    log.sync().expect("sync succeeds");
    drop(log);
    disk.kill();
    let (_, recovered) = open(&disk).expect("opens");
    assert_eq!(recovered.replicas[0].last_lsn(), Lsn(4));
}

#[test]
fn the_identity_of_a_directory_of_an_earlier_version_is_read_and_written_the_same() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("identity");
    let cluster = ClusterId(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
    let without = IDENTITY.replace(&cluster.to_string(), "none");
    std::fs::write(&file, &without).expect("written");
    let expected = DirectoryExpectation {
        member_name: "m1".to_owned(),
        cluster: Some(cluster),
        now: UnixMillis(9),
    };
    let mut opened = DataDirectory::open(directory.path(), &expected).expect("opens");
    let identity = DirectoryIdentity {
        member: MemberId(0x0123_4567_89ab_cdef),
        member_name: "m1".to_owned(),
        cluster: None,
        created: UnixMillis(1_795_000_000_000),
    };
    assert_eq!(*opened.identity(), identity);
    opened.set_cluster(cluster).expect("written");
    let written = std::fs::read_to_string(&file).expect("read");
    assert_eq!(written, IDENTITY);
}
