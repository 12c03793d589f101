//! A load of tasks and reads, and the audit at the end: every acknowledged task has one outcome, the same from every member,
//! it is the right one, and no checker objects to anything that a client saw on the way.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ringhold_client::HandlerTask;
use ringhold_history::{Event, Expectation, Kind, Report, check};
use ringhold_types::{Outcome, TaskId};
use tokio::task::JoinSet;

use super::cluster::{LOOK_EVERY, TestCluster};
use super::gates::Gates;
use super::recorder::{Name, Observer, Recorder, writes_its_run};

/// Submits under way at once: enough that a fault always hits some.
const SUBMITTERS: u64 = 16;
/// How long an acknowledged task may take to its outcome, faults included.
pub(crate) const OUTCOME_PATIENCE: Duration = Duration::from_secs(60);
/// Reads of the audit under way at once.
const READS_AT_ONCE: usize = 256;
/// Tasks that readers choose from: the newest, which are where something happens.
const NEWEST: usize = 64;
/// Pause of a reader between two reads, so that reads do not take the processor from everything else.
const READ_EVERY: Duration = Duration::from_millis(10);

/// Tasks that a load submits as fast as it can; what it submits later, while a test waits for something, comes in slowly,
/// so that the audit stays short.
const EAGER: u64 = 500;
/// Pause of a submitter after those.
const SUBMIT_EVERY: Duration = Duration::from_millis(50);

/// What the tasks of a load do.
#[derive(Clone)]
pub(crate) enum Work {
    /// Each returns its input.
    Echo,
    /// Each is a program that appends its run to this file.
    Ledger(PathBuf),
}

/// What runs and what was acknowledged.
struct Shared {
    executor: String,
    work: Work,
    recorder: Arc<Recorder>,
    stop: AtomicBool,
    acknowledged: AtomicU64,
    newest: Mutex<VecDeque<TaskId>>,
}

/// A load that runs until told to stop.
pub(crate) struct Load {
    shared: Arc<Shared>,
    submitters: JoinSet<Vec<(TaskId, u64)>>,
    readers: JoinSet<()>,
}

/// What a load left behind.
pub(crate) struct Ledger {
    /// Everything that was acknowledged, with its number.
    pub(crate) tasks: BTreeMap<TaskId, u64>,
    pub(crate) recorder: Arc<Recorder>,
    work: Work,
}

impl Load {
    /// Submits echo tasks to `executor` and reads them from every member, without pause.
    pub(crate) async fn start(cluster: &TestCluster, executor: &str) -> Self {
        Self::of(cluster, executor, Work::Echo).await
    }

    /// Submits this work to `executor` and reads it from every member, without pause.
    pub(crate) async fn of(cluster: &TestCluster, executor: &str, work: Work) -> Self {
        let shared = Arc::new(Shared {
            executor: executor.to_owned(),
            work,
            recorder: Arc::default(),
            stop: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            newest: Mutex::default(),
        });
        let client = cluster.client().await;
        let mut submitters = JoinSet::new();
        for first in 0..SUBMITTERS {
            let observer = Observer::new(&client, &shared.recorder);
            submitters.spawn(submit_on_and_on(Arc::clone(&shared), observer, first));
        }
        let mut readers = JoinSet::new();
        for index in cluster.alive() {
            let observer = Observer::new(&cluster.client_of(index).await, &shared.recorder);
            readers.spawn(read_on_and_on(Arc::clone(&shared), observer));
        }
        Self {
            shared,
            submitters,
            readers,
        }
    }

    /// Where its clients' calls are recorded; a test's own calls may be recorded there as well.
    pub(crate) fn recorder(&self) -> &Arc<Recorder> {
        &self.shared.recorder
    }

