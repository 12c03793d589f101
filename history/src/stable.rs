//! Stable: an outcome, once read, is never another (DESIGN G3), except on the two sides of a recorded loss: a task that was kept
//! over it runs again if its outcome was in what was lost.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::check::Breach;
use crate::event::Sighting;
use crate::history::History;

/// One outcome that was read.
struct Read {
    /// The numbers of losses that the task may have lived through when it was read.
    lived: RangeInclusive<usize>,
    value: u64,
}

/// Finds outcomes that differ between two reads with no loss between them.
#[must_use]
pub fn check(history: &History) -> Vec<Breach> {
    let mut reads: BTreeMap<&str, Vec<Read>> = BTreeMap::new();
    for operation in &history.operations {
        if let (Some(id), Some(Sighting::Outcome { value })) =
            (operation.action.id(), operation.sighting())
        {
            let lived = history.losses.lived_through(id, operation);
            let value = *value;
            reads.entry(id).or_default().push(Read { lived, value });
        }
    }
    reads
        .into_iter()
        .flat_map(|(id, reads)| compare(id, reads))
        .collect()
}

/// Gives each part of the task's life, from loss to loss, one outcome. A read across a loss is of either side.
fn compare(id: &str, mut reads: Vec<Read>) -> Vec<Breach> {
    reads.sort_by_key(|read| (read.lived.end() - read.lived.start(), *read.lived.end()));
    let mut outcomes: BTreeMap<usize, u64> = BTreeMap::new();
    let mut breaches = Vec::new();
    for Read { lived, value } in reads {
        let known = |part: usize| outcomes.get(&part).copied();
        if lived.clone().any(|part| known(part) == Some(value)) {
            continue;
        }
        match lived.clone().find(|part| known(*part).is_none()) {
            Some(part) => {
                outcomes.insert(part, value);
            }
            None => breaches.push(Breach {
                checker: "Stable",
                detail: format!(
                    "{id} was read as {} and as {value}",
                    known(*lived.start()).unwrap_or_default()
                ),
            }),
        }
    }
    breaches
}
