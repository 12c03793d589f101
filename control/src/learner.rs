//! The leader's bounded steps on one partition: learners, and a primary where there is none.

use ringhold_types::{ConfigurationVersion, MemberId, PartitionKey, ReplicaId};

use crate::{Changes, Cluster, ExecutorRecord, PartitionRecord, Refused, Response};

impl Cluster {
    pub(crate) fn add_learner(
        &mut self,
        key: PartitionKey,
        expected: ConfigurationVersion,
        member: MemberId,
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        let (executor, partition) = self.at_version(key, expected)?;
        let record = self.members.get(&member).ok_or(Refused::Unknown)?;
        let forbid = |rule: &'static str| Err(Refused::Forbidden { rule: rule.into() });
        if !partition.materialised || partition.in_sync.is_empty() {
            return forbid("a partition that holds nothing has nothing to learn");
        }
        if !record.is_up() || !record.takes_seats() {
            return forbid("a learner's member is up, holds data and does not drain");
        }
        if partition.replicas().any(|replica| replica.member == member) {
            return forbid("a member holds a partition once");
        }
        if partition.learners.len() >= usize::try_from(executor.config.copies()).unwrap_or(0) {
            return forbid("a partition has at most as many learners as copies");
        }
        let learner = record.replica(executor.config.persistence);
        self.edit(key, changes, |partition| partition.learners.push(learner))
    }

    pub(crate) fn remove_learner(
        &mut self,
        key: PartitionKey,
        expected: ConfigurationVersion,
        member: MemberId,
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        let (_, partition) = self.at_version(key, expected)?;
        if !partition
            .learners
            .iter()
            .any(|learner| learner.member == member)
        {
            return Err(Refused::Unknown);
        }
        self.edit(key, changes, |partition| {
            partition
                .learners
                .retain(|learner| learner.member != member);
        })
    }

    pub(crate) fn nominate(
        &mut self,
        key: PartitionKey,
        expected: ConfigurationVersion,
        member: MemberId,
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        let (executor, partition) = self.at_version(key, expected)?;
        if partition.primary.is_some() {
            return Err(Refused::Forbidden {
                rule: "only a partition without a primary is given one".into(),
            });
        }
        let seat = self.electable(executor, partition, member)?;
        let start = self.members.get(&member).ok_or(Refused::Unknown)?.start;
        self.edit(key, changes, |partition| partition.lead(seat, start))
    }

    /// The in-sync replica of a member that could lead (I2).
    pub(crate) fn electable(
        &self,
        executor: &ExecutorRecord,
        partition: &PartitionRecord,
        member: MemberId,
    ) -> Result<ReplicaId, Refused> {
        let record = self.members.get(&member).ok_or(Refused::Unknown)?;
        let replica = record.replica(executor.config.persistence);
        if !record.is_up() || !partition.in_sync.contains(&replica) {
            return Err(Refused::Forbidden {
                rule: "a primary comes from the in-sync set, and its member is up".into(),
            });
        }
        Ok(replica)
    }
}
