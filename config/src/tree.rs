//! The one tree that every format is parsed into.

use std::fmt;
use std::sync::Arc;

/// Where a value stands, for messages. Ordered by source, then line, then column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Rank of the source: files in the order given, then the environment.
    order: u32,
    source: Arc<str>,
    line: u32,
    column: u32,
}

impl Place {
    /// The whole of a source.
    pub(crate) fn of_source(order: u32, source: impl Into<Arc<str>>) -> Self {
        Self {
            order,
            source: source.into(),
            line: 0,
            column: 0,
        }
    }

    /// The whole of a file that this place imports. It counts as part of the importing source.
    pub(crate) fn of_imported(&self, source: impl Into<Arc<str>>) -> Self {
        Self::of_source(self.order, source)
    }

    /// A position in the same source, both counted from 1; line 0 means the whole source.
    pub(crate) fn at(&self, line: u32, column: u32) -> Self {
        Self {
            line,
            column,
            ..self.clone()
        }
    }

    /// The position of a byte of `text`, which is this source's.
    pub(crate) fn at_byte(&self, text: &str, byte: usize) -> Self {
        let mut byte = byte.min(text.len());
        while !text.is_char_boundary(byte) {
            byte -= 1;
        }
        let before = &text[..byte];
        let line = before.matches('\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .chars()
            .count()
            + 1;
        self.at(
            u32::try_from(line).unwrap_or(u32::MAX),
            u32::try_from(column).unwrap_or(u32::MAX),
        )
    }

    /// The file's name, or the environment variable's.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The line, from 1; `None` when the place is a whole source.
    #[must_use]
    pub fn line(&self) -> Option<u32> {
        (self.line > 0).then_some(self.line)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.source)?;
        if self.line > 0 {
            write!(formatter, ":{}:{}", self.line, self.column)?;
        }
        Ok(())
    }
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// What a value is in its format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Text that the format knows to be text.
    Text(String),
    /// Text of a format without types (XML, environment): what it is, the setting decides.
    Untyped(String),
    /// A whole number.
    Number(i128),
    /// True or false.
    Flag(bool),
    /// A list.
    List(Vec<Node>),
    /// Settings by name.
    Table(Table),
    /// Nothing at all (YAML's null).
    Nothing,
    /// Something that no setting takes; how to call it.
    Other(&'static str),
}

impl Value {
    /// The value as shown in a message.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Text(text) | Self::Untyped(text) => format!("{text:?}"),
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::List(_) => "a list".to_owned(),
            Self::Table(_) => "a table".to_owned(),
            Self::Nothing => "nothing".to_owned(),
            Self::Other(what) => (*what).to_owned(),
        }
    }
}

/// Settings by name, in the order of their source; no name twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table(pub(crate) Vec<Entry>);

/// A named setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// Place of the name.
    pub(crate) place: Place,
    pub(crate) node: Node,
}

impl Table {
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.key == key)
    }

    /// Lays `entry` over this table: tables join, anything else takes the place of what was there.
    pub(crate) fn overlay(&mut self, entry: Entry) {
        let Some(present) = self.0.iter_mut().find(|present| present.key == entry.key) else {
            self.0.push(entry);
            return;
        };
        match (&mut present.node.value, entry.node.value) {
            (Value::Table(below), Value::Table(above)) => {
                above.0.into_iter().for_each(|inner| below.overlay(inner));
            }
            (_, value) => {
                present.place = entry.place;
                present.node = Node {
                    place: entry.node.place,
                    value,
                };
            }
        }
    }
}
