//! NoAckLost: what was acknowledged is there afterwards, or gone for a reason (DESIGN G1, G4, G9).

use std::collections::{BTreeMap, BTreeSet};

use ringhold_types::ErrorCode;

use crate::check::{Breach, Expectation};
use crate::event::Sighting;
use crate::history::History;

/// Finds acknowledged tasks that were denied, lost or, if the run was audited, never accounted for.
#[must_use]
pub fn check(history: &History, expectation: Expectation) -> Vec<Breach> {
    let mut acknowledged: BTreeMap<&str, u64> = BTreeMap::new();
    for submit in history.acknowledged() {
        let at = acknowledged.entry(submit.id).or_insert(u64::MAX);
        *at = (*at).min(submit.operation.ended);
    }
    let mut accounted = BTreeSet::new();
    let mut breaches = Vec::new();
    for operation in &history.operations {
        let (Some(id), Some(sighting)) = (operation.action.id(), operation.sighting()) else {
            continue;
        };
        let Some(at) = acknowledged.get(id) else {
            continue;
        };
        let denied = match sighting {
            Sighting::Absent {
                code: ErrorCode::NeverExisted,
            } => operation.invoked > *at,
            Sighting::Absent {
                code: ErrorCode::DataLoss,
            } => !expectation.losses && *history.losses.lived_through(id, operation).end() == 0,
            _ => false,
        };
        if denied {
            breaches.push(Breach {
                checker: "NoAckLost",
                detail: format!("{id} was acknowledged and is then {sighting:?}"),
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
