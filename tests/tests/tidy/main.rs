//! The house rules as ordinary tests: what they forbid fails here, with the file and the line.

mod calls;
mod dependencies;
mod guarantees;
mod licences;
mod parity;
mod sources;
mod words;

use std::path::{Path, PathBuf};

/// The workspace's root.
fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest
        .parent()
        .expect("the tests crate lies in the workspace")
        .to_owned()
}

/// The workspace's crates, by folder.
fn crate_folders() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("Cargo.toml")).expect("the root manifest");
    let manifest: toml::Table = text.parse().expect("the root manifest is TOML");
    let members = manifest["workspace"]["members"]
        .as_array()
        .expect("a list of members");
    members
        .iter()
        .map(|member| member.as_str().expect("a folder").to_owned())
        .collect()
}

/// Every Rust file below a folder of the workspace, by path relative to the root.
fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![root().join(folder)];
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(&directory).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target") {
                    waiting.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(
                    path.strip_prefix(root())
                        .expect("below the root")
                        .to_owned(),
                );
            }
        }
    }
    found.sort();
    found
}

/// All Rust files of the workspace.
fn all_rust_files() -> Vec<PathBuf> {
    let files: Vec<PathBuf> = crate_folders()
        .iter()
        .flat_map(|folder| rust_files(folder))
        .collect();
    assert!(
        files.len() > 50,
        "only {} files found: the search itself is broken",
        files.len()
    );
    files
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(root().join(path)).expect("a readable file")
}

/// Fails with all violations at once.
fn assert_none(rule: &str, violations: &[String]) {
    assert!(
        violations.is_empty(),
        "{rule}:\n  {}",
        violations.join("\n  ")
    );
}
