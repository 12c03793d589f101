//! The routing table: which member leads which partition. A stale or absent table costs a detour, never a wrong answer,
//! since every member answers or forwards every request.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringhold_proto::convert::cluster_from_bytes;
use ringhold_proto::v1;
use ringhold_types::{
    ClusterId, MemberId, PartitionCount, PartitionNumber, Persistence, partition_of,
};
use tokio::sync::watch;

/// A member as clients reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingMember {
    /// Its identity.
    pub id: MemberId,
    /// Its name.
    pub name: String,
    /// Where clients reach it, `host:port`.
    pub client_address: String,
}

/// An executor as clients route to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingExecutor {
    /// How many partitions it has.
    pub partition_count: PartitionCount,
    /// Backups beside the primary.
    pub durability: u32,
    /// Where copies live.
    pub persistence: Persistence,
    /// For each partition the position of its primary among the members.
    primaries: Vec<Option<usize>>,
}

/// Which member leads which partition, as of one version of the cluster's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutingTable {
    /// Grows with every change.
    pub version: u64,
    /// The cluster's identity.
    pub cluster: ClusterId,
    /// The cluster's name.
    pub cluster_name: String,
    /// Members that hold partitions and can be reached.
    pub members: Vec<RoutingMember>,
    /// Executors by name.
    pub executors: BTreeMap<String, RoutingExecutor>,
}

impl RoutingTable {
    /// The primary of a partition, if there is one now.
    #[must_use]
    pub fn primary(&self, executor: &str, partition: PartitionNumber) -> Option<&RoutingMember> {
        let place = usize::try_from(partition.0).ok()?;
        let primary = self.executors.get(executor)?.primaries.get(place)?;
        self.members.get((*primary)?)
    }

    /// The partition of a key, if the executor exists.
    #[must_use]
    pub fn partition_of(&self, executor: &str, key: &[u8]) -> Option<PartitionNumber> {
        let executor = self.executors.get(executor)?;
        Some(partition_of(key, executor.partition_count))
    }

    /// The member of that identity, if it can be reached.
    #[must_use]
    pub fn member(&self, id: MemberId) -> Option<&RoutingMember> {
        self.members.iter().find(|member| member.id == id)
    }

    /// Partitions of an executor that a member leads.
    #[must_use]
    pub fn led_by(&self, executor: &str, id: MemberId) -> Vec<PartitionNumber> {
        let place = self.members.iter().position(|member| member.id == id);
        let Some(executor) = self.executors.get(executor).filter(|_| place.is_some()) else {
            return Vec::new();
        };
        let led = executor
            .primaries
            .iter()
            .zip(0..)
            .filter(|(primary, _)| **primary == place);
        led.map(|(_, number)| PartitionNumber(number)).collect()
    }

    /// Reads a table off the wire; what is malformed in it is left out, which costs a detour and nothing else.
    pub(crate) fn from_wire(table: v1::RoutingTable) -> Self {
        let members = table.members.into_iter().map(|member| RoutingMember {
            id: MemberId(member.id),
            name: member.name,
            client_address: member.client_address,
        });
        let executors = table.executors.into_iter().filter_map(|executor| {
            let name = executor.name.clone();
            Some((name, RoutingExecutor::from_wire(&executor)?))
        });
        Self {
            version: table.version,
            cluster: cluster_from_bytes(&table.cluster_id).unwrap_or_default(),
            cluster_name: table.cluster_name,
            members: members.collect(),
            executors: executors.collect(),
        }
    }
}

impl RoutingExecutor {
    fn from_wire(executor: &v1::RoutingExecutor) -> Option<Self> {
        let primaries = executor
            .primaries
            .iter()
            .map(|place| usize::try_from(*place).ok());
        Some(Self {
            partition_count: PartitionCount::new(executor.partition_count)?,
            durability: executor.durability,
            persistence: match executor.persistence() {
                v1::Persistence::Memory => Persistence::Memory,
                v1::Persistence::Fsync | v1::Persistence::Unspecified => Persistence::Fsync,
            },
            primaries: primaries.collect(),
        })
    }
}

