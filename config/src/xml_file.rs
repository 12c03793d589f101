//! XML into the tree: ours, or Hazelcast's.

use roxmltree::{Document, Node as Element};

use crate::Place;
use crate::check;
use crate::error::Report;
use crate::import::{IMPORT, RESOURCE, Surroundings};
use crate::peer;
use crate::tree::{Entry, Node, Table, Value};

/// Our root element.
const OWN_ROOT: &str = "ringhold";
/// The element of a list.
const ITEM: &str = "item";
/// The attribute that names an executor.
const NAME: &str = "name";

/// Parses a file with the root `<ringhold>` or `<hazelcast>`.
pub(crate) fn parse(
    text: &str,
    source: &Place,
    surroundings: &mut Surroundings,
    report: &mut Report,
) -> Table {
    rooted(
        text,
        source,
        surroundings,
        report,
        |parser, root| match root.tag_name().name() {
            OWN_ROOT => parser.settings(root, check::EXECUTORS),
            peer::ROOT => {
                let table = parser.peer_root(root);
                Table(peer::translate(table, parser.report))
            }
            other => {
                let message =
                    format!("the root element is <ringhold> or <hazelcast>, found <{other}>");
                parser.refuse(root, message)
            }
        },
    )
}

/// Reads an imported file, variables replaced and nothing translated yet.
pub(crate) fn imported(
    text: &str,
    source: &Place,
    surroundings: &mut Surroundings,
    report: &mut Report,
) -> Table {
    rooted(text, source, surroundings, report, |parser, root| {
        let name = root.tag_name().name();
        if name == peer::ROOT {
            return parser.peer_root(root);
        }
        let message =
            format!("the root element of an imported file is <hazelcast>, found <{name}>");
        parser.refuse(root, message)
    })
}

