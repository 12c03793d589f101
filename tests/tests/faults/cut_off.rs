//! Members that hear nobody: they store nothing, start nothing and answer nothing.

use std::time::Duration;

use ringhold_client::{Client, ErrorCode, HandlerTask, RetrieveError};
use ringhold_types::TaskId;

use super::cluster::{TestCluster, key_led_by, wait_until, wait_until_safe};
use super::ledger::{Load, Work, audit, runs_file};
use super::recorder::writes_its_run;

const CONFIG: &str = r#"
[durable-executor.work]
partition-count = 4
durability = 1
allowed-binaries = ["sh"]
"#;
const PARTITIONS: ringhold_types::PartitionCount =
    ringhold_types::PartitionCount::new(4).expect("within range");

/// How long a client of the cut-off member waits: longer than a lease.
const PATIENCE: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_hears_nobody_stores_starts_and_answers_nothing() {
    let cluster = TestCluster::start(3, CONFIG).await;
    let client = cluster.client().await;
    let runs = runs_file(cluster.directory());
    let load = Load::of(&cluster, "work", Work::Ledger(runs.clone())).await;
    load.wait_for_more(50).await;
    wait_until_safe(&client).await;
    let ledger = load.stop().await;
    audit(&cluster, &ledger).await;
    let key = key_led_by(&client, "m1", PARTITIONS).await;
    let echo = client
        .executor("work")
        .submit_to_key_owner(key.clone(), HandlerTask::new("ringhold.echo", "1"));
    let known = echo.await.expect("the cluster is whole").id().clone();
    client.retrieve_result(&known).await.expect("an outcome");

    let alone = cluster.client_of(0).await;
    cluster.freeze(1);
    cluster.freeze(2);
    answers_no_more(&alone, &known).await;
    let late = cluster.directory().join("late");
    let task = writes_its_run(&late);
    let submit = alone.executor("work").submit(task.clone());
    let refused = submit
        .key(key.clone())
        .idempotency_key("late")
        .deadline(PATIENCE);
    let refused = refused.await.expect_err("nobody else holds it");
    let code = refused.code();
    let says_so = [
        ErrorCode::Indeterminate,
        ErrorCode::Unavailable,
        ErrorCode::NotEnoughCopies,
    ];
    assert!(says_so.contains(&code), "{refused}");
    assert!(!late.exists(), "it ran before it was stored");

    cluster.thaw(1);
    cluster.thaw(2);
    wait_until_safe(&client).await;
    let submit = client.executor("work").submit(task).key(key);
    let stored = submit
        .idempotency_key("late")
        .await
        .expect("the cluster is whole");
    stored.await.expect("an outcome");
    audit(&cluster, &ledger).await;
}

/// Within its lease it may still answer; from then on it does not, even what it knows.
async fn answers_no_more(alone: &Client, known: &TaskId) {
    wait_until("the lease has run out", async || {
        let read = alone.retrieve_result(known).deadline(PATIENCE).await;
        matches!(read, Err(RetrieveError::Unavailable { .. }))
    })
    .await;
    for _ in 0..3 {
        let read = alone.retrieve_result(known).deadline(PATIENCE).await;
        let refused = read.expect_err("its lease has run out");
        assert_eq!(refused.code(), ErrorCode::Unavailable);
    }
}

/// Shorter than it takes until a silent primary is replaced.
const UNANSWERED: Duration = Duration::from_millis(400);

#[tokio::test(flavor = "multi_thread")]
async fn a_submit_that_its_primary_never_answered_is_indeterminate_and_its_key_tells() {
    let cluster = TestCluster::start(3, CONFIG).await;
    let client = cluster.client_of(0).await;
    let executor = client.executor("work");
    let key = key_led_by(&client, "m1", PARTITIONS).await;
    let submit = |text: &'static str| {
        let task = HandlerTask::new("ringhold.echo", text);
        executor.submit(task).key(key.clone())
    };
    submit("before").await.expect("the cluster is whole");
    cluster.freeze(0);
    let unanswered = submit("unanswered")
        .idempotency_key("unanswered")
        .deadline(UNANSWERED);
    let doubt = unanswered.await.expect_err("nobody answered");
    assert_eq!(doubt.code(), ErrorCode::Indeterminate, "{doubt}");
    cluster.thaw(0);
    let again = || submit("unanswered").idempotency_key("unanswered");
    let first = again().await.expect("it is stored now");
    let second = again().await.expect("it is stored");
    assert_eq!(first.id(), second.id());
    first.await.expect("an outcome");
}
