//! Members and clusters that come back.

use super::cluster::{TestCluster, wait_until_safe};
use super::ledger::{Load, audit};

/// Three members, two copies of everything on disk.
const CONFIG: &str = r#"
[durable-executor.work]
partition-count = 16
durability = 1
"#;

/// Tasks that must flow before and after a fault.
const SOME: u64 = 300;

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_killed_as_a_whole_has_everything_after_its_restart() {
    let mut cluster = TestCluster::start(3, CONFIG).await;
    let load = Load::start(&cluster, "work").await;
    load.wait_for_more(SOME).await;
    for index in 0..3 {
        cluster.kill(index);
    }
    for index in 0..3 {
        cluster.spawn(index);
    }
    for index in 0..3 {
        cluster.wait_until_ready(index).await;
    }
    load.wait_for_more(SOME).await;
    audit(&cluster, &load.stop().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_member_comes_back_and_the_next_death_loses_nothing() {
    let mut cluster = TestCluster::start(3, CONFIG).await;
    let client = cluster.client().await;
    let load = Load::start(&cluster, "work").await;
    load.wait_for_more(SOME).await;
    cluster.kill(0);
    load.wait_for_more(SOME).await;
    cluster.spawn(0);
    cluster.wait_until_ready(0).await;
    wait_until_safe(&client).await;
    cluster.kill(1);
    load.wait_for_more(SOME).await;
    audit(&cluster, &load.stop().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_with_an_emptied_directory_starts_over_and_nothing_is_lost() {
    let mut cluster = TestCluster::start(3, CONFIG).await;
    let client = cluster.client().await;
    let load = Load::start(&cluster, "work").await;
    load.wait_for_more(SOME).await;
    cluster.kill(2);
    cluster.empty_directory(2);
    // At once, long before its death is judged: it waits for that.
    cluster.spawn(2);
    cluster.wait_until_ready(2).await;
    wait_until_safe(&client).await;
    load.wait_for_more(SOME).await;
    audit(&cluster, &load.stop().await).await;
}