/// The newest table that a client has seen, and whoever waits for a newer one.
#[derive(Debug)]
pub(crate) struct RoutingCache {
    table: watch::Sender<Arc<RoutingTable>>,
    expected: Option<ClusterId>,
}

impl RoutingCache {
    /// An empty cache for one cluster, or for the first that answers.
    pub(crate) fn new(expected: Option<ClusterId>) -> Self {
        Self {
            table: watch::Sender::new(Arc::default()),
            expected,
        }
    }

    /// The newest table; of version 0 and empty before the first.
    pub(crate) fn current(&self) -> Arc<RoutingTable> {
        self.table.borrow().clone()
    }

    /// Follows the changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<RoutingTable>> {
        self.table.subscribe()
    }

    /// The cluster that this client talks to: the one named by its builder, else the first that answered.
    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        let learnt = || Some(self.table.borrow().cluster).filter(|_| self.is_known());
        self.expected.or_else(learnt)
    }

    /// Whether there is a table at all.
    pub(crate) fn is_known(&self) -> bool {
        !self.table.borrow().members.is_empty()
    }

    /// Takes over a table if it is newer. A table of another cluster is refused.
    ///
    /// # Errors
    /// The identity of the other cluster.
    pub(crate) fn offer(&self, table: RoutingTable) -> Result<(), ClusterId> {
        if self
            .cluster()
            .is_some_and(|cluster| cluster != table.cluster)
        {
            return Err(table.cluster);
        }
        self.table.send_if_modified(|current| {
            let newer = table.version > current.version || current.members.is_empty();
            if newer {
                *current = Arc::new(table);
            }
            newer
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(version: u64, cluster: u128) -> RoutingTable {
        RoutingTable::from_wire(v1::RoutingTable {
            version,
            cluster_id: ringhold_proto::convert::cluster_bytes(ClusterId(cluster)),
            cluster_name: "c".into(),
            members: vec![member(7, "m1"), member(9, "m2")],
            executors: vec![v1::RoutingExecutor {
                name: "reports".into(),
                partition_count: 4,
                durability: 1,
                persistence: 2,
                primaries: vec![1, 0, -1, 5],
            }],
        })
    }

    fn member(id: u64, name: &str) -> v1::RoutingMember {
        v1::RoutingMember {
            id,
            name: name.into(),
            client_address: format!("{name}:7400"),
        }
    }

    #[test]
    fn a_primary_that_is_absent_or_out_of_range_is_no_primary() {
        let table = table(1, 1);
        let name = |partition| {
            let primary = table.primary("reports", PartitionNumber(partition));
            primary.map(|member| member.name.as_str())
        };
        assert_eq!(
            [name(0), name(1), name(2), name(3), name(4)],
            [Some("m2"), Some("m1"), None, None, None]
        );
        assert_eq!(table.primary("other", PartitionNumber(0)), None);
        assert_eq!(table.led_by("reports", MemberId(9)), [PartitionNumber(0)]);
        assert!(table.led_by("reports", MemberId(8)).is_empty());
    }

    #[test]
    fn an_older_table_never_replaces_a_newer_one() {
        let cache = RoutingCache::new(None);
        assert!(!cache.is_known());
        cache
            .offer(table(5, 1))
            .expect("the first cluster that answers");
        cache.offer(table(4, 1)).expect("the same cluster");
        assert_eq!(cache.current().version, 5);
        cache.offer(table(6, 1)).expect("the same cluster");
        assert_eq!(cache.current().version, 6);
    }

    #[test]
    fn a_table_of_another_cluster_is_refused() {
        let cache = RoutingCache::new(Some(ClusterId(3)));
        assert_eq!(cache.offer(table(1, 1)), Err(ClusterId(1)));
        let cache = RoutingCache::new(None);
        cache
            .offer(table(1, 1))
            .expect("the first cluster that answers");
        assert_eq!(cache.offer(table(9, 2)), Err(ClusterId(2)));
        assert_eq!(cache.cluster(), Some(ClusterId(1)));
    }
}
