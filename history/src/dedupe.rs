//! Dedupe: one id per idempotency key, and one task (DESIGN G6), until the key's window has ended
//! or a recorded loss took the task.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::check::{Breach, Expectation};
use crate::event::Action;
use crate::history::{Acknowledged, End, History};
use crate::losses::generation;
use crate::seen::{LastSeen, last_seen};

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

/// An id under which a key is stored.
struct Holder<'a> {
    first: Acknowledged<'a>,
    /// When the last submit that was told so began, or the last read that found the task with its key, if that is later.
    last_known: u64,
    /// When the first one that was told so ended.
    first_ended: u64,
}

impl<'a> Holder<'a> {
    fn of(submit: Acknowledged<'a>, seen: &BTreeMap<&str, LastSeen>) -> Self {
        let held = seen.get(submit.id).and_then(|last| last.held);
        Self {
            first: submit,
            last_known: submit.operation.invoked.max(held.unwrap_or_default()),
            first_ended: submit.operation.ended,
        }
    }
}

/// Finds keys that were stored twice before the window since their task's removal had ended, with no loss between.
#[must_use]
pub fn check(history: &History, expectation: Expectation, window: KeyWindow) -> Vec<Breach> {
    let removals = removals(history);
    let seen = last_seen(history);
    let mut holders: BTreeMap<&str, Vec<Holder<'_>>> = BTreeMap::new();
    let mut breaches = Vec::new();
    for submit in history.acknowledged() {
        let held = holders.entry(submit.key).or_default();
        held.retain(|holder| {
            let removed = removals.get(holder.first.id);
            let free = removed
                .is_some_and(|at| submit.operation.ended >= at.saturating_add(window.least()));
            holder.first.id == submit.id || !free
        });
        for holder in held.iter() {
            let first = holder.first;
            if first.id != submit.id {
                if is_lost(history, expectation, holder, &Holder::of(submit, &seen)) {
                    continue;
                }
                breaches.push(Breach {
                    checker: "Dedupe",
                    detail: format!(
                        "{} is stored as {} and as {}",
                        submit.key, first.id, submit.id
                    ),
                });
            }
            if first.payload != submit.payload {
                breaches.push(Breach {
                    checker: "Dedupe",
                    detail: format!("{} was acknowledged for two different tasks", submit.key),
                });
            }
        }
        match held.iter_mut().find(|it| it.first.id == submit.id) {
            Some(holder) => {
                // Operations are in order of their begin.
                holder.last_known = holder.last_known.max(submit.operation.invoked);
                holder.first_ended = holder.first_ended.min(submit.operation.ended);
            }
            None => held.push(Holder::of(submit, &seen)),
        }
    }
    breaches
}

/// Whether the older of two ids of a key may be in what was lost before the younger one was given: nobody was told the older
/// one by a submit that began after the loss, and nobody found its task with a read that did.
fn is_lost(
    history: &History,
    expectation: Expectation,
    holder: &Holder<'_>,
    known: &Holder<'_>,
) -> bool {
    let of = |id| generation(id).unwrap_or_default();
    let (held, given) = (of(holder.first.id), of(known.first.id));
    let (old, young) = match held.cmp(&given) {
        Ordering::Less => (holder, known),
        Ordering::Greater => (known, holder),
        Ordering::Equal => return false,
    };
    let generations = held.min(given) + 1..=held.max(given);
    let mut losses = history.losses.of_generations(old.first.id, generations);
    expectation.losses || losses.any(|at| old.last_known < at && at < young.first_ended)
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
