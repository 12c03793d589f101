//! Outcomes kept aside after a destructive read, so that a repeat of that read is answered again (PROTOCOL §4).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ringhold_types::limits::{DISPOSE_GRACE, DISPOSE_GRACE_BYTES_MAX, DISPOSE_GRACE_ENTRIES_MAX};
use ringhold_types::{AttemptNumber, Outcome, RequestId, RingTime, Sequence};

/// A disposed outcome that one request may still read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisposedOutcome {
    /// The task.
    pub sequence: Sequence,
    /// The destructive read that may be repeated.
    pub request: RequestId,
    /// Its answer.
    pub outcome: Arc<Outcome>,
    /// Attempts that the task took.
    pub attempts: AttemptNumber,
    /// Ring time of the dispose.
    pub disposed: RingTime,
}

impl DisposedOutcome {
    /// Ring time from which it may be forgotten.
    pub(crate) const fn forgettable(&self) -> RingTime {
        self.disposed.after(DISPOSE_GRACE)
    }

    /// Bytes that count towards [`DISPOSE_GRACE_BYTES_MAX`].
    pub(crate) fn bytes(&self) -> u64 {
        (self.request.as_bytes().len() + self.outcome.bytes()) as u64
    }
}

/// The outcomes kept aside, bounded by count and bytes; the oldest go first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grace {
    outcomes: BTreeMap<Sequence, DisposedOutcome>,
    order: VecDeque<Sequence>,
    bytes: u64,
}

impl Grace {
    /// Keeps an outcome aside. A sequence is disposed once: says whether it was not there yet.
    pub(crate) fn keep(&mut self, outcome: DisposedOutcome) -> bool {
        let sequence = outcome.sequence;
        self.bytes += outcome.bytes();
        let earlier = self.outcomes.insert(sequence, outcome);
        match &earlier {
            Some(earlier) => self.bytes -= earlier.bytes(),
            None => self.order.push_back(sequence),
        }
        while self.order.len() > DISPOSE_GRACE_ENTRIES_MAX || self.bytes > DISPOSE_GRACE_BYTES_MAX {
            self.forget_oldest();
        }
        earlier.is_none()
    }

    /// The answer to a repeated destructive read.
    pub(crate) fn find(&self, sequence: Sequence, request: &RequestId) -> Option<&DisposedOutcome> {
        self.outcomes
            .get(&sequence)
            .filter(|kept| kept.request == *request)
    }

    /// Forgets what has been kept for [`DISPOSE_GRACE`] at ring time `now`.
    pub(crate) fn forget_due(&mut self, now: RingTime) {
        while self.next_due().is_some_and(|due| due <= now) {
            self.forget_oldest();
        }
    }

    /// Ring time at which the oldest one may be forgotten.
    pub(crate) fn next_due(&self) -> Option<RingTime> {
        self.iter().next().map(DisposedOutcome::forgettable)
    }

    /// Ring time of the newest dispose that is kept.
    pub(crate) fn last_disposed(&self) -> Option<RingTime> {
        let last = self.order.back()?;
        self.outcomes.get(last).map(|kept| kept.disposed)
    }

    /// What is kept, in the order of disposal.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &DisposedOutcome> + '_ {
        self.order
            .iter()
            .filter_map(|sequence| self.outcomes.get(sequence))
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// Bytes of what is kept.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    fn forget_oldest(&mut self) {
        if let Some(gone) = self
            .order
            .pop_front()
            .and_then(|sequence| self.outcomes.remove(&sequence))
        {
            self.bytes -= gone.bytes();
        }
    }
}
