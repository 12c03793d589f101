//! The cluster in one answer: is everything stored as often as configured, and was anything lost.

use ringhold_control::{Cluster, LossCause, LossRecord, MemberState, PartitionRecord};
use ringhold_proto::convert::cluster_bytes;
use ringhold_proto::v1;

use super::super::api::Api;

/// The status as this member sees it.
pub(super) fn status(api: &Api) -> v1::GetStatusResponse {
    let cluster = api.cluster();
    let partitions = Partitions::of(&cluster);
    let living: Vec<_> = cluster
        .members()
        .values()
        .filter(|r| r.state != MemberState::Forgotten)
        .collect();
    let up = living
        .iter()
        .filter(|record| record.state == MemberState::Up)
        .count();
    let leader = api.control.leader();
    v1::GetStatusResponse {
        cluster_id: cluster.id().map(cluster_bytes).unwrap_or_default(),
        cluster_name: cluster.name().to_owned(),
        answered_by: api.member.0,
        control_leader: leader.map(|leader| leader.0),
        applied: cluster.index().get(),
        feature_level: cluster.feature_level(),
        members: number(living.len()),
        members_up: number(up),
        executors: number(cluster.executors().len()),
        partitions: partitions.all,
        partitions_in_use: partitions.in_use,
        partitions_without_primary: partitions.without_primary,
        partitions_short_of_copies: partitions.short_of_copies,
        safe: leader.is_some()
            && up == living.len()
            && partitions.without_primary == 0
            && partitions.short_of_copies == 0,
        losses: cluster
            .losses()
            .iter()
            .map(|loss| loss_message(&cluster, loss))
            .collect(),
    }
}

fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[derive(Default)]
struct Partitions {
    all: u64,
    in_use: u64,
    without_primary: u64,
    short_of_copies: u64,
}

impl Partitions {
    fn of(cluster: &Cluster) -> Self {
        let mut counted = Self::default();
        for executor in cluster.executors().values() {
            let copies = executor.config.copies() as usize;
            for partition in &executor.partitions {
                counted.all += 1;
                if partition.materialised {
                    counted.in_use += 1;
                    counted.without_primary += u64::from(partition.primary.is_none());
                    let living = living_copies(cluster, partition);
                    counted.short_of_copies += u64::from(living < copies);
                }
            }
        }
        counted
    }
}

/// Seats whose member is up: a seat kept for a dead member is no copy that can be read.
fn living_copies(cluster: &Cluster, partition: &PartitionRecord) -> usize {
    let up = |member| {
        cluster
            .members()
            .get(member)
            .is_some_and(|r| r.state == MemberState::Up)
    };
    partition
        .in_sync
        .iter()
        .filter(|replica| up(&replica.member))
        .count()
}

fn loss_message(cluster: &Cluster, loss: &LossRecord) -> v1::Loss {
    let executor = cluster.executors().get(&loss.partition.executor);
    v1::Loss {
        executor: executor.map_or_else(
            || format!("deleted executor {}", loss.partition.executor.0),
            |record| record.config.name.to_string(),
        ),
        partition: loss.partition.partition.0,
        generation: loss.generation.get(),
        last_members: loss.last.iter().map(|replica| replica.member.0).collect(),
        cause: match loss.cause {
            LossCause::ProcessEnded => "the process that held it in memory ended",
            LossCause::StoreGone => "the store that held it is empty, doubtful or replaced",
            LossCause::Forgotten => "its last member was forgotten",
        }
        .to_owned(),
        at: None,
    }
}
