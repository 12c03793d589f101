//! Who votes in Raft (PROTOCOL §6): the largest odd number ≤ min(5, members), spread over zones; a voter dead for
//! [`VOTER_REPLACE_AFTER`] gives its vote to a live learner, and a voter whose zone has more votes than it needs gives its
//! vote to one of another zone, one at a time. Pure.

use std::collections::BTreeSet;

use ringhold_types::limits::VOTER_REPLACE_AFTER;
use ringhold_types::{MemberId, Millis};

/// Most voters: two may die at once, and each vote is a disk flush on every change.
const VOTERS_MAX: usize = 5;

/// A member as the choice of voters sees it; forgotten members are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Who.
    pub(crate) member: MemberId,
    /// Members of one zone fail together.
    pub(crate) zone: Option<String>,
    /// How long it counts as down; `None` while it is up.
    pub(crate) down_for: Option<Millis>,
    /// Whether its log is close to the leader's, so that its vote helps at once.
    pub(crate) caught_up: bool,
    /// Votes and holds no tasks, so it is the better voter.
    pub(crate) witness: bool,
}

impl Candidate {
    fn is_replaceable(&self) -> bool {
        self.down_for
            .is_some_and(|down| down >= VOTER_REPLACE_AFTER)
    }
}

/// The voters that should be, if they differ from `current`. `leader` is the asking leader: it stays as long as it can.
pub(crate) fn next_voters(
    current: &BTreeSet<MemberId>,
    candidates: &[Candidate],
    leader: MemberId,
) -> Option<BTreeSet<MemberId>> {
    // A leader that has not recorded its own start yet counts as a member all the same.
    let unrecorded = usize::from(
        !candidates
            .iter()
            .any(|candidate| candidate.member == leader),
    );
    let target = voters_of(candidates.len() + unrecorded);
    let (voting, others): (Vec<&Candidate>, Vec<&Candidate>) = candidates
        .iter()
        .partition(|candidate| current.contains(&candidate.member));
    let (replaceable, kept): (Vec<&Candidate>, Vec<&Candidate>) = voting
        .into_iter()
        .filter(|candidate| candidate.member != leader)
        .partition(|candidate| candidate.is_replaceable());
    let ready: Vec<&Candidate> = others
        .into_iter()
        .filter(|candidate| {
            candidate.member != leader && candidate.down_for.is_none() && candidate.caught_up
        })
        .collect();

    let mut chosen = vec![leader];
    let mut zones: Vec<&str> = candidates
        .iter()
        .filter(|candidate| candidate.member == leader)
        .filter_map(|candidate| candidate.zone.as_deref())
        .collect();
    for group in [kept, ready, replaceable] {
        fill(&mut chosen, &mut zones, group, target);
    }
    chosen.truncate(largest_odd(chosen.len()));
    let chosen: BTreeSet<MemberId> = chosen.into_iter().collect();
    if chosen == *current {
        return better_spread(current, candidates, leader);
    }
    Some(chosen)
}

/// One voter changed for another, when everything else is as it should be and the votes are then spread better over the
/// zones. It ends: the crowding of the zones falls with each step.
fn better_spread(
    current: &BTreeSet<MemberId>,
    candidates: &[Candidate],
    leader: MemberId,
) -> Option<BTreeSet<MemberId>> {
    let (voting, others): (Vec<&Candidate>, Vec<&Candidate>) = candidates
        .iter()
        .partition(|candidate| current.contains(&candidate.member));
    let leaving = voting.iter().filter(|voter| voter.member != leader);
    let ready = others.iter().filter(|candidate| {
        candidate.member != leader && candidate.down_for.is_none() && candidate.caught_up
    });
    let swaps = leaving.flat_map(|leaving| ready.clone().map(move |joining| (leaving, joining)));
    let crowding_after = |leaving: &Candidate, joining: &Candidate| {
        let stay = voting.iter().filter(|voter| voter.member != leaving.member);
        crowding(stay.copied().chain([joining]))
    };
    let (after, leaving, joining) = swaps
        .map(|(leaving, joining)| (crowding_after(leaving, joining), leaving, joining))
        .min_by_key(|(after, leaving, joining)| {
            (*after, !joining.witness, joining.member, leaving.member)
        })?;
    if after >= crowding(voting.iter().copied()) {
        return None;
    }
    let mut next = current.clone();
    next.remove(&leaving.member);
    next.insert(joining.member);
    Some(next)
}

/// How many pairs of voters share a zone; those without one count as alone.
fn crowding<'a>(voters: impl Iterator<Item = &'a Candidate>) -> usize {
    let zones: Vec<&str> = voters.filter_map(|voter| voter.zone.as_deref()).collect();
    let pairs = zones.iter().enumerate();
    pairs
        .map(|(place, zone)| zones[..place].iter().filter(|other| *other == zone).count())
        .sum()
}

/// Takes members of `group` until `target` are chosen: those of zones not yet seen first, then witnesses, then by number.
fn fill<'a>(
    chosen: &mut Vec<MemberId>,
    zones: &mut Vec<&'a str>,
    mut group: Vec<&'a Candidate>,
    target: usize,
) {
    while chosen.len() < target && !group.is_empty() {
        let rank = |candidate: &Candidate| {
            let zone = candidate.zone.as_deref();
            let crowd = zones.iter().filter(|seen| Some(**seen) == zone).count();
            (crowd, !candidate.witness, candidate.member)
        };
        let best = (0..group.len())
            .min_by_key(|index| rank(group[*index]))
            .unwrap_or(0);
        let candidate = group.swap_remove(best);
        chosen.push(candidate.member);
        zones.extend(candidate.zone.as_deref());
    }
}

