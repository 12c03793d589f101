//! Who may know whom (DESIGN §4).

use std::collections::{BTreeMap, BTreeSet};

use super::{assert_none, crate_folders, read, root, rust_files};

const PURE: [&str; 5] = ["types", "ringbuffer", "replica", "control", "history"];

/// Crates that each crate may depend on; dev-dependencies may add test tools, never other crates of ours beyond these.
fn allowed() -> BTreeMap<&'static str, Vec<&'static str>> {
    let pure_four = ["types", "ringbuffer", "replica", "control"];
    BTreeMap::from([
        ("types", vec![]),
        ("sys", vec![]),
        ("ringbuffer", vec!["types"]),
        ("config", vec!["types"]),
        ("history", vec!["types"]),
        ("storage", vec!["types"]),
        ("replica", vec!["types", "ringbuffer"]),
        ("control", vec!["types"]),
        ("proto", pure_four.to_vec()),
        ("derive", vec![]),
        ("client", vec!["types", "proto", "derive"]),
        (
            "node",
            vec![
                "types",
                "sys",
                "ringbuffer",
                "config",
                "storage",
                "replica",
                "control",
                "proto",
            ],
        ),
        ("cli", vec!["types", "client", "config", "node"]),
        (
            "chaos",
            vec![
                "types",
                "ringbuffer",
                "replica",
                "control",
                "storage",
                "history",
                "client",
            ],
        ),
    ])
}

/// Names that a pure crate never speaks, in its manifest or in its code.
const IMPURE: [&str; 10] = [
    "tokio",
    "tonic",
    "prost",
    "openraft",
    "tracing",
    "rand",
    "std::time",
    "std::thread",
    "std::env",
    "getrandom",
];

