//! The golden file of Raft's store: its tables, its keys and their encoding, with a record under each.
//!
//! `golden/raft-*.txt` were written by some version and stay readable for ever: a renamed table or key would be an empty store
//! to the next version, a vote given twice and a log forgotten. A new version of the format gets a file of its own beside
//! them; from then on the old ones are only read. Each line is a table, a key and the record in hexadecimal; keys of the log
//! are in hexadecimal too.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use openraft::EntryPayload;
use ringhold_control::Command;
use ringhold_storage::{MetadataStore, RedbStore, TableName, WriteBatch};
use ringhold_types::{ClusterId, StartNonce};
use tempfile::TempDir;

use crate::control::metadata::{Batch, Found, Identity, Metadata};
use crate::control::types::{Entry, LeaderId, LogId, Proposal, Snapshot, SnapshotMeta, Vote};

const GOLDEN: &str = include_str!("golden/raft-1.txt");

/// The table whose keys are positions.
const POSITIONS: &str = "raft-log";

fn log_id(index: u64) -> LogId {
    let leader_id = LeaderId {
        term: 3,
        node_id: 9,
    };
    LogId { leader_id, index }
}

fn entry(index: u64, level: u32) -> Entry {
    let command = Command::RaiseFeatureLevel { level };
    Entry {
        log_id: log_id(index),
        payload: EntryPayload::Normal(Proposal(command)),
    }
}

fn vote() -> Vote {
    Vote::new_committed(3, 9)
}

fn identity() -> Identity {
    Identity {
        cluster: Some(ClusterId(77)),
        accepted: StartNonce(1),
        presented: vec![StartNonce(2), StartNonce(3)],
    }
}

fn snapshot() -> Snapshot {
    Snapshot {
        meta: SnapshotMeta {
            last_log_id: Some(log_id(250)),
            ..SnapshotMeta::default()
        },
        snapshot: Bytes::from_static(b"cluster"),
    }
}

/// A batch that uses every record and key there is; positions of which each byte order makes another order.
fn batch() -> Batch {
    Batch::default()
        .vote(&vote())
        .entry(&entry(254, 0))
        .entry(&entry(255, 1))
        .entry(&entry(256, 2))
        .entry(&entry(257, 3))
        .purge(&log_id(254))
        .truncate(257)
        .committed(&log_id(255))
        .snapshot(&snapshot())
        .identity(&identity())
}

fn store() -> (TempDir, Arc<RedbStore>) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = RedbStore::open(directory.path().join("metadata.redb")).expect("opens");
    (directory, Arc::new(store))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits");
    (0..hex.len()).step_by(2).map(digits).collect()
}

/// Table, key and record of every line of the golden file.
fn lines() -> impl Iterator<Item = (TableName, Vec<u8>, Vec<u8>)> {
    GOLDEN.lines().map(|line| {
        let words: Vec<&'static str> = line.split(' ').collect();
        let [table, key, record] = words[..] else {
            panic!("{line:?} is no line of a golden file");
        };
        let key = match table {
            POSITIONS => bytes_of(key),
            _ => key.as_bytes().to_vec(),
        };
        (TableName(table), key, bytes_of(record))
    })
}

/// What a store holds in the tables that the golden file names.
fn shown(store: &RedbStore) -> String {
    let mut text = String::new();
    for table in ["raft", POSITIONS] {
        for (key, record) in store.range(TableName(table), &[], 100).expect("reads") {
            let key = match table {
                POSITIONS => hex(&key),
                _ => String::from_utf8(key).expect("keys of records are words"),
            };
            let _ = writeln!(text, "{table} {key} {}", hex(&record));
        }
    }
    text
}

fn check(found: &Found) {
    let log = &found.log;
    assert_eq!(log.vote, Some(vote()));
    assert_eq!(log.purged, Some(log_id(254)));
    assert_eq!(log.committed, Some(log_id(255)));
    let entries: Vec<Entry> = log.entries.values().cloned().collect();
    assert_eq!(entries, [entry(255, 1), entry(256, 2)]);
    let stored = found.snapshot.as_ref().expect("there is one");
    assert_eq!(stored.meta, snapshot().meta);
    assert_eq!(stored.snapshot, snapshot().snapshot);
    assert_eq!(found.identity, identity());
}

#[test]
fn rafts_store_of_today_has_the_tables_keys_and_records_of_the_golden_file() {
    let (_directory, store) = store();
    let metadata = Metadata::new(store.clone());
    metadata.commit(batch()).expect("written");
    let shown = shown(&store);
    assert!(shown == GOLDEN, "today's store is another:\n{shown}");
    check(&metadata.load().expect("loads"));
}

#[test]
fn rafts_store_of_an_earlier_version_is_read_and_goes_on() {
    let (_directory, store) = store();
    let golden = lines().fold(WriteBatch::new(), |batch, (table, key, record)| {
        batch.put(table, key, record)
    });
    store.write(golden).expect("written");
    let metadata = Metadata::new(store);
    check(&metadata.load().expect("loads"));
    let next = Batch::default().entry(&entry(257, 4)).purge(&log_id(255));
    metadata.commit(next).expect("written");
    let log = metadata.load().expect("loads").log;
    assert_eq!(log.purged, Some(log_id(255)));
    let entries: Vec<Entry> = log.entries.into_values().collect();
    assert_eq!(entries, [entry(256, 2), entry(257, 4)]);
}
