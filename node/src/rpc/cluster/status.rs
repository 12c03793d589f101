//! The cluster in one answer: is everything stored as often as configured, and was anything lost.

use ringhold_control::{
    Cluster, ExecutorRecord, LossCause, LossRecord, MemberState, PartitionRecord,
};
use ringhold_proto::convert::{cluster_bytes, timestamp_from_unix};
use ringhold_proto::v1;

use super::super::api::Api;

/// Most under-replicated partitions that are named; the rest is counted.
const UNDER_REPLICATED_MAX: usize = 32;

/// The status as this member sees it.
pub(super) fn status(api: &Api) -> v1::GetStatusResponse {
    let cluster = api.cluster();
    let partitions = Partitions::of(&cluster);
    let living: Vec<_> = cluster
        .members()
        .values()
        .filter(|r| r.state != MemberState::Forgotten)
        .collect();
    let starting = api.control.starting();
    let up = living
        .iter()
        .filter(|record| record.is_up() && !starting.contains(&record.info.id))
        .count();
    let leader = api.control.leader();
    v1::GetStatusResponse {
        cluster_id: cluster.id().map(cluster_bytes).unwrap_or_default(),
        cluster_name: cluster.name().to_owned(),
        answered_by: api.member.0,
        control_leader: leader.map(|leader| leader.0),
        applied: cluster.index().get(),
        feature_level: cluster.feature_level(),
        members: number_of(living.len()),
        members_up: number_of(up),
        executors: number_of(cluster.executors().len()),
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
        control_leader_name: leader
            .map(|leader| Api::member_name(&cluster, leader))
            .unwrap_or_default(),
        partitions_below_min_copies: partitions.below_min_copies,
        under_replicated: partitions.worst,
    }
}

fn number_of(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[derive(Default)]
struct Partitions {
    all: u64,
    in_use: u64,
    without_primary: u64,
    short_of_copies: u64,
    below_min_copies: u64,
    /// The first few that are short of copies, those that miss the most first.
    worst: Vec<v1::UnderReplicated>,
}

impl Partitions {
    fn of(cluster: &Cluster) -> Self {
        let mut counted = Self::default();
        for executor in cluster.executors().values() {
            for (number, partition) in (0..).zip(&executor.partitions) {
                counted.all += 1;
                if partition.materialised {
                    counted.add(copies_of(cluster, executor, number, partition));
                    counted.without_primary += u64::from(partition.primary.is_none());
                }
            }
        }
        counted
    }

    fn add(&mut self, seen: v1::UnderReplicated) {
        self.in_use += 1;
        self.below_min_copies += u64::from(seen.in_sync < seen.min_copies);
        if seen.in_sync >= seen.copies {
            return;
        }
        self.short_of_copies += 1;
        let missing = |seen: &v1::UnderReplicated| seen.copies.saturating_sub(seen.in_sync);
        let place = self
            .worst
            .partition_point(|listed| missing(listed) >= missing(&seen));
        self.worst.insert(place, seen);
        self.worst.truncate(UNDER_REPLICATED_MAX);
    }
}

fn copies_of(
    cluster: &Cluster,
    executor: &ExecutorRecord,
    number: u32,
    partition: &PartitionRecord,
) -> v1::UnderReplicated {
    v1::UnderReplicated {
        executor: executor.config.name.to_string(),
        partition: number,
        in_sync: number_of(living_copies(cluster, partition)),
        copies: executor.config.copies(),
        min_copies: executor.config.effective_min_copies(),
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
        at: loss.time.map(timestamp_from_unix),
        from_sequence: loss.from.bits(),
        to_sequence: loss.to.bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(partition: u32, in_sync: u32) -> v1::UnderReplicated {
        v1::UnderReplicated {
            executor: "reports".to_owned(),
            partition,
            in_sync,
            copies: 3,
            min_copies: 2,
        }
    }

    #[test]
    fn each_partition_is_looked_at_and_those_that_miss_the_most_copies_are_named_first() {
        let mut partitions = Partitions::default();
        for (number, in_sync) in (0..).zip([3, 2, 1, 4, 2, 0]) {
            partitions.add(seen(number, in_sync));
        }
        assert_eq!(partitions.in_use, 6);
        assert_eq!(partitions.short_of_copies, 4);
        assert_eq!(partitions.below_min_copies, 2);
        let named: Vec<u32> = partitions.worst.iter().map(|seen| seen.partition).collect();
        assert_eq!(named, [5, 2, 1, 4]);
    }

    #[test]
    fn of_many_a_few_are_named_and_all_are_counted() {
        let mut partitions = Partitions::default();
        for number in 0..1000 {
            partitions.add(seen(number, 2));
        }
        partitions.add(seen(1000, 1));
        assert_eq!(partitions.short_of_copies, 1001);
        assert_eq!(partitions.worst.len(), UNDER_REPLICATED_MAX);
        assert_eq!(partitions.worst[0].partition, 1000);
    }
}
