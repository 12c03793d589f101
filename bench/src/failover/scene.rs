//! Who leads what before a fault, and whether all is well again after it.

use std::collections::BTreeMap;

use anyhow::Context;
use ringhold_client::{Client, MemberInfo, PartitionInfo, PartitionNumber, Term};

use crate::arguments::Victim;
use crate::executor::EXECUTOR;

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

/// What there is to say of a target at this moment.
///
/// # Errors
/// When the cluster cannot be asked, or has no such member.
pub(super) async fn look_again(client: &Client, name: &str) -> anyhow::Result<Target> {
    let cluster = client.cluster();
    let (members, partitions) =
        tokio::try_join!(cluster.members(), cluster.partitions(EXECUTOR, None))?;
    let member = members.iter().find(|member| member.name == name);
    let member = member.with_context(|| format!("the cluster has no member {name}"))?;
    Ok(Target {
        name: member.name.clone(),
        is_raft_leader: member.control_leader,
        led: led_by(member, &partitions),
    })
}

fn led_by(member: &MemberInfo, partitions: &[PartitionInfo]) -> BTreeMap<PartitionNumber, Term> {
    let leads = |partition: &&PartitionInfo| {
        let primary = partition.primary.as_ref();
        primary.is_some_and(|primary| primary.member == member.id)
    };
    let named = |partition: &PartitionInfo| (PartitionNumber(partition.partition), partition.term);
    partitions.iter().filter(leads).map(named).collect()
}
