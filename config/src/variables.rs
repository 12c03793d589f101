//! `${name}` and `${name:default}` in Hazelcast's form, as it replaces them there from system properties.

use std::collections::BTreeMap;

use crate::Place;
use crate::error::{Report, did_you_mean};
use crate::tree::{Entry, Node, Table, Value};

const OPENS: &str = "${";
const CLOSES: char = '}';
/// Stands between a name and its default.
const SEPARATOR: char = ':';

/// What names stand for: the environment.
///
/// The peer asks for system properties, whose names have dots; most shells cannot set such variables. So a name that is
/// not there as it is written is looked for once more in capitals, with `_` for every other sign: `pool.size` is
/// `POOL_SIZE`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variables(BTreeMap<String, String>);

impl Variables {
    pub(crate) fn new(environment: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(environment.into_iter().collect())
    }

    fn value(&self, name: &str) -> Option<&String> {
        let shouted = || {
            let shout = |letter: char| match letter {
                letter if letter.is_ascii_alphanumeric() => letter.to_ascii_uppercase(),
                _ => '_',
            };
            name.chars().map(shout).collect::<String>()
        };
        self.0.get(name).or_else(|| self.0.get(&shouted()))
    }

    /// Replaces every variable of a text. What is put in is not looked at again, so that a value can hold anything.
    ///
    /// One without a value and without a default is an error: the peer leaves it as it is and only warns, and then an
    /// executor has a name that nobody meant.
    pub(crate) fn replace(&self, text: &str, place: &Place, report: &mut Report) -> String {
        let mut replaced = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(OPENS) {
            replaced.push_str(before);
            let Some((variable, behind)) = after.split_once(CLOSES) else {
                report.error(place, format!("`{OPENS}{after}` has no closing `}}`"));
                return replaced;
            };
            rest = behind;
            let (name, default) = match variable.split_once(SEPARATOR) {
                Some((name, default)) => (name.trim(), Some(default)),
                None => (variable.trim(), None),
            };
            match self.value(name).map(String::as_str).or(default) {
                Some(value) => replaced.push_str(value),
                None => self.unresolved(name, place, report),
            }
        }
        replaced.push_str(rest);
        replaced
    }

    fn unresolved(&self, name: &str, place: &Place, report: &mut Report) {
        let message = format!("the variable `{name}` has no value and no default");
        let near = did_you_mean(name, self.0.keys().map(String::as_str));
        let help = format!("set it in the environment, or write ${{{name}:default}}");
        report.error_with_help(place, message, Some(near.unwrap_or(help)));
    }

    /// Replaces the variables of everything in a table of the peer's form.
    pub(crate) fn replace_all(&self, table: &mut Table, report: &mut Report) {
        let entries = std::mem::take(&mut table.0);
        for mut entry in entries {
            if entry.key.contains(OPENS) {
                entry.key = self.replace(&entry.key, &entry.place, report);
            }
            self.replace_in(&mut entry.node, report);
            self.put(table, entry, report);
        }
    }

    /// Two names that were different may have become one.
    fn put(&self, table: &mut Table, entry: Entry, report: &mut Report) {
        match table.get(&entry.key) {
            Some(first) if entry.node.value != Value::Nothing => {
                let message = format!("`{}` is set twice; first at {}", entry.key, first.place);
                report.error(&entry.place, message);
            }
            _ => table.0.push(entry),
        }
    }

    fn replace_in(&self, node: &mut Node, report: &mut Report) {
        match &mut node.value {
            // A replaced text is what the setting makes of it, as in a format without types.
            Value::Text(text) | Value::Untyped(text) if text.contains(OPENS) => {
                node.value = Value::Untyped(self.replace(text, &node.place, report));
            }
            Value::List(items) => {
                for item in items {
                    self.replace_in(item, report);
                }
            }
            Value::Table(table) => self.replace_all(table, report),
            _ => {}
        }
    }
}
