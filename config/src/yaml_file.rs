//! YAML into the tree: ours, or Hazelcast's.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use crate::error::Report;
use crate::import::{IMPORT, Surroundings};
use crate::tree::{Entry, Node, Table, Value};
use crate::{Place, check, peer};

/// The keys of which one may hold everything.
const OWN_ROOT: &str = "ringhold";

/// Parses a file. Under a key `hazelcast` it is in Hazelcast's form; under `ringhold`, or without either, in ours, where
/// Hazelcast's `durable-executor-service` is understood as well.
pub(crate) fn parse(
    text: &str,
    source: &Place,
    surroundings: &mut Surroundings,
    report: &mut Report,
) -> Table {
    root(table(text, source, report), surroundings, report)
}

/// Reads an imported file, variables replaced and nothing translated yet.
pub(crate) fn imported(
    text: &str,
    source: &Place,
    surroundings: &mut Surroundings,
    report: &mut Report,
) -> Table {
    let mut found = table(text, source, report);
    let place = found.0.iter().position(|entry| entry.key == peer::ROOT);
    match place.map(|place| found.0.swap_remove(place).node.value) {
        Some(Value::Table(inner)) => peer_table(inner, surroundings, report),
        _ => {
            let message = format!(
                "an imported file holds everything under the key `{}`",
                peer::ROOT
            );
            report.error(source, message);
            Table::default()
        }
    }
}

fn table(text: &str, source: &Place, report: &mut Report) -> Table {
    let parsed: Spanned<Yaml> = match serde_saphyr::from_str(text) {
        Ok(parsed) => parsed,
        // A file without a document configures nothing.
        Err(_)
            if text
                .lines()
                .all(|line| line.trim().is_empty() || line.trim().starts_with('#')) =>
        {
            return Table::default();
        }
        Err(error) => {
            let place = error
                .location()
                .map_or(source.clone(), |location| at(source, location));
            report.error(&place, message(&error));
            return Table::default();
        }
    };
    match node(parsed, source).value {
        Value::Table(table) => table,
        Value::Nothing => Table::default(),
        other => {
            report.error(
                source,
                format!(
                    "a configuration is a table of settings, found {}",
                    other.shown()
                ),
            );
            Table::default()
        }
    }
}

/// The parser's own words, without the position that the place says, and without advice to programmers.
fn message(error: &serde_saphyr::Error) -> String {
    let error = error.without_snippet();
    if let serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } = error {
        return format!("`{key}` is set twice");
    }
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.split(" at line ")
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn root(table: Table, surroundings: &mut Surroundings, report: &mut Report) -> Table {
    let mut result = Table::default();
    for entry in table.0 {
        let Entry { key, node, .. } = &entry;
        match (key.as_str(), &node.value) {
            (peer::ROOT, Value::Table(inner)) => {
                let inner = peer_table(inner.clone(), surroundings, report);
                for entry in peer::translate(inner, report) {
                    result.overlay(entry);
                }
            }
            (OWN_ROOT, Value::Table(inner)) => {
                for entry in inner.0.clone() {
                    result.overlay(entry);
                }
            }
            (peer::EXECUTORS, _) => {
                let inner = peer_table(Table(vec![entry]), surroundings, report);
                for entry in peer::translate(inner, report) {
                    result.overlay(entry);
                }
            }
            _ => result.overlay(entry),
        }
    }
    result
}

/// A table in the peer's form with its variables replaced, laid over what it imports. Only what we understand is looked
/// at: elsewhere a variable may stay without a value.
fn peer_table(table: Table, surroundings: &mut Surroundings, report: &mut Report) -> Table {
    let is_import = |entry: &Entry| entry.key == IMPORT;
    let (imports, own): (Vec<Entry>, Vec<Entry>) = table.0.into_iter().partition(is_import);
    let mut result = Table::default();
    for import in imports {
        let resources = match import.node.value {
            Value::List(items) => items,
            _ => vec![import.node],
        };
        for resource in resources {
            let Value::Text(name) = &resource.value else {
                let message = format!("`{IMPORT}` lists files, found {}", resource.value.shown());
                report.error(&resource.place, message);
                continue;
            };
            let imported = surroundings.import(name, &resource.place, report);
            imported
                .0
                .into_iter()
                .for_each(|entry| result.overlay(entry));
        }
    }
    for entry in own {
        let mut piece = Table(vec![entry]);
        if [peer::EXECUTORS, check::CLUSTER_NAME].contains(&piece.0[0].key.as_str()) {
            surroundings.variables.replace_all(&mut piece, report);
        }
        piece.0.into_iter().for_each(|entry| result.overlay(entry));
    }
    result
}

/// A value without its place.
enum Yaml {
    Text(String),
    Number(i128),
    Flag(bool),
    List(Vec<Spanned<Yaml>>),
    Table(Vec<(Spanned<String>, Spanned<Yaml>)>),
    Nothing,
    Other(&'static str),
}

fn at(source: &Place, location: Location) -> Place {
    let part = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    source.at(part(location.line()), part(location.column()))
}

fn node(spanned: Spanned<Yaml>, source: &Place) -> Node {
    let place = at(source, spanned.referenced);
    let value = match spanned.value {
        Yaml::Text(text) => Value::Text(text),
        Yaml::Number(number) => Value::Number(number),
        Yaml::Flag(flag) => Value::Flag(flag),
        Yaml::List(items) => {
            Value::List(items.into_iter().map(|item| node(item, source)).collect())
        }
        Yaml::Table(entries) => {
            let entries = entries.into_iter().map(|(key, value)| Entry {
                place: at(source, key.referenced),
                key: key.value,
                node: node(value, source),
            });
            Value::Table(Table(entries.collect()))
        }
        Yaml::Nothing => Value::Nothing,
        Yaml::Other(what) => Value::Other(what),
    };
    Node { place, value }
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YamlVisitor)
    }
}

struct YamlVisitor;

impl<'de> Visitor<'de> for YamlVisitor {
    type Value = Yaml;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a setting")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Yaml, E> {
        Ok(Yaml::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Yaml, E> {
        Ok(Yaml::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Yaml, E> {
        Ok(Yaml::Number(number.into()))
    }

    fn visit_i128<E>(self, number: i128) -> Result<Yaml, E> {
        Ok(Yaml::Number(number))
    }

    fn visit_u128<E>(self, number: u128) -> Result<Yaml, E> {
        Ok(i128::try_from(number).map_or(Yaml::Other("a number that is too large"), Yaml::Number))
    }

    fn visit_f64<E>(self, _number: f64) -> Result<Yaml, E> {
        Ok(Yaml::Other("a number with a fraction"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Yaml, E> {
        Ok(Yaml::Text(text.to_owned()))
    }

    fn visit_bytes<E>(self, _bytes: &[u8]) -> Result<Yaml, E> {
        Ok(Yaml::Other("binary data"))
    }

    fn visit_unit<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Nothing)
    }

    fn visit_none<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Yaml, D::Error> {
        Yaml::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Yaml, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Yaml::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Yaml, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Yaml::Table(entries))
    }
}
