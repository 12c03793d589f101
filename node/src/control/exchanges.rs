//! Which voters need a heartbeat from here: one exchange tells both sides that the other lives, the request as much as its
//! answer, so of two voters only one has to ask (`ringhold-bench idle`: these exchanges are most of what rest costs).
//!
//! Pure. Nobody relies on an agreement about who asks: whoever is not asked any more asks by itself within a heartbeat.

use std::collections::BTreeMap;

use ringhold_types::limits::HEARTBEAT;
use ringhold_types::{MemberId, Millis, Tick};

/// How long another's last request stands for the next one: one heartbeat, and half of one for its way.
const FRESH: Millis = Millis(HEARTBEAT.0 + HEARTBEAT.0 / 2);

/// Who asked lately. Its size is bounded by the members that sent something within [`FRESH`].
#[derive(Debug)]
pub(crate) struct Exchanges {
    own: MemberId,
    asked: BTreeMap<MemberId, Tick>,
}

impl Exchanges {
    /// Nobody has asked yet.
    pub(crate) fn new(own: MemberId) -> Self {
        Self {
            own,
            asked: BTreeMap::new(),
        }
    }

    /// A heartbeat of `member` came as a request.
    pub(crate) fn asked_by(&mut self, member: MemberId, now: Tick) {
        self.asked.retain(|_, at| now.since(*at) <= FRESH);
        self.asked.insert(member, now);
    }

    /// Whether a voter needs a heartbeat from here. The leader always does, since its answer carries the lease; and so does
    /// everybody as long as no leader is known.
    pub(crate) fn is_due(&self, voter: MemberId, leader: Option<MemberId>, now: Tick) -> bool {
        let asks_here = leader == Some(self.own) || voter < self.own;
        let asks = self
            .asked
            .get(&voter)
            .is_some_and(|at| now.since(*at) <= FRESH);
        let is_settled = leader.is_some_and(|leader| leader != voter);
        !(is_settled && asks_here && asks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: MemberId = MemberId(1);
    const SECOND: MemberId = MemberId(2);
    const THIRD: MemberId = MemberId(3);

    fn at(millis: u64) -> Tick {
        Tick(1_000_000).after(Millis(millis))
    }

    /// Lets three voters beat for two seconds and counts the exchanges of each pair, by who asked whom.
    fn exchanges(leader_of: impl Fn(MemberId) -> Option<MemberId>) -> BTreeMap<(u64, u64), u32> {
        let mut all = [FIRST, SECOND, THIRD].map(|own| (own, Exchanges::new(own)));
        let mut counts = BTreeMap::new();
        for millis in (0..2000).step_by(100) {
            for sender in 0..all.len() {
                let (own, _) = all[sender];
                for receiver in 0..all.len() {
                    let (other, _) = all[receiver];
                    let due = all[sender].1.is_due(other, leader_of(own), at(millis));
                    if own != other && due {
                        all[receiver].1.asked_by(own, at(millis));
                        *counts.entry((own.0, other.0)).or_default() += 1;
                    }
                }
            }
        }
        counts
    }

    #[test]
    fn with_a_leader_that_all_know_one_of_each_two_asks_and_everybody_asks_the_leader() {
        for leader in [FIRST, SECOND, THIRD] {
            let counts = exchanges(|_| Some(leader));
            let steady: Vec<_> = counts.iter().filter(|(_, count)| **count > 2).collect();
            assert_eq!(steady.len(), 3, "{counts:?}");
            for other in [FIRST, SECOND, THIRD] {
                let asked = counts.get(&(other.0, leader.0)).copied();
                assert_eq!(asked, (other != leader).then_some(20));
            }
        }
    }

    #[test]
    fn each_two_exchange_every_heartbeat_whoever_takes_whom_for_the_leader() {
        let views = [None, Some(FIRST), Some(SECOND), Some(THIRD)];
        for (first, second, third) in
            (0..64).map(|n| (views[n / 16], views[n / 4 % 4], views[n % 4]))
        {
            let counts = exchanges(|own| match own {
                FIRST => first,
                SECOND => second,
                _ => third,
            });
            for pair in [(1, 2), (1, 3), (2, 3)] {
                let both_ways =
                    counts.get(&pair).unwrap_or(&0) + counts.get(&(pair.1, pair.0)).unwrap_or(&0);
                // Both may stay away for one heartbeat when each relies on the other's last request.
                assert!(
                    both_ways >= 10,
                    "{first:?} {second:?} {third:?}: {counts:?}"
                );
            }
        }
    }

    #[test]
    fn a_voter_that_asks_no_more_is_asked_within_two_heartbeats() {
        let mut exchanges = Exchanges::new(THIRD);
        exchanges.asked_by(FIRST, at(0));
        assert!(!exchanges.is_due(FIRST, Some(SECOND), at(100)));
        assert!(exchanges.is_due(FIRST, Some(SECOND), at(200)));
    }
}
