//! When leases are asked for again.

use std::collections::BTreeSet;

use ringhold_types::{MemberId, Tick};

use crate::timing::Timing;

/// The round in which this member asks those that it shares partitions with for their leases. All of them are asked at once:
/// what an idle member costs is how often it wakes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Renewals {
    /// When they are asked again.
    due: Tick,
    /// When they were last asked.
    asked: Tick,
    /// Who has not answered since.
    unanswered: BTreeSet<MemberId>,
}

impl Renewals {
    pub(crate) const fn new(now: Tick) -> Self {
        Self {
            due: now,
            asked: now,
            unanswered: BTreeSet::new(),
        }
    }

    pub(crate) const fn due(&self) -> Tick {
        self.due
    }

    /// Something has changed that a member should hear of before its turn.
    pub(crate) const fn hasten(&mut self, now: Tick) {
        self.due = now;
    }

    /// These members are asked now. Until all of them have answered, the next time is as soon as a heartbeat may have been
    /// missed.
    pub(crate) fn asked(&mut self, now: Tick, members: &BTreeSet<MemberId>, timing: &Timing) {
        self.asked = now;
        self.unanswered.clone_from(members);
        self.due = now.after(timing.heartbeat);
    }

    /// A member granted what it was asked for at `sent`.
    pub(crate) fn answered(&mut self, member: MemberId, sent: Tick, timing: &Timing) {
        let was_last =
            sent == self.asked && self.unanswered.remove(&member) && self.unanswered.is_empty();
        if was_last && self.due == sent.after(timing.heartbeat) {
            self.due = sent.after(timing.renewal);
        }
    }
}
