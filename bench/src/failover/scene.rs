//! Who leads what before a fault, and whether all is well again after it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use ringhold_client::{Client, MemberInfo, MemberState, PartitionInfo, PartitionNumber, Term};

use crate::arguments::Victim;
use crate::executor::EXECUTOR;

/// How long the cluster may take until every member is up again and every partition has its copies.
const WHOLE_PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The member that is about to be hit.
pub(super) struct Target {
    pub(super) name: String,
    pub(super) is_raft_leader: bool,
    /// The partitions that it leads, with their terms.
    pub(super) led: BTreeMap<PartitionNumber, Term>,
}

/// Chooses whom to hit.
///
/// # Errors
/// When nobody fits: no leader, or nobody who leads a partition.
pub(super) async fn choose(client: &Client, victim: Victim) -> anyhow::Result<Target> {
    let cluster = client.cluster();
    let (members, partitions) =
        tokio::try_join!(cluster.members(), cluster.partitions(EXECUTOR, None))?;
    target(&members, &partitions, victim)
        .context("no member fits: none of that kind leads a partition")
}

fn target(members: &[MemberInfo], partitions: &[PartitionInfo], victim: Victim) -> Option<Target> {
    let wanted = members
        .iter()
        .filter(|member| member.control_leader == (victim == Victim::Leader));
    let targets = wanted.map(|member| Target {
        name: member.name.clone(),
        is_raft_leader: member.control_leader,
        led: led_by(member, partitions),
    });
    let most = targets.max_by_key(|target| target.led.len())?;
    (!most.led.is_empty()).then_some(most)
}

/// The partitions that a member leads at this moment, with their terms.
///
/// # Errors
/// When the cluster cannot be asked, or has no such member.
pub(super) async fn led_now(
    client: &Client,
    name: &str,
) -> anyhow::Result<BTreeMap<PartitionNumber, Term>> {
    let cluster = client.cluster();
    let (members, partitions) =
        tokio::try_join!(cluster.members(), cluster.partitions(EXECUTOR, None))?;
    let member = members.iter().find(|member| member.name == name);
    let member = member.with_context(|| format!("the cluster has no member {name}"))?;
    Ok(led_by(member, &partitions))
}

fn led_by(member: &MemberInfo, partitions: &[PartitionInfo]) -> BTreeMap<PartitionNumber, Term> {
    let leads = |partition: &&PartitionInfo| {
        let primary = partition.primary.as_ref();
        primary.is_some_and(|primary| primary.member == member.id)
    };
    let named = |partition: &PartitionInfo| (PartitionNumber(partition.partition), partition.term);
    partitions.iter().filter(leads).map(named).collect()
}

/// Waits until every member is up, every partition has a primary and all its copies, and every member leads some again.
///
/// # Errors
/// With what is missing, when it takes too long.
pub(super) async fn wait_until_whole(client: &Client) -> anyhow::Result<()> {
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
