//! Monotone: reads never go back, for nobody: pending, outcome, gone (DESIGN G12).
//!
//! A task is a register that is written once and then removed, so this sweep over time decides linearizability of its reads
//! without any search.

use std::collections::BTreeMap;

use ringhold_types::ErrorCode;

use crate::check::Breach;
use crate::event::{Action, Sighting};
use crate::history::{History, Operation};

/// How far a task is in its life, as one operation shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Denied,
    Pending,
    Ended,
    Gone,
}

/// One view of a task.
struct View<'a> {
    operation: &'a Operation,
    /// What it says of the task at the time it took effect; `None` if it only leaves something behind.
    shows: Option<Stage>,
    /// What must be shown by all that begin after its end.
    leaves: Stage,
}

/// Finds reads that went back.
#[must_use]
pub fn check(history: &History) -> Vec<Breach> {
    let mut views: BTreeMap<&str, Vec<View<'_>>> = BTreeMap::new();
    for submit in history.acknowledged() {
        let view = View {
            operation: submit.operation,
            shows: None,
            leaves: Stage::Pending,
        };
        views.entry(submit.id).or_default().push(view);
    }
    for operation in &history.operations {
        let (Some(id), Some(sighting)) = (operation.action.id(), operation.sighting()) else {
            continue;
        };
        if let Some(view) = view(operation, sighting) {
            views.entry(id).or_default().push(view);
        }
    }
    views
        .into_iter()
        .flat_map(|(id, views)| sweep(id, views))
        .collect()
}

fn view<'a>(operation: &'a Operation, sighting: &Sighting) -> Option<View<'a>> {
    let stage = match sighting {
        Sighting::Pending => Stage::Pending,
        Sighting::Outcome { .. } => Stage::Ended,
        Sighting::Absent {
            code: ErrorCode::NeverExisted,
        } => Stage::Denied,
        Sighting::Absent { .. } => Stage::Gone,
        Sighting::Done | Sighting::Stored { .. } => return done(operation),
    };
    // A destructive read is answered again to its own request, so what it shows says nothing; what it leaves does.
    let takes = matches!(operation.action, Action::Take { .. }) && stage == Stage::Ended;
    Some(View {
        operation,
        shows: (!takes).then_some(stage),
        leaves: if takes { Stage::Gone } else { stage },
    })
}

fn done(operation: &Operation) -> Option<View<'_>> {
    let leaves = match operation.action {
        Action::Dispose { .. } => Stage::Gone,
        Action::Cancel { .. } => Stage::Ended,
        _ => return None,
    };
    Some(View {
        operation,
        shows: None,
        leaves,
    })
}

/// At each begin: nothing shown may be behind what ended before.
fn sweep(id: &str, views: Vec<View<'_>>) -> Vec<Breach> {
    let mut ends: Vec<(u64, Stage)> = views
        .iter()
        .map(|view| (view.operation.ended, view.leaves))
        .collect();
    ends.sort_unstable();
    let mut begins: Vec<&View<'_>> = views.iter().filter(|view| view.shows.is_some()).collect();
    begins.sort_by_key(|view| view.operation.invoked);
    let mut breaches = Vec::new();
    let mut reached = Stage::Denied;
    let mut next = 0;
    for view in begins {
        while let Some((ended, leaves)) = ends.get(next)
            && *ended < view.operation.invoked
        {
            reached = reached.max(*leaves);
            next += 1;
        }
        if let Some(shows) = view.shows
            && shows < reached
        {
            breaches.push(Breach {
                checker: "Monotone",
                detail: format!(
                    "{id} was {reached:?} and operation {} shows it {shows:?}",
                    view.operation.number
                ),
            });
        }
    }
    breaches
}
