//! The whole cluster state as plain data, for Raft's snapshots.

use std::collections::BTreeMap;

use ringhold_types::{
    ClusterId, ControlIndex, ExecutorId, ExecutorName, Generation, MemberId, PartitionCount,
};

use crate::layout::{Layout, LayoutKey};
use crate::{Cluster, ExecutorRecord, LossRecord, MemberRecord, invariant};

/// Everything that [`Cluster`] knows; [`Cluster::restore`] gives back an equal state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterSnapshot {
    /// The newest command in it.
    pub index: ControlIndex,
    /// The cluster's identity.
    pub id: Option<ClusterId>,
    /// The cluster's name.
    pub name: String,
    /// The feature level in force.
    pub feature_level: u32,
    /// Members by id.
    pub members: BTreeMap<MemberId, MemberRecord>,
    /// Executors by number.
    pub executors: BTreeMap<ExecutorId, ExecutorRecord>,
    /// The number of the next executor.
    pub next_executor: ExecutorId,
    /// First generation of an executor created again under the name of a deleted one.
    pub tombstones: BTreeMap<ExecutorName, Generation>,
    /// First generation of every other executor.
    pub tombstone_floor: Generation,
    /// Losses, oldest first.
    pub losses: Vec<LossRecord>,
    /// Target placements; they depend on history, so they are stored.
    pub layouts: Vec<LayoutSnapshot>,
}

/// One target placement, shared by the executors of one partition-count and number of copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutSnapshot {
    /// Partitions of such an executor.
    pub partitions: PartitionCount,
    /// Copies of each.
    pub copies: u32,
    /// Per partition: the members that should hold it, its primary first.
    pub seats: Vec<Vec<MemberId>>,
}

/// A snapshot that no cluster can have written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the snapshot contradicts itself: {contradiction}")]
pub struct RestoreError {
    /// What does not fit.
    pub contradiction: String,
}

impl Cluster {
    /// The whole state.
    #[must_use]
    pub fn snapshot(&self) -> ClusterSnapshot {
        let layouts = self.layouts.iter().map(|(key, layout)| LayoutSnapshot {
            partitions: key.partitions,
            copies: key.copies,
            seats: layout.settled.clone(),
        });
        ClusterSnapshot {
            index: self.index,
            id: self.id,
            name: self.name.clone(),
            feature_level: self.feature_level,
            members: self.members.clone(),
            executors: self.executors.clone(),
            next_executor: self.next_executor,
            tombstones: self.tombstones.clone(),
            tombstone_floor: self.tombstone_floor,
            losses: self.losses.clone(),
            layouts: layouts.collect(),
        }
    }

    /// The state that wrote the snapshot.
    ///
    /// # Errors
    /// [`RestoreError`] if the snapshot breaks an invariant of cluster state: it was damaged or made by something else.
    pub fn restore(snapshot: ClusterSnapshot) -> Result<Self, RestoreError> {
        let executors = snapshot.executors;
        let by_name = executors
            .iter()
            .map(|(&id, record)| (record.config.name.clone(), id));
        let layouts = snapshot.layouts.into_iter().map(|layout| {
            let key = LayoutKey {
                partitions: layout.partitions,
                copies: layout.copies,
            };
            let settled = Layout {
                settled: layout.seats,
                present: Vec::new(),
            };
            (key, settled)
        });
        let mut cluster = Self {
            index: snapshot.index,
            id: snapshot.id,
            name: snapshot.name,
            feature_level: snapshot.feature_level,
            members: snapshot.members,
            by_name: by_name.collect(),
            executors,
            next_executor: snapshot.next_executor,
            tombstones: snapshot.tombstones,
            tombstone_floor: snapshot.tombstone_floor,
            losses: snapshot.losses,
            layouts: layouts.collect(),
        };
        cluster.update_stand_ins();
        match invariant::check(&cluster) {
            Ok(()) => Ok(cluster),
            Err(contradiction) => Err(RestoreError { contradiction }),
        }
    }
}
