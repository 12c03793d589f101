//! Ledger: what the tasks themselves wrote down decides at least one execution (DESIGN G3), not the cluster's own word.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::Breach;
use crate::event::{NOT_FROM_A_RUN, Sighting};
use crate::history::History;

/// Finds outcomes that no run of their task ended with, and fencing tokens that were given to two runs.
#[must_use]
pub fn check(history: &History) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut values: BTreeMap<u64, &str> = BTreeMap::new();
    let mut tokens: BTreeSet<(&str, u64, u64)> = BTreeSet::new();
    for run in &history.runs {
        values.insert(run.value, &run.id);
        if !tokens.insert((&run.id, run.term, run.attempt)) {
            breaches.push(Breach {
                checker: "Ledger",
                detail: format!(
                    "two runs of {} have the token of term {} attempt {}",
                    run.id, run.term, run.attempt
                ),
            });
        }
    }
    for operation in &history.operations {
        let (Some(id), Some(Sighting::Outcome { value })) =
            (operation.action.id(), operation.sighting())
        else {
            continue;
        };
        let ran = values.get(value);
        if *value < NOT_FROM_A_RUN && ran != Some(&id) {
            breaches.push(Breach {
                checker: "Ledger",
                detail: match ran {
                    Some(other) => format!("{id} shows the result {value} of a run of {other}"),
                    None => format!("{id} shows the result {value} that no run ended with"),
                },
            });
        }
    }
    breaches
}
