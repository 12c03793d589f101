//! What a test submitted and what it was told, and the audit at the end: every acknowledged task has one outcome, the same
//! from every member, and it is the right one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ringhold_client::{Client, HandlerTask};
use ringhold_types::{Outcome, TaskId};
use tokio::task::JoinSet;

use super::cluster::TestCluster;

/// Submits under way at once: enough that a fault always hits some.
const SUBMITTERS: u64 = 16;
/// How long an acknowledged task may take to its outcome, faults included.
const OUTCOME_PATIENCE: Duration = Duration::from_secs(60);

/// A load that runs until told to stop.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    submitters: JoinSet<Vec<(TaskId, u64)>>,
}

impl Load {
    /// Submits echo tasks to `executor` without pause.
    pub(crate) fn start(client: &Client, executor: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let mut submitters = JoinSet::new();
        for first in 0..SUBMITTERS {
            let executor = client.executor(executor);
            let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
            submitters.spawn(async move {
                let mut told = Vec::new();
                let mut number = first;
                while !stop.load(Ordering::Relaxed) {
                    let task = HandlerTask::new("ringhold.echo", payload(number));
                    match executor.submit(task).await {
                        Ok(handle) => {
                            acknowledged.fetch_add(1, Ordering::Relaxed);
                            told.push((handle.id().clone(), number));
                        }
                        // Not acknowledged, so nothing was promised; the next one is another task.
                        Err(error) => eprintln!("submit {number}: {error}"),
                    }
                    number += SUBMITTERS;
                }
                told
            });
        }
        Self {
            stop,
            acknowledged,
            submitters,
        }
    }

    /// How many tasks were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until `more` further tasks were acknowledged.
    pub(crate) async fn wait_for_more(&self, more: u64) {
        let target = self.acknowledged() + more;
        let reached = async {
            while self.acknowledged() < target {
                tokio::time::sleep(super::cluster::LOOK_EVERY).await;
            }
        };
        let in_time = tokio::time::timeout(OUTCOME_PATIENCE, reached).await;
        assert!(
            in_time.is_ok(),
            "submits stand still at {} of {target}",
            self.acknowledged()
        );
    }

    /// Ends the load and returns every acknowledged task with its number.
    pub(crate) async fn stop(mut self) -> BTreeMap<TaskId, u64> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = BTreeMap::new();
        while let Some(told) = self.submitters.join_next().await {
            for (id, number) in told.expect("a submitter does not panic") {
                let former = all.insert(id.clone(), number);
                assert_eq!(former, None, "{id} was given to two tasks");
            }
        }
        all
    }
}

/// The input of a task, and its result.
fn payload(number: u64) -> Vec<u8> {
    format!("\"task {number}\"").into_bytes()
}

/// Reads every acknowledged task from every living member.
pub(crate) async fn audit(cluster: &TestCluster, tasks: &BTreeMap<TaskId, u64>) {
    assert!(
        !tasks.is_empty(),
        "a run that acknowledged nothing shows nothing"
    );
    let mut readings: BTreeMap<TaskId, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for index in cluster.alive() {
        let client = cluster.client_of(index).await;
        for (id, payload) in read_all(&client, tasks).await {
            readings.entry(id).or_default().insert(payload);
        }
    }
    for (id, number) in tasks {
        let read = readings.get(id).map(BTreeSet::len).unwrap_or_default();
        assert_eq!(read, 1, "{id} has {read} different outcomes");
        assert!(
            readings[id].contains(&payload(*number)),
            "{id} has another task's result"
        );
    }
}

async fn read_all(client: &Client, tasks: &BTreeMap<TaskId, u64>) -> Vec<(TaskId, Vec<u8>)> {
    let mut reads = JoinSet::new();
    let mut read = Vec::new();
    for id in tasks.keys() {
        let (client, id) = (client.clone(), id.clone());
        reads.spawn(async move {
            let retrieved = client.retrieve_result(&id).deadline(OUTCOME_PATIENCE).await;
            let retrieved = retrieved.unwrap_or_else(|error| panic!("{id} is lost: {error}"));
            match retrieved.outcome {
                Outcome::Succeeded(result) => (id, result.payload.to_vec()),
                other => panic!("{id} ended as {other:?}"),
            }
        });
        if reads.len() >= 256
            && let Some(done) = reads.join_next().await
        {
            read.push(done.expect("a read does not panic"));
        }
    }
    while let Some(done) = reads.join_next().await {
        read.push(done.expect("a read does not panic"));
    }
    read
}
