//! What the demo sees of its tasks while they run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use indicatif::ProgressBar;
use ringhold_client::{PartitionNumber, Receipt, TaskId, Term};
use tokio::sync::Notify;

use crate::failure::Failure;
use crate::map::{LineNumber, LineOutcome, Observer};
use crate::output;

/// Shared between the run and the kill.
#[derive(Clone)]
pub(super) struct Tracker {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    bar: ProgressBar,
}

#[derive(Default)]
struct State {
    /// Acknowledged tasks by line, with the time of the acknowledgement and its term.
    acknowledged: BTreeMap<LineNumber, Acknowledged>,
    unfinished: BTreeSet<LineNumber>,
    finished: u64,
    outcomes: Vec<LineOutcome>,
}

/// An acknowledged task.
#[derive(Clone, Debug)]
pub(super) struct Acknowledged {
    /// The task.
    pub(super) id: TaskId,
    /// The term of its acknowledgement.
    pub(super) term: Term,
    /// When it came.
    pub(super) at: Instant,
}

impl Tracker {
    pub(super) fn new(bar: ProgressBar) -> Self {
        Self {
            state: Arc::default(),
            changed: Arc::default(),
            bar,
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }

    /// Tasks that ended.
    pub(super) fn finished(&self) -> u64 {
        self.state().finished
    }

    /// Tasks that are stored.
    pub(super) fn acknowledged(&self) -> u64 {
        u64::try_from(self.state().acknowledged.len()).unwrap_or(u64::MAX)
    }

    /// Waits until at least `finished` tasks ended.
    pub(super) async fn reaches(&self, finished: u64) {
        loop {
            let changed = self.changed.notified();
            if self.finished() >= finished {
                return;
            }
            changed.await;
        }
    }

    /// Acknowledged tasks that have not ended, by partition.
    pub(super) fn unfinished(&self) -> BTreeMap<PartitionNumber, u64> {
        let state = self.state();
        let mut counts = BTreeMap::new();
        for line in &state.unfinished {
            if let Some(task) = state.acknowledged.get(line) {
                *counts.entry(task.id.partition).or_default() += 1;
            }
        }
        counts
    }

    /// All acknowledged tasks by line.
    pub(super) fn tasks(&self) -> BTreeMap<LineNumber, Acknowledged> {
        self.state().acknowledged.clone()
    }

    /// The outcomes in the order of the lines, taken out.
    pub(super) fn take_outcomes(&self) -> Vec<LineOutcome> {
        std::mem::take(&mut self.state().outcomes)
    }
}

impl Observer for Tracker {
    fn acknowledged(&mut self, line: LineNumber, receipt: &Receipt, at: Instant) {
        let task = Acknowledged {
            id: receipt.id.clone(),
            term: receipt.term,
            at,
        };
        let mut state = self.state();
        state.acknowledged.insert(line, task);
        state.unfinished.insert(line);
    }

    async fn say(&mut self, text: &str) {
        self.bar.suspend(|| output::say(text));
    }

    fn ended(&mut self, outcome: &LineOutcome) {
        {
            let mut state = self.state();
            state.unfinished.remove(&outcome.line.number);
            state.finished += 1;
        }
        self.bar.inc(1);
        self.changed.notify_waiters();
    }

    async fn hand_on(&mut self, outcome: LineOutcome) -> Result<(), Failure> {
        self.state().outcomes.push(outcome);
        Ok(())
    }
}
