//! Fence: once a term has acknowledged something, no earlier term acknowledges anything in its partition (DESIGN G10).

use std::collections::BTreeMap;

use crate::check::Breach;
use crate::history::{Acknowledged, History};

/// Finds acknowledgements of a term that had been followed by another.
#[must_use]
pub fn check(history: &History) -> Vec<Breach> {
    let mut partitions: BTreeMap<&str, Vec<Acknowledged<'_>>> = BTreeMap::new();
    for submit in history.acknowledged() {
        let partition = submit
            .id
            .rsplit_once('/')
            .map_or("", |(partition, _)| partition);
        partitions.entry(partition).or_default().push(submit);
    }
    partitions
        .into_iter()
        .flat_map(|(partition, submits)| sweep(partition, &submits))
        .collect()
}

fn sweep(partition: &str, submits: &[Acknowledged<'_>]) -> Vec<Breach> {
    let mut ends: Vec<(u64, u64)> = submits
        .iter()
        .map(|submit| (submit.operation.ended, submit.term))
        .collect();
    ends.sort_unstable();
    let mut reached = 0;
    let mut next = 0;
    let mut breaches = Vec::new();
    // Operations are in order of their begin.
    for submit in submits {
        while let Some((ended, term)) = ends.get(next)
            && *ended < submit.operation.invoked
        {
            reached = reached.max(*term);
            next += 1;
        }
        if submit.term < reached {
            breaches.push(Breach {
                checker: "Fence",
                detail: format!(
                    "{} is acknowledged in term {} after term {reached} of {partition} had answered",
                    submit.id, submit.term
                ),
            });
        }
    }
    breaches
}
