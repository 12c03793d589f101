//! Members that die or freeze while tasks flow.

use std::time::Duration;

use ringhold_client::Client;

use super::cluster::TestCluster;
use super::ledger::{Load, audit};

/// Three members, two copies of everything on disk.
const CONFIG: &str = r#"
[durable-executor.work]
partition-count = 16
durability = 1
"#;

/// Tasks that must flow before and after a fault, so that it falls into the middle of something.
const SOME: u64 = 300;

/// The member that leads the control plane.
async fn control_leader(cluster: &TestCluster, client: &Client) -> usize {
    let members = client
        .cluster()
        .members()
        .await
        .expect("the cluster answers");
    let leader = members
        .into_iter()
        .find(|member| member.control_leader)
        .expect("a leader");
    cluster.index_of(&leader.name)
}

/// A member that leads partitions and does not lead the control plane.
async fn plain_primary(cluster: &TestCluster, client: &Client) -> usize {
    let members = client
        .cluster()
        .members()
        .await
        .expect("the cluster answers");
    let plain = members
        .into_iter()
        .find(|member| !member.control_leader && member.primaries > 0);
    cluster.index_of(&plain.expect("a primary beside the leader").name)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_a_primary_is_killed() {
    let mut cluster = TestCluster::start(3, CONFIG).await;
    let client = cluster.client().await;
    let load = Load::start(&client, "work");
    load.wait_for_more(SOME).await;
    let victim = plain_primary(&cluster, &client).await;
    cluster.kill(victim);
    load.wait_for_more(SOME).await;
    audit(&cluster, &load.stop().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_raft_leader_is_killed() {
    let mut cluster = TestCluster::start(3, CONFIG).await;
    let client = cluster.client().await;
    let load = Load::start(&client, "work");
    load.wait_for_more(SOME).await;
    let victim = control_leader(&cluster, &client).await;
    cluster.kill(victim);
    load.wait_for_more(SOME).await;
    audit(&cluster, &load.stop().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_frozen_for_ten_seconds_does_no_harm_when_it_wakes() {
    let cluster = TestCluster::start(3, CONFIG).await;
    let client = cluster.client().await;
    let load = Load::start(&client, "work");
    load.wait_for_more(SOME).await;
    let victim = plain_primary(&cluster, &client).await;
    cluster.freeze(victim);
    tokio::time::sleep(Duration::from_secs(10)).await;
    cluster.thaw(victim);
    load.wait_for_more(SOME).await;
    audit(&cluster, &load.stop().await).await;
}
