//! The whole cluster state, for Raft's snapshots.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringhold_control::{
    ClusterSnapshot, ExecutorRecord, LayoutSnapshot, LossCause, LossRecord, MemberRecord,
    MemberState, PartitionRecord,
};
use ringhold_types::{
    ConfigurationVersion, ControlIndex, ExecutorId, ExecutorName, Generation, Incarnation,
    MemberId, PartitionCount, ReplicaId, Sequence, StartNonce, Term, UnixMillis,
};

use super::{all, executor_state, partition};
use crate::convert::{ConversionError, cluster_bytes, required, stated_cluster, value_of};
use crate::internal as wire;

impl From<&ClusterSnapshot> for wire::ClusterSnapshot {
    fn from(snapshot: &ClusterSnapshot) -> Self {
        let executors = snapshot.executors.iter();
        let tombstones = snapshot.tombstones.iter();
        Self {
            index: snapshot.index.get(),
            cluster_id: snapshot.id.map(cluster_bytes),
            name: snapshot.name.clone(),
            feature_level: snapshot.feature_level,
            members: snapshot.members.values().map(Into::into).collect(),
            executors: executors
                .map(|(id, record)| encode_executor(*id, record))
                .collect(),
            next_executor: snapshot.next_executor.0,
            tombstones: tombstones
                .map(|(name, generation)| (name.as_str().to_owned(), generation.get()))
                .collect(),
            tombstone_floor: snapshot.tombstone_floor.get(),
            losses: snapshot.losses.iter().map(Into::into).collect(),
            layouts: snapshot.layouts.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<wire::ClusterSnapshot> for ClusterSnapshot {
    type Error = ConversionError;

    fn try_from(message: wire::ClusterSnapshot) -> Result<Self, Self::Error> {
        let members = message.members.into_iter().map(|message| {
            let record = MemberRecord::try_from(message)?;
            Ok((record.info.id, record))
        });
        let tombstones = message.tombstones.into_iter();
        Ok(Self {
            index: ControlIndex(message.index),
            id: stated_cluster(message.cluster_id.as_ref())?,
            name: message.name,
            feature_level: message.feature_level,
            members: unique("snapshot.members", members)?,
            executors: unique(
                "snapshot.executors",
                message.executors.into_iter().map(decode_executor),
            )?,
            next_executor: ExecutorId(message.next_executor),
            tombstones: tombstones
                .map(|(name, generation)| Ok((ExecutorName::new(name)?, Generation(generation))))
                .collect::<Result<_, ConversionError>>()?,
            tombstone_floor: Generation(message.tombstone_floor),
            losses: all(message.losses)?,
            layouts: all(message.layouts)?,
        })
    }
}

/// Collects items that must each be there once.
fn unique<K: Ord, V>(
    field: &'static str,
    items: impl Iterator<Item = Result<(K, V), ConversionError>>,
) -> Result<BTreeMap<K, V>, ConversionError> {
    let mut map = BTreeMap::new();
    for item in items {
        let (key, value) = item?;
        if map.insert(key, value).is_some() {
            return Err(ConversionError::Repeated { field });
        }
    }
    Ok(map)
}

impl From<&MemberRecord> for wire::MemberRecord {
    fn from(record: &MemberRecord) -> Self {
        let state = match record.state {
            MemberState::Up => wire::MemberState::Up,
            MemberState::Down => wire::MemberState::Down,
            MemberState::Forgotten => wire::MemberState::Forgotten,
        };
        Self {
            info: Some((&record.info).into()),
            start: record.start.get(),
            state: state.into(),
            draining: record.drain.is_some(),
            drain: record.drain.map_or(0, ControlIndex::get),
            leaving: record.leaving,
            marked: record.marked,
            store: record.store.get(),
            memory: record.memory.get(),
            last_incarnation: record.last_incarnation.get(),
            started_at: record.started_at.0,
            since: record.since.get(),
        }
    }
}

impl TryFrom<wire::MemberRecord> for MemberRecord {
    type Error = ConversionError;

    fn try_from(message: wire::MemberRecord) -> Result<Self, Self::Error> {
        let state = match value_of("member.state", message.state)? {
            wire::MemberState::Unspecified => {
                return Err(ConversionError::Missing {
                    field: "member.state",
                });
            }
            wire::MemberState::Up => MemberState::Up,
            wire::MemberState::Down => MemberState::Down,
            wire::MemberState::Forgotten => MemberState::Forgotten,
        };
        Ok(Self {
            info: required("member.info", message.info)?.into(),
            start: StartNonce(message.start),
            state,
            drain: message.draining.then_some(ControlIndex(message.drain)),
            leaving: message.leaving,
            marked: message.marked,
            store: Incarnation(message.store),
            memory: Incarnation(message.memory),
            last_incarnation: Incarnation(message.last_incarnation),
            started_at: UnixMillis(message.started_at),
            since: ControlIndex(message.since),
        })
    }
}

fn encode_executor(id: ExecutorId, record: &ExecutorRecord) -> wire::ExecutorRecord {
    wire::ExecutorRecord {
        id: id.0,
        config: Some(record.config.as_ref().into()),
        partitions: record.partitions.iter().map(Into::into).collect(),
        state: executor_state::encode(&record.state),
    }
}

fn decode_executor(
    message: wire::ExecutorRecord,
) -> Result<(ExecutorId, ExecutorRecord), ConversionError> {
    let record = ExecutorRecord {
        config: Arc::new(required("executor.config", message.config)?.try_into()?),
        partitions: message.partitions.into_iter().map(Into::into).collect(),
        state: executor_state::decode(message.state)?,
    };
    Ok((ExecutorId(message.id), record))
}

impl From<&PartitionRecord> for wire::PartitionRecord {
    fn from(record: &PartitionRecord) -> Self {
        Self {
            version: record.version.get(),
            term: record.term.get(),
            generation: record.generation.get(),
            primary: record.primary.map(Into::into),
            primary_start: record.primary_start.get(),
            in_sync: replicas(&record.in_sync),
            learners: replicas(&record.learners),
            min_copies: record.min_copies,
            materialised: record.materialised,
            kept_by: record.kept_by.map(Into::into),
            slow: record.slow.map(|(replica, start)| wire::SlowReplica {
                replica: Some(replica.into()),
                start: start.get(),
            }),
        }
    }
}

impl From<wire::PartitionRecord> for PartitionRecord {
    fn from(message: wire::PartitionRecord) -> Self {
        Self {
            version: ConfigurationVersion(message.version),
            term: Term(message.term),
            generation: Generation(message.generation),
            primary: message.primary.map(Into::into),
            primary_start: StartNonce(message.primary_start),
            in_sync: replicas_of(message.in_sync),
            learners: replicas_of(message.learners),
            min_copies: message.min_copies,
            materialised: message.materialised,
            kept_by: message.kept_by.map(Into::into),
            slow: message.slow.and_then(|slow| {
                let replica = slow.replica?.into();
                Some((replica, StartNonce(slow.start)))
            }),
        }
    }
}

fn replicas(replicas: &[ReplicaId]) -> Vec<wire::ReplicaId> {
    replicas.iter().map(|replica| (*replica).into()).collect()
}

fn replicas_of(messages: Vec<wire::ReplicaId>) -> Vec<ReplicaId> {
    messages.into_iter().map(Into::into).collect()
}

impl From<&LossRecord> for wire::LossRecord {
    fn from(loss: &LossRecord) -> Self {
        let cause = match loss.cause {
            LossCause::ProcessEnded => wire::LossCause::ProcessEnded,
            LossCause::StoreGone => wire::LossCause::StoreGone,
            LossCause::Forgotten => wire::LossCause::Forgotten,
        };
        Self {
            partition: Some(loss.partition.into()),
            generation: loss.generation.get(),
            last: replicas(&loss.last),
            cause: cause.into(),
            at: loss.at.get(),
            from: loss.from.bits(),
            to: loss.to.bits(),
            time: loss.time.map(|time| time.0),
        }
    }
}

impl TryFrom<wire::LossRecord> for LossRecord {
    type Error = ConversionError;

    fn try_from(message: wire::LossRecord) -> Result<Self, Self::Error> {
        let cause = match value_of("loss.cause", message.cause)? {
            wire::LossCause::Unspecified => {
                return Err(ConversionError::Missing {
                    field: "loss.cause",
                });
            }
            wire::LossCause::ProcessEnded => LossCause::ProcessEnded,
            wire::LossCause::StoreGone => LossCause::StoreGone,
            wire::LossCause::Forgotten => LossCause::Forgotten,
        };
        Ok(Self {
            partition: partition("loss.partition", message.partition)?,
            generation: Generation(message.generation),
            last: replicas_of(message.last),
            cause,
            at: ControlIndex(message.at),
            from: Sequence::from_bits(message.from),
            to: Sequence::from_bits(message.to),
            time: message.time.map(UnixMillis),
        })
    }
}

impl From<&LayoutSnapshot> for wire::Layout {
    fn from(layout: &LayoutSnapshot) -> Self {
        let seats = layout.seats.iter().map(|seats| wire::LayoutSeats {
            members: seats.iter().map(|member| member.0).collect(),
        });
        Self {
            partitions: layout.partitions.get(),
            copies: layout.copies,
            seats: seats.collect(),
        }
    }
}

impl TryFrom<wire::Layout> for LayoutSnapshot {
    type Error = ConversionError;

    fn try_from(message: wire::Layout) -> Result<Self, Self::Error> {
        let seats = message.seats.into_iter();
        Ok(Self {
            partitions: PartitionCount::new(message.partitions).ok_or(
                ConversionError::OutOfRange {
                    field: "layout.partitions",
                },
            )?,
            copies: message.copies,
            seats: seats
                .map(|seats| seats.members.into_iter().map(MemberId).collect())
                .collect(),
        })
    }
}
