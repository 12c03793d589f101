//! Members that die or freeze while tasks flow.

use std::path::Path;
use std::time::Duration;

use ringhold_client::{Client, HandlerTask, Outcome, PartitionInfo, ProcessTask};
use ringhold_types::PartitionCount;

use super::cluster::{TestCluster, key_led_by, wait_until, wait_until_copied};
use super::ledger::{Load, Work, audit, runs_by_task, runs_file};

/// Three members, two copies of everything on disk.
const CONFIG: &str = r#"
[durable-executor.work]
partition-count = 16
durability = 1
allowed-binaries = ["sh"]

[durable-executor.narrow]
partition-count = 1
durability = 1
"#;

/// As in [`CONFIG`].
const PARTITIONS: PartitionCount = PartitionCount::new(16).expect("within range");

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
    let load = Load::start(&cluster, "work").await;
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
    let load = Load::start(&cluster, "work").await;
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
    let load = Load::start(&cluster, "work").await;
    load.wait_for_more(SOME).await;
    let victim = plain_primary(&cluster, &client).await;
    cluster.freeze(victim);
    tokio::time::sleep(Duration::from_secs(10)).await;
    cluster.thaw(victim);
    load.wait_for_more(SOME).await;
    audit(&cluster, &load.stop().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_a_backup_is_killed() {
    let mut cluster = TestCluster::start(3, CONFIG).await;
    let client = cluster.client().await;
    let load = Load::start(&cluster, "narrow").await;
    load.wait_for_more(SOME).await;
    let before = only_partition(&client).await;
    let primary = before.primary.expect("a primary").member_name;
    let backup = before.in_sync.iter().find(|it| it.member_name != primary);
    cluster.kill(cluster.index_of(&backup.expect("a backup").member_name));
    load.wait_for_more(SOME).await;
    let after = only_partition(&client).await;
    assert_eq!(after.primary.expect("a primary").member_name, primary);
    wait_until_copied(&client).await;
    audit(&cluster, &load.stop().await).await;
}

/// The partition of the executor that has one.
async fn only_partition(client: &Client) -> PartitionInfo {
    let partitions = client.cluster().partitions("narrow", None).await;
    let mut partitions = partitions.expect("the cluster answers");
    assert_eq!(partitions.len(), 1);
    partitions.remove(0)
}

/// Tasks whose runs are cut short.
const CUT_SHORT: usize = 4;

/// A program that appends a line to `runs`, and ends once `gate` exists.
fn waits_for_gate(runs: &Path, gate: &Path) -> ProcessTask {
    let script = r#"echo "$RINGHOLD_TASK_ID" >> "$0"; until [ -e "$1" ]; do sleep 0.05; done"#;
    ProcessTask::new("sh")
        .arg("-c")
        .arg(script)
        .arg(runs)
        .arg(gate)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_was_cut_short_is_run_again() {
    let mut cluster = TestCluster::start(3, CONFIG).await;
    let client = cluster.client().await;
    let executor = client.executor("work");
    executor
        .submit(HandlerTask::new("ringhold.echo", "first"))
        .await
        .expect("the cluster is whole");
    let (runs, gate) = (
        runs_file(cluster.directory()),
        cluster.directory().join("gate"),
    );
    let begun = || std::fs::read_to_string(&runs).map_or(0, |text| text.lines().count());
    let victim = plain_primary(&cluster, &client).await;
    let name = format!("m{}", victim + 1);
    let key = key_led_by(&client, &name, PARTITIONS).await;
    let mut handles = Vec::new();
    for _ in 0..CUT_SHORT {
        let submit = executor.submit(waits_for_gate(&runs, &gate));
        handles.push(submit.key(key.clone()).await.expect("it is stored"));
    }
    wait_until("they run", async || begun() == CUT_SHORT).await;
    cluster.kill(victim);
    wait_until("they run again", async || begun() == 2 * CUT_SHORT).await;
    std::fs::write(&gate, "").expect("the directory is writable");
    for handle in handles {
        let ended = client.retrieve_result(handle.id()).await;
        let ended = ended.expect("an outcome");
        assert!(matches!(ended.outcome, Outcome::Succeeded(_)), "{ended:?}");
        assert_eq!(ended.attempts, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_outcome_is_that_of_a_run_also_when_runs_are_cut_short() {
    let mut cluster = TestCluster::start(3, CONFIG).await;
    let client = cluster.client().await;
    let work = Work::Ledger(runs_file(cluster.directory()));
    let load = Load::of(&cluster, "work", work).await;
    load.wait_for_more(SOME).await;
    let victim = plain_primary(&cluster, &client).await;
    cluster.kill(victim);
    load.wait_for_more(SOME).await;
    let ledger = load.stop().await;
    let report = audit(&cluster, &ledger).await;
    let runs = runs_by_task(&ledger.recorder);
    assert!(report.runs >= ledger.tasks.len());
    for id in ledger.tasks.keys() {
        assert!(
            runs.contains_key(&id.to_string()),
            "{id} ended and never ran"
        );
    }
}
