//! NoAckLost: what was acknowledged is there afterwards, or gone for a reason (DESIGN G1, G4, G9).

use std::collections::{BTreeMap, BTreeSet};

use ringhold_types::ErrorCode;

use crate::check::{Breach, Expectation};
use crate::event::Sighting;
use crate::history::History;
use crate::seen::last_seen;

/// Finds acknowledged tasks that were denied or, if the run was audited, never accounted for, and tasks of which anybody knew
/// that were lost without a loss, or by one after which they were seen.
#[must_use]
pub fn check(history: &History, expectation: Expectation) -> Vec<Breach> {
    let mut acknowledged: BTreeMap<&str, u64> = BTreeMap::new();
    for submit in history.acknowledged() {
        let at = acknowledged.entry(submit.id).or_insert(u64::MAX);
        *at = (*at).min(submit.operation.ended);
    }
    let seen = last_seen(history);
    let mut accounted = BTreeSet::new();
    let mut breaches = Vec::new();
    for operation in &history.operations {
        let (Some(id), Some(sighting)) = (operation.action.id(), operation.sighting()) else {
            continue;
        };
        let stored = acknowledged.get(id);
        let denied = match sighting {
            Sighting::Absent {
                code: ErrorCode::NeverExisted,
            } => stored.is_some_and(|at| operation.invoked > *at),
            Sighting::Absent {
                code: ErrorCode::DataLoss,
            } if !expectation.losses => {
                let known = seen.get(id).and_then(|last| last.known);
                let is_known = stored.is_some() || known.is_some();
                let losses = &history.losses;
                is_known && !losses.may_have_taken(id, known, operation.ended)
            }
            _ => false,
        };
        if denied {
            breaches.push(Breach {
                checker: "NoAckLost",
                detail: format!("{id} was stored and is then {sighting:?}"),
            });
        }
        if matches!(sighting, Sighting::Outcome { .. } | Sighting::Absent { .. }) {
            accounted.insert(id);
        }
    }
    if expectation.audited {
        let missing = acknowledged.keys().filter(|id| !accounted.contains(*id));
        breaches.extend(missing.map(|id| Breach {
            checker: "NoAckLost",
            detail: format!("{id} was acknowledged and never accounted for"),
        }));
    }
    breaches
}
