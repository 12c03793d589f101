//! Waits until all is well: before something is measured, and after a fault.

use std::time::{Duration, Instant};

use anyhow::bail;
use ringhold_client::{Client, MemberState};

/// How long the cluster may take until every member is up again and every partition has its copies.
const WHOLE_PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Waits until every member is up, every partition has a primary and all its copies, and every member leads some again.
///
/// # Errors
/// With what is missing, when it takes too long.
pub(crate) async fn wait_until_whole(client: &Client) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let cluster = client.cluster();
        let missing = match tokio::try_join!(cluster.members(), cluster.status()) {
            Ok((members, status)) => {
                let down = members
                    .iter()
                    .filter(|member| member.state != MemberState::Up);
                let idle = members.iter().filter(|member| member.primaries == 0);
                let missing = [
                    ("members down", down.count() as u64),
                    ("members that lead nothing", idle.count() as u64),
                    (
                        "partitions without primary",
                        status.partitions_without_primary,
                    ),
                    (
                        "partitions short of copies",
                        status.partitions_short_of_copies,
                    ),
                ];
                let missing = missing.into_iter().filter(|(_, count)| *count > 0);
                missing
                    .map(|(what, count)| format!("{count} {what}"))
                    .collect::<Vec<_>>()
            }
            Err(error) => vec![error.to_string()],
        };
        if missing.is_empty() {
            return Ok(());
        }
        if started.elapsed() > WHOLE_PATIENCE {
            bail!(
                "the cluster is not whole after {WHOLE_PATIENCE:?}: {}",
                missing.join(", ")
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
