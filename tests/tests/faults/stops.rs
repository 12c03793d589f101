//! Members that are told to stop: what they lead and run goes on elsewhere, and nothing runs twice for it (guarantee G7).

use std::sync::Arc;
use std::time::Duration;

use ringhold_client::{Client, ErrorCode, FailureKind, OnInterrupt, Outcome, Submit};
use ringhold_types::{PartitionCount, TaskId};

use super::cluster::{TestCluster, key_led_by, wait_for_member, wait_until, wait_until_safe};
use super::gates::Gates;
use super::ledger::{
    Load, OUTCOME_PATIENCE, Work, audit_runs, echo, end_with_single_runs, runs_file,
};
use super::recorder::{Name, Observer, Recorder};

/// Two copies of everything on disk, and programs may run.
const CONFIG: &str = r#"
[durable-executor.work]
partition-count = 16
durability = 1
allowed-binaries = ["sh"]
"#;
const PARTITIONS: PartitionCount = PartitionCount::new(16).expect("within range");

/// Tasks that must flow before and after each step.
const SOME: u64 = 100;
/// Tasks of each kind that run when their member is told to stop.
const RUNNING: usize = 3;
/// The time of a drain that is ended before.
const WHILE: Duration = Duration::from_secs(600);
/// The time of a drain that is to end.
const MOMENT: Duration = Duration::from_millis(200);
/// The time of a drain that ends while others are frozen.
const SOON: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_loses_nothing_and_runs_nothing_twice() {
    let mut cluster = TestCluster::start(3, CONFIG).await;
    let client = cluster.client().await;
    let work = Work::Ledger(runs_file(cluster.directory()));
    let load = Load::of(&cluster, "work", work).await;
    for index in 0..3 {
        load.wait_for_more(SOME).await;
        cluster.tell_to_stop(index);
        cluster.wait_until_stopped(index).await;
        load.wait_for_more(SOME).await;
        cluster.spawn(index);
        cluster.wait_until_ready(index).await;
        wait_until_safe(&client).await;
    }
    load.wait_for_more(SOME).await;
    end_with_single_runs(&cluster, load).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stopping_member_runs_ends_there_or_is_handed_back() {
    let mut cluster = TestCluster::start(3, CONFIG).await;
    let client = cluster.client().await;
    let recorder = Arc::new(Recorder::default());
    let observer = Observer::new(&client, &recorder);
    let stored = observer.submit("work", echo(0), Name::Drawn("first"), 0);
    let first = stored.await.expect("the cluster is whole").id;
    let key = key_led_by(&client, "m1", PARTITIONS).await;
    let (short, endless) = (
        Gates::new(cluster.directory(), "short"),
        Gates::new(cluster.directory(), "endless"),
    );
    let ends_there = submit_behind(&observer, &short, &key).await;
    let handed_back = submit_behind(&observer, &endless, &key).await;
    let begun = || short.begun(1) + endless.begun(1);
    wait_until("they run", async || begun() == 2 * RUNNING).await;
    wait_until_safe(&client).await;

    cluster.tell_to_stop(0);
    leads_nothing(&client, "m1").await;
    // It has time for what ends by itself, and no time for ever.
    short.open(1);
    wait_until("the others run elsewhere", async || {
        endless.begun(2) == RUNNING
    })
    .await;
    cluster.wait_until_stopped(0).await;
    endless.open(1);
    endless.open(2);
    for (ids, attempts) in [(&ends_there, 1), (&handed_back, 2)] {
        ran_without_a_fault(&observer, ids, attempts).await;
    }
    assert_eq!((short.ran(1), short.begun(2)), (RUNNING, 0));
    assert_eq!((endless.ran(1), endless.ran(2)), (0, RUNNING));
    cluster.spawn(0);
    cluster.wait_until_ready(0).await;
    recorder.read_runs(short.runs());
    let ids = [vec![first], ends_there, handed_back].concat();
    audit_runs(&cluster, &recorder, &ids, &endless).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_outlives_a_drain_is_handed_back_unless_the_drain_is_ended_before() {
    let cluster = TestCluster::start(3, CONFIG).await;
    let client = cluster.client().await;
    let recorder = Arc::new(Recorder::default());
    let observer = Observer::new(&client, &recorder);
    let stored = observer.submit("work", echo(0), Name::Drawn("first"), 0);
    let first = stored.await.expect("the cluster is whole").id;
    let key = key_led_by(&client, "m1", PARTITIONS).await;
    let (kept, endless) = (
        Gates::new(cluster.directory(), "kept"),
        Gates::new(cluster.directory(), "endless"),
    );
    let ends_there = submit_behind(&observer, &kept, &key).await;
    let handed_back = submit_behind(&observer, &endless, &key).await;
    let never_again = Gates::new(cluster.directory(), "never-again");
    let interrupted = submit_once(&observer, &never_again, &key).await;
    let begun = || kept.begun(1) + endless.begun(1) + never_again.begun(1);
    wait_until("they run", async || begun() == 2 * RUNNING + 1).await;
    wait_until_safe(&client).await;

    // Whatever it waits for, a drain that is ended takes nothing from the member.
    let operator = client.cluster();
    let waits = tokio::spawn(async move { operator.drain_within("m1", WHILE).await });
    has_nothing(&client, "m1").await;
    client.cluster().drain("m1", true).await.expect("ended");
    let ended = waits.await.expect("no panic").expect_err("it was ended");
    assert_eq!(ended.code, ErrorCode::FailedPrecondition, "{ended}");
    kept.open(1);
    wait_until("they end there", async || kept.ran(1) == RUNNING).await;
    assert_eq!((kept.begun(2), endless.begun(2)), (0, 0));

    client.cluster().drain("m1", false).await.expect("begun");
    has_nothing(&client, "m1").await;
    let drained = client.cluster().drain_within("m1", MOMENT).await;
    let drained = drained.expect("nothing is left but what runs");
    let given_up = drained.handed_back.map(usize::try_from);
    assert_eq!(given_up, Some(Ok(RUNNING + 1)));
    wait_until("they run elsewhere", async || endless.begun(2) == RUNNING).await;
    endless.open(1);
    endless.open(2);
    for (ids, attempts) in [(&ends_there, 1), (&handed_back, 2)] {
        ran_without_a_fault(&observer, ids, attempts).await;
    }
    assert_eq!((endless.ran(1), endless.ran(2)), (0, RUNNING));
    let read = observer.retrieve(&interrupted, OUTCOME_PATIENCE).await;
    let Outcome::Failed(failure) = read.expect("an outcome").outcome else {
        panic!("it must not be repeated, and its run was cut short");
    };
    assert_eq!(failure.kind, FailureKind::Interrupted);
    assert_eq!((never_again.begun(1), never_again.begun(2)), (1, 0));
    recorder.read_runs(kept.runs());
    let ids = [vec![first, interrupted], ends_there, handed_back].concat();
    audit_runs(&cluster, &recorder, &ids, &endless).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_cannot_ask_whether_its_drain_is_still_on_hands_nothing_back() {
    let cluster = TestCluster::start(3, CONFIG).await;
    let client = cluster.client().await;
    let recorder = Arc::new(Recorder::default());
    let observer = Observer::new(&client, &recorder);
    let stored = observer.submit("work", echo(0), Name::Drawn("first"), 0);
    stored.await.expect("the cluster is whole");
    let key = key_led_by(&client, "m1", PARTITIONS).await;
    let gates = Gates::new(cluster.directory(), "kept");
    let ids = submit_behind(&observer, &gates, &key).await;
    wait_until("they run", async || gates.begun(1) == RUNNING).await;
    wait_until_safe(&client).await;
    client.cluster().drain("m1", false).await.expect("begun");
    has_nothing(&client, "m1").await;

    let late = loop {
        let operator = cluster.client_of(0).await.cluster();
        let waits = tokio::spawn(async move { operator.drain_within("m1", SOON).await });
        // For the call to get there; a try in which it did not is made again.
        tokio::time::sleep(SOON / 2).await;
        let others = [1, 2];
        others.iter().for_each(|it| cluster.freeze(*it));
        let late = waits.await.expect("no panic").expect_err("they run on");
        if late.code == ErrorCode::DrainTimeout {
            break late;
        }
        others.iter().for_each(|it| cluster.thaw(*it));
    };
    let says = |what: &str| late.metadata.get(what).map(String::as_str);
    let running = RUNNING.to_string();
    assert_eq!(says("left_attempts"), Some(running.as_str()), "{late}");
    assert_eq!(says("handed_back"), Some("0"), "{late}");
    assert!(late.to_string().contains("did not confirm"), "{late}");
    gates.open(1);
    wait_until("they end there", async || gates.ran(1) == RUNNING).await;
    cluster.thaw(1);
    cluster.thaw(2);
    gates.open(2);
    for id in &ids {
        let read = observer.retrieve(id, OUTCOME_PATIENCE).await;
        let outcome = read.expect("an outcome").outcome;
        assert!(matches!(outcome, Outcome::Succeeded(_)), "{outcome:?}");
    }
}

/// Submits a task that waits at `gates` and must not run twice to the partition of a key.
async fn submit_once(observer: &Observer, gates: &Gates, key: &str) -> TaskId {
    let name = observer.unused_name();
    let once = |submit: Submit<_>| {
        let submit = submit.key(key.to_owned());
        submit.on_interrupt(OnInterrupt::Fail)
    };
    let stored = observer.submit_as("work", gates.task(), Name::Drawn(&name), 0, once);
    stored.await.expect("it is stored").id
}

/// Asserts that each task has an outcome of its attempt of that number, and that none before counts as a fault.
async fn ran_without_a_fault(observer: &Observer, ids: &[TaskId], attempts: u32) {
    for id in ids {
        let read = observer.retrieve(id, OUTCOME_PATIENCE).await;
        assert_eq!(read.expect("an outcome").attempts, attempts, "{id}");
        let info = observer.get(id).await.expect("it is there");
        assert_eq!(info.crashes, 0, "what is planned counts as no death");
        let failed = info.history.iter().any(|it| it.failure.is_some());
        assert!(!failed, "{:?}", info.history);
    }
}

/// Submits tasks that wait at `gates` to the partition of a key.
async fn submit_behind(observer: &Observer, gates: &Gates, key: &str) -> Vec<TaskId> {
    let mut ids = Vec::new();
    for _ in 0..RUNNING {
        let name = observer.unused_name();
        let to_key = |submit: Submit<_>| submit.key(key.to_owned());
        let stored = observer.submit_as("work", gates.task(), Name::Drawn(&name), 0, to_key);
        ids.push(stored.await.expect("it is stored").id);
    }
    ids
}

/// Waits until a member leads nothing and holds no copy that counts.
async fn has_nothing(client: &Client, member: &str) {
    let nothing = |it: &ringhold_client::MemberInfo| (it.primaries, it.seats) == (0, 0);
    wait_for_member(client, member, "has nothing", nothing).await;
}

/// Waits until a member leads nothing.
async fn leads_nothing(client: &Client, member: &str) {
    let nothing = |it: &ringhold_client::MemberInfo| it.primaries == 0;
    wait_for_member(client, member, "leads nothing", nothing).await;
}
