//! TOML into the tree.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::Place;
use crate::error::Report;
use crate::tree::{Entry, Node, Table, Value};

/// Parses a file; all syntax errors are reported, and nothing of a file that has one is used.
pub(crate) fn parse(text: &str, source: &Place, report: &mut Report) -> Table {
    let (table, errors) = DeTable::parse_recoverable(text);
    let is_sound = errors.is_empty();
    for error in errors {
        let place = error
            .span()
            .map_or(source.clone(), |span| source.at_byte(text, span.start));
        report.error(&place, error.message().replace('\n', "; "));
    }
    if !is_sound {
        return Table::default();
    }
    Parser { text, source }.table(table.get_ref())
}

struct Parser<'a> {
    text: &'a str,
    source: &'a Place,
}

impl Parser<'_> {
    fn table(&self, table: &DeTable<'_>) -> Table {
        let entries = table.iter().map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            place: self.source.at_byte(self.text, key.span().start),
            node: self.node(value),
        });
        Table(entries.collect())
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Node {
        let place = self.source.at_byte(self.text, value.span().start);
        let value = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
                .map_or(Value::Other("a number that is too large"), Value::Number),
            DeValue::Float(_) => Value::Other("a number with a fraction"),
            DeValue::Boolean(flag) => Value::Flag(*flag),
            DeValue::Datetime(_) => Value::Other("a date"),
            DeValue::Array(items) => {
                Value::List(items.iter().map(|item| self.node(item)).collect())
            }
            DeValue::Table(table) => Value::Table(self.table(table)),
        };
        Node { place, value }
    }
}
