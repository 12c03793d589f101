//! UniqueId: no id is acknowledged to two different submits (DESIGN G5).

use std::collections::BTreeMap;

use crate::check::Breach;
use crate::history::History;

/// Finds ids that were given twice.
#[must_use]
pub fn check(history: &History) -> Vec<Breach> {
    let mut keys: BTreeMap<&str, &str> = BTreeMap::new();
    let mut breaches = Vec::new();
    for submit in history.acknowledged() {
        let first = *keys.entry(submit.id).or_insert(submit.key);
        if first != submit.key {
            breaches.push(Breach {
                checker: "UniqueId",
                detail: format!("{} was given to {first} and to {}", submit.id, submit.key),
            });
        }
    }
    breaches
}
