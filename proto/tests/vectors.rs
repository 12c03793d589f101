//! The golden vectors that every SDK shares: key to partition, and the forms of a task id.

use ringhold_proto::task_id;
use ringhold_types::{ClusterId, PartitionCount, PartitionNumber, TaskId, partition_of};
use serde_json::Value;

fn partition_vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/partition.json")).expect("the file is JSON")
}

fn task_id_vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/task_id.json")).expect("the file is JSON")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn bytes_of(hex: &Value) -> Vec<u8> {
    let hex = text(hex);
    assert_eq!(hex.len() % 2, 0, "{hex}");
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits"))
        .collect()
}

#[test]
fn a_key_belongs_to_the_partition_that_the_public_vectors_name() {
    let vectors = partition_vectors();
    let vectors = list(&vectors["vectors"]);
    assert!(vectors.len() >= 30);
    for vector in vectors {
        let key = bytes_of(&vector["key_hex"]);
        let partitions = vector["partitions"].as_object().expect("a map");
        assert!(
            ["1", "271", "1024"]
                .iter()
                .all(|count| partitions.contains_key(*count))
        );
        for (count, expected) in partitions {
            let count = PartitionCount::new(count.parse().expect("a number")).expect("in range");
            let partition = partition_of(&key, count);
            assert_eq!(Some(u64::from(partition.0)), expected.as_u64(), "{vector}");
        }
    }
}

#[test]
fn a_task_id_has_the_text_and_binary_form_that_the_public_vectors_name() {
    let vectors = task_id_vectors();
    for vector in list(&vectors["vectors"]) {
        let cluster = u128::from_str_radix(text(&vector["cluster_id_hex"]), 16).expect("hex");
        let id: TaskId = text(&vector["text"]).parse().expect("well formed");
        assert_eq!(id.to_string(), text(&vector["text"]));
        assert_eq!(id.executor.as_str(), text(&vector["executor"]));
        assert_eq!(
            Some(u64::from(id.partition.0)),
            vector["partition"].as_u64()
        );
        assert_eq!(id.sequence.to_string(), text(&vector["sequence"]));
        let binary = bytes_of(&vector["binary_hex"]);
        assert_eq!(task_id::encode(ClusterId(cluster), &id), binary);
        assert_eq!(task_id::decode(&binary), Ok((ClusterId(cluster), id)));
    }
}

#[test]
fn what_is_no_task_id_is_refused_in_text_and_binary_form() {
    let vectors = task_id_vectors();
    for refused in list(&vectors["refused_texts"]) {
        assert!(text(refused).parse::<TaskId>().is_err(), "{refused}");
    }
    for refused in list(&vectors["refused_binaries_hex"]) {
        assert!(task_id::decode(&bytes_of(refused)).is_err(), "{refused}");
    }
}

#[test]
fn an_affinity_key_spreads_over_all_partitions() {
    let count = PartitionCount::DEFAULT;
    let hit: std::collections::BTreeSet<PartitionNumber> = (0..5_000)
        .map(|number: u32| partition_of(&number.to_be_bytes(), count))
        .collect();
    assert_eq!(hit.len(), 271);
}
