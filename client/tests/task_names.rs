//! Names of tasks, against the vectors that every SDK shares.

use ringhold_client::{NoParts, make_stable_task_id};
use serde_json::Value;

fn bytes_of(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().expect("hexadecimal digits");
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits"))
        .collect()
}

#[test]
fn a_stable_name_is_the_one_that_the_public_vectors_name() {
    let file = include_str!("../../proto/vectors/task_name.json");
    let file: Value = serde_json::from_str(file).expect("the file is JSON");
    let vectors = file["vectors"].as_array().expect("a list");
    let mut names = std::collections::BTreeSet::new();
    for vector in vectors {
        let parts = vector["parts_hex"].as_array().expect("a list");
        let prefix = vector["prefix"].as_str().expect("a text");
        let name = make_stable_task_id(prefix, parts.iter().map(bytes_of));
        let name = name.expect("it has parts");
        assert_eq!(vector["name"], name);
        names.insert(name);
    }
    assert!(vectors.len() >= 8);
    assert_eq!(
        names.len(),
        vectors.len(),
        "parts are told apart by their lengths"
    );
}

#[test]
fn a_stable_name_without_parts_is_refused() {
    assert_eq!(make_stable_task_id("a", [""; 0]), Err(NoParts));
}
