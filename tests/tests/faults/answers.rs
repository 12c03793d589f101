//! Each way in which an id can have no outcome has its own answer (guarantee G9).

use ringhold_client::{Client, ErrorCode, GoneReason, HandlerTask, ListFilter, RetrieveError};
use ringhold_types::TaskId;
use tokio::task::JoinSet;

use super::cluster::{Refusal, TestCluster, wait_until};
use super::ledger::{OUTCOME_PATIENCE, check_all};
use super::recorder::{Name, Observer, Recorder};

const CONFIG: &str = r#"
[durable-executor.plain]
partition-count = 1
durability = 0

[durable-executor.overwriting]
partition-count = 1
durability = 0
capacity = 2
when-full = "overwrite"

[durable-executor.short]
partition-count = 1
durability = 0
result-ttl = "1s"

[durable-executor.busy]
partition-count = 1
durability = 0
persistence = "memory"
pool-size = 256
"#;

/// Ended tasks whose fate a partition remembers: 4 × 10 000 (docs/protocol.md §4).
const HISTORY: u64 = 40_000;
/// Submits under way at once.
const AT_ONCE: usize = 256;

/// Stores a task and waits for its outcome.
async fn run(observer: &Observer, executor: &str) -> TaskId {
    let name = observer.unused_name();
    let task = HandlerTask::new("ringhold.echo", "1");
    let stored = observer.submit(executor, task, Name::Drawn(&name), 1).await;
    let id = stored.expect("there is room").id;
    observer
        .retrieve(&id, OUTCOME_PATIENCE)
        .await
        .expect("an outcome");
    id
}

async fn answer(observer: &Observer, id: &TaskId) -> Option<RetrieveError> {
    observer.look(id).await.err()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_absence_has_its_own_answer() {
    let mut cluster = TestCluster::start(1, CONFIG).await;
    let client = cluster.client().await;
    let recorder = std::sync::Arc::new(Recorder::default());
    let observer = Observer::new(&client, &recorder);
    let gone = |reason| Some(RetrieveError::Gone { reason });

    let first = run(&observer, "plain").await;
    let mut never = run(&observer, "plain").await;
    never.sequence = never.sequence.next().expect("there are more");
    assert_eq!(
        answer(&observer, &never).await,
        Some(RetrieveError::NeverExisted)
    );

    observer.dispose(&first).await.expect("it has ended");
    assert_eq!(answer(&observer, &first).await, gone(GoneReason::Disposed));
    let taken = run(&observer, "plain").await;
    observer.take(&taken).await.expect("an outcome");
    assert_eq!(answer(&observer, &taken).await, gone(GoneReason::Disposed));

    let overwritten = run(&observer, "overwriting").await;
    for _ in 0..2 {
        run(&observer, "overwriting").await;
    }
    assert_eq!(
        answer(&observer, &overwritten).await,
        gone(GoneReason::Overwritten)
    );

    let expiring = run(&observer, "short").await;
    wait_until("the outcome expires", async || {
        answer(&observer, &expiring).await == gone(GoneReason::Expired)
    })
    .await;

    let old = run(&observer, "busy").await;
    observer.dispose(&old).await.expect("it has ended");
    run_many(&client, HISTORY).await;
    assert_eq!(answer(&observer, &old).await, gone(GoneReason::Forgotten));
    check_all(&recorder.events());
    of_another_cluster(&mut cluster, &client, &taken).await;
}

/// Runs tasks that dispose themselves.
async fn run_many(client: &Client, count: u64) {
    let mut submits = JoinSet::new();
    for _ in 0..count {
        let task = HandlerTask::new("ringhold.echo", "1");
        let submit = client.executor("busy").execute(task);
        submits.spawn(async move { submit.await.expect("there is room") });
        if submits.len() >= AT_ONCE {
            let _receipt = submits.join_next().await;
        }
    }
    let _receipts = submits.join_all().await;
    let ended = async || {
        let filter = ListFilter {
            executor: Some("busy".to_owned()),
            ..ListFilter::default()
        };
        let page = client.list(&filter, None).await;
        page.is_ok_and(|page| page.tasks.is_empty() && page.unavailable.is_empty())
    };
    wait_until("all have ended", ended).await;
}

/// A cluster that was set up anew at the same addresses: ids of the former one are not its own.
async fn of_another_cluster(cluster: &mut TestCluster, client: &Client, id: &TaskId) {
    cluster.kill(0);
    cluster.empty_directory(0);
    cluster.spawn(0);
    cluster.wait_until_ready(0).await;
    let task = HandlerTask::new("ringhold.echo", "1");
    let anew = cluster.client().await.executor("plain").submit(task).await;
    anew.expect("stored").await.expect("an outcome");
    let foreign = client.retrieve_result(id).await;
    let foreign = foreign.expect_err("the id belongs to the former cluster");
    assert!(
        matches!(foreign, RetrieveError::WrongCluster { .. }),
        "{foreign}"
    );
    assert_eq!(foreign.code(), ErrorCode::WrongCluster);
    let task = HandlerTask::new("ringhold.echo", "1");
    let refused = client.executor("plain").submit(task).await;
    assert_eq!(
        refused.expect_err("likewise").code(),
        ErrorCode::WrongCluster
    );
    let found = cluster.client().await.routing_table().cluster.to_string();
    let says = foreign.to_string();
    assert!(
        says.contains(&found) && says.contains("check the address"),
        "{says}"
    );
    // The text form names no cluster: the new one says what it knows of it.
    let refusal = Refusal::of(&cluster.ringhold(0, &["task", "result", "plain/0/77"]));
    refusal.assert_named(ErrorCode::NeverExisted, "check the id");
}
