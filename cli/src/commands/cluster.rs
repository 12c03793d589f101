//! `ringhold cluster`: shows the cluster.

use ringhold_client::{ClusterStatus, Loss};
use serde_json::{Value, json};

use crate::arguments::{ClusterCommand, Format};
use crate::connect::connect;
use crate::failure::{Exit, Failure};
use crate::output::{self, Table};

pub(super) async fn run(command: ClusterCommand, format: Format) -> Result<Exit, Failure> {
    let ClusterCommand::Status(server) = command;
    let status = connect(&server).await?.cluster().status().await?;
    output::print(format, &document(&status), &table(&status))?;
    Ok(if status.safe {
        Exit::Ok
    } else {
        Exit::Precondition
    })
}

fn table(status: &ClusterStatus) -> Table {
    let mut pairs = vec![
        ("cluster", format!("{} ({})", status.name, status.cluster)),
        (
            "safe",
            if status.safe {
                "yes".to_owned()
            } else {
                "NO: losing one member may lose or stop something".to_owned()
            },
        ),
        (
            "members",
            format!("{} of {} up", status.members_up, status.members),
        ),
        (
            "leader of the control plane",
            status
                .control_leader
                .map_or_else(|| "none known".to_owned(), |leader| leader.to_string()),
        ),
        ("executors", status.executors.to_string()),
        (
            "partitions",
            format!("{}, {} in use", status.partitions, status.partitions_in_use),
        ),
        (
            "without primary",
            status.partitions_without_primary.to_string(),
        ),
        (
            "short of copies",
            status.partitions_short_of_copies.to_string(),
        ),
    ];
    pairs.extend(status.losses.iter().map(|loss| {
        let text = format!(
            "{}/{} generation {}: {}",
            loss.executor, loss.partition, loss.generation, loss.cause
        );
        ("LOST", text)
    }));
    Table::of_pairs(pairs)
}

fn document(status: &ClusterStatus) -> Value {
    json!({
        "cluster_id": status.cluster.to_string(),
        "cluster_name": status.name,
        "answered_by": status.answered_by.to_string(),
        "control_leader": status.control_leader.map(|leader| leader.to_string()),
        "applied": status.applied.to_string(),
        "feature_level": status.feature_level,
        "members": status.members,
        "members_up": status.members_up,
        "executors": status.executors,
        "partitions": status.partitions,
        "partitions_in_use": status.partitions_in_use,
        "partitions_without_primary": status.partitions_without_primary,
        "partitions_short_of_copies": status.partitions_short_of_copies,
        "safe": status.safe,
        "losses": status.losses.iter().map(loss).collect::<Vec<_>>(),
    })
}

fn loss(loss: &Loss) -> Value {
    json!({
        "executor": loss.executor,
        "partition": loss.partition,
        "generation": loss.generation.get().to_string(),
        "last_members": loss.last_members.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "cause": loss.cause,
        "at_unix_ms": loss.at.map(|at| at.0),
    })
}
