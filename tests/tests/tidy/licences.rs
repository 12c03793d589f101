//! What deny.toml forbids, checked off-line from cargo's own metadata.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use super::{assert_none, read, root};

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

fn rules() -> toml::Table {
    read("deny.toml".as_ref())
        .parse()
        .expect("deny.toml is TOML")
}

/// Whether an SPDX expression can be met by the allowed licences. `OR` offers a choice, `AND` binds closer.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let plain = expression.replace('/', " OR ").replace(['(', ')'], " ");
    let words: Vec<&str> = plain.split_whitespace().collect();
    let text = words.join(" ");
    let met = |term: &str| allowed.contains(term.trim());
    text.split(" OR ")
        .any(|choice| choice.split(" AND ").all(met))
}

#[test]
fn dependencies_keep_to_deny_toml() {
    let rules = rules();
    let allowed: BTreeSet<String> = rules["licenses"]["allow"]
        .as_array()
        .expect("a list of licences")
        .iter()
        .map(|licence| licence.as_str().expect("a licence").to_owned())
        .collect();
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(
        packages.len() > 100,
        "only {} packages: the reading is broken",
        packages.len()
    );
    let mut violations = Vec::new();
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let licence = package["license"].as_str().unwrap_or("");
        if !is_allowed(licence, &allowed) {
            violations.push(format!("{name} is under {licence:?}"));
        }
    }
    for ban in rules["bans"]["deny"].as_array().expect("a list of bans") {
        violations.extend(banned(packages, ban));
    }
    assert_none("dependencies against deny.toml", &violations);
}

/// A banned package that is there, or crates of ours that name it without being its wrapper.
fn banned(packages: &[Value], ban: &toml::Value) -> Vec<String> {
    let name = ban["name"].as_str().expect("a name");
    let Some(wrappers) = ban.get("wrappers").and_then(|wrappers| wrappers.as_array()) else {
        let there = packages.iter().any(|package| package["name"] == name);
        return if there {
            vec![format!("{name} is in the tree")]
        } else {
            Vec::new()
        };
    };
    let names = |package: &&Value| {
        let dependencies = package["dependencies"].as_array();
        dependencies.is_some_and(|all| all.iter().any(|one| one["name"] == name))
    };
    let users = packages
        .iter()
        .filter(names)
        .filter_map(|package| package["name"].as_str());
    let ours = users.filter(|user| user.starts_with("ringhold-"));
    let may = |user: &str| {
        wrappers
            .iter()
            .any(|wrapper| wrapper.as_str() == Some(user))
    };
    ours.filter(|user| !may(user))
        .map(|user| format!("{user} depends on {name}"))
        .collect()
}

#[test]
fn a_licence_expression_is_read_as_a_choice_of_conjunctions() {
    let allowed: BTreeSet<String> = ["MIT", "Unicode-3.0"].map(str::to_owned).into();
    assert!(is_allowed("MIT OR GPL-3.0", &allowed));
    assert!(is_allowed("MIT AND Unicode-3.0", &allowed));
    assert!(!is_allowed("MIT AND GPL-3.0", &allowed));
    assert!(!is_allowed("", &allowed));
    assert!(is_allowed("Apache-2.0/MIT", &allowed));
}
