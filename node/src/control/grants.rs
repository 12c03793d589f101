//! Which leases for lone primaries this member granted as leader, and when none can be left (PROTOCOL §2). Pure.

use std::collections::BTreeMap;

use ringhold_types::limits::{LEASE, LEASE_DRIFT_PERCENT};
use ringhold_types::{MemberId, Millis, Tick};

use super::raft::ELECTION_MAX;

/// From the last grant until it has certainly run out.
const AFTER_GRANT: Millis = LEASE.plus_percent(LEASE_DRIFT_PERCENT);
/// From an election until every grant of earlier leaders has certainly run out. An earlier leader may have gone on granting
/// until its own quorum lease ended: after a hand-over of leadership that is later than the election.
const AFTER_ELECTION: Millis = Millis(ELECTION_MAX + LEASE.0).plus_percent(LEASE_DRIFT_PERCENT);

/// Leases granted and withheld.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    last: BTreeMap<MemberId, Tick>,
    /// Members that get no lease, with the number of reasons for it.
    withheld: BTreeMap<MemberId, u32>,
}

impl Grants {
    /// Grants a lease, unless it is withheld.
    pub(crate) fn grant(&mut self, member: MemberId, now: Tick) -> bool {
        if self.withheld.contains_key(&member) {
            return false;
        }
        self.last
            .retain(|_, granted| now.since(*granted) <= AFTER_GRANT);
        self.last.insert(member, now);
        true
    }

    /// From now on the member gets none; undone by [`Self::release`].
    pub(crate) fn withhold(&mut self, member: MemberId) {
        *self.withheld.entry(member).or_insert(0) += 1;
    }

    /// How many reasons there are to withhold leases, over all members.
    pub(crate) fn reasons(&self) -> usize {
        let reasons = self.withheld.values();
        reasons.fold(0, |all, of_one| all.saturating_add(*of_one as usize))
    }

    /// Undoes one [`Self::withhold`].
    pub(crate) fn release(&mut self, member: MemberId) {
        if let Some(reasons) = self.withheld.get_mut(&member) {
            *reasons -= 1;
            if *reasons == 0 {
                self.withheld.remove(&member);
            }
        }
    }

    /// When no lease of a withheld member can be left, for a leader elected at `elected`.
    pub(crate) fn over_at(&self, member: MemberId, elected: Tick) -> Tick {
        let of_earlier_leaders = elected.after(AFTER_ELECTION);
        let granted = self
            .last
            .get(&member)
            .map(|granted| granted.after(AFTER_GRANT));
        granted.map_or(of_earlier_leaders, |own| own.max(of_earlier_leaders))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBER: MemberId = MemberId(7);

    fn at(millis: u64) -> Tick {
        Tick(0).after(Millis(millis))
    }

    #[test]
    fn a_withheld_member_gets_no_lease_until_every_reason_is_gone() {
        let mut grants = Grants::default();
        grants.withhold(MEMBER);
        grants.withhold(MEMBER);
        assert!(!grants.grant(MEMBER, at(1)));
        grants.release(MEMBER);
        assert!(!grants.grant(MEMBER, at(2)));
        grants.release(MEMBER);
        assert!(grants.grant(MEMBER, at(3)));
    }

    #[test]
    fn no_lease_is_left_a_lease_with_its_drift_margin_after_the_last_grant() {
        let mut grants = Grants::default();
        assert!(grants.grant(MEMBER, at(10_000)));
        assert_eq!(grants.over_at(MEMBER, at(0)), at(10_660));
    }

    #[test]
    fn grants_of_earlier_leaders_are_waited_out_after_an_election() {
        let grants = Grants::default();
        assert_eq!(grants.over_at(MEMBER, at(5_000)), at(6_320));
    }
}
