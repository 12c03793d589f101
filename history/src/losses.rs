//! Recorded losses, and on which side of them an operation lies.
//!
//! A loss divides the life of a task that is older than it: what the task was may differ between the two sides, and on neither
//! of them. A task of the generation that begins with the loss, or of a later one, has nothing to do with it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::event::Loss;
use crate::history::Operation;

/// Recorded losses, by partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Time and new generation of each.
    recorded: BTreeMap<String, Vec<(u64, u64)>>,
}

impl Losses {
    /// A loss was recorded at a time.
    pub(crate) fn add(&mut self, at: u64, loss: &Loss) {
        let of_partition = self.recorded.entry(loss.partition.clone()).or_default();
        of_partition.push((at, loss.generation));
    }

    /// Times of the losses that began certain generations of a task's partition.
    pub(crate) fn of_generations(
        &self,
        id: &str,
        generations: RangeInclusive<u64>,
    ) -> impl Iterator<Item = u64> {
        let (partition, _) = id.rsplit_once('/').unwrap_or_default();
        let recorded = self.recorded.get(partition).into_iter().flatten();
        let began = recorded.filter(move |(_, began)| generations.contains(began));
        began.map(|(at, _)| *at)
    }

    /// Whether a task may be in a loss that was recorded before a time: in none before it was seen last. Each loss keeps or
    /// takes a task for good.
    pub(crate) fn may_have_taken(&self, id: &str, seen: Option<u64>, before: u64) -> bool {
        self.of(id)
            .any(|at| seen.is_none_or(|seen| seen < at) && at < before)
    }

    /// Times of the losses that a task has lived through.
    fn of(&self, id: &str) -> impl Iterator<Item = u64> {
        let own = generation(id).unwrap_or(u64::MAX);
        self.of_generations(id, own.saturating_add(1)..=u64::MAX)
            .filter(move |_| own < u64::MAX)
    }

    /// Between how many losses of a task and how many an operation on it took effect: one number, unless a loss was recorded
    /// while it was on its way.
    pub(crate) fn lived_through(&self, id: &str, operation: &Operation) -> RangeInclusive<usize> {
        let least = self.of(id).filter(|at| *at <= operation.invoked).count();
        let most = self.of(id).filter(|at| *at < operation.ended).count();
        least..=most.max(least)
    }
}

/// The generation of an id: the upper 20 of the 64 bits of its sequence.
pub(crate) fn generation(id: &str) -> Option<u64> {
    let sequence = id.rsplit('/').next()?.parse::<u64>().ok()?;
    Some(sequence >> 44)
}
