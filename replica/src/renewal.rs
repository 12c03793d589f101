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
    /// Whether this member's rings are nearly full.
    rings_full: bool,
    /// What the members that were last asked were told of that.
    told_full: bool,
}

impl Renewals {
    pub(crate) const fn new(now: Tick) -> Self {
        Self {
            due: now,
            asked: now,
            unanswered: BTreeSet::new(),
            rings_full: false,
            told_full: false,
        }
    }

    pub(crate) const fn due(&self) -> Tick {
        self.due
    }

    /// Something has changed that a member should hear of before its turn.
    pub(crate) const fn hasten(&mut self, now: Tick) {
        self.due = now;
    }

    /// Whether this member's rings are nearly full: what changes there is told a heartbeat after the last round at the latest.
    pub(crate) fn tell(&mut self, rings_full: bool, timing: &Timing) {
        if self.rings_full != rings_full {
            self.rings_full = rings_full;
            self.due = self.due.min(self.asked.after(timing.heartbeat));
        }
    }

    /// These members are asked now. Until all of them have answered, the next time is as soon as a heartbeat may have been
    /// missed.
    pub(crate) fn asked(&mut self, now: Tick, members: &BTreeSet<MemberId>, timing: &Timing) {
        self.asked = now;
        self.told_full = self.rings_full;
        self.unanswered.clone_from(members);
        self.due = now.after(timing.heartbeat);
    }

    /// A member granted what it was asked for at `sent`.
    pub(crate) fn answered(&mut self, member: MemberId, sent: Tick, timing: &Timing) {
        let was_last =
            sent == self.asked && self.unanswered.remove(&member) && self.unanswered.is_empty();
        let has_news = self.told_full != self.rings_full;
        if was_last && !has_news && self.due == sent.after(timing.heartbeat) {
            self.due = sent.after(timing.renewal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_full_rings_are_told_a_heartbeat_after_the_last_round() {
        let timing = Timing::default();
        let mut renewals = Renewals::new(Tick(0));
        let peer = MemberId(2);
        renewals.asked(Tick(0), &BTreeSet::from([peer]), &timing);
        renewals.answered(peer, Tick(0), &timing);
        renewals.tell(false, &timing);
        assert_eq!(renewals.due(), Tick(0).after(timing.renewal));
        renewals.tell(true, &timing);
        assert_eq!(renewals.due(), Tick(0).after(timing.heartbeat));
    }

    #[test]
    fn rings_that_become_nearly_full_between_a_round_and_its_answers_are_told_as_soon() {
        let timing = Timing::default();
        let mut renewals = Renewals::new(Tick(0));
        let peer = MemberId(2);
        renewals.asked(Tick(0), &BTreeSet::from([peer]), &timing);
        renewals.tell(true, &timing);
        renewals.answered(peer, Tick(0), &timing);
        assert_eq!(renewals.due(), Tick(0).after(timing.heartbeat));
        let next = renewals.due();
        renewals.asked(next, &BTreeSet::from([peer]), &timing);
        renewals.tell(true, &timing);
        renewals.answered(peer, next, &timing);
        assert_eq!(renewals.due(), next.after(timing.renewal));
    }
}
