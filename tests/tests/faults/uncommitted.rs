//! What only a primary holds, because its backup is frozen, does not exist yet: it is not started and nobody sees it
//! (guarantees G2 and G12).

use std::sync::Arc;
use std::time::Duration;

use ringhold_client::{Client, RetrieveError};
use ringhold_types::TaskId;

use super::cluster::{TestCluster, wait_until, wait_until_safe};
use super::gates::Gates;
use super::ledger::{OUTCOME_PATIENCE, audit_ids, audit_runs, echo};
use super::recorder::{Name, Observer, Recorder};

/// One partition on two members; a third member has a vote and no tasks, so nobody can take the backup's place.
const CONFIG: &str = r#"
[durable-executor.work]
partition-count = 1
durability = 1
allowed-binaries = ["sh"]
"#;
const MEMBERS: [&[&str]; 3] = [&[], &[], &["--witness"]];

/// A task that is stored before the backup freezes takes no longer to be looked at than this; what takes longer waits.
const PATIENCE: Duration = Duration::from_secs(1);
/// What the primary has written to its own log.
const RECORDS: &str = "ringhold_log_records_total";
/// Tries to have an answer within what is left of a lease of 600 ms, on a machine that does other things as well.
const ROUNDS: u64 = 10;

/// A cluster with a task that has ended.
struct Stage {
    cluster: TestCluster,
    client: Client,
    recorder: Arc<Recorder>,
    /// Asks the primary only.
    alone: Observer,
    primary: usize,
    backup: usize,
    known: TaskId,
}

impl Stage {
    async fn set() -> Self {
        let cluster = TestCluster::start_with(&MEMBERS, CONFIG).await;
        let client = cluster.client().await;
        let recorder = Arc::new(Recorder::default());
        let observer = Observer::new(&client, &recorder);
        let stored = observer.submit("work", echo(0), Name::Drawn("known"), 0);
        let known = stored.await.expect("the cluster is whole").id;
        let read = observer.retrieve(&known, OUTCOME_PATIENCE).await;
        read.expect("an outcome");
        wait_until_safe(&client).await;
        let partitions = client.cluster().partitions("work", None).await;
        let partitions = partitions.expect("the cluster answers");
        let primary = partitions[0].primary.as_ref().expect("a primary");
        let primary = cluster.index_of(&primary.member_name);
        let alone = Observer::new(&cluster.client_of(primary).await, &recorder);
        Self {
            backup: 1 - primary,
            cluster,
            client,
            recorder,
            alone,
            primary,
            known,
        }
    }

    /// What the primary has written to its log.
    fn records(&self) -> u64 {
        self.cluster.metric(self.primary, RECORDS)
    }

    /// Waits until the primary has written more than that.
    async fn writes_more_than(&self, records: u64) {
        let more = async || self.records() > records;
        wait_until("the primary has written it", more).await;
    }

    /// Waits until the primary refuses, because its lease from the backup has run out.
    async fn lease_runs_out(&self) {
        wait_until("the lease has run out", async || {
            let read = self.alone.retrieve(&self.known, PATIENCE).await;
            matches!(read, Err(RetrieveError::Unavailable { .. }))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_neither_started_nor_seen_before_its_backup_has_it() {
    let stage = Stage::set().await;
    let mut ids = vec![stage.known.clone()];
    let mut answered = false;
    for round in 0..ROUNDS {
        let gates = Gates::new(stage.cluster.directory(), &format!("round-{round}"));
        gates.open(1);
        let mut next = ids[ids.len() - 1].clone();
        next.sequence = next.sequence.next().expect("there are more");
        let records = stage.records();
        stage.cluster.freeze(stage.backup);
        let (observer, task) = (stage.alone.clone(), gates.task());
        let submit = tokio::spawn(async move {
            let key = format!("round-{round}");
            observer.submit("work", task, Name::Key(&key), round).await
        });
        // The first answer may have overtaken the submit; the second was asked for after that.
        answered |= is_not_seen(&stage.alone, &next).await >= 2;
        stage.lease_runs_out().await;
        stage.writes_more_than(records).await;
        assert!(!submit.is_finished(), "acknowledged by one of two");
        assert_eq!(gates.begun(1), 0, "it runs before it is stored");
        stage.cluster.thaw(stage.backup);
        let receipt = submit.await.expect("no panic").expect("both hold it");
        assert_eq!(receipt.id, next);
        ids.push(next);
        audit_runs(&stage.cluster, &stage.recorder, &ids, &gates).await;
        assert_eq!(gates.ran(1), 1);
        wait_until_safe(&stage.client).await;
        if answered {
            break;
        }
    }
    assert!(answered, "the primary never answered within its lease");
    audit_ids(&stage.cluster, &stage.recorder, &ids).await;
}

/// Lists and reads until the primary refuses: nothing that it answers shows the task. Returns how often it answered both.
async fn is_not_seen(alone: &Observer, id: &TaskId) -> u32 {
    let mut answers = 0;
    loop {
        let list = tokio::time::timeout(PATIENCE, alone.lists(id)).await;
        let Ok(Some(listed)) = list else {
            return answers;
        };
        assert!(!listed, "{id} is listed before it is stored");
        match tokio::time::timeout(PATIENCE, alone.look(id)).await {
            Ok(Ok(read)) => panic!("{read:?} before it is stored"),
            Ok(Err(RetrieveError::NotYet { .. })) => panic!("{id} is seen before it is stored"),
            Ok(Err(RetrieveError::NeverExisted)) => answers += 1,
            Ok(Err(_)) | Err(_) => return answers,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_is_seen_by_nobody_before_its_backup_has_it() {
    let stage = Stage::set().await;
    let gates = Gates::new(stage.cluster.directory(), "outcome");
    let stored = stage
        .alone
        .submit("work", gates.task(), Name::Drawn("it"), 1);
    let id = stored.await.expect("the cluster is whole").id;
    wait_until("it runs", async || gates.begun(1) == 1).await;
    wait_until_safe(&stage.client).await;
    let (observer, awaited) = (stage.alone.clone(), id.clone());
    let waiter = tokio::spawn(async move { observer.retrieve(&awaited, OUTCOME_PATIENCE).await });
    let waiters = async || stage.cluster.metric(stage.primary, "ringhold_waiters") > 0;
    wait_until("somebody waits", waiters).await;
    let records = stage.records();
    stage.cluster.freeze(stage.backup);
    gates.open(1);
    wait_until("its run ends", async || gates.ran(1) == 1).await;
    stage.writes_more_than(records).await;
    // An answer may wait for a lease; what it waits for is not seen either.
    if let Ok(seen) = tokio::time::timeout(PATIENCE, stage.alone.look(&id)).await {
        seen.expect_err("an outcome before both hold it");
    }
    stage.lease_runs_out().await;
    assert!(!waiter.is_finished(), "answered before both hold it");
    stage.cluster.thaw(stage.backup);
    let read = waiter.await.expect("no panic").expect("both hold it");
    assert_eq!(read.attempts, 1);
    let ids = [stage.known.clone(), id];
    audit_runs(&stage.cluster, &stage.recorder, &ids, &gates).await;
}
