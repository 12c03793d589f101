//! The bound of the bytes of all rings that a member holds (DESIGN G8), whatever each of them may hold.
//!
//! It refuses tasks, never their ends: an outcome may take its ring over the bound, by what it is longer than the room kept for
//! it in [`ENTRY_BYTES`], so by at most [`ringhold_types::limits::RESULT_BYTES_MAX`] and a failure's text for each task that
//! was stored below it. While the rings are over it every new task must make as much room as it takes.

use std::collections::{BTreeMap, BTreeSet};

use ringhold_types::limits::{ENTRY_BYTES, RING_BYTES_SPARE_PART};
use ringhold_types::{MemberId, PartitionKey, TaskSpec};

/// What a task takes of the bound from its accept on.
pub(crate) fn taken_by(task: &TaskSpec) -> u64 {
    ENTRY_BYTES + task.bytes() as u64
}

/// The bytes of a member's rings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RingBytes {
    most: u64,
    held: u64,
    /// What of it is each partition's, as of the end of the last turn that touched it, and accepts of this one.
    by_partition: BTreeMap<PartitionKey, u64>,
    /// Other members that said when they were last heard that they are full.
    full_members: BTreeSet<MemberId>,
    /// Partitions with submits that wait for room, and on which member.
    waiting: BTreeMap<PartitionKey, MemberId>,
    /// Whether there may be more room than when those began to wait.
    freed: bool,
}

impl RingBytes {
    pub(crate) const fn new(most: u64) -> Self {
        Self {
            most,
            held: 0,
            by_partition: BTreeMap::new(),
            full_members: BTreeSet::new(),
            waiting: BTreeMap::new(),
            freed: false,
        }
    }

    pub(crate) const fn most(&self) -> u64 {
        self.most
    }

    pub(crate) const fn held(&self) -> u64 {
        self.held
    }

    /// Whether this member, as a backup, wants no new tasks: a little before it may take none of its own.
    pub(crate) const fn is_nearly_full(&self) -> bool {
        self.held > self.most - self.most / RING_BYTES_SPARE_PART
    }

    /// How much room a task that takes `bytes` must make: what is over the bound, and at most what it takes itself.
    pub(crate) fn room_to_make(&self, bytes: u64) -> u64 {
        let over = self.held.saturating_add(bytes).saturating_sub(self.most);
        over.min(bytes)
    }

    /// A partition is not held here any more.
    pub(crate) fn drop_partition(&mut self, partition: PartitionKey) {
        self.set(partition, 0);
        self.wait_is_over(partition);
    }

    /// A partition appended an accept in this turn.
    pub(crate) fn add(&mut self, partition: PartitionKey, bytes: u64) {
        *self.by_partition.entry(partition).or_default() += bytes;
        self.held += bytes;
    }

    /// What a partition holds at the end of a turn.
    pub(crate) fn set(&mut self, partition: PartitionKey, bytes: u64) {
        let before = if bytes == 0 {
            self.by_partition.remove(&partition)
        } else {
            self.by_partition.insert(partition, bytes)
        };
        let before = before.unwrap_or(0);
        self.freed |= bytes < before;
        self.held = self.held - before + bytes;
    }

    /// Another member says whether it is full.
    pub(crate) fn heard(&mut self, member: MemberId, full: bool) {
        if full {
            self.full_members.insert(member);
        } else {
            self.freed |= self.full_members.remove(&member);
        }
    }

    pub(crate) fn is_full_at(&self, member: MemberId) -> bool {
        self.full_members.contains(&member)
    }

    /// Submits of a partition wait for room on a member.
    pub(crate) fn wait(&mut self, partition: PartitionKey, member: MemberId) {
        self.waiting.insert(partition, member);
    }

    /// The member on which a partition's submits wait for room.
    pub(crate) fn waited_for(&self, partition: PartitionKey) -> Option<MemberId> {
        self.waiting.get(&partition).copied()
    }

    /// Submits of a partition do not wait for a member any more: they found room, or lack it in their partition.
    pub(crate) fn wait_is_over(&mut self, partition: PartitionKey) {
        self.waiting.remove(&partition);
    }

    /// Partitions whose submits wait, once there may be room for them.
    pub(crate) fn take_freed(&mut self) -> Vec<PartitionKey> {
        if !std::mem::take(&mut self.freed) {
            return Vec::new();
        }
        self.waiting.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use ringhold_types::{ExecutorId, PartitionNumber};

    use super::*;

    #[test]
    fn whoever_waits_is_tried_again_whenever_room_is_made_and_knows_what_for_until_that_is_over() {
        let key = |number| PartitionKey {
            executor: ExecutorId(0),
            partition: PartitionNumber(number),
        };
        let (waiting, other, full) = (key(1), key(2), MemberId(3));
        let mut bytes = RingBytes::new(10_000);
        bytes.set(other, 500);
        bytes.wait(waiting, full);
        assert_eq!(bytes.take_freed(), []);
        for left in [400, 300] {
            bytes.set(other, left);
            assert_eq!(bytes.take_freed(), [waiting]);
            // It may be asked before it is tried.
            assert_eq!(bytes.waited_for(waiting), Some(full));
            // An empty ring is held like any other.
            bytes.set(waiting, 0);
        }
        bytes.drop_partition(waiting);
        bytes.set(other, 200);
        assert_eq!(bytes.take_freed(), []);
        assert_eq!(bytes.waited_for(waiting), None);
    }
}
