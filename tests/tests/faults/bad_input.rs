//! Requests that cannot be granted: each is refused by name and with what to do, and nothing of it is stored.

use std::sync::Arc;
use std::time::Duration;

use ringhold_client::{Client, ErrorCode, HandlerTask, RetrieveError, Submit, SubmitError};
use ringhold_types::Receipt;
use ringhold_types::limits::TASK_BYTES_MAX;

use super::cluster::{Refusal, TestCluster};
use super::ledger::{Load, OUTCOME_PATIENCE, audit};
use super::recorder::{Name, Observer, Recorder};

const CONFIG: &str = r#"
[durable-executor.work]
partition-count = 16
durability = 1

[durable-executor.narrow]
partition-count = 1
capacity = 4
durability = 1
"#;

fn echo(text: &str) -> HandlerTask {
    HandlerTask::new("ringhold.echo", text.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused_by_name_and_the_cluster_goes_on() {
    let cluster = TestCluster::start(3, CONFIG).await;
    let client = cluster.client().await;
    let load = Load::start(&cluster, "work").await;
    let observer = Observer::new(&client, load.recorder());
    load.wait_for_more(50).await;
    an_oversized_task_is_too_large(&cluster, &client, &observer).await;
    a_full_ring_refuses_until_there_is_room(&cluster, &client, &observer).await;
    an_unknown_id_never_existed(&cluster, load.recorder(), &observer).await;
    an_unknown_executor_is_named_with_the_nearest(&cluster, &observer).await;
    a_key_means_one_task(&cluster, load.recorder(), &observer).await;
    more_copies_than_members_are_refused(&cluster, &client).await;
    load.wait_for_more(50).await;
    audit(&cluster, &load.stop().await).await;
}

/// How many tasks an executor holds.
async fn stored(client: &Client, executor: &str) -> usize {
    let filter = ringhold_client::ListFilter {
        executor: Some(executor.to_owned()),
        ..ringhold_client::ListFilter::default()
    };
    let page = client.list(&filter, None).await.expect("a page");
    assert!(page.unavailable.is_empty() && page.next_page.is_none());
    page.tasks.len()
}

async fn an_oversized_task_is_too_large(
    cluster: &TestCluster,
    client: &Client,
    observer: &Observer,
) {
    let before = stored(client, "narrow").await;
    let task = HandlerTask::new("ringhold.echo", vec![b'1'; TASK_BYTES_MAX + 1]);
    let name = Name::Drawn("oversized");
    let refused = observer.submit("narrow", task, name, 0).await;
    let refused = refused.expect_err("it is larger than allowed");
    assert_eq!(refused.code(), ErrorCode::TooLarge);
    let says = refused.to_string();
    assert!(says.contains(&TASK_BYTES_MAX.to_string()), "{says}");
    assert_eq!(stored(client, "narrow").await, before);
    let file = cluster.directory().join("large");
    std::fs::write(&file, vec![b'1'; TASK_BYTES_MAX + 1]).expect("a writable directory");
    let input = format!("@{}", file.display());
    let arguments = ["task", "submit", "--executor", "narrow"];
    let arguments = [
        &arguments[..],
        &["--handler", "ringhold.echo", "--input", &input],
    ]
    .concat();
    let refusal = Refusal::of(&cluster.ringhold(0, &arguments));
    refusal.assert_named(ErrorCode::TooLarge, "pass large data by reference");
    assert_eq!(stored(client, "narrow").await, before);
}

/// Submits to the narrow executor, without waiting for room.
async fn submit_narrow(
    observer: &Observer,
    name: &str,
    number: u64,
) -> Result<Receipt, SubmitError> {
    let (name, text) = (Name::Drawn(name), number.to_string());
    let at_once = |submit: Submit<_>| submit.fail_when_full();
    let submit = observer.submit_as("narrow", echo(&text), name, number, at_once);
    submit.await
}

async fn a_full_ring_refuses_until_there_is_room(
    cluster: &TestCluster,
    client: &Client,
    observer: &Observer,
) {
    let mut ids = Vec::new();
    for number in 0..4 {
        let stored = submit_narrow(observer, &format!("narrow-{number}"), number).await;
        ids.push(stored.expect("there is room").id);
    }
    // Outcomes that nobody has read are kept, so the ring is full also when all four have ended.
    let refused = submit_narrow(observer, "narrow-refused", 4).await;
    let refused = refused.expect_err("the ring is full");
    assert!(
        matches!(
            refused,
            SubmitError::Full {
                retry_after: Some(_),
                ..
            }
        ),
        "{refused}"
    );
    assert_eq!(refused.code(), ErrorCode::ExecutorFull);
    assert_eq!(stored(client, "narrow").await, 4);
    for (number, id) in ids.iter().enumerate() {
        let read = observer.retrieve(id, OUTCOME_PATIENCE).await;
        let read = read.expect("nothing was lost");
        let text = read.read(|result| Ok(result.payload.to_vec()));
        assert_eq!(text.expect("it succeeded"), number.to_string().as_bytes());
    }
    let id = ids[0].to_string();
    let disposed = cluster.ringhold(0, &["task", "dispose", &id]);
    assert!(disposed.status.success(), "{disposed:?}");
    let again = submit_narrow(observer, "narrow-4", 4).await;
    let id = again.expect("one place is free again").id;
    let read = observer.retrieve(&id, OUTCOME_PATIENCE).await;
    read.expect("an outcome");
}

async fn an_unknown_id_never_existed(
    cluster: &TestCluster,
    recorder: &Arc<Recorder>,
    observer: &Observer,
) {
    let id = "narrow/0/4242".parse().expect("an id");
    for index in cluster.alive() {
        let asked = Observer::new(&cluster.client_of(index).await, recorder);
        let unknown = asked.retrieve(&id, OUTCOME_PATIENCE).await;
        assert_eq!(
            unknown.expect_err("no such task"),
            RetrieveError::NeverExisted
        );
    }
    let refusal = Refusal::of(&cluster.ringhold(0, &["task", "result", "narrow/0/4242"]));
    refusal.assert_named(ErrorCode::NeverExisted, "check the id");
    let refused = observer.dispose(&id).await.expect_err("no such task");
    assert_eq!(refused.code, ErrorCode::NeverExisted);
}

async fn an_unknown_executor_is_named_with_the_nearest(cluster: &TestCluster, observer: &Observer) {
    let name = Name::Drawn("wrong executor");
    let refused = observer.submit("wrok", echo("1"), name, 1).await;
    let refused = refused.expect_err("no configuration creates it");
    assert_eq!(refused.code(), ErrorCode::ExecutorNotFound);
    assert!(
        refused.to_string().contains("did you mean work?"),
        "{refused}"
    );
    let arguments = ["task", "submit", "--executor", "wrok", "--", "true"];
    let refusal = Refusal::of(&cluster.ringhold(0, &arguments));
    refusal.assert_named(ErrorCode::ExecutorNotFound, "executor ls");
}

async fn a_key_means_one_task(
    cluster: &TestCluster,
    recorder: &Arc<Recorder>,
    observer: &Observer,
) {
    let key = Name::Key("the key");
    let first = observer.submit("work", echo("one"), key, 1).await;
    let first = first.expect("stored").id;
    for index in cluster.alive() {
        let asked = Observer::new(&cluster.client_of(index).await, recorder);
        let again = asked.submit("work", echo("one"), key, 1).await;
        let again = again.expect("it is there");
        assert!(again.reused && again.id == first);
        let other = asked.submit("work", echo("two"), key, 2).await;
        let other = other.expect_err("the key means another task");
        assert_eq!(other.code(), ErrorCode::AlreadyExists);
    }
    let arguments = [
        "task",
        "submit",
        "--executor",
        "work",
        "--idempotency-key",
        "the key",
    ];
    let arguments = [
        &arguments[..],
        &["--handler", "ringhold.echo", "--input", "two"],
    ]
    .concat();
    let refusal = Refusal::of(&cluster.ringhold(0, &arguments));
    refusal.assert_named(ErrorCode::AlreadyExists, "use another name or key");
    let read = observer.retrieve(&first, OUTCOME_PATIENCE).await;
    let read = read.expect("unchanged");
    let read = read.read(|result| Ok(result.payload.to_vec()));
    assert_eq!(read.expect("it succeeded"), b"one");
}

async fn more_copies_than_members_are_refused(cluster: &TestCluster, client: &Client) {
    let name = "wide".parse().expect("a name");
    let mut config = ringhold_client::ExecutorConfig::with_name(name);
    config.durability = 3;
    let refused = client.cluster().create_executor(&config).await;
    let refused = refused.expect_err("four copies need four members");
    assert_eq!(refused.code, ErrorCode::InvalidConfiguration);
    let says = "start more members or lower durability";
    assert!(refused.message.contains(says), "{refused}");
    let known = client
        .cluster()
        .executors()
        .await
        .expect("the cluster answers");
    assert!(
        known.iter().all(|it| it.config.name != config.name),
        "half made"
    );
    let submit = client.executor("wide").submit(echo("1"));
    let refused = submit.deadline(Duration::from_secs(5)).await;
    assert_eq!(
        refused.expect_err("it is not there").code(),
        ErrorCode::ExecutorNotFound
    );
    let status = cluster.ringhold(0, &["cluster", "status"]);
    assert!(status.status.success(), "{status:?}");
}
