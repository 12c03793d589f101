//! A disk without room and a wall clock that jumps.

use std::sync::Arc;
use std::time::Duration;

use ringhold_client::{Client, ErrorCode, HandlerTask, Submit};
use ringhold_proto::{ApiError, v1};
use ringhold_types::TaskId;

use super::cluster::{Refusal, TestCluster, wait_until, wait_until_safe};
use super::ledger::{Load, OUTCOME_PATIENCE, audit, check_all};
use super::recorder::{Name, Observer, Recorder};

const CONFIG: &str = r#"
[durable-executor.work]
partition-count = 16
durability = 1
"#;

/// Tasks that must flow before and after.
const SOME: u64 = 200;
const DAY: i64 = 86_400;

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_that_jumps_changes_nothing() {
    let cluster = TestCluster::start_deceived(3, CONFIG).await;
    let client = cluster.client().await;
    let load = Load::start(&cluster, "work").await;
    load.wait_for_more(SOME).await;
    wait_until_safe(&client).await;
    let terms = terms(&client).await;
    // Days ahead, which is longer than outcomes are kept; then years back, before the cluster was made.
    for seconds in [3 * DAY, -3_000 * DAY, 0] {
        for index in cluster.alive() {
            cluster.lies(index).wall_clock_is_off_by(seconds);
            load.wait_for_more(SOME / 2).await;
        }
        the_members_believe_it(&client, seconds).await;
    }
    let ledger = load.stop().await;
    audit(&cluster, &ledger).await;
    assert_eq!(
        self::terms(&client).await,
        terms,
        "somebody was taken for dead"
    );
}

/// The reign of each partition.
async fn terms(client: &Client) -> Vec<u64> {
    let partitions = client.cluster().partitions("work", None).await;
    let partitions = partitions.expect("the cluster answers").into_iter();
    partitions.map(|partition| partition.term.get()).collect()
}

/// The time shown to people is off, so the lie was heard.
async fn the_members_believe_it(client: &Client, seconds: i64) {
    let task = HandlerTask::new("ringhold.echo", "1");
    let handle = client.executor("work").submit(task).await.expect("stored");
    let info = client.get(handle.id()).await.expect("it is there");
    let shown = i64::try_from(info.accepted_at.expect("a time").0 / 1000).expect("seconds");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = i64::try_from(now.expect("after 1970").as_secs()).expect("seconds");
    let off = shown - now - seconds;
    assert!(off.abs() < 120, "shown {shown} at {now} with {seconds}");
}

/// One member without backups, so that its own disk decides.
const ALONE: &str = r#"
[durable-executor.work]
partition-count = 4
durability = 0
"#;

/// Large enough that a few dozen fill the room that the log has in advance.
fn large(number: usize) -> HandlerTask {
    HandlerTask::new("ringhold.echo", vec![b'0' + (number % 10) as u8; 1_000_000])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_tasks_by_name_and_loses_nothing() {
    let mut cluster = TestCluster::start_deceived(1, ALONE).await;
    let recorder = Arc::new(Recorder::default());
    let observer = Observer::new(&cluster.client().await, &recorder);
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(store(&observer, number).await.expect("there is room"));
    }
    cluster.lies(0).disk_is_full(true);
    let mut unsure = Vec::new();
    for number in ids.len().. {
        match store(&observer, number).await {
            Ok(id) if unsure.is_empty() => ids.push(id),
            Ok(id) => panic!("{id} is stored after the disk was full"),
            // The log took it and waits for room: neither stored nor refused.
            Err(ErrorCode::Indeterminate) => unsure.push(number),
            Err(code) => {
                assert_eq!(code, ErrorCode::DiskFull);
                break;
            }
        }
        assert!(number < 1_000, "the disk is never full");
    }
    let arguments = [
        "task",
        "submit",
        "--executor",
        "work",
        "--handler",
        "ringhold.echo",
    ];
    let arguments = [&arguments[..], &["--input", "1"]].concat();
    let refusal = Refusal::of(&cluster.ringhold(0, &arguments));
    refusal.assert_named(ErrorCode::DiskFull, "make room on the disk");
    travels_as_the_table_says(&cluster).await;
    reads_back(&observer, &ids).await;

    cluster.lies(0).disk_is_full(false);
    wait_until("there is room again", async || {
        store(&observer, ids.len()).await.is_ok()
    })
    .await;
    for number in ids.len()..=ids.len() + unsure.len() {
        ids.push(store(&observer, number).await.expect("there is room"));
    }
    cluster.kill(0);
    cluster.spawn(0);
    cluster.wait_until_ready(0).await;
    reads_back(&observer, &ids).await;

    check_all(&recorder.events());

    cluster.kill(0);
    cluster.empty_directory(0);
    cluster.lies(0).disk_is_full(true);
    let refusal = cluster.refused_start(0, &cluster.data_directory(0)).await;
    refusal.assert_named(ErrorCode::DiskFull, "make room on the disk");
}

/// What a client of any language gets.
async fn travels_as_the_table_says(cluster: &TestCluster) {
    let address = format!("http://{}", cluster.client_address(0));
    let service = v1::executor_service_client::ExecutorServiceClient::connect(address).await;
    let call = v1::task::Call::Handler(v1::HandlerCall {
        name: "ringhold.echo".to_owned(),
        ..v1::HandlerCall::default()
    });
    let request = v1::SubmitRequest {
        executor: "work".to_owned(),
        task: Some(v1::Task {
            call: Some(call),
            ..v1::Task::default()
        }),
        ..v1::SubmitRequest::default()
    };
    let answer = service.expect("it listens").submit(request).await;
    let status = answer.expect_err("the disk is full");
    assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}");
    let refused = ApiError::from_status(&status).expect("it names its reason");
    assert_eq!(refused.code, ErrorCode::DiskFull);
    assert!(refused.retry_after.is_some(), "{status}");
    assert!(refused.message.contains("the disk of member"), "{status}");
}

/// Stores a large task under its own key.
async fn store(observer: &Observer, number: usize) -> Result<TaskId, ErrorCode> {
    let (key, payload) = (format!("large-{number}"), number as u64);
    let soon = |submit: Submit<_>| submit.deadline(Duration::from_secs(5));
    let submit = observer.submit_as("work", large(number), Name::Key(&key), payload, soon);
    let receipt = submit.await;
    receipt
        .map(|receipt| receipt.id)
        .map_err(|error| error.code())
}

async fn reads_back(observer: &Observer, ids: &[TaskId]) {
    for (number, id) in ids.iter().enumerate() {
        let read = observer.retrieve(id, OUTCOME_PATIENCE).await;
        let read = read.unwrap_or_else(|error| panic!("{id} is lost: {error}"));
        let result = read
            .read(|result| Ok(result.payload))
            .expect("it succeeded");
        assert!(
            result
                .iter()
                .all(|byte| *byte == b'0' + (number % 10) as u8),
            "{id}"
        );
    }
}
