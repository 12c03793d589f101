//! Stable: an outcome, once read, is never another (DESIGN G3).

use std::collections::BTreeMap;

use crate::check::Breach;
use crate::event::Sighting;
use crate::history::History;

/// Finds outcomes that differ between two reads.
#[must_use]
pub fn check(history: &History) -> Vec<Breach> {
    let mut first: BTreeMap<&str, u64> = BTreeMap::new();
    let mut breaches = Vec::new();
    for operation in &history.operations {
        let (Some(id), Some(Sighting::Outcome { value })) =
            (operation.action.id(), operation.sighting())
        else {
            continue;
        };
        let known = *first.entry(id).or_insert(*value);
        if known != *value {
            breaches.push(Breach {
                checker: "Stable",
                detail: format!("{id} was read as {known} and as {value}"),
            });
        }
    }
    breaches
}
