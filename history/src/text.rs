//! A history as text, one event a line, fields apart by tabs: what real processes write while they run, each its own file.

use ringhold_types::ErrorCode;

use crate::event::{Action, Event, Kind, Loss, Run, Sighting};

/// A line that is no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this line of a history is no event: {line:?}")]
pub struct LineError {
    /// The line.
    pub line: String,
}

/// The line of an event, without its end.
#[must_use]
pub fn to_line(event: &Event) -> String {
    let mut fields = vec![
        event.at.to_string(),
        event.process.to_string(),
        event.operation.to_string(),
    ];
    fields.extend(kind_fields(&event.kind));
    fields
        .iter()
        .map(|field| escape(field))
        .collect::<Vec<_>>()
        .join("\t")
}

fn kind_fields(kind: &Kind) -> Vec<String> {
    match kind {
        Kind::Invoke(action) => {
            let mut fields = vec!["invoke".to_owned()];
            fields.extend(action_fields(action));
            fields
        }
        Kind::Ok(sighting) => {
            let mut fields = vec!["ok".to_owned()];
            fields.extend(sighting_fields(sighting));
            fields
        }
        Kind::Fail(code) => vec!["fail".to_owned(), code.to_string()],
        Kind::Unknown => vec!["unknown".to_owned()],
        Kind::Ran(run) => vec![
            "ran".to_owned(),
            run.id.clone(),
            run.term.to_string(),
            run.attempt.to_string(),
            run.value.to_string(),
        ],
        Kind::Lost(loss) => vec![
            "lost".to_owned(),
            loss.partition.clone(),
            loss.generation.to_string(),
        ],
    }
}

fn action_fields(action: &Action) -> Vec<String> {
    let named = |name: &str, id: &str| vec![name.to_owned(), id.to_owned()];
    match action {
        Action::Submit { key, payload } => {
            vec!["submit".to_owned(), key.clone(), payload.to_string()]
        }
        Action::Retrieve { id } => named("retrieve", id),
        Action::Get { id } => named("get", id),
        Action::Take { id } => named("take", id),
        Action::Dispose { id } => named("dispose", id),
        Action::Cancel { id } => named("cancel", id),
        Action::Other => vec!["other".to_owned()],
    }
}

fn sighting_fields(sighting: &Sighting) -> Vec<String> {
    match sighting {
        Sighting::Stored { id, term, reused } => {
            vec![
                "stored".to_owned(),
                id.clone(),
                term.to_string(),
                reused.to_string(),
            ]
        }
        Sighting::Pending => vec!["pending".to_owned()],
        Sighting::Outcome { value } => vec!["outcome".to_owned(), value.to_string()],
        Sighting::Absent { code } => vec!["absent".to_owned(), code.to_string()],
        Sighting::Done => vec!["done".to_owned()],
    }
}

/// The event of a line.
///
/// # Errors
/// [`LineError`] for a line that [`to_line`] did not make.
pub fn from_line(line: &str) -> Result<Event, LineError> {
    let fields: Vec<String> = line.split('\t').map(unescape).collect();
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    event(&fields).ok_or_else(|| LineError {
        line: line.to_owned(),
    })
}

/// The events of a text; empty lines are left out.
///
/// # Errors
/// [`LineError`] for the first line that is no event.
pub fn from_text(text: &str) -> Result<Vec<Event>, LineError> {
    text.lines()
        .filter(|line| !line.is_empty())
        .map(from_line)
        .collect()
}

fn event(fields: &[&str]) -> Option<Event> {
    let [at, process, operation, kind, rest @ ..] = fields else {
        return None;
    };
    Some(Event {
        at: at.parse().ok()?,
        process: process.parse().ok()?,
        operation: operation.parse().ok()?,
        kind: match (*kind, rest) {
            ("invoke", action_fields) => Kind::Invoke(action(action_fields)?),
            ("ok", sighting_fields) => Kind::Ok(sighting(sighting_fields)?),
            ("fail", [code]) => Kind::Fail(ErrorCode::from_name(code)?),
            ("unknown", []) => Kind::Unknown,
            ("ran", [id, term, attempt, value]) => Kind::Ran(Run {
                id: (*id).to_owned(),
                term: term.parse().ok()?,
                attempt: attempt.parse().ok()?,
                value: value.parse().ok()?,
            }),
            ("lost", [partition, generation]) => Kind::Lost(Loss {
                partition: (*partition).to_owned(),
                generation: generation.parse().ok()?,
            }),
            _ => return None,
        },
    })
}

fn action(fields: &[&str]) -> Option<Action> {
    Some(match fields {
        ["submit", key, payload] => Action::Submit {
            key: (*key).to_owned(),
            payload: payload.parse().ok()?,
        },
        ["retrieve", id] => Action::Retrieve {
            id: (*id).to_owned(),
        },
        ["get", id] => Action::Get {
            id: (*id).to_owned(),
        },
        ["take", id] => Action::Take {
            id: (*id).to_owned(),
        },
        ["dispose", id] => Action::Dispose {
            id: (*id).to_owned(),
        },
        ["cancel", id] => Action::Cancel {
            id: (*id).to_owned(),
        },
        ["other"] => Action::Other,
        _ => return None,
    })
}

fn sighting(fields: &[&str]) -> Option<Sighting> {
    Some(match fields {
        ["stored", id, term, reused] => Sighting::Stored {
            id: (*id).to_owned(),
            term: term.parse().ok()?,
            reused: reused.parse().ok()?,
        },
        ["pending"] => Sighting::Pending,
        ["outcome", value] => Sighting::Outcome {
            value: value.parse().ok()?,
        },
        ["absent", code] => Sighting::Absent {
            code: ErrorCode::from_name(code)?,
        },
        ["done"] => Sighting::Done,
        _ => return None,
    })
}

fn escape(field: &str) -> String {
    field
        .replace('\\', "\\\\")
        .replace('\t', "\\t")
        .replace('\n', "\\n")
        .replace('\r', "\\r")
}

fn unescape(field: &str) -> String {
    let mut text = String::new();
    let mut characters = field.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('t') => text.push('\t'),
                Some('n') => text.push('\n'),
                Some('r') => text.push('\r'),
                Some(other) => text.push(other),
                None => {}
            },
            other => text.push(other),
        }
    }
    text
}
