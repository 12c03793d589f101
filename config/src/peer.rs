//! Hazelcast's form of a configuration, translated into ours.

use crate::check;
use crate::error::{Report, did_you_mean};
use crate::tree::{Entry, Node, Table, Value};

/// The element or key that holds everything.
pub(crate) const ROOT: &str = "hazelcast";
/// The element or key under which durable executors stand.
pub(crate) const EXECUTORS: &str = "durable-executor-service";
/// The executor that an element without a name configures.
pub(crate) const UNNAMED: &str = "default";

/// Settings of a durable executor that mean the same here.
const SAME: [&str; 4] = ["pool-size", "durability", "capacity", "statistics-enabled"];
/// Settings of a durable executor that mean nothing here.
const IGNORED: [&str; 2] = ["split-brain-protection-ref", "user-code-namespace"];
/// The peer's default of `capacity`.
const CAPACITY: i128 = 100;

/// Translates the settings at the peer's top. What has no meaning here is noted; a setting that the peer does not know
/// inside a durable executor is an error, as it is there.
///
/// The executors overwrite unread outcomes when full and hold 100 entries unless they say otherwise: the peer's behaviour.
pub(crate) fn translate(root: Table, report: &mut Report) -> Vec<Entry> {
    let mut translated = Vec::new();
    for entry in root.0 {
        match entry.key.as_str() {
            check::CLUSTER_NAME => translated.push(entry),
            EXECUTORS => translated.push(executors(entry, report)),
            other => report.note(
                &entry.place,
                format!("`{other}` has no meaning here and is ignored"),
            ),
        }
    }
    translated
}

fn executors(mut entry: Entry, report: &mut Report) -> Entry {
    entry.key = check::EXECUTORS.to_owned();
    if let Value::Table(table) = &mut entry.node.value {
        for named in &mut table.0 {
            executor(named, report);
        }
    }
    entry
}

fn executor(named: &mut Entry, report: &mut Report) {
    if matches!(&named.node.value, Value::Nothing)
        || matches!(&named.node.value, Value::Untyped(text) if text.is_empty())
    {
        named.node.value = Value::Table(Table::default());
    }
    let Value::Table(table) = &mut named.node.value else {
        // Not a table: the check reports it at its place.
        return;
    };
    table.0.retain(|setting| keep(&named.key, setting, report));
    let place = &named.place;
    let mut fill = |key: &str, value: Value| {
        if table.get(key).is_none() {
            let node = Node {
                place: place.clone(),
                value,
            };
            table.0.push(Entry {
                key: key.to_owned(),
                place: place.clone(),
                node,
            });
        }
    };
    fill("capacity", Value::Number(CAPACITY));
    fill("when-full", Value::Text("overwrite".to_owned()));
}

fn keep(executor: &str, setting: &Entry, report: &mut Report) -> bool {
    let key = setting.key.as_str();
    if SAME.contains(&key) {
        return true;
    }
    if IGNORED.contains(&key) {
        let text = format!("`{key}` of executor `{executor}` has no meaning here and is ignored");
        report.note(&setting.place, text);
    } else {
        let known = SAME.into_iter().chain(IGNORED);
        let message = format!("unknown setting `{key}`");
        report.error_with_help(&setting.place, message, did_you_mean(key, known));
    }
    false
}
