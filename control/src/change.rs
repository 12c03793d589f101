//! What a primary proposes (PROTOCOL I1, I5, I6, §3).

use ringhold_types::{
    ChangeKind, ConfigurationChange, PartitionKey, Persistence, ReplicaId, Sequence, UnixMillis,
};

use crate::record::{copies_of, note_loss, sequences_of};
use crate::settle::Occasion;
use crate::{
    Changes, Cluster, ExecutorRecord, LossCause, LossRecord, PartitionRecord, Refused, Response,
};

impl Cluster {
    pub(crate) fn change(
        &mut self,
        change: &ConfigurationChange,
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        let key = change.partition;
        let (executor, partition) = self.at_version(key, change.expected)?;
        if partition.primary != Some(change.proposer) || partition.term != change.term {
            return Err(Refused::NotPrimary);
        }
        if !partition.materialised && change.kind != ChangeKind::Bump {
            return Err(Refused::Forbidden {
                rule: "a partition that holds nothing is placed by the control plane alone".into(),
            });
        }
        match change.kind {
            ChangeKind::Promote { learner } => {
                self.check_learner(executor, partition, learner)?;
                self.check_room(key, executor, partition)?;
                self.edit(key, changes, |partition| {
                    partition.learners.retain(|&other| other != learner);
                    partition.in_sync.push(learner);
                })
            }
            ChangeKind::Swap { learner, removed } => {
                self.check_learner(executor, partition, learner)?;
                check_removable(partition, change.proposer, removed)?;
                self.edit(key, changes, |partition| {
                    partition.learners.retain(|&other| other != learner);
                    partition.in_sync.retain(|&seat| seat != removed);
                    partition.in_sync.push(learner);
                })
            }
            ChangeKind::Degrade { removed } => {
                check_removable(partition, change.proposer, removed)?;
                self.edit(key, changes, |partition| {
                    partition.in_sync.retain(|&seat| seat != removed);
                })
            }
            ChangeKind::Bump => self.edit(key, changes, |_| {}),
            ChangeKind::HandOver { to } => {
                if self.electable(executor, partition, to.member)? != to {
                    return Err(Refused::Unknown);
                }
                let start = self.members.get(&to.member).ok_or(Refused::Unknown)?.start;
                self.edit(key, changes, |partition| partition.lead(to, start))
            }
            ChangeKind::ShortLog { replica } => self.doubt_store(key, replica, changes),
            ChangeKind::ReplaceSlow { slow } => {
                self.replace_slow(key, change.proposer, slow, changes)
            }
            ChangeKind::RecordLoss { from, at } => {
                self.record_loss(key, change.proposer, (from, at), changes)
            }
        }
    }

    /// A replica lost what was durable: the store it lives in becomes a new incarnation, as one that reports itself doubtful
    /// does at its start (PROTOCOL I9, §5).
    fn doubt_store(
        &mut self,
        key: PartitionKey,
        replica: ReplicaId,
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        let (executor, partition) = self.partition_of(key)?;
        let persistence = executor.config.persistence;
        let holds = partition.replicas().any(|held| *held == replica);
        if !holds || partition.primary == Some(replica) || persistence != Persistence::Fsync {
            return Err(Refused::Forbidden {
                rule: "a primary doubts the store of another replica of its partition, on disk"
                    .into(),
            });
        }
        let member = self.members.get_mut(&replica.member);
        let record = member.ok_or(Refused::Unknown)?;
        if record.replica(persistence) != replica {
            return Err(Refused::Unknown);
        }
        record.store = record.next_incarnation();
        record.marked = false;
        changes.members.push(replica.member);
        self.settle(Occasion::Start, changes);
        let (_, partition) = self.partition_of(key)?;
        Ok(Response::Changed {
            version: partition.version,
        })
    }

    fn partition_of(
        &self,
        key: PartitionKey,
    ) -> Result<(&ExecutorRecord, &PartitionRecord), Refused> {
        let executor = self.executors.get(&key.executor).ok_or(Refused::Unknown)?;
        let partition = executor.partition(key.partition).ok_or(Refused::Unknown)?;
        Ok((executor, partition))
    }

    /// The tail of the only seat was cut, and nobody is left who might hold what it lost (PROTOCOL §5).
    fn record_loss(
        &mut self,
        key: PartitionKey,
        proposer: ReplicaId,
        (from, time): (Sequence, Option<UnixMillis>),
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        let executor = self.executors.get(&key.executor).ok_or(Refused::Unknown)?;
        let partition = executor.partition(key.partition).ok_or(Refused::Unknown)?;
        if partition.in_sync != [proposer] {
            return Err(Refused::Forbidden {
                rule: "a replica asks the others with a seat before anything counts as lost".into(),
            });
        }
        let (first, to) = sequences_of(partition.generation);
        let loss = LossRecord {
            partition: key,
            generation: partition.generation,
            last: partition.in_sync.clone(),
            cause: LossCause::StoreGone,
            at: self.index,
            from: from.clamp(first, to),
            to,
            time,
        };
        note_loss(&mut self.losses, loss);
        let start = self
            .members
            .get(&proposer.member)
            .ok_or(Refused::Unknown)?
            .start;
        self.edit(key, changes, |partition| {
            partition.generation = partition.generation.next();
            partition.kept_by = Some(proposer);
            partition.lead(proposer, start);
        })
    }

    /// A seat goes to a present learner whose member may take seats.
    fn check_learner(
        &self,
        executor: &ExecutorRecord,
        partition: &PartitionRecord,
        learner: ReplicaId,
    ) -> Result<(), Refused> {
        let record = self.members.get(&learner.member).ok_or(Refused::Unknown)?;
        let forbid = |rule: &'static str| Err(Refused::Forbidden { rule: rule.into() });
        if !partition.learners.contains(&learner)
            || record.replica(executor.config.persistence) != learner
        {
            return forbid("a seat goes to one of the partition's learners");
        }
        if !record.is_up() || !record.takes_seats() {
            return forbid("a new seat's member is up and does not drain");
        }
        Ok(())
    }

    /// There are as many seats as copies; one more only while the lone primary of a partition without backups moves.
    fn check_room(
        &self,
        key: PartitionKey,
        executor: &ExecutorRecord,
        partition: &PartitionRecord,
    ) -> Result<(), Refused> {
        let copies = copies_of(&executor.config);
        let target = self.target(&executor.config, key.partition);
        let stays = |primary: ReplicaId| target.contains(&primary.member);
        let moves_alone = copies == 1 && !partition.primary.is_some_and(stays);
        if partition.in_sync.len() >= copies + usize::from(moves_alone) {
            return Err(Refused::Forbidden {
                rule: "a partition has at most as many seats as copies".into(),
            });
        }
        Ok(())
    }
}

/// A primary removes another's seat, never its own, so at least one remains.
fn check_removable(
    partition: &PartitionRecord,
    proposer: ReplicaId,
    removed: ReplicaId,
) -> Result<(), Refused> {
    let forbid = |rule: &'static str| Err(Refused::Forbidden { rule: rule.into() });
    if removed == proposer {
        return forbid("a primary does not remove itself");
    }
    if !partition.in_sync.contains(&removed) {
        return forbid("only a replica with a seat can lose it");
    }
    Ok(())
}
