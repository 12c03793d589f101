//! Target placement: which members should hold which partition. Pure; depends on partition numbers, members and the
//! placement before, on nothing else, so executors of equal partition-count and durability are placed alike.
//!
//! The aims, strongest first: a partition's seats cover as many zones as they can, so that each primary has a backup in
//! another zone where there is one; members hold equally many seats, then lead equally many partitions, within one
//! wherever zones allow it; as few seats as possible move. The levelling is that of optimal semi-matchings (Harvey,
//! Ladner, Lovász, Tamir 2006): shift load along a path of single moves from a full member to an emptier one.

use std::collections::{BTreeMap, VecDeque};

use ringhold_types::{MemberId, PartitionCount};

/// The members that should hold each partition, by partition number; the first of each should lead.
pub type Placement = Vec<Vec<MemberId>>;

/// A member that can be given seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// The member.
    pub id: MemberId,
    /// Its zone; a member without one fails alone.
    pub zone: Option<&'a str>,
}

/// Moves kept per pair of members in one round of levelling; more are found in the next round.
const MOVES_PER_PAIR_MAX: usize = 1024;
/// Rounds of levelling beside a few per member. Levelling that needs more is finished by the next change of members.
const ROUNDS_BASE: usize = 32;

/// Places `copies` replicas of each partition on `members`, changing `previous` as little as possible. With fewer
/// members than copies every partition is placed on all of them. An empty `previous` places from nothing.
#[must_use]
pub fn place(
    previous: &[Vec<MemberId>],
    partitions: PartitionCount,
    copies: u32,
    members: &[Candidate<'_>],
) -> Placement {
    let mut board = Board::new(previous, partitions, copies, members);
    board.fill();
    board.widen_zones();
    board.level_seats();
    board.level(Load::Seats);
    board.level_primaries();
    board.level(Load::Primaries);
    board.into_placement()
}

/// What is levelled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    /// Places in any role.
    Seats,
    /// First places.
    Primaries,
}

/// Members as indices, for speed; the order is that of member ids.
struct Board {
    members: Vec<MemberId>,
    /// Zone of each member.
    zones: Vec<usize>,
    zone_count: usize,
    /// Seats that each partition should have.
    copies: usize,
    /// Members of each partition.
    partitions: Vec<Vec<usize>>,
    /// Seats of each member.
    seats: Vec<usize>,
}

