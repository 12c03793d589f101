//! Reads single settings: each reader answers with the value, or reports why there is none.

use std::str::FromStr;

use ringhold_types::Millis;

use crate::error::{Report, did_you_mean};
use crate::tree::{Entry, Node, Table, Value};
use crate::unit::{SIZE_EXAMPLE, TIME_EXAMPLE, UnitError, parse_size, parse_time};

/// The table of an entry; nothing at all is an empty one.
pub(crate) fn table(entry: &Entry, report: &mut Report) -> Option<Table> {
    match &entry.node.value {
        Value::Table(table) => Some(table.clone()),
        Value::Nothing => Some(Table::default()),
        // An empty XML element looks like an empty text.
        Value::Untyped(text) if text.is_empty() => Some(Table::default()),
        other => {
            let message = format!("`{}` holds settings, found {}", entry.key, other.shown());
            report.error(&entry.node.place, message);
            None
        }
    }
}

/// Reports every key of `table` that is not one of `known`.
pub(crate) fn unknown_keys(table: &Table, known: &[&str], report: &mut Report) {
    for entry in &table.0 {
        if !known.contains(&entry.key.as_str()) {
            let message = format!("unknown setting `{}`", entry.key);
            let help = did_you_mean(&entry.key.replace('_', "-"), known.iter().copied());
            report.error_with_help(&entry.place, message, help);
        }
    }
}

fn needs(entry: &Entry, what: &str, report: &mut Report) {
    needs_with_help(entry, what, None, report);
}

fn needs_with_help(entry: &Entry, what: &str, help: Option<String>, report: &mut Report) {
    let Node { place, value } = &entry.node;
    let message = format!("`{}` needs {what}, found {}", entry.key, value.shown());
    report.error_with_help(place, message, help);
}

/// A whole number that fits `T`.
pub(crate) fn number<T>(entry: &Entry, report: &mut Report) -> Option<T>
where
    T: TryFrom<i128>,
{
    let number = match &entry.node.value {
        Value::Number(number) => Some(*number),
        Value::Untyped(text) => text.trim().parse().ok(),
        _ => None,
    };
    let Some(number) = number else {
        needs(entry, "a whole number", report);
        return None;
    };
    let fitting = T::try_from(number).ok();
    if fitting.is_none() {
        let size = std::mem::size_of::<T>() * 8;
        needs(
            entry,
            &format!("a whole number from 0 to 2^{size} - 1"),
            report,
        );
    }
    fitting
}

/// True or false.
pub(crate) fn flag(entry: &Entry, report: &mut Report) -> Option<bool> {
    let flag = match &entry.node.value {
        Value::Flag(flag) => Some(*flag),
        Value::Untyped(text) => text.trim().parse().ok(),
        _ => None,
    };
    if flag.is_none() {
        needs(entry, "true or false", report);
    }
    flag
}

/// Text, not empty and without control characters; spaces around it do not count.
pub(crate) fn text(entry: &Entry, report: &mut Report) -> Option<String> {
    match &entry.node.value {
        Value::Text(text) | Value::Untyped(text) if is_plain(text) => Some(text.trim().to_owned()),
        Value::Text(_) | Value::Untyped(_) => {
            needs(
                entry,
                "text that is not empty and has no control characters",
                report,
            );
            None
        }
        _ => {
            needs(entry, "text", report);
            None
        }
    }
}

fn is_plain(text: &str) -> bool {
    !text.trim().is_empty() && !text.chars().any(char::is_control)
}

/// Text of a form of its own.
pub(crate) fn parsed<T: FromStr>(entry: &Entry, report: &mut Report) -> Option<T>
where
    T::Err: std::fmt::Display,
{
    let text = text(entry, report)?;
    match text.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            report.error(&entry.node.place, format!("`{}`: {error}", entry.key));
            None
        }
    }
}

/// One of several words.
pub(crate) fn choice<T: Copy>(
    entry: &Entry,
    choices: &[(&str, T)],
    report: &mut Report,
) -> Option<T> {
    let word = match &entry.node.value {
        Value::Text(text) | Value::Untyped(text) => text.trim(),
        _ => "",
    };
    let found = choices
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, value)| *value);
    if found.is_none() {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let help = did_you_mean(word, names.iter().copied());
        needs_with_help(entry, &format!("one of {}", names.join(", ")), help, report);
    }
    found
}

/// Texts: a list, or in a format without types one text with commas.
pub(crate) fn list(entry: &Entry, report: &mut Report) -> Option<Vec<String>> {
    match &entry.node.value {
        Value::List(items) => {
            let count = report.errors.len();
            let texts = items.iter().filter_map(|item| {
                let entry = Entry {
                    node: item.clone(),
                    ..entry.clone()
                };
                text(&entry, report)
            });
            let texts: Vec<String> = texts.collect();
            (report.errors.len() == count).then_some(texts)
        }
        Value::Untyped(text) => {
            let parts = text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty());
            Some(parts.map(str::to_owned).collect())
        }
        _ => {
            needs(entry, "a list of texts", report);
            None
        }
    }
}

/// A span of time with its unit.
pub(crate) fn time(entry: &Entry, report: &mut Report) -> Option<Millis> {
    quantity(
        entry,
        "a time with its unit",
        TIME_EXAMPLE,
        ["s", "ms"],
        parse_time,
        report,
    )
}

/// A number of bytes with its unit.
pub(crate) fn size(entry: &Entry, report: &mut Report) -> Option<u64> {
    quantity(
        entry,
        "a size with its unit",
        SIZE_EXAMPLE,
        ["MiB", "B"],
        parse_size,
        report,
    )
}

fn quantity<T>(
    entry: &Entry,
    what: &str,
    example: &str,
    likely_units: [&str; 2],
    parse: fn(&str) -> Result<T, UnitError>,
    report: &mut Report,
) -> Option<T> {
    let read = match &entry.node.value {
        Value::Text(text) | Value::Untyped(text) => parse(text),
        Value::Number(_) => Err(UnitError::NoUnit),
        _ => Err(UnitError::Form),
    };
    let help = match read {
        Ok(quantity) => return Some(quantity),
        Err(UnitError::NoUnit) => {
            let number = match &entry.node.value {
                Value::Number(number) => number.to_string(),
                Value::Text(text) | Value::Untyped(text) => text.trim().to_owned(),
                _ => String::new(),
            };
            let [first, second] = likely_units;
            format!("did you mean \"{number}{first}\" or \"{number}{second}\"?")
        }
        Err(UnitError::Form) => example.to_owned(),
        Err(UnitError::TooLarge) => "that is more than can be counted".to_owned(),
    };
    needs_with_help(entry, what, Some(help), report);
    None
}
