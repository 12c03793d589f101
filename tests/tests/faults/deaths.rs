//! Members that die or freeze while tasks flow.

use std::sync::Arc;
use std::time::Duration;

use ringhold_client::{Client, Outcome, PartitionInfo, RetrieveError, Submit};
use ringhold_types::{PartitionCount, TaskId};

use super::cluster::{TestCluster, key_led_by, wait_until, wait_until_copied};
use super::gates::{Gates, attempt_of};
use super::ledger::{
    Load, OUTCOME_PATIENCE, Work, audit, audit_runs, echo, runs_by_task, runs_file,
};
use super::recorder::{Name, Observer, Recorder};

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

/// Reports that primaries refused, on the metrics page.
const REFUSED_REPORTS: &str = r#"ringhold_replica_events_total{event="report_refused"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_was_cut_short_is_run_again() {
    let mut cluster = TestCluster::start(3, CONFIG).await;
    let client = cluster.client().await;
    let recorder = Arc::new(Recorder::default());
    let observer = Observer::new(&client, &recorder);
    submit_first(&observer).await;
    let victim = plain_primary(&cluster, &client).await;
    let key = key_led_by(&client, &cluster.members[victim].name, PARTITIONS).await;
    let gates = Gates::new(cluster.directory(), "cut-short");
    let ids = submit_behind(&observer, &gates, &key, CUT_SHORT).await;
    wait_until("they run", async || gates.begun(1) == CUT_SHORT).await;
    cluster.kill(victim);
    wait_until("they run again", async || gates.begun(2) == CUT_SHORT).await;
    gates.open(1);
    gates.open(2);
    for id in &ids {
        let ended = observer.retrieve(id, OUTCOME_PATIENCE).await;
        let ended = ended.expect("an outcome");
        assert!(matches!(ended.outcome, Outcome::Succeeded(_)), "{ended:?}");
        assert_eq!(ended.attempts, 2);
    }
    audit_runs(&cluster, &recorder, &ids, &gates).await;
}

/// Has all partitions made, so that their primaries are known.
async fn submit_first(observer: &Observer) {
    let name = observer.unused_name();
    let stored = observer.submit("work", echo(0), Name::Drawn(&name), 0);
    let id = stored.await.expect("the cluster is whole").id;
    let read = observer.retrieve(&id, OUTCOME_PATIENCE).await;
    read.expect("an outcome");
}

/// Submits tasks that wait at `gates` to the partition of a key.
async fn submit_behind(observer: &Observer, gates: &Gates, key: &str, count: usize) -> Vec<TaskId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let name = observer.unused_name();
        let to_key = |submit: Submit<_>| submit.key(key.to_owned());
        let stored = observer.submit_as("work", gates.task(), Name::Drawn(&name), 0, to_key);
        ids.push(stored.await.expect("it is stored").id);
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_comes_after_a_newer_attempt_is_refused_and_counted() {
    let cluster = TestCluster::start(3, CONFIG).await;
    let client = cluster.client().await;
    let recorder = Arc::new(Recorder::default());
    let observer = Observer::new(&client, &recorder);
    submit_first(&observer).await;
    let victim = plain_primary(&cluster, &client).await;
    let key = key_led_by(&client, &cluster.members[victim].name, PARTITIONS).await;
    let (ending, running) = (
        Gates::new(cluster.directory(), "ending"),
        Gates::new(cluster.directory(), "running"),
    );
    let mut ended = submit_behind(&observer, &ending, &key, CUT_SHORT).await;
    let still_running = submit_behind(&observer, &running, &key, CUT_SHORT).await;
    let begun = |attempt| ending.begun(attempt) + running.begun(attempt);
    wait_until("they run", async || begun(1) == 2 * CUT_SHORT).await;
    assert_eq!(cluster.sum_of_metric(REFUSED_REPORTS), 0);
    // Its programs are processes of their own and go on; their reports wait until it wakes.
    cluster.freeze(victim);
    wait_until("they run again", async || begun(2) == 2 * CUT_SHORT).await;
    ending.open(2);
    for id in &ended {
        let read = observer.retrieve(id, OUTCOME_PATIENCE).await;
        assert_eq!(read.expect("an outcome").attempts, 2);
    }
    for gates in [&ending, &running] {
        gates.open(1);
        wait_until("the first attempts end", async || gates.ran(1) == CUT_SHORT).await;
    }
    cluster.thaw(victim);
    wait_until("every report is refused and counted", async || {
        cluster.sum_of_metric(REFUSED_REPORTS) >= 2 * CUT_SHORT as u64
    })
    .await;
    for id in &still_running {
        let read = observer.look(id).await;
        let pending = read.expect_err("its newest attempt has not ended");
        assert!(matches!(pending, RetrieveError::NotYet { .. }), "{pending}");
    }
    running.open(2);
    recorder.read_runs(ending.runs());
    audit_runs(&cluster, &recorder, &still_running, &running).await;
    ended.extend(still_running);
    audit_runs(&cluster, &recorder, &ended, &running).await;
    for id in &ended {
        let read = observer.retrieve(id, OUTCOME_PATIENCE).await;
        let outcome = read.expect("an outcome").outcome;
        let Outcome::Succeeded(result) = outcome else {
            panic!("{id} ended as {outcome:?}");
        };
        let line = String::from_utf8_lossy(&result.payload).into_owned();
        let token = line.split(' ').nth(1).unwrap_or_default();
        assert_eq!(attempt_of(token), 2, "{id} has another's {line}");
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
