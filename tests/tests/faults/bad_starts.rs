//! Members that must not come up: each says why and what to do, and the cluster does not notice.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use ringhold_client::ErrorCode;

use super::cluster::{TestCluster, wait_until, wait_until_safe};
use super::ledger::{Load, audit};

const CONFIG: &str = r#"
[durable-executor.work]
partition-count = 16
durability = 1
"#;

/// Tasks that must flow before and after.
const SOME: u64 = 100;

#[tokio::test(flavor = "multi_thread")]
async fn starts_that_cannot_go_well_are_refused_by_name_and_the_cluster_goes_on() {
    let mut cluster = TestCluster::start(3, CONFIG).await;
    let load = Load::start(&cluster, "work").await;
    load.wait_for_more(SOME).await;
    another_clusters_name_is_refused(&mut cluster).await;
    a_port_in_use_is_named(&mut cluster).await;
    a_directory_in_use_is_refused(&mut cluster).await;
    an_address_for_everybody_needs_a_word(&mut cluster).await;
    load.wait_for_more(SOME).await;
    cluster.kill(2);
    the_directory_of_another_member_is_refused(&mut cluster).await;
    a_directory_of_a_newer_version_is_refused(&mut cluster).await;
    a_directory_of_something_else_is_not_taken_over(&mut cluster).await;
    // Whatever was tried with its directory, the member finds everything there.
    cluster.spawn(2);
    cluster.wait_until_ready(2).await;
    wait_until_safe(&cluster.client().await).await;
    load.wait_for_more(SOME).await;
    let status = cluster.client().await.cluster().status().await;
    assert_eq!(
        status.expect("the cluster answers").members,
        3,
        "none was added"
    );
    audit(&cluster, &load.stop().await).await;
}

async fn another_clusters_name_is_refused(cluster: &mut TestCluster) {
    let stranger = cluster.add(&["--cluster", "prodction"]);
    let data = cluster.data_directory(stranger);
    let refusal = cluster.refused_start(stranger, &data).await;
    refusal.assert_named(ErrorCode::WrongCluster, "\"prodction\"");
    refusal.assert_named(ErrorCode::WrongCluster, "\"test\"");
    refusal.assert_named(ErrorCode::WrongCluster, "correct `cluster` or `join`");
}

async fn a_port_in_use_is_named(cluster: &mut TestCluster) {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    for setting in ["--client-address", "--peer-address", "--http-address"] {
        let late = cluster.add(&[setting, &address]);
        let data = cluster.data_directory(late);
        let refusal = cluster.refused_start(late, &data).await;
        refusal.assert_named(ErrorCode::AddressInUse, &address);
        refusal.assert_named(ErrorCode::AddressInUse, "port 0: the system does");
        assert!(!data.exists(), "it left something behind");
    }
}

async fn a_directory_in_use_is_refused(cluster: &mut TestCluster) {
    let second = cluster.add(&["--name", "m1"]);
    let refusal = cluster
        .refused_start(second, &cluster.data_directory(0))
        .await;
    refusal.assert_named(ErrorCode::DataDirectory, "in use by another process");
}

async fn an_address_for_everybody_needs_a_word(cluster: &mut TestCluster) {
    let open = cluster.add(&["--client-address", "0.0.0.0:0"]);
    let refusal = cluster
        .refused_start(open, &cluster.data_directory(open))
        .await;
    refusal.assert_named(ErrorCode::InvalidConfiguration, "--insecure");
}

async fn the_directory_of_another_member_is_refused(cluster: &mut TestCluster) {
    let other = cluster.add(&["--name", "m9"]);
    let refusal = cluster
        .refused_start(other, &cluster.data_directory(2))
        .await;
    refusal.assert_named(
        ErrorCode::DataDirectory,
        "belongs to member \"m3\", not to \"m9\"",
    );
}

async fn a_directory_of_a_newer_version_is_refused(cluster: &mut TestCluster) {
    let file = cluster.data_directory(2).join("identity");
    let identity = std::fs::read_to_string(&file).expect("an identity");
    let newer = identity.replace("format = 1", "format = 2");
    assert_ne!(newer, identity);
    std::fs::write(&file, newer).expect("a writable directory");
    let refusal = cluster.refused_start(2, &cluster.data_directory(2)).await;
    refusal.assert_named(ErrorCode::DataDirectory, "use the version that wrote it");
    std::fs::write(&file, identity).expect("a writable directory");
}

async fn a_directory_of_something_else_is_not_taken_over(cluster: &mut TestCluster) {
    let stranger = cluster.add(&[]);
    let data = cluster.data_directory(stranger);
    std::fs::create_dir(&data).expect("a writable directory");
    std::fs::write(data.join("letters.txt"), "dear").expect("a writable directory");
    let refusal = cluster.refused_start(stranger, &data).await;
    refusal.assert_named(ErrorCode::DataDirectory, "use an empty directory");
    let kept = std::fs::read_to_string(data.join("letters.txt"));
    assert_eq!(kept.expect("it is there"), "dear");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_data_directory_is_refused_and_the_original_goes_on() {
    let mut cluster = TestCluster::start(3, CONFIG).await;
    let load = Load::start(&cluster, "work").await;
    load.wait_for_more(SOME).await;
    let copy = cluster.directory().join("copy");
    cluster.kill(2);
    clone_directory(&cluster.data_directory(2), &copy);
    cluster.spawn(2);
    cluster.wait_until_ready(2).await;
    let clone = cluster.add(&["--name", "m3"]);
    let refusal = cluster.refused_start(clone, &copy).await;
    refusal.assert_named(ErrorCode::NotAllowed, "it is a copy or a restored backup");
    refusal.assert_named(ErrorCode::NotAllowed, "empty this directory");
    wait_until("the original is up", async || {
        let members = cluster.client().await.cluster().members().await;
        members.is_ok_and(|all| all.len() == 3 && all.iter().all(|it| it.state.as_str() == "up"))
    })
    .await;
    load.wait_for_more(SOME).await;
    audit(&cluster, &load.stop().await).await;
}

fn clone_directory(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.expect("cp runs").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_needs_more_members_waits_for_them_and_says_so() {
    let config = r#"
[durable-executor.wide]
partition-count = 4
durability = 2
"#;
    let mut cluster = TestCluster::start(2, config).await;
    let client = cluster.client().await;
    let task = ringhold_client::HandlerTask::new("ringhold.echo", "1");
    let refused = client.executor("wide").submit(task.clone()).await;
    let refused = refused.expect_err("three copies need three members");
    assert_eq!(refused.code(), ErrorCode::InvalidConfiguration);
    let says = refused.to_string();
    assert!(
        says.contains("start more members or lower durability"),
        "{says}"
    );
    let third = cluster.add(&[]);
    cluster.spawn(third);
    cluster.wait_until_ready(third).await;
    wait_until("the executor is there", async || {
        client.cluster().executor("wide").await.is_ok()
    })
    .await;
    let stored = client.executor("wide").submit(task).await.expect("stored");
    assert_eq!(stored.receipt().copies().0, 3);
    stored.await.expect("an outcome");
}
