//! Why removed sequences are gone: the last `history` of them exactly, and the ranges lost with every copy.

use std::collections::{BTreeMap, VecDeque};

use ringhold_types::Sequence;
use ringhold_types::limits::LOST_RANGES_MAX;

use crate::Absence;

/// Sequences lost with every copy: from `first` up to and without `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LostRange {
    /// The first lost sequence.
    pub first: Sequence,
    /// The first sequence after the range: the first of the new generation.
    pub end: Sequence,
}

impl LostRange {
    /// Whether `sequence` was lost.
    #[must_use]
    pub fn contains(&self, sequence: Sequence) -> bool {
        (self.first..self.end).contains(&sequence)
    }
}

/// A sequence whose outcome was removed, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemovedSequence {
    /// The task.
    pub sequence: Sequence,
    /// [`Absence::Disposed`], [`Absence::Overwritten`] or [`Absence::Expired`].
    pub why: Absence,
}

/// The reasons that a ring remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Reason by sequence.
    reasons: BTreeMap<Sequence, Absence>,
    /// The same sequences in the order of their removal.
    order: VecDeque<Sequence>,
    /// Losses, oldest first; they do not overlap.
    lost: Vec<LostRange>,
}

impl Retention {
    /// Remembers a removal; beyond `most` the oldest ones are forgotten. A sequence is removed once: says whether it was
    /// not remembered yet.
    pub(crate) fn record(&mut self, removed: RemovedSequence, most: u64) -> bool {
        let is_new = self.reasons.insert(removed.sequence, removed.why).is_none();
        if is_new {
            self.order.push_back(removed.sequence);
        }
        self.trim(most);
        is_new
    }

    /// Forgets the oldest removals beyond `most`.
    pub(crate) fn trim(&mut self, most: u64) {
        while self.order.len() as u64 > most {
            if let Some(oldest) = self.order.pop_front() {
                self.reasons.remove(&oldest);
            }
        }
    }

    /// Remembers a loss; one that continues the last is merged with it, beyond [`LOST_RANGES_MAX`] the oldest goes.
    pub(crate) fn record_loss(&mut self, range: LostRange) {
        match self.lost.last_mut() {
            Some(last) if last.end == range.first => last.end = range.end,
            _ => self.lost.push(range),
        }
        if self.lost.len() > LOST_RANGES_MAX {
            self.lost.remove(0);
        }
    }

    /// Why a sequence below the ring's next one is not there.
    pub(crate) fn why(&self, sequence: Sequence) -> Absence {
        if let Some(why) = self.reasons.get(&sequence) {
            return *why;
        }
        let after = self.lost.partition_point(|range| range.end <= sequence);
        match self.lost.get(after) {
            Some(range) if range.contains(sequence) => Absence::DataLoss,
            _ => Absence::Gone,
        }
    }

    /// What is remembered, in the order of removal.
    pub(crate) fn removed(&self) -> impl ExactSizeIterator<Item = RemovedSequence> + '_ {
        self.order.iter().map(|sequence| RemovedSequence {
            sequence: *sequence,
            why: self.reasons.get(sequence).copied().unwrap_or(Absence::Gone),
        })
    }

    /// The losses remembered, oldest first.
    pub(crate) fn lost(&self) -> &[LostRange] {
        &self.lost
    }
}