/// How many of so many members vote.
pub(crate) fn voters_of(members: usize) -> usize {
    largest_odd(VOTERS_MAX.min(members))
}

/// The largest odd number that is at most `count`; 1 for zero, since somebody has to vote.
fn largest_odd(count: usize) -> usize {
    if count == 0 {
        1
    } else {
        count - usize::from(count.is_multiple_of(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(member: u64) -> Candidate {
        Candidate {
            member: MemberId(member),
            zone: None,
            down_for: None,
            caught_up: true,
            witness: false,
        }
    }

    fn down(member: u64, millis: u64) -> Candidate {
        Candidate {
            down_for: Some(Millis(millis)),
            ..candidate(member)
        }
    }

    fn set(members: &[u64]) -> BTreeSet<MemberId> {
        members.iter().map(|member| MemberId(*member)).collect()
    }

    #[test]
    fn the_number_of_voters_is_the_largest_odd_one_up_to_five() {
        for (members, voters) in [(1, 1), (2, 1), (3, 3), (4, 3), (5, 5), (6, 5), (9, 5)] {
            let candidates: Vec<Candidate> = (1..=members).map(candidate).collect();
            let next = next_voters(&set(&[1]), &candidates, MemberId(1)).unwrap_or(set(&[1]));
            assert_eq!(next.len(), voters, "{members} members");
            assert!(next.contains(&MemberId(1)));
        }
    }

    #[test]
    fn the_number_of_voters_never_becomes_even_while_a_learner_catches_up() {
        let slow = Candidate {
            caught_up: false,
            ..candidate(3)
        };
        assert_eq!(
            next_voters(&set(&[1]), &[candidate(1), candidate(2), slow], MemberId(1)),
            None
        );
    }

    #[test]
    fn a_dead_voter_keeps_its_vote_for_thirty_seconds_and_without_a_replacement() {
        let voters = set(&[1, 2, 3]);
        let with_spare = |millis| vec![candidate(1), candidate(2), down(3, millis), candidate(4)];
        assert_eq!(next_voters(&voters, &with_spare(29_999), MemberId(1)), None);
        assert_eq!(
            next_voters(&voters, &with_spare(30_000), MemberId(1)),
            Some(set(&[1, 2, 4]))
        );
        let without = [candidate(1), candidate(2), down(3, 90_000)];
        assert_eq!(next_voters(&voters, &without, MemberId(1)), None);
    }

    #[test]
    fn a_forgotten_voter_loses_its_vote_and_the_leader_keeps_its_own() {
        let voters = set(&[1, 2, 3]);
        let left = [candidate(2), candidate(3)];
        assert_eq!(next_voters(&voters, &left, MemberId(3)), Some(set(&[3])));
    }

    fn zoned(member: u64, zone: &str) -> Candidate {
        Candidate {
            zone: Some(zone.to_owned()),
            ..candidate(member)
        }
    }

    #[test]
    fn voters_move_to_zones_that_join_later_one_at_a_time() {
        let mut members = vec![zoned(1, "a"), zoned(2, "a"), zoned(3, "a")];
        let first = set(&[1, 2, 3]);
        assert_eq!(next_voters(&first, &members, MemberId(1)), None);
        members.push(zoned(4, "b"));
        let second = next_voters(&first, &members, MemberId(1)).expect("a better spread");
        assert_eq!(second, set(&[1, 3, 4]));
        members.push(zoned(5, "c"));
        members.push(zoned(6, "c"));
        let five = next_voters(&second, &members, MemberId(1)).expect("more voters");
        assert_eq!(five, set(&[1, 3, 4, 5, 6]));
    }

    proptest::proptest! {
        #[test]
        fn the_spread_of_voters_comes_to_rest_one_change_at_a_time(
            zones in proptest::collection::vec(0..4_u8, 1..9),
            current in proptest::collection::btree_set(1..9_u64, 1..6),
            leader in 0..8_usize,
        ) {
            let name = |zone: u8| (zone > 0).then(|| format!("zone-{zone}"));
            let members: Vec<Candidate> = (1..)
                .zip(&zones)
                .map(|(member, zone)| Candidate { zone: name(*zone), ..candidate(member) })
                .collect();
            let leader = members[leader % members.len()].member;
            let known = current.into_iter().filter(|it| *it <= members.len() as u64);
            let mut voters: BTreeSet<MemberId> = known.map(MemberId).collect();
            voters.insert(leader);
            let spread = |voters: &BTreeSet<MemberId>| {
                crowding(members.iter().filter(|it| voters.contains(&it.member)))
            };
            let mut steps = 0;
            while let Some(next) = next_voters(&voters, &members, leader) {
                let same_size = next.len() == voters.len();
                if steps > 0 {
                    assert!(same_size, "the number is right after one step");
                    assert_eq!(next.difference(&voters).count(), 1);
                    assert!(spread(&next) < spread(&voters));
                }
                assert!(next.contains(&leader));
                voters = next;
                steps += 1;
                assert!(steps < 20, "it never comes to rest");
            }
        }
    }

    #[test]
    fn voters_are_spread_over_zones_and_a_witness_is_preferred() {
        let members = [
            zoned(1, "a"),
            zoned(2, "a"),
            zoned(3, "b"),
            zoned(4, "c"),
            zoned(5, "c"),
        ];
        let mut four = members[..4].to_vec();
        assert_eq!(
            next_voters(&set(&[1]), &four, MemberId(1)),
            Some(set(&[1, 3, 4]))
        );
        four.push(Candidate {
            witness: true,
            ..zoned(9, "b")
        });
        four.remove(1);
        assert_eq!(
            next_voters(&set(&[1]), &four, MemberId(1)),
            Some(set(&[1, 4, 9]))
        );
    }
}
