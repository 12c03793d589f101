//! `ringhold cluster`: shows the cluster.

use ringhold_client::{ClusterStatus, Loss, UnderReplicated};
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
                "yes: every partition has all its copies".to_owned()
            } else {
                format!("NO: {}", reasons(status).join(", "))
            },
        ),
        (
            "members",
            format!("{} of {} up", status.members_up, status.members),
        ),
        ("leader of the control plane", leader(status)),
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
        (
            "below min-copies",
            status.partitions_below_min_copies.to_string(),
        ),
    ];
    pairs.extend(status.under_replicated.iter().map(|partition| {
        let text = format!(
            "{}/{} has {} of {} copies, min-copies {}",
            partition.executor,
            partition.partition,
            partition.in_sync,
            partition.copies,
            partition.min_copies
        );
        ("short", text)
    }));
    let named = u64::try_from(status.under_replicated.len()).unwrap_or(u64::MAX);
    match status.partitions_short_of_copies.saturating_sub(named) {
        0 => {}
        more => pairs.push(("short", format!("and {more} more"))),
    }
    pairs.extend(status.losses.iter().map(|loss| {
        let text = format!(
            "{}/{} generation {}: {}",
            loss.executor, loss.partition, loss.generation, loss.cause
        );
        ("LOST", text)
    }));
    Table::of_pairs(pairs)
}

/// The leader of the control plane by its name, with its identity.
fn leader(status: &ClusterStatus) -> String {
    match (&status.control_leader_name, status.control_leader) {
        (Some(name), Some(id)) => format!("{name} ({id})"),
        (None, Some(id)) => id.to_string(),
        (_, None) => "none known".to_owned(),
    }
}

/// Why the cluster is not safe.
fn reasons(status: &ClusterStatus) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut add = |count: u64, what: &str| {
        if count > 0 {
            reasons.push(format!("{count} {what}"));
        }
    };
    let down = status.members.saturating_sub(status.members_up);
    add(u64::from(down), "members are not up");
    add(
        status.partitions_without_primary,
        "partitions have no primary",
    );
    add(
        status.partitions_short_of_copies,
        "partitions miss copies of their durability",
    );
    add(
        status.partitions_below_min_copies,
        "partitions admit no submits, since they have fewer copies than min-copies",
    );
    if status.control_leader.is_none() {
        reasons.push("no leader of the control plane is known".to_owned());
    }
    reasons
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
        "control_leader_name": status.control_leader_name,
        "partitions_below_min_copies": status.partitions_below_min_copies,
        "under_replicated": status.under_replicated.iter().map(under_replicated).collect::<Vec<_>>(),
        "safe": status.safe,
        "losses": status.losses.iter().map(loss).collect::<Vec<_>>(),
    })
}

fn under_replicated(partition: &UnderReplicated) -> Value {
    json!({
        "executor": partition.executor,
        "partition": partition.partition,
        "in_sync": partition.in_sync,
        "copies": partition.copies,
        "min_copies": partition.min_copies,
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
        "from_sequence": loss.from.to_string(),
        "to_sequence": loss.to.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_that_is_not_safe_names_the_partitions_and_the_leader_by_name() {
        let status = ClusterStatus {
            control_leader: Some(ringhold_client::MemberId(7)),
            control_leader_name: Some("m2".to_owned()),
            members: 3,
            members_up: 2,
            partitions_short_of_copies: 40,
            under_replicated: vec![UnderReplicated {
                executor: "reports".to_owned(),
                partition: 113,
                in_sync: 1,
                copies: 2,
                min_copies: 2,
            }],
            ..ClusterStatus::default()
        };
        let shown = table(&status).to_string();
        assert!(
            shown.contains("NO: 1 members are not up, 40 partitions"),
            "{shown}"
        );
        assert!(shown.contains("reports/113 has 1 of 2 copies"), "{shown}");
        assert!(shown.contains("and 39 more"), "{shown}");
        assert!(shown.contains("m2 ("), "{shown}");
        let document = document(&status);
        assert_eq!(document["control_leader_name"], "m2");
        assert_eq!(document["under_replicated"][0]["partition"], 113);
    }
}