    /// How many tasks were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until `more` further tasks were acknowledged.
    pub(crate) async fn wait_for_more(&self, more: u64) {
        let target = self.acknowledged() + more;
        let reached = async {
            while self.acknowledged() < target {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let in_time = tokio::time::timeout(OUTCOME_PATIENCE, reached).await;
        assert!(
            in_time.is_ok(),
            "submits stand still at {} of {target}",
            self.acknowledged()
        );
    }

    /// Ends the load and returns what was acknowledged.
    pub(crate) async fn stop(mut self) -> Ledger {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut tasks = BTreeMap::new();
        while let Some(told) = self.submitters.join_next().await {
            for (id, number) in told.expect("a submitter does not panic") {
                let former = tasks.insert(id.clone(), number);
                assert_eq!(former, None, "{id} was given to two tasks");
            }
        }
        // What they read last was not answered, as far as they know.
        self.readers.abort_all();
        Ledger {
            tasks,
            recorder: Arc::clone(&self.shared.recorder),
            work: self.shared.work.clone(),
        }
    }
}

/// The key of a task of a load.
pub(crate) fn key(number: u64) -> String {
    format!("load-{number}")
}

/// Half of the submitters give keys of their own, the others let the client draw them, which moves on from full or dead
/// partitions.
pub(crate) const fn has_own_key(number: u64) -> bool {
    number.is_multiple_of(2)
}

async fn submit_on_and_on(
    shared: Arc<Shared>,
    observer: Observer,
    first: u64,
) -> Vec<(TaskId, u64)> {
    let mut told = Vec::new();
    let mut number = first;
    while !shared.stop.load(Ordering::Relaxed) {
        let (executor, key) = (&shared.executor, key(number));
        let name = if has_own_key(number) {
            Name::Key(&key)
        } else {
            Name::Drawn(&key)
        };
        let answer = match &shared.work {
            Work::Echo => observer.submit(executor, echo(number), name, number).await,
            Work::Ledger(file) => {
                let task = writes_its_run(file);
                observer.submit(executor, task, name, number).await
            }
        };
        if shared.acknowledged.load(Ordering::Relaxed) > EAGER {
            tokio::time::sleep(SUBMIT_EVERY).await;
        }
        match answer {
            Ok(receipt) => {
                shared.acknowledged.fetch_add(1, Ordering::Relaxed);
                shared.remember(&receipt.id);
                told.push((receipt.id, number));
                number += SUBMITTERS;
            }
            // Nothing was promised. The same key asks again; without one the next task is another one.
            Err(error) => {
                eprintln!("submit {number}: {error}");
                if !has_own_key(number) {
                    number += SUBMITTERS;
                }
            }
        }
    }
    told
}

async fn read_on_and_on(shared: Arc<Shared>, observer: Observer) {
    let mut turn = 0;
    loop {
        tokio::time::sleep(READ_EVERY).await;
        turn += 1;
        let Some(id) = shared.one_of_the_newest(turn) else {
            continue;
        };
        if turn % 2 == 0 {
            let _recorded = observer.get(&id).await;
        } else {
            let _recorded = observer.look(&id).await;
        }
    }
}

impl Shared {
    fn remember(&self, id: &TaskId) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.push_front(id.clone());
        newest.truncate(NEWEST);
    }

    fn one_of_the_newest(&self, turn: usize) -> Option<TaskId> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        // A prime step, so that every place has its turn, the newest most often.
        newest
            .get(turn * 37 % NEWEST % newest.len().max(1))
            .cloned()
    }
}

/// The echo task of a number.
pub(crate) fn echo(number: u64) -> HandlerTask {
    HandlerTask::new("ringhold.echo", payload(number))
}

/// The input of an echo task, and its result.
fn payload(number: u64) -> Vec<u8> {
    format!("\"task {number}\"").into_bytes()
}

/// Reads every acknowledged task from every living member, and has all that clients saw checked.
pub(crate) async fn audit(cluster: &TestCluster, ledger: &Ledger) -> Report {
    assert!(
        !ledger.tasks.is_empty(),
        "a run that acknowledged nothing shows nothing"
    );
    for index in cluster.alive() {
        let observer = Observer::new(&cluster.client_of(index).await, &ledger.recorder);
        read_all(&observer, ledger).await;
    }
    if let Work::Ledger(file) = &ledger.work {
        ledger.recorder.read_runs(file);
    }
    let report = check_all(&ledger.recorder.events());
    assert!(report.acknowledged >= ledger.tasks.len());
    report
}

/// Reads these tasks from every living member, and has all that clients saw checked.
pub(crate) async fn audit_ids(
    cluster: &TestCluster,
    recorder: &Arc<Recorder>,
    ids: &[TaskId],
) -> Report {
    read_everywhere(cluster, recorder, ids).await;
    let report = check_all(&recorder.events());
    assert!(report.acknowledged >= ids.len());
    report
}

