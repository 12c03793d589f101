//! The target placements that the cluster keeps, and when they change.

use std::collections::BTreeMap;

use ringhold_types::{ExecutorConfig, MemberId, PartitionCount, PartitionNumber};

use crate::placement::{Candidate, Placement, place};
use crate::{Cluster, MemberRecord};

/// Executors with the same key are placed alike, so that equal keys of theirs live on one member (PROTOCOL §1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LayoutKey {
    pub(crate) partitions: PartitionCount,
    pub(crate) copies: u32,
}

impl LayoutKey {
    pub(crate) fn of(config: &ExecutorConfig) -> Self {
        Self {
            partitions: config.partition_count,
            copies: config.copies(),
        }
    }
}

/// Two target placements. A member that is only down keeps its places in the first and has stand-ins in the second, so
/// that its return restores exactly what was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Over all members that take seats, up or down.
    pub(crate) settled: Placement,
    /// Derived from it, over those that are up: what is aimed at now.
    pub(crate) present: Placement,
}

impl Layout {
    pub(crate) fn target(&self, number: usize) -> &[MemberId] {
        self.present.get(number).map_or(&[], Vec::as_slice)
    }

    fn update(&mut self, key: LayoutKey, members: &BTreeMap<MemberId, MemberRecord>) {
        let registered = candidates(members, MemberRecord::takes_seats);
        if !registered.is_empty() {
            self.settled = place(&self.settled, key.partitions, key.copies, &registered);
        }
        self.update_present(key, members);
    }

    fn update_present(&mut self, key: LayoutKey, members: &BTreeMap<MemberId, MemberRecord>) {
        let present = candidates(members, |record| record.takes_seats() && record.is_up());
        self.present = place(&self.settled, key.partitions, key.copies, &present);
    }
}

fn candidates(
    members: &BTreeMap<MemberId, MemberRecord>,
    wanted: impl Fn(&MemberRecord) -> bool,
) -> Vec<Candidate<'_>> {
    let chosen = members.values().filter(|record| wanted(record));
    chosen
        .map(|record| Candidate {
            id: record.info.id,
            zone: record.info.zone.as_deref(),
        })
        .collect()
}

impl Cluster {
    /// Draws the consequences of changed members for all target placements.
    pub(crate) fn update_layouts(&mut self) {
        for (&key, layout) in &mut self.layouts {
            layout.update(key, &self.members);
        }
    }

    /// The same after members went down or came up, which changes nothing but who stands in for whom.
    pub(crate) fn update_stand_ins(&mut self) {
        for (&key, layout) in &mut self.layouts {
            layout.update_present(key, &self.members);
        }
    }

    /// Makes the target placement for a key. It starts from that of the nearest number of copies, so that executors of
    /// different durability agree on primaries as far as they can.
    pub(crate) fn ensure_layout(&mut self, key: LayoutKey) {
        if self.layouts.contains_key(&key) {
            return;
        }
        let alike = self
            .layouts
            .iter()
            .filter(|(other, _)| other.partitions == key.partitions);
        let nearest = alike.min_by_key(|(other, _)| other.copies.abs_diff(key.copies));
        let mut layout = nearest
            .map(|(_, layout)| layout.clone())
            .unwrap_or_default();
        layout.update(key, &self.members);
        self.layouts.insert(key, layout);
    }

    /// Forgets target placements that no executor uses.
    pub(crate) fn drop_unused_layouts(&mut self) {
        let executors = &self.executors;
        self.layouts.retain(|&key, _| {
            executors
                .values()
                .any(|executor| LayoutKey::of(&executor.config) == key)
        });
    }

    /// The members that should hold a partition now, the first as its primary.
    pub(crate) fn target(&self, config: &ExecutorConfig, number: PartitionNumber) -> &[MemberId] {
        let layout = self.layouts.get(&LayoutKey::of(config));
        let number = usize::try_from(number.0).unwrap_or(usize::MAX);
        layout.map_or(&[], |layout| layout.target(number))
    }
}
