//! A history put in order: operations with their begin and end, and runs.

use std::collections::BTreeMap;

use crate::event::{Action, Event, Kind, Run, Sighting};
use crate::losses::Losses;

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It was answered.
    Ok(Sighting),
    /// It was refused, without effect.
    Refused,
    /// Not at all, as far as its caller knows.
    Unknown,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its number.
    pub number: u64,
    /// When it began.
    pub invoked: u64,
    /// When it ended; `u64::MAX` if that is unknown, for then it may take effect at any later time.
    pub ended: u64,
    /// What was asked.
    pub action: Action,
    /// How it ended.
    pub end: End,
}

impl Operation {
    /// What was seen, if it was answered.
    #[must_use]
    pub const fn sighting(&self) -> Option<&Sighting> {
        match &self.end {
            End::Ok(sighting) => Some(sighting),
            End::Refused | End::Unknown => None,
        }
    }
}

/// A history put in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Operations by the time of their begin.
    pub operations: Vec<Operation>,
    /// Runs in order.
    pub runs: Vec<Run>,
    /// Recorded losses.
    pub losses: Losses,
}

impl History {
    /// Puts events in order. An end without a begin is left out; a begin without an end is unknown.
    #[must_use]
    pub fn of(events: &[Event]) -> Self {
        let mut open: BTreeMap<u64, Operation> = BTreeMap::new();
        let mut history = Self::default();
        for event in events {
            let end = match &event.kind {
                Kind::Invoke(action) => {
                    let operation = Operation {
                        number: event.operation,
                        invoked: event.at,
                        ended: u64::MAX,
                        action: action.clone(),
                        end: End::Unknown,
                    };
                    open.insert(event.operation, operation);
                    continue;
                }
                Kind::Ran(run) => {
                    history.runs.push(run.clone());
                    continue;
                }
                Kind::Lost(loss) => {
                    history.losses.add(event.at, loss);
                    continue;
                }
                Kind::Ok(sighting) => End::Ok(sighting.clone()),
                Kind::Fail(_) => End::Refused,
                Kind::Unknown => End::Unknown,
            };
            if let Some(mut operation) = open.remove(&event.operation) {
                if end != End::Unknown {
                    operation.ended = event.at;
                }
                operation.end = end;
                history.operations.push(operation);
            }
        }
        history.operations.extend(open.into_values());
        history
            .operations
            .sort_by_key(|operation| (operation.invoked, operation.number));
        history
    }

    /// Acknowledged submits: operation, key, payload, id, term.
    pub fn acknowledged(&self) -> impl Iterator<Item = Acknowledged<'_>> {
        self.operations.iter().filter_map(|operation| {
            match (&operation.action, operation.sighting()) {
                (Action::Submit { key, payload }, Some(Sighting::Stored { id, term, .. })) => {
                    Some(Acknowledged {
                        operation,
                        key,
                        payload: *payload,
                        id,
                        term: *term,
                    })
                }
                _ => None,
            }
        })
    }
}

/// An acknowledged submit.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged<'a> {
    /// The operation.
    pub operation: &'a Operation,
    /// Its idempotency key.
    pub key: &'a str,
    /// A hash of the task.
    pub payload: u64,
    /// The id it got.
    pub id: &'a str,
    /// The receipt's term.
    pub term: u64,
}