/// Reads these tasks from every living member.
pub(crate) async fn read_everywhere(
    cluster: &TestCluster,
    recorder: &Arc<Recorder>,
    ids: &[TaskId],
) {
    for index in cluster.alive() {
        let observer = Observer::new(&cluster.client_of(index).await, recorder);
        let mut reads = JoinSet::new();
        for id in ids {
            let (observer, id) = (observer.clone(), id.clone());
            reads.spawn(async move {
                let read = observer.retrieve(&id, OUTCOME_PATIENCE).await;
                read.unwrap_or_else(|error| panic!("{id} is lost: {error}"));
            });
            if reads.len() >= READS_AT_ONCE
                && let Some(done) = reads.join_next().await
            {
                done.expect("a read succeeds");
            }
        }
        while let Some(done) = reads.join_next().await {
            done.expect("a read succeeds");
        }
    }
}

/// As [`audit_ids`], with the runs that these programs wrote.
pub(crate) async fn audit_runs(
    cluster: &TestCluster,
    recorder: &Arc<Recorder>,
    ids: &[TaskId],
    gates: &Gates,
) -> Report {
    // An outcome is read after its run was written, and not before.
    let observer = Observer::new(&cluster.client().await, recorder);
    for id in ids {
        let read = observer.retrieve(id, OUTCOME_PATIENCE).await;
        read.unwrap_or_else(|error| panic!("{id} is lost: {error}"));
    }
    recorder.read_runs(gates.runs());
    audit_ids(cluster, recorder, ids).await
}

/// Runs the checkers over an audited history without losses.
pub(crate) fn check_all(events: &[Event]) -> Report {
    let expectation = Expectation {
        losses: false,
        audited: true,
    };
    let report = check(events, expectation);
    let breaches: Vec<String> = report.breaches.iter().map(ToString::to_string).collect();
    assert!(report.is_clean(), "{}", breaches.join("\n"));
    report
}

/// How often each task ran, by what the tasks themselves wrote.
pub(crate) fn runs_by_task(recorder: &Recorder) -> BTreeMap<String, u64> {
    let mut runs = BTreeMap::new();
    for event in recorder.events() {
        if let Kind::Ran(run) = event.kind {
            *runs.entry(run.id).or_default() += 1;
        }
    }
    runs
}

/// Ends a load of programs: every acknowledged task is there from every living member, ran, and none more than once.
pub(crate) async fn end_with_single_runs(cluster: &TestCluster, load: Load) -> Ledger {
    let ledger = load.stop().await;
    audit(cluster, &ledger).await;
    none_ran_twice(&ledger);
    ledger
}

/// Every task of an audited load ran, and none more than once.
fn none_ran_twice(ledger: &Ledger) {
    let runs = runs_by_task(&ledger.recorder);
    let again: Vec<_> = runs.iter().filter(|(_, times)| **times > 1).collect();
    assert_eq!(again, [], "tasks ran more than once");
    assert!(runs.len() >= ledger.tasks.len());
}

/// A file for the runs of one test.
pub(crate) fn runs_file(directory: &Path) -> PathBuf {
    directory.join("runs")
}

async fn read_all(observer: &Observer, ledger: &Ledger) {
    let mut reads = JoinSet::new();
    for (id, number) in &ledger.tasks {
        let (observer, id, number) = (observer.clone(), id.clone(), *number);
        let echoes = matches!(ledger.work, Work::Echo);
        reads.spawn(async move {
            let retrieved = observer.retrieve(&id, OUTCOME_PATIENCE).await;
            let retrieved = retrieved.unwrap_or_else(|error| panic!("{id} is lost: {error}"));
            match retrieved.outcome {
                Outcome::Succeeded(result) if echoes => {
                    assert_eq!(result.payload, payload(number), "{id} has another's result");
                }
                Outcome::Succeeded(_) => {}
                other => panic!("{id} ended as {other:?}"),
            }
        });
        if reads.len() >= READS_AT_ONCE
            && let Some(done) = reads.join_next().await
        {
            done.expect("a read succeeds");
        }
    }
    while let Some(done) = reads.join_next().await {
        done.expect("a read succeeds");
    }
}
