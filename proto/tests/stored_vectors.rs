//! Golden files of every stored form: what an earlier version wrote is read, and written again byte for byte.
#![cfg(feature = "internal")]

mod samples;

use std::sync::Arc;

use bytes::Bytes;
use ringhold_proto::stored_raft::{self, RaftRecord};
use ringhold_proto::{internal, stored};
use ringhold_ringbuffer::{LogEntry, Op};
use ringhold_types::{
    AttemptNumber, IdempotencyKey, Lsn, RingTime, Sequence, TaskCall, TaskResult, TaskSpec, Term,
    UnixMillis,
};
use serde_json::Value;

fn vectors(kind: &str) -> Vec<(String, Vec<u8>)> {
    let file: Value =
        serde_json::from_str(include_str!("../vectors/stored.json")).expect("the file is JSON");
    let vectors = file[kind].as_object().expect("a map of names").clone();
    vectors
        .into_iter()
        .map(|(name, hex)| (name, bytes_of(hex.as_str().expect("hex digits"))))
        .collect()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits"))
        .collect()
}

/// Checks that file and samples name the same things, and that each reads and writes as the file says.
fn check<T: PartialEq + std::fmt::Debug>(
    kind: &str,
    samples: Vec<(&'static str, T)>,
    encode: impl Fn(&T) -> Bytes,
    decode: impl Fn(&[u8]) -> T,
) {
    let vectors = vectors(kind);
    assert_eq!(vectors.len(), samples.len(), "{kind}");
    for (name, sample) in samples {
        let stored = vectors.iter().find(|(stored, _)| stored == name);
        let (_, bytes) = stored.unwrap_or_else(|| panic!("{kind} {name} is not in the file"));
        assert_eq!(
            decode(bytes),
            sample,
            "{kind} {name} reads as something else"
        );
        assert_eq!(encode(&sample), bytes, "{kind} {name} is written otherwise");
    }
}

#[test]
fn log_entries_of_an_earlier_version_read_and_write_the_same() {
    check(
        "entries",
        samples::entries(),
        stored::encode_entry,
        |bytes| stored::decode_entry(bytes).expect("still known"),
    );
}

#[test]
fn parts_of_rings_of_an_earlier_version_read_and_write_the_same() {
    check("parts", samples::parts(), stored::encode_part, |bytes| {
        stored::decode_part(bytes).expect("still known")
    });
}

#[test]
fn commands_of_an_earlier_version_read_and_write_the_same() {
    check(
        "commands",
        samples::commands(),
        stored::encode_command,
        |bytes| stored::decode_command(bytes).expect("still known"),
    );
}

#[test]
fn cluster_state_of_an_earlier_version_reads_and_writes_the_same() {
    check(
        "clusters",
        samples::clusters(),
        stored::encode_cluster,
        |bytes| stored::decode_cluster(bytes).expect("still known"),
    );
}

fn check_raft<R: RaftRecord + PartialEq + std::fmt::Debug>(
    kind: &str,
    samples: Vec<(&'static str, R)>,
) {
    check(kind, samples, stored_raft::encode, |bytes| {
        stored_raft::decode::<R>(Bytes::copy_from_slice(bytes)).expect("still known")
    });
}

#[test]
fn records_of_the_control_planes_store_of_an_earlier_version_read_and_write_the_same() {
    check_raft("raft-votes", samples::votes());
    check_raft("raft-log-ids", samples::log_ids());
    check_raft("raft-entries", samples::raft_entries());
    check_raft("raft-snapshots", samples::raft_snapshots());
    check_raft("raft-identities", samples::identities());
}

#[test]
fn a_raft_entry_of_an_unknown_kind_reads_as_none_which_stops_the_member() {
    // Field 15, a message: a kind of entry that only a newer version knows.
    let bytes = Bytes::from_static(&[0x7a, 0x00]);
    let entry = stored_raft::decode::<internal::RaftEntry>(bytes).expect("well formed");
    assert_eq!(entry.payload, None);
}

#[test]
fn a_field_that_a_newer_version_added_is_passed_over() {
    for (name, bytes) in vectors("entries") {
        let known = stored::decode_entry(&bytes).expect("still known");
        // Field 500, a number: an addition to the entry itself, not another operation.
        let longer = [bytes.as_slice(), &[0xa0, 0x1f, 7]].concat();
        assert_eq!(stored::decode_entry(&longer), Ok(known), "{name}");
    }
}

#[test]
fn a_plain_life_costs_no_more_bytes_than_said() {
    let sequence = Sequence::from_bits(1_000_000);
    let (attempt_term, attempt) = (Term(42), AttemptNumber(1));
    let payload = Bytes::from_static(b"ten bytes.");
    let call = TaskCall::Handler {
        name: "ringhold.echo".into(),
        version: None,
        payload: payload.clone(),
        content_type: "application/json".into(),
    };
    let key = IdempotencyKey::new([7; 16].as_slice().to_vec()).expect("valid");
    let result = TaskResult {
        payload,
        content_type: "application/json".into(),
        process: None,
    };
    let ops = [
        Op::Accept {
            sequence,
            task: Arc::new(TaskSpec::new(call, key)),
            accepted_at: UnixMillis(1_795_000_000_000),
        },
        Op::Start {
            sequence,
            attempt,
            member: samples::MEMBER,
        },
        Op::Complete {
            sequence,
            attempt_term,
            attempt,
            result: Arc::new(result),
        },
        Op::MarkRetrieved {
            sequences: vec![sequence],
        },
    ];
    let bytes = ops.map(|op| {
        let entry = LogEntry {
            term: attempt_term,
            lsn: Lsn(4_000_000),
            time: RingTime(86_400_000),
            op,
        };
        stored::encode_entry(&entry).len()
    });
    // A field that is not set takes no byte: whoever adds one that most tasks have says here what it costs.
    assert_eq!(bytes, [94, 29, 56, 19]);
}
