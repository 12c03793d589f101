//! Thousands that wait: each gets one answer, whatever happens to the primary in between.

use std::path::PathBuf;
use std::time::Duration;

use ringhold_client::{Client, HandlerTask, ProcessTask};
use ringhold_types::{Outcome, PartitionCount, TaskId, partition_of};
use tokio::task::JoinSet;

use super::cluster::{TestCluster, wait_until, wait_until_safe};
use super::ledger::audit_ids;
use super::recorder::{Name, Observer, Recorder};

/// As many slots on each member as there are tasks at the gate of each partition, which take them all.
const CONFIG: &str = r#"
[durable-executor.work]
partition-count = 3
durability = 1
pool-size = 8
allowed-binaries = ["sh"]
"#;
const PARTITIONS: PartitionCount = PartitionCount::new(3).expect("within range");

/// Tasks at the gate of each partition.
const AT_GATE: usize = 8;

/// Waiters of each test.
const WAITERS: usize = 5_000;
/// So many are parked before anything happens to them; members say the number in steps of an eighth.
const PARKED: u64 = 4_500;
/// How long one may wait.
const PATIENCE: Duration = Duration::from_secs(120);

/// Tasks that end when a file appears, at the head of each partition.
struct Gate {
    file: PathBuf,
    tasks: Vec<TaskId>,
}

impl Gate {
    /// Closes every partition: what is submitted later waits behind it.
    async fn close(cluster: &TestCluster, observer: &Observer, name: &str) -> Self {
        let file = cluster.directory().join(name);
        // The second condition ends those that outlive their member, and their test.
        let script = r#"while [ ! -e "$0" ] && [ -d "$1" ]; do sleep 0.2; done"#;
        let task = ProcessTask::new("sh").arg("-c").arg(script);
        let task = task.arg(&file).arg(cluster.directory());
        let mut tasks = Vec::new();
        for partition in 0..PARTITIONS.get() {
            let keys = (0..)
                .map(|number| format!("{name}-{number}"))
                .filter(|key| partition_of(key.as_bytes(), PARTITIONS).0 == partition);
            for key in keys.take(AT_GATE) {
                let stored = observer.submit("work", task.clone(), Name::Key(&key), 0);
                tasks.push(stored.await.expect("the cluster is whole").id);
            }
        }
        Self { file, tasks }
    }

    fn open(&self) {
        std::fs::write(&self.file, "").expect("a writable directory");
    }
}

/// Retrievals under way.
struct Crowd(JoinSet<(TaskId, Vec<u8>)>);

impl Crowd {
    /// One waits for each of these.
    fn wait_for(observer: &Observer, ids: impl IntoIterator<Item = TaskId>) -> Self {
        let mut waits = JoinSet::new();
        for id in ids {
            let observer = observer.clone();
            waits.spawn(async move {
                let retrieved = observer.retrieve(&id, PATIENCE).await;
                match retrieved
                    .unwrap_or_else(|error| panic!("{id}: {error}"))
                    .outcome
                {
                    Outcome::Succeeded(result) => (id, result.payload.to_vec()),
                    other => panic!("{id} ended as {other:?}"),
                }
            });
        }
        Self(waits)
    }

    /// Waits until they are parked in the members.
    async fn parks(&self, cluster: &TestCluster) {
        wait_until("thousands are parked", async || {
            let parked = cluster.alive().into_iter().map(|index| {
                let page = cluster.metrics(index);
                let line = page.lines().find(|it| it.starts_with("ringhold_waiters "));
                let number = line.and_then(|line| line.split(' ').nth(1)?.parse::<u64>().ok());
                number.expect("the page has the number")
            });
            parked.sum::<u64>() >= PARKED
        })
        .await;
    }

    /// Every one of them has one answer.
    async fn answers(mut self) -> Vec<(TaskId, Vec<u8>)> {
        let mut answers = Vec::new();
        while let Some(answer) = self.0.join_next().await {
            answers.push(answer.expect("a waiter is answered"));
        }
        answers
    }
}

/// The index of the member that leads the partition of a task.
async fn primary_of(cluster: &TestCluster, client: &Client, id: &TaskId) -> usize {
    let partitions = client.cluster().partitions("work", None).await;
    let partitions = partitions.expect("the cluster answers");
    let partition = partitions.iter().find(|it| it.partition == id.partition.0);
    let primary = partition.and_then(|it| it.primary.as_ref());
    cluster.index_of(&primary.expect("a primary").member_name)
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_wait_for_one_task_across_the_death_of_its_primary() {
    let mut cluster = TestCluster::start(3, CONFIG).await;
    let client = cluster.client().await;
    let recorder = std::sync::Arc::new(Recorder::default());
    let observer = Observer::new(&client, &recorder);
    let mut all = Vec::new();
    for dies in [false, true] {
        let gate = Gate::close(&cluster, &observer, &format!("gate-{dies}")).await;
        let awaited = gate.tasks[0].clone();
        wait_until_safe(&client).await;
        let crowd = Crowd::wait_for(&observer, std::iter::repeat_n(awaited.clone(), WAITERS));
        crowd.parks(&cluster).await;
        if dies {
            let primary = primary_of(&cluster, &client, &awaited).await;
            cluster.kill(primary);
        }
        gate.open();
        let answers = crowd.answers().await;
        assert_eq!(answers.len(), WAITERS);
        assert!(
            answers
                .iter()
                .all(|(id, output)| *id == awaited && output.is_empty())
        );
        all.extend(gate.tasks);
    }
    audit_ids(&cluster, &recorder, &all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_wait_for_a_task_each_across_the_death_of_a_primary() {
    let mut cluster = TestCluster::start(3, CONFIG).await;
    let client = cluster.client().await;
    let recorder = std::sync::Arc::new(Recorder::default());
    let observer = Observer::new(&client, &recorder);
    let mut all = Vec::new();
    for dies in [false, true] {
        let gate = Gate::close(&cluster, &observer, &format!("gate-{dies}")).await;
        let ids = submit_many(&observer, dies).await;
        wait_until_safe(&client).await;
        let crowd = Crowd::wait_for(&observer, ids.iter().cloned());
        crowd.parks(&cluster).await;
        if dies {
            let primary = primary_of(&cluster, &client, &ids[0]).await;
            cluster.kill(primary);
        }
        gate.open();
        let mut answers = crowd.answers().await;
        answers.sort();
        let mut expected: Vec<_> = ids
            .into_iter()
            .zip((0..WAITERS).map(|number| number.to_string().into_bytes()))
            .collect();
        expected.sort();
        assert!(answers == expected, "somebody has another's result");
        all.extend(gate.tasks);
        all.extend(expected.into_iter().map(|(id, _)| id));
    }
    audit_ids(&cluster, &recorder, &all).await;
}

/// Submits one task for each waiter; task `n` returns `n`.
async fn submit_many(observer: &Observer, round: bool) -> Vec<TaskId> {
    let mut submits = JoinSet::new();
    for number in 0..WAITERS {
        let observer = observer.clone();
        submits.spawn(async move {
            let task = HandlerTask::new("ringhold.echo", number.to_string());
            let name = format!("{round}-{number}");
            let stored = observer.submit("work", task, Name::Drawn(&name), 0).await;
            (number, stored.expect("stored").id)
        });
    }
    let mut ids = submits.join_all().await;
    ids.sort_by_key(|(number, _)| *number);
    ids.into_iter().map(|(_, id)| id).collect()
}
