//! Members that hear nobody: they store nothing, start nothing and answer nothing.

use std::sync::Arc;
use std::time::Duration;

use ringhold_client::{ErrorCode, RetrieveError, Submit};
use ringhold_types::TaskId;

use super::cluster::{TestCluster, key_led_by, wait_until, wait_until_safe};
use super::ledger::{Load, OUTCOME_PATIENCE, Work, audit, audit_ids, echo, runs_file};
use super::recorder::{Name, Observer, Recorder, writes_its_run};

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
/// What is asked of the cut-off member.
const LATE: Name<'_> = Name::Key("late");

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
    let observer = Observer::new(&client, &ledger.recorder);
    let to_key = |submit: Submit<_>| submit.key(key.clone());
    let known = observer.submit_as("work", echo(1), Name::Drawn("known"), 1, to_key);
    let known = known.await.expect("the cluster is whole").id;
    let read = observer.retrieve(&known, OUTCOME_PATIENCE).await;
    read.expect("an outcome");

    let alone = Observer::new(&cluster.client_of(0).await, &ledger.recorder);
    cluster.freeze(1);
    cluster.freeze(2);
    answers_no_more(&alone, &known).await;
    let late = cluster.directory().join("late");
    let task = writes_its_run(&late);
    let to_key_soon = |submit: Submit<_>| submit.key(key.clone()).deadline(PATIENCE);
    let refused = alone.submit_as("work", task.clone(), LATE, 2, to_key_soon);
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
    let to_key = |submit: Submit<_>| submit.key(key.clone());
    let stored = observer.submit_as("work", task, LATE, 2, to_key).await;
    let id = stored.expect("the cluster is whole").id;
    let read = observer.retrieve(&id, OUTCOME_PATIENCE).await;
    read.expect("an outcome");
    ledger.recorder.read_runs(&late);
    audit_ids(&cluster, &ledger.recorder, &[known, id]).await;
    audit(&cluster, &ledger).await;
}

/// Within its lease it may still answer; from then on it does not, even what it knows.
async fn answers_no_more(alone: &Observer, known: &TaskId) {
    wait_until("the lease has run out", async || {
        let read = alone.retrieve(known, PATIENCE).await;
        matches!(read, Err(RetrieveError::Unavailable { .. }))
    })
    .await;
    for _ in 0..3 {
        let read = alone.retrieve(known, PATIENCE).await;
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
    let recorder = Arc::new(Recorder::default());
    let observer = Observer::new(&client, &recorder);
    let key = key_led_by(&client, "m1", PARTITIONS).await;
    let to_key = |submit: Submit<_>| submit.key(key.clone());
    let before = observer.submit_as("work", echo(1), Name::Drawn("before"), 1, to_key);
    let before = before.await.expect("the cluster is whole").id;
    cluster.freeze(0);
    let unanswered = Name::Key("unanswered");
    let to_key_soon = |submit: Submit<_>| submit.key(key.clone()).deadline(UNANSWERED);
    let doubt = observer.submit_as("work", echo(2), unanswered, 2, to_key_soon);
    let doubt = doubt.await.expect_err("nobody answered");
    assert_eq!(doubt.code(), ErrorCode::Indeterminate, "{doubt}");
    cluster.thaw(0);
    let again = || {
        let to_key = |submit: Submit<_>| submit.key(key.clone());
        observer.submit_as("work", echo(2), unanswered, 2, to_key)
    };
    let first = again().await.expect("it is stored now");
    let second = again().await.expect("it is stored");
    assert_eq!(first.id, second.id);
    audit_ids(&cluster, &recorder, &[before, first.id]).await;
}
