//! Properties of target placement.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use ringhold_control::placement::{Candidate, Placement, place};
use ringhold_types::{MemberId, PartitionCount};

type Zones = BTreeMap<u64, Option<String>>;

fn candidates(members: &Zones) -> Vec<Candidate<'_>> {
    let candidate = |(&id, zone)| Candidate {
        id: MemberId(id),
        zone: Option::as_deref(zone),
    };
    members.iter().map(candidate).collect()
}

fn placed(previous: &Placement, partitions: u32, copies: u32, members: &Zones) -> Placement {
    let count = PartitionCount::new(partitions).unwrap();
    place(previous, count, copies, &candidates(members))
}

/// Least and most, over members, of a count of seats.
fn spread(placement: &Placement, members: &Zones, primaries: bool) -> (usize, usize) {
    let mut counts: BTreeMap<MemberId, usize> =
        members.keys().map(|&id| (MemberId(id), 0)).collect();
    for seats in placement {
        for seat in seats.iter().take(if primaries { 1 } else { seats.len() }) {
            *counts.get_mut(seat).unwrap() += 1;
        }
    }
    (
        *counts.values().min().unwrap(),
        *counts.values().max().unwrap(),
    )
}

fn moved(before: &Placement, after: &Placement) -> usize {
    let pairs = before.iter().zip(after);
    pairs
        .map(|(old, new)| new.iter().filter(|seat| !old.contains(seat)).count())
        .sum()
}

fn no_zones(ids: &BTreeSet<u64>) -> Zones {
    ids.iter().map(|&id| (id, None)).collect()
}

fn check_shape(placement: &Placement, partitions: u32, copies: u32, members: &Zones) {
    assert_eq!(placement.len() as u64, u64::from(partitions));
    for seats in placement {
        let distinct: BTreeSet<_> = seats.iter().collect();
        assert_eq!(distinct.len(), seats.len());
        assert_eq!(seats.len(), members.len().min(copies as usize));
        assert!(seats.iter().all(|seat| members.contains_key(&seat.0)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn without_zones_seats_and_primaries_are_even_within_one(
        partitions in 1_u32..300,
        copies in 1_u32..5,
        groups in prop::collection::vec(prop::collection::btree_set(1_u64..12, 1..9), 1..6),
    ) {
        let mut placement = Placement::new();
        for ids in groups {
            let members = no_zones(&ids);
            placement = placed(&placement, partitions, copies, &members);
            check_shape(&placement, partitions, copies, &members);
            for primaries in [false, true] {
                let (least, most) = spread(&placement, &members, primaries);
                prop_assert!(most - least <= 1, "{least} to {most}, primaries: {primaries}");
            }
            prop_assert_eq!(&placement, &placed(&placement, partitions, copies, &members));
        }
    }

    #[test]
    fn seats_cover_as_many_zones_as_there_are(
        partitions in 1_u32..200,
        copies in 1_u32..4,
        groups in prop::collection::vec(
            prop::collection::btree_map(1_u64..10, prop::option::of("[abc]"), 1..8), 1..5),
    ) {
        let mut placement = Placement::new();
        for members in groups {
            placement = placed(&placement, partitions, copies, &members);
            check_shape(&placement, partitions, copies, &members);
            let zone = |id: u64| match &members[&id] {
                Some(name) => name.clone(),
                None => format!("member {id}"),
            };
            let zones: BTreeSet<_> = members.keys().map(|&id| zone(id)).collect();
            for seats in &placement {
                let covered: BTreeSet<_> = seats.iter().map(|seat| zone(seat.0)).collect();
                prop_assert_eq!(covered.len(), zones.len().min(seats.len()));
            }
            prop_assert_eq!(&placement, &placed(&placement, partitions, copies, &members));
        }
    }

    #[test]
    fn zones_of_equal_size_are_even_within_one(
        partitions in 1_u32..300,
        zones in 2_u64..4,
        per_zone in 1_u64..4,
        copies in 1_u32..4,
    ) {
        let copies = copies.min(u32::try_from(zones).unwrap());
        let members: Zones = (0..zones * per_zone).map(|id| (id, Some(format!("z{}", id % zones)))).collect();
        let placement = placed(&Placement::new(), partitions, copies, &members);
        for primaries in [false, true] {
            let (least, most) = spread(&placement, &members, primaries);
            prop_assert!(most - least <= 1, "{least} to {most}, primaries: {primaries}");
        }
    }

    #[test]
    fn a_joining_member_takes_its_share_and_nothing_else_moves(
        partitions in 1_u32..300,
        copies in 1_u32..4,
        members in 4_u64..9,
    ) {
        let before = no_zones(&(1..=members).collect());
        let old = placed(&Placement::new(), partitions, copies, &before);
        let after = no_zones(&(1..=members + 1).collect());
        let new = placed(&old, partitions, copies, &after);
        let joined = MemberId(members + 1);
        let taken = new.iter().filter(|seats| seats.contains(&joined)).count();
        prop_assert_eq!(moved(&old, &new), taken);
        let seats = partitions as usize * copies as usize;
        prop_assert!(taken <= seats.div_ceil(after.len()));
    }

    #[test]
    fn a_leaving_members_seats_are_all_that_moves(
        partitions in 1_u32..300,
        copies in 1_u32..4,
        members in 5_u64..9,
        leaver in 1_u64..5,
    ) {
        let before = no_zones(&(1..=members).collect());
        let old = placed(&Placement::new(), partitions, copies, &before);
        let mut after = before;
        after.remove(&leaver);
        let new = placed(&old, partitions, copies, &after);
        let left = old.iter().filter(|seats| seats.contains(&MemberId(leaver))).count();
        prop_assert!(moved(&old, &new) <= left + after.len(), "{} for {left}", moved(&old, &new));
    }
}

#[test]
fn the_backups_of_one_member_are_on_all_others() {
    let members = no_zones(&(1..=6).collect());
    let placement = placed(&Placement::new(), 271, 2, &members);
    let with_first = placement
        .iter()
        .filter(|seats| seats.contains(&MemberId(1)));
    let partners: BTreeSet<_> = with_first.flatten().collect();
    assert_eq!(partners.len(), 6);
}
