//! `ringhold partition`: shows who has what.

use ringhold_client::{ErrorCode, PartitionInfo, ReplicaInfo};
use serde_json::{Value, json};

use crate::arguments::{Format, PartitionCommand};
use crate::connect::connect;
use crate::failure::{Exit, Failure};
use crate::output::{self, Table};

pub(super) async fn run(command: PartitionCommand, format: Format) -> Result<Exit, Failure> {
    match command {
        PartitionCommand::Ls { server, executor } => {
            let partitions = connect(&server)
                .await?
                .cluster()
                .partitions(&executor, None)
                .await?;
            let documents: Vec<Value> = partitions.iter().map(document).collect();
            output::print(
                format,
                &json!({ "partitions": documents }),
                &table(&partitions),
            )?;
        }
        PartitionCommand::Owner {
            server,
            executor,
            key,
        } => {
            let cluster = connect(&server).await?.cluster();
            let found = cluster.partitions(&executor, Some(key.as_bytes())).await?;
            let Some(partition) = found.first() else {
                return Err(Failure::new(
                    ErrorCode::Internal,
                    "the member named no partition",
                ));
            };
            output::print(format, &document(partition), &table(&found))?;
        }
    }
    Ok(Exit::Ok)
}

fn name(replica: &ReplicaInfo) -> String {
    if replica.member_name.is_empty() {
        replica.member.to_string()
    } else {
        replica.member_name.clone()
    }
}

fn names(replicas: &[ReplicaInfo]) -> Vec<String> {
    replicas.iter().map(name).collect()
}

fn table(partitions: &[PartitionInfo]) -> Table {
    let mut table = Table::new(&[
        "PARTITION",
        "PRIMARY",
        "IN SYNC",
        "LEARNERS",
        "TERM",
        "GENERATION",
        "IN USE",
    ]);
    for partition in partitions {
        let list = |names: Vec<String>| {
            if names.is_empty() {
                "-".to_owned()
            } else {
                names.join(",")
            }
        };
        table.row([
            partition.partition.to_string(),
            partition
                .primary
                .as_ref()
                .map_or_else(|| "-".to_owned(), name),
            list(names(&partition.in_sync)),
            list(names(&partition.learners)),
            partition.term.get().to_string(),
            partition.generation.get().to_string(),
            if partition.in_use {
                "yes".to_owned()
            } else {
                "no".to_owned()
            },
        ]);
    }
    table
}

fn document(partition: &PartitionInfo) -> Value {
    json!({
        "executor": partition.executor,
        "partition": partition.partition,
        "version": partition.version.to_string(),
        "term": partition.term.get().to_string(),
        "generation": partition.generation.get().to_string(),
        "primary": partition.primary.as_ref().map(name),
        "in_sync": names(&partition.in_sync),
        "learners": names(&partition.learners),
        "in_use": partition.in_use,
    })
}
