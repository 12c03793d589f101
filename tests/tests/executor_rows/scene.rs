//! Where rows play: three embedded members, and an executor for each row.

use std::path::PathBuf;
use std::time::Duration;

use ringhold_client::{
    Client, Executor, Failure, Outcome, ProcessTask, Retrieved, Submittable, TaskHandle, TaskInfo,
    TaskResult,
};
use ringhold_node::{ExecutorConfig, Member, MemberBuilder};
use ringhold_sys::HeldAddress;
use ringhold_types::{Persistence, TaskId};
use tempfile::TempDir;

use super::row::Row;

/// Members of the cluster.
const MEMBERS: usize = 3;
/// Partitions of each row's executor: enough that members share them, few enough for eighty executors.
const PARTITIONS: u32 = 7;
/// How long members may take to start, on a machine that does other things as well.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// The cluster that all rows share.
pub(crate) struct Stage {
    members: Vec<Member>,
    client: Client,
    directory: TempDir,
    _held: Vec<HeldAddress>,
}

/// What a row may use.
pub(crate) struct Scene {
    /// Of a client that knows all members.
    pub(crate) client: Client,
    /// The row's own executor.
    pub(crate) executor: Executor,
    /// An empty directory of the row's own.
    pub(crate) directory: PathBuf,
    /// Where each member is found by clients.
    pub(crate) addresses: Vec<String>,
}

impl Stage {
    /// Starts the members with the executors and handlers of these rows.
    pub(crate) async fn open(rows: &[&'static Row]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let hold = || HeldAddress::on_loopback().expect("a free port");
        let held: Vec<HeldAddress> = (0..MEMBERS).map(|_| hold()).collect();
        let peers: Vec<String> = held.iter().map(|it| it.address().to_string()).collect();
        let starts = (0..MEMBERS).map(|number| {
            let builder = Member::builder()
                .name(format!("m{}", number + 1))
                .cluster("rows")
                .join(peers.clone())
                .join_deadline(START_PATIENCE)
                .peer_address(&peers[number])
                .data_dir(directory.path().join(format!("m{}", number + 1)));
            rows.iter().fold(builder, equip).start()
        });
        let mut members = Vec::new();
        for start in starts.map(tokio::spawn).collect::<Vec<_>>() {
            let member = start.await.expect("no panic");
            members.push(member.expect("the members start"));
        }
        let addresses = members.iter().map(|it| it.client_address().to_string());
        let client = Client::builder().endpoints(addresses).build().await;
        Self {
            members,
            client: client.expect("the members answer"),
            directory,
            _held: held,
        }
    }

    /// What a row may use of it.
    pub(crate) fn scene(&self, row: &Row) -> Scene {
        let directory = self.directory.path().join(row.id);
        std::fs::create_dir(&directory).expect("ids are unique");
        let addresses = self
            .members
            .iter()
            .map(|it| it.client_address().to_string());
        Scene {
            client: self.client.clone(),
            executor: self.client.executor(executor_of(row)),
            directory,
            addresses: addresses.collect(),
        }
    }

    /// Stops the members.
    pub(crate) async fn close(self) {
        let stops = self.members.into_iter().map(Member::shutdown);
        for stop in stops.map(tokio::spawn).collect::<Vec<_>>() {
            stop.await.expect("no panic");
        }
    }
}

/// The name of a row's executor.
fn executor_of(row: &Row) -> String {
    row.id.to_lowercase()
}

/// Gives a member the executor of a row.
fn equip(builder: MemberBuilder, row: &&'static Row) -> MemberBuilder {
    let plain = ExecutorConfig::new(executor_of(row))
        .partition_count(PARTITIONS)
        .durability(1)
        .persistence(Persistence::Memory)
        .allow_binary("*");
    builder.executor((row.settings)(plain))
}

impl Scene {
    /// Submits a task, and waits for its result.
    pub(crate) async fn succeeds<S: Submittable>(&self, task: S) -> S::Output {
        self.submitted(task).await.await.expect("it succeeds")
    }

    /// Submits a task, and waits for its failure.
    pub(crate) async fn fails<S: Submittable>(&self, task: S) -> Failure {
        let id = self.submitted(task).await.id().clone();
        let retrieved = self.client.retrieve_result(&id).await;
        failure_of(retrieved.expect("an outcome"))
    }

    /// Submits a task.
    pub(crate) async fn submitted<S: Submittable>(&self, task: S) -> TaskHandle<S::Output> {
        self.executor.submit(task).await.expect("stored")
    }

    /// The state of a task.
    pub(crate) async fn info(&self, id: &TaskId) -> TaskInfo {
        self.client.get(id).await.expect("it is known")
    }
}

/// The failure that a task ended with.
pub(crate) fn failure_of(retrieved: Retrieved) -> Failure {
    match retrieved.outcome {
        Outcome::Failed(failure) | Outcome::DeadLettered(failure) => failure,
        other => panic!("it should have failed: {other:?}"),
    }
}

/// The result that a task ended with.
pub(crate) fn result_of(retrieved: Retrieved) -> TaskResult {
    match retrieved.outcome {
        Outcome::Succeeded(result) => result,
        other => panic!("it should have succeeded: {other:?}"),
    }
}

/// A script for the shell, as an explicit choice: programs are started without one.
pub(crate) fn shell(script: &str) -> ProcessTask {
    ProcessTask::new("sh").args(["-c", script])
}
