//! Dedupe: one id per idempotency key, and one task (DESIGN G6), until the key's window has ended.

use std::collections::BTreeMap;

use crate::check::{Breach, Expectation};
use crate::event::Action;
use crate::history::{Acknowledged, End, History};

/// How long a key outlives its task's removal, in nanoseconds of true time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyWindow(pub u64);

impl KeyWindow {
    /// Longer than any run.
    pub const WHOLE_RUN: Self = Self(u64::MAX);

    /// The least time that passes while a member's clock counts the window: rates within 10 % are trusted (DESIGN G13).
    const fn least(self) -> u64 {
        self.0 / 10 * 9
    }
}

/// Finds keys that were stored twice before the window since their task's removal had ended.
#[must_use]
pub fn check(history: &History, expectation: Expectation, window: KeyWindow) -> Vec<Breach> {
    let removals = removals(history);
    let mut holders: BTreeMap<&str, Acknowledged<'_>> = BTreeMap::new();
    let mut breaches = Vec::new();
    for submit in history.acknowledged() {
        let first = *holders.entry(submit.key).or_insert(submit);
        let lost = expectation.losses && generation(first.id) != generation(submit.id);
        let removed = removals.get(first.id);
        let free = removed.is_some_and(|at| {
            first.id != submit.id && submit.operation.ended >= at.saturating_add(window.least())
        });
        if free {
            holders.insert(submit.key, submit);
            continue;
        }
        if first.id != submit.id && !lost {
            breaches.push(Breach {
                checker: "Dedupe",
                detail: format!(
                    "{} is stored as {} and as {}",
                    submit.key, first.id, submit.id
                ),
            });
        }
        if first.payload != submit.payload && !lost {
            breaches.push(Breach {
                checker: "Dedupe",
                detail: format!("{} was acknowledged for two different tasks", submit.key),
            });
        }
    }
    breaches
}

/// When the first request began that may have removed each task.
fn removals(history: &History) -> BTreeMap<&str, u64> {
    let mut removals = BTreeMap::new();
    for operation in &history.operations {
        if let Action::Dispose { id } | Action::Take { id } = &operation.action
            && operation.end != End::Refused
        {
            let at = removals.entry(id.as_str()).or_insert(u64::MAX);
            *at = operation.invoked.min(*at);
        }
    }
    removals
}

/// The generation of an id: the upper 20 of the 64 bits of its sequence.
fn generation(id: &str) -> Option<u64> {
    let sequence = id.rsplit('/').next()?.parse::<u64>().ok()?;
    Some(sequence >> 44)
}
