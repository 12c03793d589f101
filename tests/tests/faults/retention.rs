//! How long tasks, outcomes and keys stay, and what they cost as long as they do (guarantees G6, G8, G11).

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringhold_client::{ErrorCode, GoneReason, RetrieveError, SubmitError};
use ringhold_history::{Expectation, KeyWindow, check_with_window};
use ringhold_types::{Receipt, TaskId};
use tokio::task::JoinSet;

use super::cluster::{TestCluster, wait_until};
use super::ledger::{OUTCOME_PATIENCE, audit_ids, check_all, echo};
use super::recorder::{Name, Observer, Recorder};

const CONFIG: &str = r#"
[durable-executor.keyed]
partition-count = 1
durability = 1
dedup-window = "5s"

[durable-executor.small]
partition-count = 1
durability = 1
capacity = 4

[durable-executor.brief]
partition-count = 1
durability = 1
result-ttl = "2s"
"#;

/// As in [`CONFIG`].
const WINDOW: Duration = Duration::from_secs(5);
const CAPACITY: u64 = 4;
const RESULT_TTL: Duration = Duration::from_secs(2);

/// Stores a task and waits for its outcome without reading it as its caller would.
async fn ended(observer: &Observer, executor: &str, number: u64) -> TaskId {
    let name = observer.unused_name();
    let stored = observer.submit(executor, echo(number), Name::Drawn(&name), number);
    let id = stored.await.expect("there is room").id;
    wait_until("it has ended", async || {
        let info = observer.get(&id).await;
        info.is_some_and(|info| info.outcome.is_some())
    })
    .await;
    id
}

