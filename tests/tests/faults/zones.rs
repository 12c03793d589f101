//! Members that fail together: a zone may hold more members than copies may be lost.

use std::collections::{BTreeMap, BTreeSet};

use ringhold_client::{Client, MemberInfo, PartitionInfo};

use super::cluster::{TestCluster, wait_until, wait_until_copied, wait_until_safe};
use super::ledger::{Load, audit};

const CONFIG: &str = r#"
[durable-executor.work]
partition-count = 16
durability = 1
"#;

/// Tasks that must flow before and after the fault.
const SOME: u64 = 300;

/// Two members in the zone that fails, and one in each of two others.
const ZONES: [&[&str]; 4] = [
    &["--zone", "a"],
    &["--zone", "a"],
    &["--zone", "b"],
    &["--zone", "c"],
];

/// The zones of the members, by their names.
fn zones_by_name(members: &[MemberInfo]) -> BTreeMap<&str, &str> {
    let named = members.iter().filter_map(|member| {
        let zone = member.zone.as_deref()?;
        Some((member.name.as_str(), zone))
    });
    named.collect()
}

/// Whether no two copies of a partition are in one zone.
fn is_spread(partition: &PartitionInfo, zones: &BTreeMap<&str, &str>) -> bool {
    let copies = partition.in_sync.iter();
    let zones: BTreeSet<_> = copies
        .filter_map(|copy| zones.get(copy.member_name.as_str()))
        .collect();
    partition.in_sync.len() == 2 && zones.len() == 2
}

/// Whether the copies of all partitions, and the votes, are spread over the zones.
async fn all_is_spread(client: &Client) -> bool {
    let cluster = client.cluster();
    let (Ok(members), Ok(partitions)) = (
        cluster.members().await,
        cluster.partitions("work", None).await,
    ) else {
        return false;
    };
    let zones = zones_by_name(&members);
    let voters = members.iter().filter(|member| member.voter);
    let voting: BTreeSet<_> = voters
        .filter_map(|voter| zones.get(voter.name.as_str()))
        .collect();
    let in_use = partitions.iter().filter(|partition| partition.in_use);
    let mut used = in_use.clone();
    voting.len() == 3 && in_use.count() > 0 && used.all(|it| is_spread(it, &zones))
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_are_spread_over_zones_and_nothing_acknowledged_is_lost_with_a_whole_zone() {
    let mut cluster = TestCluster::start_with(&ZONES, CONFIG).await;
    let client = cluster.client().await;
    let load = Load::start(&cluster, "work").await;
    load.wait_for_more(SOME).await;
    let spread = async || all_is_spread(&client).await;
    wait_until("copies and votes are spread over the zones", spread).await;
    wait_until_safe(&client).await;
    // More members than `durability` die, and hold one copy of each task at most.
    cluster.kill(0);
    cluster.kill(1);
    load.wait_for_more(SOME).await;
    wait_until_copied(&client).await;
    audit(&cluster, &load.stop().await).await;
}
