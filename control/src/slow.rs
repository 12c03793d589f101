//! A slow backup that lives, and that min-copies needs: it keeps its seat until a learner takes it (PROTOCOL §3). Its primary says
//! who is slow; who learns is the placement's to say.

use std::collections::BTreeMap;

use ringhold_types::{MemberId, PartitionKey, ReplicaId};

use crate::record::copies_of;
use crate::{Changes, Cluster, ExecutorRecord, PartitionRecord, Refused, Response};

impl Cluster {
    /// Names a learner for the seat of `slow`, and remembers that it is slow.
    pub(crate) fn replace_slow(
        &mut self,
        key: PartitionKey,
        proposer: ReplicaId,
        slow: ReplicaId,
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        let executor = self.executors.get(&key.executor).ok_or(Refused::Unknown)?;
        let partition = executor.partition(key.partition).ok_or(Refused::Unknown)?;
        let forbid = |rule: &'static str| Err(Refused::Forbidden { rule: rule.into() });
        if slow == proposer || !partition.in_sync.contains(&slow) {
            return forbid("a primary finds another replica with a seat slow");
        }
        let record = self.members.get(&slow.member).ok_or(Refused::Unknown)?;
        if !record.is_up() {
            return forbid("a replica whose member is down is replaced without being called slow");
        }
        if partition.learners.len() >= copies_of(&executor.config) {
            return forbid("a partition has at most as many learners as copies");
        }
        let start = record.start;
        let Some(member) = self.stand_in(key, executor, partition, slow) else {
            return forbid("no other member could hold a copy");
        };
        let stand_in = self.members.get(&member).ok_or(Refused::Unknown)?;
        let learner = stand_in.replica(executor.config.persistence);
        self.edit(key, changes, |partition| {
            partition.slow = Some((slow, start));
            partition.learners.push(learner);
        })
    }

    /// The member that a copy goes to instead of the slow one's: up, not draining, without a copy; rather one that the target
    /// names, rather in a zone where no other seat is, rather one that holds little.
    fn stand_in(
        &self,
        key: PartitionKey,
        executor: &ExecutorRecord,
        partition: &PartitionRecord,
        slow: ReplicaId,
    ) -> Option<MemberId> {
        let target = self.target(&executor.config, key.partition);
        let mut held: BTreeMap<MemberId, usize> = BTreeMap::new();
        for replica in executor
            .partitions
            .iter()
            .flat_map(PartitionRecord::replicas)
        {
            *held.entry(replica.member).or_default() += 1;
        }
        let zone_of = |member: MemberId| {
            self.members
                .get(&member)
                .and_then(|it| it.info.zone.as_ref())
        };
        let staying = partition.in_sync.iter().filter(|seat| **seat != slow);
        let zones: Vec<_> = staying.filter_map(|seat| zone_of(seat.member)).collect();
        let free = self.members.values().filter(|record| {
            let holds = partition.replicas().any(|it| it.member == record.info.id);
            record.is_up() && record.takes_seats() && !holds
        });
        free.map(|record| record.info.id).min_by_key(|member| {
            (
                !target.contains(member),
                zone_of(*member).is_some_and(|zone| zones.contains(&zone)),
                held.get(member).copied().unwrap_or(0),
                *member,
            )
        })
    }
}
