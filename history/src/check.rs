//! All checkers, and what a run may expect.

use crate::dedupe::KeyWindow;
use crate::event::Event;
use crate::history::History;
use crate::{dedupe, fence, ledger, lost, monotone, stable, unique};

/// What a run may expect of its cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    /// Every copy of a partition died in this run, and the history does not say when ([`crate::Kind::Lost`]): ids may answer
    /// DATA_LOSS and a key may be stored anew in another generation, at any time.
    pub losses: bool,
    /// Every acknowledged id was read at the end: each must have shown its outcome, or why it is gone.
    pub audited: bool,
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The checker that found it.
    pub checker: &'static str,
    /// What was seen.
    pub detail: String,
}

impl std::fmt::Display for Breach {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.checker, self.detail)
    }
}

/// What the checkers found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Operations looked at.
    pub operations: usize,
    /// Acknowledged submits among them.
    pub acknowledged: usize,
    /// Runs of tasks.
    pub runs: usize,
    /// What must not be.
    pub breaches: Vec<Breach>,
}

impl Report {
    /// Whether nothing was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.breaches.is_empty()
    }
}

/// Runs all checkers over a history in which keys are never forgotten. Linear in its length but for sorting.
#[must_use]
pub fn check(events: &[Event], expectation: Expectation) -> Report {
    check_with_window(events, expectation, KeyWindow::WHOLE_RUN)
}

/// Runs all checkers over a history in which a key is free again a window after its task was removed.
#[must_use]
pub fn check_with_window(events: &[Event], expectation: Expectation, window: KeyWindow) -> Report {
    let history = History::of(events);
    let mut breaches = unique::check(&history);
    breaches.extend(dedupe::check(&history, expectation, window));
    breaches.extend(lost::check(&history, expectation));
    breaches.extend(monotone::check(&history));
    breaches.extend(stable::check(&history));
    breaches.extend(ledger::check(&history));
    breaches.extend(fence::check(&history));
    Report {
        operations: history.operations.len(),
        acknowledged: history.acknowledged().count(),
        runs: history.runs.len(),
        breaches,
    }
}