impl Board {
    fn new(
        previous: &[Vec<MemberId>],
        partitions: PartitionCount,
        copies: u32,
        members: &[Candidate<'_>],
    ) -> Self {
        let by_id: BTreeMap<MemberId, Option<&str>> = members
            .iter()
            .map(|member| (member.id, member.zone))
            .collect();
        let members: Vec<MemberId> = by_id.keys().copied().collect();
        let mut zone_count = 0;
        let mut named: BTreeMap<&str, usize> = BTreeMap::new();
        let mut fresh = || {
            zone_count += 1;
            zone_count - 1
        };
        let zones = by_id
            .values()
            .map(|zone| match zone {
                Some(name) => *named.entry(name).or_insert_with(&mut fresh),
                None => fresh(),
            })
            .collect();
        let copies = usize::try_from(copies)
            .unwrap_or(usize::MAX)
            .min(members.len());
        let mut board = Self {
            seats: vec![0; members.len()],
            zones,
            zone_count,
            copies,
            partitions: Vec::new(),
            members,
        };
        let count = usize::try_from(partitions.get()).unwrap_or(usize::MAX);
        board.partitions.reserve(count);
        for number in 0..count {
            board.keep(previous.get(number).map_or(&[], Vec::as_slice));
        }
        board
    }

    /// Takes over the seats of one partition whose members are still there.
    fn keep(&mut self, previous: &[MemberId]) {
        let mut kept = Vec::with_capacity(self.copies);
        for id in previous {
            if let Ok(member) = self.members.binary_search(id)
                && kept.len() < self.copies
                && !kept.contains(&member)
            {
                kept.push(member);
                self.seats[member] += 1;
            }
        }
        self.partitions.push(kept);
    }

    /// Fills empty seats, new zones first, then the emptiest member.
    fn fill(&mut self) {
        for number in 0..self.partitions.len() {
            while self.partitions[number].len() < self.copies {
                let held = &self.partitions[number];
                let Some(member) = (0..self.members.len())
                    .filter(|member| !held.contains(member))
                    .min_by_key(|&member| {
                        let zone_taken = self.covers(held, self.zones[member]);
                        (zone_taken, self.seats[member], self.scatter(number, member))
                    })
                else {
                    break;
                };
                self.partitions[number].push(member);
                self.seats[member] += 1;
            }
        }
    }

    /// Replaces seats that share a zone where another zone is free, as after a zone has joined.
    fn widen_zones(&mut self) {
        let reachable = self.zone_count.min(self.copies);
        for number in 0..self.partitions.len() {
            while self.zones_covered(number) < reachable {
                let held = &self.partitions[number];
                let doubled = (0..held.len()).rev().find(|&slot| {
                    let zone = self.zones[held[slot]];
                    held.iter()
                        .filter(|&&other| self.zones[other] == zone)
                        .count()
                        > 1
                });
                let receiver = (0..self.members.len())
                    .filter(|&member| !self.covers(held, self.zones[member]))
                    .min_by_key(|&member| (self.seats[member], self.scatter(number, member)));
                let (Some(slot), Some(receiver)) = (doubled, receiver) else {
                    break;
                };
                self.give(number, slot, receiver);
            }
        }
    }

    /// Moves seats straight from members above their share to members below it: the fewest moves there can be.
    fn level_seats(&mut self) {
        let share = shares(&self.seats);
        loop {
            let mut moved = false;
            for number in 0..self.partitions.len() {
                for slot in (0..self.partitions[number].len()).rev() {
                    let from = self.partitions[number][slot];
                    if self.seats[from] <= share[from] {
                        continue;
                    }
                    let receiver = (0..self.members.len())
                        .filter(|&to| self.seats[to] < share[to] && self.may_give(number, slot, to))
                        .min_by_key(|&to| self.scatter(number, to));
                    if let Some(receiver) = receiver {
                        self.give(number, slot, receiver);
                        moved = true;
                    }
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// Lets members above their share of primaries hand one straight to a backup below its share.
    fn level_primaries(&mut self) {
        let mut load = self.load(Load::Primaries);
        let share = shares(&load);
        for held in &mut self.partitions {
            let Some(&first) = held.first() else {
                continue;
            };
            if load[first] > share[first]
                && let Some(slot) = held.iter().position(|&member| load[member] < share[member])
            {
                held.swap(0, slot);
                load[first] -= 1;
                load[held[0]] += 1;
            }
        }
    }

    /// Shifts load along paths of single moves until no path from a member to one with two less is left.
    fn level(&mut self, kind: Load) {
        for _ in 0..ROUNDS_BASE + 4 * self.members.len() {
            let load = self.load(kind);
            let (Some(most), Some(least)) = (load.iter().max(), load.iter().min()) else {
                return;
            };
            if most - least <= 1 {
                return;
            }
            let moves = self.moves(kind);
            let Some(path) = widest_path(&load, &moves) else {
                return;
            };
            if !self.shift(kind, &load, &moves, &path) {
                return;
            }
        }
    }

    fn load(&self, kind: Load) -> Vec<usize> {
        match kind {
            Load::Seats => self.seats.clone(),
            Load::Primaries => {
                let mut led = vec![0; self.members.len()];
                for held in &self.partitions {
                    if let Some(&first) = held.first() {
                        led[first] += 1;
                    }
                }
                led
            }
        }
    }

    /// Partitions in which one member could hand its load to another, for each pair.
    fn moves(&self, kind: Load) -> Vec<Vec<Vec<usize>>> {
        let count = self.members.len();
        let mut moves = vec![vec![Vec::new(); count]; count];
        let mut note = |from: usize, to: usize, number: usize| {
            let pair: &mut Vec<usize> = &mut moves[from][to];
            if pair.len() < MOVES_PER_PAIR_MAX {
                pair.push(number);
            }
        };
        for (number, held) in self.partitions.iter().enumerate() {
            match kind {
                Load::Primaries => {
                    if let Some((&first, others)) = held.split_first() {
                        others.iter().for_each(|&to| note(first, to, number));
                    }
                }
                Load::Seats => {
                    for (slot, &from) in held.iter().enumerate() {
                        (0..count)
                            .filter(|&to| self.may_give(number, slot, to))
                            .for_each(|to| note(from, to, number));
                    }
                }
            }
        }
        moves
    }

    /// Moves load along a path, last step first; answers whether anything moved.
    fn shift(
        &mut self,
        kind: Load,
        load: &[usize],
        moves: &[Vec<Vec<usize>>],
        path: &[usize],
    ) -> bool {
        let (Some(&first), Some(&last)) = (path.first(), path.last()) else {
            return false;
        };
        let total: usize = load.iter().sum();
        let mean = total.checked_div(load.len()).unwrap_or(0);
        let half = (load[first] - load[last]) / 2;
        // Stop at the mean where both ends lie beyond it: what went further would have to come back.
        let straight = load[first]
            .saturating_sub(mean + 1)
            .min(mean.saturating_sub(load[last]));
        let mut wanted = if straight == 0 {
            half
        } else {
            half.min(straight)
        };
        let mut moved = false;
        for step in path.windows(2).rev() {
            let mut done = 0;
            for &number in &moves[step[0]][step[1]] {
                if done == wanted {
                    break;
                }
                done += usize::from(self.move_one(kind, number, step[0], step[1]));
            }
            moved |= done > 0;
            wanted = done;
        }
        moved
    }

    /// One move, if it is still possible after the ones before it.
    fn move_one(&mut self, kind: Load, number: usize, from: usize, to: usize) -> bool {
        let held = &mut self.partitions[number];
        let Some(slot) = held.iter().position(|&member| member == from) else {
            return false;
        };
        match kind {
            Load::Primaries => match held.iter().position(|&member| member == to) {
                Some(other) if slot == 0 => {
                    held.swap(0, other);
                    true
                }
                _ => false,
            },
            Load::Seats => {
                let may = self.may_give(number, slot, to);
                if may {
                    self.give(number, slot, to);
                }
                may
            }
        }
    }

    /// Whether a seat can go to a member that has none there, without the partition covering fewer zones.
    fn may_give(&self, number: usize, slot: usize, to: usize) -> bool {
        let held = &self.partitions[number];
        if held.contains(&to) {
            return false;
        }
        let zone_of_from = self.zones[held[slot]];
        let covered_by_others = |zone: usize| {
            let mut others = held.iter().enumerate().filter(|&(other, _)| other != slot);
            others.any(|(_, &member)| self.zones[member] == zone)
        };
        covered_by_others(zone_of_from) || !covered_by_others(self.zones[to])
    }

    fn give(&mut self, number: usize, slot: usize, to: usize) {
        let from = std::mem::replace(&mut self.partitions[number][slot], to);
        self.seats[from] -= 1;
        self.seats[to] += 1;
    }

    fn covers(&self, held: &[usize], zone: usize) -> bool {
        held.iter().any(|&member| self.zones[member] == zone)
    }

    fn zones_covered(&self, number: usize) -> usize {
        let held = &self.partitions[number];
        let first_of_zone = |slot: usize| !self.covers(&held[..slot], self.zones[held[slot]]);
        (0..held.len()).filter(|&slot| first_of_zone(slot)).count()
    }

    /// A fixed random-looking order of members for each partition, so that the partitions of one member have their
    /// backups on all others and not on one neighbour (SplitMix64's finaliser, Steele, Lea and Flood 2014).
    fn scatter(&self, number: usize, member: usize) -> u64 {
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        let mut mixed = self.members[member].0 ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn into_placement(self) -> Placement {
        let name = |held: &Vec<usize>| held.iter().map(|&member| self.members[member]).collect();
        self.partitions.iter().map(name).collect()
    }
}

/// Each member's even share of a load; the odd ones go to those that have most already.
fn shares(load: &[usize]) -> Vec<usize> {
    let count = load.len();
    let total: usize = load.iter().sum();
    let mut by_load: Vec<usize> = (0..count).collect();
    by_load.sort_by_key(|&member| (std::cmp::Reverse(load[member]), member));
    let mut shares = vec![total.checked_div(count).unwrap_or(0); count];
    let odd = total.checked_rem(count).unwrap_or(0);
    for &member in by_load.iter().take(odd) {
        shares[member] += 1;
    }
    shares
}

/// A shortest path of moves from a most loaded member to the least loaded one that it reaches, if that has at least two
/// less.
fn widest_path(load: &[usize], moves: &[Vec<Vec<usize>>]) -> Option<Vec<usize>> {
    let mut by_load: Vec<usize> = (0..load.len()).collect();
    by_load.sort_by_key(|&member| (std::cmp::Reverse(load[member]), member));
    by_load.into_iter().find_map(|from| {
        let parents = reach(from, moves);
        let (to, _) = parents
            .iter()
            .enumerate()
            .filter(|&(to, parent)| parent.is_some() && load[to] + 2 <= load[from])
            .min_by_key(|&(to, _)| (load[to], to))?;
        let mut path = vec![to];
        while let Some(&last) = path.last()
            && last != from
        {
            path.push(parents[last]?);
        }
        path.reverse();
        Some(path)
    })
}

/// For each member that can be reached from `from` by moves: the one before it on a shortest path.
fn reach(from: usize, moves: &[Vec<Vec<usize>>]) -> Vec<Option<usize>> {
    let mut parents = vec![None; moves.len()];
    parents[from] = Some(from);
    let mut open = VecDeque::from([from]);
    while let Some(member) = open.pop_front() {
        for (to, partitions) in moves[member].iter().enumerate() {
            if parents[to].is_none() && !partitions.is_empty() {
                parents[to] = Some(member);
                open.push_back(to);
            }
        }
    }
    parents
}