/// What `read` makes of the root element; nothing of a text that is no XML.
fn rooted(
    text: &str,
    source: &Place,
    surroundings: &mut Surroundings,
    report: &mut Report,
    read: impl FnOnce(&mut Parser<'_>, Element<'_, '_>) -> Table,
) -> Table {
    let Some(document) = document(text, source, report) else {
        return Table::default();
    };
    let mut parser = Parser {
        text,
        source,
        surroundings,
        report,
    };
    read(&mut parser, document.root_element())
}

fn document<'a>(text: &'a str, source: &Place, report: &mut Report) -> Option<Document<'a>> {
    match Document::parse(text) {
        Ok(document) => Some(document),
        Err(error) => {
            let position = error.pos();
            let message = error.to_string();
            // The place says where.
            let end = format!(" at {position}");
            let message = message.strip_suffix(&end).unwrap_or(&message);
            report.error(&source.at(position.row, position.col), message);
            None
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    source: &'a Place,
    surroundings: &'a mut Surroundings,
    report: &'a mut Report,
}

impl Parser<'_> {
    fn refuse(&mut self, element: Element<'_, '_>, message: String) -> Table {
        let place = self.place(element);
        self.report.error(&place, message);
        Table::default()
    }

    fn place(&self, element: Element<'_, '_>) -> Place {
        // One past the bracket: where the name begins.
        self.source.at_byte(self.text, element.range().start + 1)
    }

    /// Attributes and child elements alike are settings; elements called `executors` are collected by name.
    fn settings(&mut self, element: Element<'_, '_>, executors: &str) -> Table {
        let mut table = Table::default();
        for attribute in element.attributes() {
            let place = self.source.at_byte(self.text, attribute.range().start);
            let node = Node {
                place: self
                    .source
                    .at_byte(self.text, attribute.range_value().start),
                value: Value::Untyped(attribute.value().to_owned()),
            };
            self.add(
                &mut table,
                Entry {
                    key: attribute.name().to_owned(),
                    place,
                    node,
                },
            );
        }
        self.check_no_text(element);
        for child in element.children().filter(Element::is_element) {
            if child.tag_name().name() == executors {
                self.executor(&mut table, child);
            } else {
                let entry = self.entry(child);
                self.add(&mut table, entry);
            }
        }
        table
    }

    /// Only what we understand is read closely: other sections may repeat elements as they like. An import counts where it
    /// stands, as in the peer: what comes after it is laid over it.
    fn peer_root(&mut self, root: Element<'_, '_>) -> Table {
        let mut table = Table::default();
        // What this file itself says, to notice what it says twice.
        let (mut own, mut own_executors) = (Table::default(), Table::default());
        for child in root.children().filter(Element::is_element) {
            let place = self.place(child);
            match child.tag_name().name() {
                peer::EXECUTORS | check::CLUSTER_NAME => {
                    let mut piece = Table::default();
                    self.section(&mut piece, child);
                    let variables = &self.surroundings.variables;
                    variables.replace_all(&mut piece, self.report);
                    for entry in piece.0 {
                        match &entry.node.value {
                            Value::Table(executors) => {
                                for executor in &executors.0 {
                                    self.add(&mut own_executors, executor.clone());
                                }
                            }
                            _ => self.add(&mut own, entry.clone()),
                        }
                        table.overlay(entry);
                    }
                }
                IMPORT => {
                    let resource = child.attribute(RESOURCE).unwrap_or_default();
                    let imported = self.surroundings.import(resource, &place, self.report);
                    imported
                        .0
                        .into_iter()
                        .for_each(|entry| table.overlay(entry));
                }
                other => {
                    let node = Node {
                        place: place.clone(),
                        value: Value::Nothing,
                    };
                    table.0.push(Entry {
                        key: other.to_owned(),
                        place,
                        node,
                    });
                }
            }
        }
        table
    }

    fn section(&mut self, table: &mut Table, element: Element<'_, '_>) {
        if element.tag_name().name() == peer::EXECUTORS {
            self.executor(table, element);
        } else {
            let entry = self.entry(element);
            self.add(table, entry);
        }
    }

    fn executor(&mut self, table: &mut Table, element: Element<'_, '_>) {
        let place = self.place(element);
        let mut settings = self.settings(element, check::EXECUTORS);
        let named = settings.0.iter().position(|entry| entry.key == NAME);
        let (key, key_place) = match named.map(|index| settings.0.remove(index)) {
            Some(Entry {
                node:
                    Node {
                        place,
                        value: Value::Untyped(name),
                    },
                ..
            }) => (name, place),
            _ if element.tag_name().name() == peer::EXECUTORS => {
                (peer::UNNAMED.to_owned(), place.clone())
            }
            _ => {
                self.report
                    .error(&place, "an executor needs the attribute `name`");
                return;
            }
        };
        let section = element.tag_name().name().to_owned();
        let node = Node {
            place: place.clone(),
            value: Value::Table(settings),
        };
        let entry = Entry {
            key,
            place: key_place,
            node,
        };
        let present = table.0.iter_mut().find(|present| present.key == section);
        if let Some(Entry {
            node:
                Node {
                    value: Value::Table(executors),
                    ..
                },
            ..
        }) = present
        {
            self.add(executors, entry);
        } else {
            let node = Node {
                place: place.clone(),
                value: Value::Table(Table(vec![entry])),
            };
            self.add(
                table,
                Entry {
                    key: section,
                    place,
                    node,
                },
            );
        }
    }

    fn entry(&mut self, element: Element<'_, '_>) -> Entry {
        let place = self.place(element);
        let mut children = element.children().filter(Element::is_element).peekable();
        let has_attributes = element.attributes().next().is_some();
        let is_list = !has_attributes
            && children.peek().is_some()
            && children
                .clone()
                .all(|child| child.tag_name().name() == ITEM);
        let value = if is_list {
            self.check_no_text(element);
            Value::List(children.map(|child| self.entry(child).node).collect())
        } else if has_attributes || children.peek().is_some() {
            Value::Table(self.settings(element, check::EXECUTORS))
        } else {
            Value::Untyped(element.text().unwrap_or_default().trim().to_owned())
        };
        let key = element.tag_name().name().to_owned();
        Entry {
            key,
            place: place.clone(),
            node: Node { place, value },
        }
    }

    fn check_no_text(&mut self, element: Element<'_, '_>) {
        let stray = element.children().find(|child| {
            child.is_text() && child.text().is_some_and(|text| !text.trim().is_empty())
        });
        if let Some(stray) = stray {
            let place = self.source.at_byte(self.text, stray.range().start);
            let name = element.tag_name().name();
            self.report.error(
                &place,
                format!("text has no place between the elements of <{name}>"),
            );
        }
    }

    fn add(&mut self, table: &mut Table, entry: Entry) {
        if let Some(first) = table.get(&entry.key) {
            let message = format!("`{}` is set twice; first at {}", entry.key, first.place);
            self.report.error(&entry.place, message);
        } else {
            table.0.push(entry);
        }
    }
}
