//! Whose turn it is on a member's slots: round-robin over the partitions of an executor that have something to start.

use std::collections::{BTreeMap, BTreeSet};

use ringhold_types::{ExecutorId, PartitionKey, PartitionNumber};

/// Partitions with something to start, per executor, and where the last turn ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pools {
    /// Nothing more is started: the member ends.
    closed: bool,
    pools: BTreeMap<ExecutorId, Pool>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Pool {
    ready: BTreeSet<PartitionNumber>,
    last: Option<PartitionNumber>,
}

impl Pools {
    /// The partition has something to start.
    pub(crate) fn offer(&mut self, partition: PartitionKey) {
        let pool = self.pools.entry(partition.executor).or_default();
        pool.ready.insert(partition.partition);
    }

    /// The partition has nothing to start any more.
    pub(crate) fn withdraw(&mut self, partition: PartitionKey) {
        if let Some(pool) = self.pools.get_mut(&partition.executor) {
            pool.ready.remove(&partition.partition);
        }
    }

    /// Nothing more is started here.
    pub(crate) const fn close(&mut self) {
        self.closed = true;
    }

    /// Executors with something to start.
    pub(crate) fn executors(&self) -> Vec<ExecutorId> {
        if self.closed {
            return Vec::new();
        }
        self.pools
            .iter()
            .filter(|(_, pool)| !pool.ready.is_empty())
            .map(|(executor, _)| *executor)
            .collect()
    }

    /// How many partitions of an executor have something to start.
    pub(crate) fn ready(&self, executor: ExecutorId) -> usize {
        self.pools.get(&executor).map_or(0, |pool| pool.ready.len())
    }

    /// The next partition in turn.
    pub(crate) fn next(&mut self, executor: ExecutorId) -> Option<PartitionKey> {
        if self.closed {
            return None;
        }
        let pool = self.pools.get_mut(&executor)?;
        let after = pool.last.and_then(|last| {
            let mut later = pool
                .ready
                .range(PartitionNumber(last.0.saturating_add(1))..);
            later.next().copied()
        });
        let next = after.or_else(|| pool.ready.first().copied())?;
        pool.last = Some(next);
        Some(PartitionKey {
            executor,
            partition: next,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: u32) -> PartitionKey {
        PartitionKey {
            executor: ExecutorId(1),
            partition: PartitionNumber(number),
        }
    }

    #[test]
    fn partitions_take_turns() {
        let mut pools = Pools::default();
        for number in [3, 1, 2] {
            pools.offer(partition(number));
        }
        let turns: Vec<u32> = (0..5)
            .filter_map(|_| pools.next(ExecutorId(1)))
            .map(|key| key.partition.0)
            .collect();
        assert_eq!(turns, [1, 2, 3, 1, 2]);
        pools.withdraw(partition(3));
        assert_eq!(pools.next(ExecutorId(1)), Some(partition(1)));
    }

    #[test]
    fn nothing_is_started_once_the_member_ends() {
        let mut pools = Pools::default();
        pools.offer(partition(1));
        pools.close();
        assert_eq!(pools.executors(), []);
        assert_eq!(pools.next(ExecutorId(1)), None);
    }
}
