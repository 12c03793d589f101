//! Environment variables over the files: `RINGHOLD__DURABLE_EXECUTOR__REPORTS__POOL_SIZE=16`.
//!
//! Two underscores separate the parts of a path, one stands for the hyphen of a setting. A single underscore after
//! `RINGHOLD` never begins one of ours, so the variables that Kubernetes makes up for a service (`RINGHOLD_SERVICE_PORT`)
//! are none.

use std::collections::BTreeMap;

use crate::Place;
use crate::check;
use crate::error::Report;
use crate::tree::{Entry, Node, Table, Value};

/// What every variable begins with.
const PREFIX: &str = "RINGHOLD__";
/// Separates the parts of a path.
const SEPARATOR: &str = "__";
/// Variables of clients, which no member reads: where the cluster is.
const CLIENT_VARIABLES: [&str; 1] = ["RINGHOLD__SERVER"];

/// Lays the variables over `root`, whose executors decide which name a variable means.
pub(crate) fn overlay(
    root: &mut Table,
    variables: impl Iterator<Item = (String, String)>,
    order: u32,
    report: &mut Report,
) {
    // By path, so that the result does not depend on the order of the environment.
    let mut seen: BTreeMap<Vec<String>, Place> = BTreeMap::new();
    for (name, value) in variables {
        if !name.starts_with(PREFIX) || CLIENT_VARIABLES.contains(&name.as_str()) {
            continue;
        }
        let place = Place::of_source(order, name.as_str());
        let Some(path) = path(&name, root, &place, report) else {
            continue;
        };
        if let Some(first) = seen.insert(path.clone(), place.clone()) {
            report.error(
                &place,
                format!("sets the same as {first}; remove one of them"),
            );
            continue;
        }
        if let Some(entry) = entry(&path, value, &place) {
            root.overlay(entry);
        }
    }
}

/// The path of settings that a variable means.
fn path(name: &str, root: &Table, place: &Place, report: &mut Report) -> Option<Vec<String>> {
    let rest = &name[PREFIX.len()..];
    let executors = format!("{}{SEPARATOR}", normalised(check::EXECUTORS));
    let path = match rest.to_ascii_uppercase().strip_prefix(&executors) {
        Some(_) => {
            let (executor, setting) = rest[executors.len()..]
                .rsplit_once(SEPARATOR)
                .filter(|(executor, _)| !executor.is_empty())
                .or_else(|| {
                    let message = "names no executor and setting";
                    let help = format!("write {PREFIX}{executors}REPORTS__POOL_SIZE");
                    report.error_with_help(place, message, Some(help));
                    None
                })?;
            let executor = executor_named(executor, root, place, report)?;
            vec![check::EXECUTORS.to_owned(), executor, as_key(setting)]
        }
        None => rest.split(SEPARATOR).map(as_key).collect(),
    };
    if path.iter().any(String::is_empty) {
        report.error(place, "has an empty part in its name");
        return None;
    }
    Some(path)
}

/// The configured executor that `part` means, else a new one.
fn executor_named(part: &str, root: &Table, place: &Place, report: &mut Report) -> Option<String> {
    let wanted = part.to_ascii_uppercase();
    let known = match root.get(check::EXECUTORS).map(|entry| &entry.node.value) {
        Some(Value::Table(table)) => table.0.as_slice(),
        _ => &[],
    };
    let meant = known
        .iter()
        .map(|entry| &entry.key)
        .filter(|key| normalised(key) == wanted);
    match meant.collect::<Vec<_>>().as_slice() {
        [] => Some(as_key(part)),
        [one] => Some((*one).clone()),
        several => {
            let names: Vec<String> = several.iter().map(|name| format!("`{name}`")).collect();
            let message = format!("means the executors {} alike", names.join(" and "));
            let help = "rename one of them, or set it in a file".to_owned();
            report.error_with_help(place, message, Some(help));
            None
        }
    }
}

/// A name as it looks in a variable.
fn normalised(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect()
}

/// A part of a variable as a setting's name.
fn as_key(part: &str) -> String {
    part.to_ascii_lowercase().replace('_', "-")
}

fn entry(path: &[String], value: String, place: &Place) -> Option<Entry> {
    let (last, parents) = path.split_last()?;
    let leaf = Node {
        place: place.clone(),
        value: Value::Untyped(value),
    };
    let leaf = Entry {
        key: last.clone(),
        place: place.clone(),
        node: leaf,
    };
    Some(parents.iter().rev().fold(leaf, |inner, key| Entry {
        key: key.clone(),
        place: place.clone(),
        node: Node {
            place: place.clone(),
            value: Value::Table(Table(vec![inner])),
        },
    }))
}
