//! Members that are drained, join, are forgotten and replaced while tasks flow.

use std::time::Duration;

use ringhold_client::{Client, ErrorCode, Submit};
use ringhold_types::TaskId;

use super::cluster::{TestCluster, wait_for_member, wait_until, wait_until_safe};
use super::ledger::{Load, Work, audit, echo, end_with_single_runs, read_everywhere, runs_file};
use super::recorder::{Name, Observer};

/// Two copies of everything on disk, and programs may run.
const CONFIG: &str = r#"
[durable-executor.work]
partition-count = 16
durability = 1
allowed-binaries = ["sh"]
"#;

/// Tasks that must flow before and after a change.
const SOME: u64 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_under_load_runs_no_task_twice_and_leaves_the_member_with_nothing() {
    let mut cluster = TestCluster::start(3, CONFIG).await;
    let client = cluster.client().await;
    let work = Work::Ledger(runs_file(cluster.directory()));
    let load = Load::of(&cluster, "work", work).await;
    load.wait_for_more(SOME).await;
    let drained = client.cluster().drain("m2", false).await;
    assert!(drained.expect("the cluster answers").draining);
    wait_for_member(&client, "m2", "holds nothing", |member| {
        (member.primaries, member.seats, member.learners) == (0, 0, 0)
    })
    .await;
    wait_until_safe(&client).await;
    load.wait_for_more(SOME).await;
    // It is asked as well, as long as it runs: it holds nothing and forwards.
    let ledger = end_with_single_runs(&cluster, load).await;
    cluster.kill(1);
    audit(&cluster, &ledger).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_joining_member_takes_its_share_while_tasks_flow() {
    let mut cluster = TestCluster::start(3, CONFIG).await;
    let client = cluster.client().await;
    let work = Work::Ledger(runs_file(cluster.directory()));
    let load = Load::of(&cluster, "work", work).await;
    load.wait_for_more(SOME).await;
    let joined = cluster.add(&[]);
    cluster.spawn(joined);
    cluster.wait_until_ready(joined).await;
    // A quarter of 16 partitions, give or take one, and of their 32 seats.
    wait_for_member(&client, "m4", "has its share", |member| {
        (3..=5).contains(&member.primaries) && (6..=10).contains(&member.seats)
    })
    .await;
    let in_use = client.cluster().status().await.expect("an answer");
    assert_eq!(in_use.partitions_in_use, 16);
    wait_until_safe(&client).await;
    load.wait_for_more(SOME).await;
    end_with_single_runs(&cluster, load).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_member_is_forgotten_and_another_takes_its_place() {
    let mut cluster = TestCluster::start(3, CONFIG).await;
    let client = cluster.client().await;
    let load = Load::start(&cluster, "work").await;
    load.wait_for_more(SOME).await;
    refuses_to_forget_the_living(&client).await;
    cluster.kill(2);
    let forgotten = client.cluster().forget("m3", true).await;
    let forgotten = forgotten.expect("its process has ended");
    assert_eq!(forgotten.lost, []);
    let again = client.cluster().forget("m3", true).await;
    let again = again.expect("it is forgotten already, and said so by its name");
    assert!(again.already_forgotten && again.member_name == "m3");
    wait_until_safe(&client).await;
    assert_eq!(client.cluster().status().await.expect("known").members, 2);
    load.wait_for_more(SOME).await;
    stays_out_with_its_old_directory(&cluster).await;
    cluster.empty_directory(2);
    cluster.spawn(2);
    cluster.wait_until_ready(2).await;
    wait_until("three members are up", async || {
        client
            .cluster()
            .status()
            .await
            .is_ok_and(|status| (status.members, status.members_up, status.safe) == (3, 3, true))
    })
    .await;
    cluster.kill(0);
    load.wait_for_more(SOME).await;
    audit(&cluster, &load.stop().await).await;
}

async fn refuses_to_forget_the_living(client: &Client) {
    let refused = client.cluster().forget("m3", false).await;
    let refused = refused.expect_err("it may be running");
    assert_eq!(refused.code, ErrorCode::FailedPrecondition);
    assert!(refused.message.contains("--process-ended"), "{refused}");
}

async fn stays_out_with_its_old_directory(cluster: &TestCluster) {
    let refusal = cluster.refused_start(2, &cluster.data_directory(2)).await;
    refusal.assert_named(ErrorCode::NotAllowed, "empty its data directory");
}

/// The executor that wants two copies of everything says that there is one place for them.
///
/// Returns what it took before it knew of the death.
async fn refuses_below_min_copies(strict: &Observer) -> Vec<TaskId> {
    let mut taken = Vec::new();
    wait_until("a submit below min-copies is refused by name", async || {
        let name = strict.unused_name();
        let soon = |submit: Submit<_>| submit.deadline(Duration::from_secs(2));
        let submit = strict.submit_as("strict", echo(1), Name::Drawn(&name), 1, soon);
        match submit.await {
            Ok(receipt) => taken.push(receipt.id),
            Err(error) => return error.code() == ErrorCode::NotEnoughCopies,
        }
        false
    })
    .await;
    taken
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_and_a_witness_go_on_without_one_of_the_two() {
    let config = r#"
[durable-executor.work]
partition-count = 16
durability = 1
min-copies = 1

[durable-executor.strict]
partition-count = 4
durability = 1
"#;
    let mut cluster = TestCluster::start_with(&[&[], &[], &["--witness"]], config).await;
    let client = cluster.client().await;
    let load = Load::start(&cluster, "work").await;
    let strict = Load::start(&cluster, "strict").await;
    load.wait_for_more(SOME).await;
    strict.wait_for_more(SOME).await;
    let members = client.cluster().members().await.expect("known");
    let witness = members.iter().find(|member| member.name == "m3");
    let witness = witness.expect("it is a member");
    assert!(witness.witness && witness.voter && witness.seats == 0);
    cluster.kill(0);
    load.wait_for_more(SOME).await;
    let observer = Observer::new(&client, strict.recorder());
    let taken = refuses_below_min_copies(&observer).await;
    audit(&cluster, &load.stop().await).await;
    // What the other executor promised is there as well; it takes on more once there are two again.
    cluster.spawn(0);
    cluster.wait_until_ready(0).await;
    strict.wait_for_more(SOME).await;
    let ledger = strict.stop().await;
    read_everywhere(&cluster, &ledger.recorder, &taken).await;
    audit(&cluster, &ledger).await;
}
