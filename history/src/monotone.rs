//! Monotone: reads never go back, for nobody: pending, outcome, gone (DESIGN G12).
//!
//! A task is a register that is written once and then removed, so this sweep over time decides linearizability of its reads
//! without any search. A recorded loss may take back what lies before it, and nothing else: an outcome with the task kept, a
//! dispose with the outcome kept. It never makes a task one that nobody ever stored.

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
        .flat_map(|(id, views)| sweep(history, id, &views))
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

/// How far a task was seen to be, by the number of losses that it had lived through at least.
#[derive(Default)]
struct Reached(BTreeMap<usize, Stage>);

impl Reached {
    fn raise(&mut self, lived: usize, leaves: Stage) {
        let stage = self.0.entry(lived).or_insert(leaves);
        *stage = leaves.max(*stage);
    }

    /// What a view must show that had lived through so many losses at most.
    fn bound(&self, lived: usize) -> Stage {
        let bound = self.0.range(lived..).map(|(_, stage)| *stage).max();
        bound.unwrap_or(Stage::Denied)
    }
}

/// At each begin: nothing shown may be behind what ended before, unless a loss may lie between.
fn sweep(history: &History, id: &str, views: &[View<'_>]) -> Vec<Breach> {
    let lived = |view: &View<'_>| history.losses.lived_through(id, view.operation);
    let mut ends: Vec<(u64, usize, Stage)> = views
        .iter()
        .map(|view| (view.operation.ended, *lived(view).start(), view.leaves))
        .collect();
    ends.sort_unstable();
    let mut begins: Vec<&View<'_>> = views.iter().filter(|view| view.shows.is_some()).collect();
    begins.sort_by_key(|view| view.operation.invoked);
    let mut breaches = Vec::new();
    let mut reached = Reached::default();
    let mut next = 0;
    for view in begins {
        while let Some((ended, lived, leaves)) = ends.get(next)
            && *ended < view.operation.invoked
        {
            reached.raise(*lived, *leaves);
            next += 1;
        }
        let Some(shows) = view.shows else {
            continue;
        };
        let denied = shows == Stage::Denied;
        let bound = reached.bound(if denied { 0 } else { *lived(view).end() });
        if shows < bound {
            breaches.push(Breach {
                checker: "Monotone",
                detail: format!(
                    "{id} was {bound:?} and operation {} shows it {shows:?}",
                    view.operation.number
                ),
            });
        }
    }
    breaches
}
