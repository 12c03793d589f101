//! Total loss: what only the dead held is said to be lost, by name, and no id is given twice.

use std::time::Duration;

use ringhold_client::{Client, ErrorCode, HandlerTask, MemberState, RetrieveError, Submit};
use ringhold_history::{Expectation, check};
use ringhold_types::{Sequence, TaskId};

use super::cluster::{Refusal, TestCluster, wait_for_member, wait_until};
use super::recorder::{Name, Observer, Recorder};

const CONFIG: &str = r#"
[durable-executor.volatile]
partition-count = 3
durability = 0
persistence = "memory"

[durable-executor.kept]
partition-count = 3
durability = 1
"#;

/// Tasks of each executor.
const TASKS: u64 = 30;
/// How long an outcome may take.
const PATIENCE: Duration = Duration::from_secs(60);

async fn submit_some(observer: &Observer, executor: &str, round: &str) -> Vec<TaskId> {
    let mut ids = Vec::new();
    for number in 0..TASKS {
        let task = HandlerTask::new("ringhold.echo", number.to_string());
        let name = format!("{executor}-{round}-{number}");
        // Keys spread them over all partitions, the same ones in each round.
        let to_key = |submit: Submit<_>| submit.key(number.to_string());
        let stored = observer
            .submit_as(executor, task, Name::Drawn(&name), number, to_key)
            .await;
        let id = stored.expect("the cluster is whole").id;
        observer.retrieve(&id, PATIENCE).await.expect("an outcome");
        ids.push(id);
    }
    ids
}

/// Partitions of `volatile` that a member leads.
async fn led_by(client: &Client, member: &str) -> Vec<u32> {
    let partitions = client.cluster().partitions("volatile", None).await;
    let partitions = partitions.expect("the cluster answers").into_iter();
    let is_led = |name: Option<String>| name.is_some_and(|name| name == member);
    partitions
        .filter(|it| it.in_use && is_led(it.primary.as_ref().map(|it| it.member_name.clone())))
        .map(|it| it.partition)
        .collect()
}

async fn are_events(cluster: &TestCluster, losses: u64) {
    let event = "ringhold_replica_events_total{event=\"lost\"}";
    let told = async || cluster.sum_of_metric(event) >= losses;
    wait_until("each loss is an event", told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_dead_member_held_is_lost_by_name_and_its_ids_are_never_used_again() {
    let mut cluster = TestCluster::start(3, CONFIG).await;
    let client = cluster.client().await;
    let recorder = std::sync::Arc::new(Recorder::default());
    let observer = Observer::new(&client, &recorder);
    let kept = submit_some(&observer, "kept", "before").await;
    let before = submit_some(&observer, "volatile", "before").await;
    let lost_partitions = led_by(&client, "m1").await;
    assert!(!lost_partitions.is_empty(), "m1 leads its share");

    cluster.kill(0);
    wait_for_member(&client, "m1", "is down", |it| it.state == MemberState::Down).await;
    // Suspicion loses nothing: only the start of a new process proves that the old one's memory is gone.
    let status = client
        .cluster()
        .status()
        .await
        .expect("the cluster answers");
    assert_eq!(status.losses, []);
    cluster.spawn(0);
    cluster.wait_until_ready(0).await;
    let losses = async || {
        let status = client.cluster().status().await;
        status.map_or(0, |status| status.losses.len())
    };
    wait_until("the losses are recorded", async || {
        losses().await == lost_partitions.len()
    })
    .await;
    says_so(&cluster, &lost_partitions);

    let after = submit_some(&observer, "volatile", "after").await;
    assert!(
        after.iter().all(|id| !before.contains(id)),
        "an id was used again"
    );
    continue_in_a_new_generation(&before, &after, &lost_partitions);
    are_events(&cluster, lost_partitions.len() as u64).await;
    for index in cluster.alive() {
        let observer = Observer::new(&cluster.client_of(index).await, &recorder);
        for id in &before {
            let read = observer.retrieve(id, PATIENCE).await;
            if lost_partitions.contains(&id.partition.0) {
                let lost = read.expect_err("its only copy is gone");
                assert!(matches!(lost, RetrieveError::DataLoss { .. }), "{lost}");
            } else {
                read.expect("its member lives");
            }
        }
        for id in kept.iter().chain(&after) {
            observer.retrieve(id, PATIENCE).await.expect("it is kept");
        }
    }
    let lost = before
        .iter()
        .find(|id| lost_partitions.contains(&id.partition.0));
    let id = lost.expect("m1 held some").to_string();
    let refusal = Refusal::of(&cluster.ringhold(1, &["task", "result", &id]));
    refusal.assert_named(
        ErrorCode::DataLoss,
        "`ringhold cluster status` says when and why",
    );
    let expectation = Expectation {
        losses: true,
        audited: true,
    };
    let report = check(&recorder.events(), expectation);
    assert_eq!(report.breaches, []);
}

/// What is stored after a loss has ids above all of the lost ones, and says by its generation that there was a loss.
fn continue_in_a_new_generation(before: &[TaskId], after: &[TaskId], lost: &[u32]) {
    let of = |ids: &[TaskId], partition| -> Vec<Sequence> {
        let ids = ids.iter().filter(|id| id.partition.0 == partition);
        ids.map(|id| id.sequence).collect()
    };
    for partition in lost {
        let (before, after) = (of(before, *partition), of(after, *partition));
        let last = before.iter().max().expect("keys of all partitions");
        let next = after.iter().min().expect("keys of all partitions");
        assert!(next > last, "{next:?} comes after {last:?}");
        assert!(next.generation() > last.generation(), "{next:?}");
    }
}

/// `cluster status` and the metrics page of every member.
fn says_so(cluster: &TestCluster, lost: &[u32]) {
    let shown = cluster.ringhold(1, &["cluster", "status"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    for partition in lost {
        assert!(
            shown.contains(&format!("volatile/{partition} generation")),
            "{shown}"
        );
    }
    for index in cluster.alive() {
        let page = cluster.metrics(index);
        let line = format!("ringhold_partition_losses {}\n", lost.len());
        assert!(page.contains(&line), "{page}");
    }
}
