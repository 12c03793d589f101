//! Executors and their partitions as operators see them.

use std::time::Duration;

use ringhold_control::{Cluster, ExecutorRecord};
use ringhold_proto::{ApiError, v1};
use ringhold_types::{
    Configuration, ErrorCode, ExecutorId, ExecutorName, PartitionKey, PartitionNumber, ReplicaId,
    partition_of,
};

use super::super::api::Api;
use super::super::api_error;

/// How long a member that may be behind waits for the leader before it says so.
const PATIENCE: Duration = Duration::from_secs(5);

/// An executor as a message.
pub(super) fn executor(id: ExecutorId, record: &ExecutorRecord) -> v1::Executor {
    let in_use = record
        .partitions
        .iter()
        .filter(|partition| partition.materialised)
        .count();
    v1::Executor {
        id: id.0,
        config: Some(v1::ExecutorConfig::from(&*record.config)),
        partitions_in_use: u32::try_from(in_use).unwrap_or(u32::MAX),
    }
}

/// The executor of that name.
pub(super) async fn executor_named(api: &Api, name: &str) -> Result<v1::Executor, ApiError> {
    let name = parse_name(name)?;
    api.existing_executor(&name, api.deadline(PATIENCE)).await?;
    let cluster = api.cluster();
    match cluster.executor_by_name(&name) {
        Some((id, record)) => Ok(executor(id, record)),
        None => Err(api.creation.not_found(&name, &cluster)),
    }
}

/// The partitions of an executor, or the one of a key.
pub(super) async fn list(
    api: &Api,
    request: &v1::ListPartitionsRequest,
) -> Result<v1::ListPartitionsResponse, ApiError> {
    let name = parse_name(&request.executor)?;
    api.existing_executor(&name, api.deadline(PATIENCE)).await?;
    let cluster = api.cluster();
    let (id, record) = cluster
        .executor_by_name(&name)
        .ok_or_else(|| api.creation.not_found(&name, &cluster))?;
    let count = record.config.partition_count;
    let numbers: Vec<PartitionNumber> = match &request.key {
        Some(key) => vec![partition_of(key, count)],
        None => (0..count.get()).map(PartitionNumber).collect(),
    };
    let configurations = numbers.into_iter().filter_map(|partition| {
        cluster.configuration(PartitionKey {
            executor: id,
            partition,
        })
    });
    let partitions = configurations.map(|found| partition_message(&cluster, &name, &found));
    Ok(v1::ListPartitionsResponse {
        partitions: partitions.collect(),
    })
}

fn partition_message(
    cluster: &Cluster,
    name: &ExecutorName,
    configuration: &Configuration,
) -> v1::Partition {
    let replica = |replica: &ReplicaId| v1::Replica {
        member_id: replica.member.0,
        member_name: Api::member_name(cluster, replica.member),
        incarnation: replica.incarnation.get(),
    };
    v1::Partition {
        executor: name.to_string(),
        partition: configuration.partition.partition.0,
        version: configuration.version.get(),
        term: configuration.term.get(),
        generation: configuration.generation.get(),
        primary: configuration.primary.as_ref().map(replica),
        in_sync: configuration.in_sync.iter().map(replica).collect(),
        learners: configuration.learners.iter().map(replica).collect(),
        in_use: configuration.materialised,
    }
}

fn parse_name(name: &str) -> Result<ExecutorName, ApiError> {
    ExecutorName::new(name)
        .map_err(|error| api_error(ErrorCode::InvalidArgument, error.to_string()))
}
