//! Dedupe: one id per idempotency key, and one task (DESIGN G6).

use std::collections::BTreeMap;

use crate::check::{Breach, Expectation};
use crate::history::{Acknowledged, History};

/// Finds keys that were stored twice.
#[must_use]
pub fn check(history: &History, expectation: Expectation) -> Vec<Breach> {
    let mut firsts: BTreeMap<&str, Acknowledged<'_>> = BTreeMap::new();
    let mut breaches = Vec::new();
    for submit in history.acknowledged() {
        let first = *firsts.entry(submit.key).or_insert(submit);
        let lost = expectation.losses && generation(first.id) != generation(submit.id);
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

/// The generation of an id: the upper 20 of the 64 bits of its sequence.
fn generation(id: &str) -> Option<u64> {
    let sequence = id.rsplit('/').next()?.parse::<u64>().ok()?;
    Some(sequence >> 44)
}