/// One recorded client for each member.
async fn one_of_each(cluster: &TestCluster, recorder: &Arc<Recorder>) -> Vec<Observer> {
    let mut observers = Vec::new();
    for index in cluster.alive() {
        observers.push(Observer::new(&cluster.client_of(index).await, recorder));
    }
    observers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_means_its_task_until_its_window_has_ended_and_is_free_then() {
    let cluster = TestCluster::start(3, CONFIG).await;
    let recorder = Arc::new(Recorder::default());
    let observer = Observer::new(&cluster.client().await, &recorder);
    let key = Name::Key("the key");
    let first = observer.submit("keyed", echo(1), key, 1).await;
    let first = first.expect("stored").id;
    let read = observer.retrieve(&first, OUTCOME_PATIENCE).await;
    read.expect("an outcome");
    observer.dispose(&first).await.expect("it has ended");
    // Whether this was in time, the checkers decide by when it was asked.
    let again = observer.submit("keyed", echo(1), key, 1).await;
    let again = again.expect("the key is known");
    assert!(again.reused && again.id == first, "{again:?}");
    let mut second: Option<Receipt> = None;
    wait_until("the key is free", async || {
        match observer.submit("keyed", echo(2), key, 2).await {
            Ok(receipt) => second = Some(receipt),
            Err(error) => assert_eq!(error.code(), ErrorCode::AlreadyExists),
        }
        second.is_some()
    })
    .await;
    let second = second.expect("it was stored");
    assert!(!second.reused && second.id != first, "{second:?}");
    for asked in one_of_each(&cluster, &recorder).await {
        let read = asked.retrieve(&second.id, OUTCOME_PATIENCE).await;
        read.expect("an outcome");
        let gone = asked.look(&first).await.expect_err("it was disposed");
        assert_eq!(gone.code(), ErrorCode::Disposed);
    }
    let expectation = Expectation {
        losses: false,
        audited: true,
    };
    let window = KeyWindow(WINDOW.as_nanos().try_into().expect("seconds"));
    let report = check_with_window(&recorder.events(), expectation, window);
    assert_eq!(report.breaches, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_outcomes_that_were_read_are_overwritten_and_from_every_member() {
    let cluster = TestCluster::start(3, CONFIG).await;
    let recorder = Arc::new(Recorder::default());
    let observer = Observer::new(&cluster.client().await, &recorder);
    let mut ids = Vec::new();
    for number in 0..CAPACITY {
        ids.push(ended(&observer, "small", number).await);
    }
    let submit = |name| {
        let at_once = |submit: ringhold_client::Submit<_>| submit.fail_when_full();
        observer.submit_as("small", echo(CAPACITY), name, CAPACITY, at_once)
    };
    let refused = submit(Name::Drawn("too many")).await;
    let refused = refused.expect_err("nobody has read any of them");
    assert!(matches!(refused, SubmitError::Full { .. }), "{refused}");
    let oldest = ids.remove(1);
    let read = observer.retrieve(&oldest, OUTCOME_PATIENCE).await;
    read.expect("an outcome");
    let mut stored = None;
    wait_until("its place is taken", async || {
        stored = submit(Name::Key("one more")).await.ok();
        stored.is_some()
    })
    .await;
    ids.extend(stored.map(|receipt| receipt.id));
    for asked in one_of_each(&cluster, &recorder).await {
        let gone = asked.look(&oldest).await.expect_err("it was overwritten");
        let overwritten = GoneReason::Overwritten;
        assert_eq!(
            gone,
            RetrieveError::Gone {
                reason: overwritten
            }
        );
    }
    audit_ids(&cluster, &recorder, &ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_stays_for_its_time_and_is_said_to_have_expired_by_every_member() {
    let cluster = TestCluster::start(3, CONFIG).await;
    let recorder = Arc::new(Recorder::default());
    let observer = Observer::new(&cluster.client().await, &recorder);
    let submitted = Instant::now();
    let id = ended(&observer, "brief", 1).await;
    let expired = RetrieveError::Gone {
        reason: GoneReason::Expired,
    };
    wait_until("it expires", async || {
        observer
            .look(&id)
            .await
            .is_err_and(|error| error == expired)
    })
    .await;
    // It ended after it was submitted; ten per cent are left to clocks.
    assert!(submitted.elapsed() >= RESULT_TTL / 10 * 9, "too early");
    for asked in one_of_each(&cluster, &recorder).await {
        let gone = asked.look(&id).await.expect_err("it has expired");
        assert_eq!(gone, expired);
    }
    check_all(&recorder.events());
}

/// Places for 271 million tasks, which would take gigabytes if each place took a word.
const WIDE: &str = r#"
[durable-executor.wide]
durability = 0
capacity = 1_000_000
"#;
/// Tasks that come and go: enough that every partition has some.
const LIVE: u64 = 2_500;
const WIDE_PARTITIONS: u64 = 271;
/// A byte for each place, which is more than the whole member may take.
const A_BYTE_FOR_EACH_PLACE: u64 = WIDE_PARTITIONS * 1_000_000;
/// What a member counts its tasks by.
const RING_BYTES: &str = "ringhold_ring_bytes";

#[tokio::test(flavor = "multi_thread")]
async fn memory_goes_with_the_tasks_that_live_and_not_with_the_places_for_them() {
    let cluster = TestCluster::start(1, WIDE).await;
    let client = cluster.client().await;
    let recorder = Arc::new(Recorder::default());
    let observer = Observer::new(&client, &recorder);
    assert_eq!(cluster.metric(0, RING_BYTES), 0);
    let ids = submit_many(&observer).await;
    let status = client.cluster().status().await;
    let in_use = status.expect("the cluster answers").partitions_in_use;
    assert_eq!(in_use, WIDE_PARTITIONS);
    audit_ids(&cluster, &recorder, &ids).await;
    let live = cluster.metric(0, RING_BYTES);
    assert!(live >= LIVE, "{live} bytes for {LIVE} tasks");
    let resident = cluster.resident_bytes(0);
    assert!(resident < A_BYTE_FOR_EACH_PLACE, "{resident} bytes");
    let mut disposals = JoinSet::new();
    for id in ids {
        let observer = observer.clone();
        disposals.spawn(async move { observer.dispose(&id).await.expect("it has ended") });
    }
    disposals.join_all().await;
    wait_until("what does not live takes nothing", async || {
        cluster.metric(0, RING_BYTES) == 0
    })
    .await;
    check_all(&recorder.events());
}

/// Stores the tasks, each under a key of its own, so that they come to all partitions.
async fn submit_many(observer: &Observer) -> Vec<TaskId> {
    let mut submits = JoinSet::new();
    for number in 0..LIVE {
        let observer = observer.clone();
        submits.spawn(async move {
            let name = format!("live-{number}");
            let stored = observer.submit("wide", echo(number), Name::Key(&name), number);
            stored.await.expect("there is room").id
        });
    }
    submits.join_all().await
}