fn manifest(folder: &str) -> toml::Table {
    let path = format!("{folder}/Cargo.toml");
    read(path.as_ref())
        .parse()
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn dependency_names(manifest: &toml::Table, section: &str) -> BTreeSet<String> {
    let table = manifest.get(section).and_then(|section| section.as_table());
    table
        .map(|table| table.keys().cloned().collect())
        .unwrap_or_default()
}

#[test]
fn every_crate_knows_only_those_it_may_know() {
    let allowed = allowed();
    let mut violations = Vec::new();
    for folder in crate_folders() {
        let Some(may) = allowed.get(folder.as_str()) else {
            assert!(
                ["tests", "bench"].contains(&folder.as_str()),
                "{folder} has no rule"
            );
            continue;
        };
        for name in dependency_names(&manifest(&folder), "dependencies") {
            let Some(ours) = name.strip_prefix("ringhold-") else {
                continue;
            };
            if !may.contains(&ours) {
                violations.push(format!("{folder} depends on {ours}"));
            }
        }
    }
    assert_none("a crate knows one that it must not know", &violations);
}

#[test]
fn pure_crates_name_no_clock_no_runtime_no_randomness() {
    let mut violations = Vec::new();
    for folder in PURE {
        for name in dependency_names(&manifest(folder), "dependencies") {
            if IMPURE.contains(&name.as_str()) {
                violations.push(format!("{folder}/Cargo.toml names {name}"));
            }
        }
        for path in rust_files(&format!("{folder}/src")) {
            for (number, line) in super::words::code_lines(&read(&path)) {
                let uses = |word: &str| line.contains(&format!("{word}::"));
                if let Some(word) = IMPURE.into_iter().find(|word| uses(word)) {
                    violations.push(format!("{}:{number} names {word}", path.display()));
                }
                if line.contains("HashMap") || line.contains("HashSet") {
                    violations.push(format!("{}:{number} has no order", path.display()));
                }
            }
        }
    }
    assert_none("a pure crate is not pure", &violations);
}

/// A word, and the only places that may speak it: prefixes of paths.
const RESERVED: [(&str, &[&str]); 8] = [
    ("openraft::", &["node/src/control/", "node/tests/"]),
    ("prost::", &["proto/"]),
    (
        "Instant::now",
        &[
            "node/src/clock.rs",
            // Of processes beside a member.
            "sys/src/programs/deadline.rs",
            "sys/examples/",
            "sys/tests/",
            "client/src/",
            "cli/src/",
            "chaos/src/",
            "bench/src/",
            "tests/",
        ],
    ),
    (
        "SystemTime::now",
        &["node/src/clock.rs", "client/src/", "cli/src/", "tests/"],
    ),
    (
        "tokio::spawn(",
        &[
            "node/examples/",
            "node/src/spawn.rs",
            "client/src/",
            "cli/src/",
            "tests/",
            "bench/src/",
            "chaos/src/",
        ],
    ),
    (
        "thread::Builder",
        &["node/src/spawn.rs", "chaos/src/", "bench/src/", "tests/"],
    ),
    ("unbounded_channel", &[]),
    ("bincode", &[]),
];

#[test]
fn reserved_words_are_spoken_in_their_places_only() {
    let mut violations = Vec::new();
    for path in super::all_rust_files() {
        let shown = path.display().to_string();
        if shown.starts_with("tests/tests/tidy/") || shown.contains("/tests") {
            continue;
        }
        for (number, line) in super::words::production_lines(&read(&path)) {
            for (word, places) in RESERVED {
                if line.contains(word) && !places.iter().any(|place| shown.starts_with(place)) {
                    violations.push(format!("{shown}:{number} names {word}"));
                }
            }
        }
    }
    assert_none("a word is spoken outside its place", &violations);
}

/// The only places that may speak gRPC: the modules of DESIGN §4, and what calls a member as a foreign client would, tests and
/// an example of how to embed one.
const GRPC_PLACES: [&str; 7] = [
    "proto/",
    "client/",
    "node/src/rpc/",
    "node/src/peer/",
    "node/tests/",
    "node/examples/",
    "tests/tests/",
];

/// What speaks gRPC in a line of code: tonic or one of its crates by name, or one of the services generated for it.
fn grpc_words(line: &str) -> Vec<&str> {
    let words = line.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    words
        .filter(|word| {
            *word == "tonic"
                || word.starts_with("tonic_")
                || word.ends_with("_service_server")
                || word.ends_with("_service_client")
        })
        .collect()
}

#[test]
fn grpc_is_spoken_in_its_places_only() {
    assert_eq!(
        grpc_words("use {tonic::Code, tonic_health as health}; monotonic(executor_service_client)"),
        ["tonic", "tonic_health", "executor_service_client"]
    );
    let mut violations = Vec::new();
    for path in super::all_rust_files() {
        let shown = path.display().to_string();
        if GRPC_PLACES.iter().any(|place| shown.starts_with(place)) {
            continue;
        }
        // Test modules too: a test of another module has no business there either.
        for (number, line) in super::words::code_lines(&read(&path)) {
            for word in grpc_words(line) {
                violations.push(format!("{shown}:{number} names {word}"));
            }
        }
    }
    assert_none("gRPC is spoken outside its place", &violations);
}

#[test]
fn unsafe_code_is_in_sys_only() {
    let mut violations = Vec::new();
    for path in super::all_rust_files() {
        let shown = path.display().to_string();
        if shown.starts_with("sys/") || shown.starts_with("tests/tests/tidy/") {
            continue;
        }
        for (number, line) in super::words::code_lines(&read(&path)) {
            let opens = line.contains("unsafe {")
                || line.contains("unsafe fn")
                || line.contains("unsafe impl");
            if opens || line.contains("allow(unsafe_code)") {
                violations.push(format!("{shown}:{number}"));
            }
        }
    }
    assert_none("unsafe code outside sys", &violations);
}

#[test]
fn replica_and_control_never_meet() {
    for (one, other) in [
        ("replica", "ringhold-control"),
        ("control", "ringhold-replica"),
    ] {
        let manifest = manifest(one);
        for section in ["dependencies", "dev-dependencies"] {
            assert!(
                !dependency_names(&manifest, section).contains(other),
                "{one} names {other}"
            );
        }
    }
}

#[test]
fn a_sabotage_is_a_type_parameter_and_never_a_feature() {
    for folder in crate_folders() {
        let features = dependency_names(&manifest(&folder), "features");
        let suspicious = |name: &String| name.contains("sabotage") || name.contains("rules");
        assert!(
            !features.iter().any(suspicious),
            "{folder} has a sabotage feature: {features:?}"
        );
    }
    let named = rust_files("node/src")
        .into_iter()
        .chain(rust_files("cli/src"));
    for path in named {
        let text = read(&path);
        assert!(
            !text.contains("impl Rules for"),
            "{} has rules of its own",
            path.display()
        );
    }
}

#[test]
fn the_lock_file_names_the_public_registry_only() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock is committed");
    let sources = lock.lines().filter(|line| line.starts_with("source = "));
    let standard = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    let strange: Vec<String> = sources
        .filter(|line| *line != standard)
        .map(str::to_owned)
        .collect();
    assert_none("a dependency from elsewhere", &strange);
}
