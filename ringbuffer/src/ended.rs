//! Index of the outcomes in a ring by age: what may be evicted and what expires, without a walk over all entries.

use std::collections::BTreeSet;

use ringhold_types::{RingTime, Sequence};

/// Age of an outcome: ring time of the end, then sequence.
pub(crate) type Age = (RingTime, Sequence);

/// The outcomes in a ring, oldest first, those already retrieved apart from the unread ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) retrieved: Outcomes,
    pub(crate) unread: Outcomes,
}

/// One side of the index with the sum of its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcomes {
    ages: BTreeSet<Age>,
    bytes: u64,
}

impl Ended {
    /// The side that an outcome belongs to.
    pub(crate) const fn side(&mut self, retrieved: bool) -> &mut Outcomes {
        if retrieved {
            &mut self.retrieved
        } else {
            &mut self.unread
        }
    }

    /// Ring time of the oldest end.
    pub(crate) fn oldest(&self) -> Option<RingTime> {
        let sides = [&self.retrieved, &self.unread];
        sides
            .into_iter()
            .filter_map(|side| side.ages.first())
            .map(|age| age.0)
            .min()
    }

    /// At most `most` outcomes whose end `is_due` holds for, oldest first; it holds for all ends before one it holds for.
    pub(crate) fn until(&self, is_due: impl Fn(RingTime) -> bool, most: usize) -> Vec<Sequence> {
        let due = |side: &Outcomes| -> Vec<Age> {
            side.ages
                .iter()
                .take_while(|age| is_due(age.0))
                .take(most)
                .copied()
                .collect()
        };
        let mut ages = due(&self.retrieved);
        ages.extend(due(&self.unread));
        ages.sort_unstable();
        ages.truncate(most);
        ages.into_iter().map(|age| age.1).collect()
    }
}

impl Outcomes {
    pub(crate) fn insert(&mut self, age: Age, bytes: u64) {
        if self.ages.insert(age) {
            self.bytes += bytes;
        }
    }

    pub(crate) fn remove(&mut self, age: Age, bytes: u64) {
        if self.ages.remove(&age) {
            self.bytes -= bytes;
        }
    }

    /// Sequences, oldest outcome first.
    pub(crate) fn oldest_first(&self) -> impl Iterator<Item = Sequence> + '_ {
        self.ages.iter().map(|age| age.1)
    }

    pub(crate) fn count(&self) -> u64 {
        self.ages.len() as u64
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }
}
