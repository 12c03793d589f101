//! What clients ask and see, recorded for the checkers of `history`.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ringhold_client::{
    Client, ListFilter, ProcessTask, RequestError, Retrieve, RetrieveError, Retrieved, Submit,
    SubmitError, Submittable, TaskHandle, TaskInfo,
};
use ringhold_history::{Action, Event, Kind, NOT_FROM_A_RUN, Run, Sighting};
use ringhold_types::{ErrorCode, Outcome, Receipt, TaskId};
use rustix::time::{ClockId, clock_gettime};

/// Everything that the clients of one test did.
#[derive(Default)]
pub(crate) struct Recorder {
    events: Mutex<Vec<Event>>,
    /// What tasks wrote of their own runs, by file.
    runs: Mutex<BTreeMap<PathBuf, Vec<Event>>>,
    operations: AtomicU64,
    processes: AtomicU64,
}

/// One client whose calls are recorded.
#[derive(Clone)]
pub(crate) struct Observer {
    client: Client,
    recorder: Arc<Recorder>,
    process: u64,
}

/// What the history knows a submit by.
#[derive(Clone, Copy)]
pub(crate) enum Name<'a> {
    /// Its idempotency key.
    Key(&'a str),
    /// The client draws the key; this stands for it.
    Drawn(&'a str),
}

impl Name<'_> {
    const fn text(&self) -> &str {
        match self {
            Self::Key(text) | Self::Drawn(text) => text,
        }
    }
}

/// An operation that has begun.
struct Begun<'a> {
    observer: &'a Observer,
    operation: u64,
}

impl Recorder {
    /// Takes over what another process recorded.
    pub(crate) fn add(&self, events: impl IntoIterator<Item = Event>) {
        let mut all = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(events);
    }

    /// Reads what tasks wrote down of their own runs, see [`writes_its_run`].
    pub(crate) fn read_runs(&self, file: &Path) {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let events = text.lines().map(|line| Event {
            at: now(),
            process: 0,
            operation: 0,
            kind: Kind::Ran(run_of(line)),
        });
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.insert(file.to_owned(), events.collect());
    }

    /// All events, in the order of their times.
    pub(crate) fn events(&self) -> Vec<Event> {
        let mut events = self
            .events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        events.extend(runs.values().flatten().cloned());
        events.sort_by_key(|event| event.at);
        events
    }

    fn record(&self, process: u64, operation: u64, kind: Kind) {
        // Stamped before the lock for an end, and an invocation stamped early is only more careful.
        let at = now();
        let event = Event {
            at,
            process,
            operation,
            kind,
        };
        self.add([event]);
    }
}

impl Observer {
    /// A recorded client.
    pub(crate) fn new(client: &Client, recorder: &Arc<Recorder>) -> Self {
        Self {
            client: client.clone(),
            recorder: Arc::clone(recorder),
            process: recorder.processes.fetch_add(1, Ordering::Relaxed) + 1,
        }
    }

    /// A name for a submit that no other has.
    pub(crate) fn unused_name(&self) -> String {
        let number = self.recorder.operations.fetch_add(1, Ordering::Relaxed);
        format!("submit-{number}")
    }

    /// Submits a task under a name that no other task of the test has. `payload` stands for its content.
    pub(crate) async fn submit<S: Submittable>(
        &self,
        executor: &str,
        task: S,
        name: Name<'_>,
        payload: u64,
    ) -> Result<Receipt, SubmitError> {
        let as_it_is = |submit| submit;
        self.submit_as(executor, task, name, payload, as_it_is)
            .await
    }

    /// Submits a task as [`Self::submit`] does, after a change to the submit.
    pub(crate) async fn submit_as<S: Submittable>(
        &self,
        executor: &str,
        task: S,
        name: Name<'_>,
        payload: u64,
        change: impl FnOnce(Submit<TaskHandle<S::Output>>) -> Submit<TaskHandle<S::Output>>,
    ) -> Result<Receipt, SubmitError> {
        let action = Action::Submit {
            key: name.text().to_owned(),
            payload,
        };
        let begun = self.begin(action);
        let submit = change(self.client.executor(executor).submit(task));
        let answer = match name {
            Name::Key(key) => submit.idempotency_key(key.to_owned()).await,
            Name::Drawn(_) => submit.await,
        };
        begun.end(match &answer {
            Ok(handle) => {
                let receipt = handle.receipt();
                Kind::Ok(Sighting::Stored {
                    id: receipt.id.to_string(),
                    term: receipt.term.get(),
                    reused: receipt.reused,
                })
            }
            Err(SubmitError::Indeterminate { .. }) => Kind::Unknown,
            Err(error) => Kind::Fail(error.code()),
        });
        answer.map(|handle| handle.receipt().clone())
    }

    /// Reads an outcome, waiting for it at most this long.
    pub(crate) async fn retrieve(
        &self,
        id: &TaskId,
        patience: Duration,
    ) -> Result<Retrieved, RetrieveError> {
        let retrieve = self.client.retrieve_result(id);
        self.observe(id, retrieve.deadline(patience)).await
    }

    /// Reads an outcome if there is one.
    pub(crate) async fn look(&self, id: &TaskId) -> Result<Retrieved, RetrieveError> {
        let retrieve = self.client.retrieve_result(id);
        self.observe(id, retrieve.no_wait()).await
    }

    async fn observe(&self, id: &TaskId, retrieve: Retrieve) -> Result<Retrieved, RetrieveError> {
        let begun = self.begin(Action::Retrieve { id: id.to_string() });
        self.see(begun, retrieve).await
    }

    async fn see(&self, begun: Begun<'_>, retrieve: Retrieve) -> Result<Retrieved, RetrieveError> {
        let answer = retrieve.await;
        begun.end(match &answer {
            Ok(retrieved) => Kind::Ok(Sighting::Outcome {
                value: value_of(&retrieved.outcome),
            }),
            Err(RetrieveError::NotYet { .. }) => Kind::Ok(Sighting::Pending),
            Err(error) => absence(error.code()).map_or(Kind::Unknown, Kind::Ok),
        });
        answer
    }

    /// Looks at a task as it is.
    pub(crate) async fn get(&self, id: &TaskId) -> Option<TaskInfo> {
        let begun = self.begin(Action::Get { id: id.to_string() });
        let answer = self.client.get(id).await;
        begun.end(match &answer {
            Ok(info) => Kind::Ok(match &info.outcome {
                Some(outcome) => Sighting::Outcome {
                    value: value_of(outcome),
                },
                None => Sighting::Pending,
            }),
            Err(error) => absence(error.code).map_or(Kind::Unknown, Kind::Ok),
        });
        answer.ok()
    }

    /// Whether a list of its executor's tasks has this one; `None` if not all of them could be listed.
    pub(crate) async fn lists(&self, id: &TaskId) -> Option<bool> {
        let begun = self.begin(Action::Get { id: id.to_string() });
        let filter = ListFilter {
            executor: Some(id.executor.to_string()),
            ..ListFilter::default()
        };
        let page = self.client.list(&filter, None).await.ok();
        let task = page
            .iter()
            .flat_map(|page| &page.tasks)
            .find(|it| it.id == *id);
        // An absence from a list names no reason, and an outcome is not in it.
        let pending = task.is_some_and(|it| it.status.is_unfinished());
        begun.end(if pending {
            Kind::Ok(Sighting::Pending)
        } else {
            Kind::Unknown
        });
        let whole = page
            .as_ref()
            .is_some_and(|page| page.next_page.is_none() && page.unavailable.is_empty());
        (whole || task.is_some()).then_some(task.is_some())
    }

    /// Removes an outcome.
    pub(crate) async fn dispose(&self, id: &TaskId) -> Result<(), RequestError> {
        let begun = self.begin(Action::Dispose { id: id.to_string() });
        let answer = self.client.dispose_result(id).await;
        begun.end(match &answer {
            Ok(()) => Kind::Ok(Sighting::Done),
            Err(error) => absence(error.code).map_or(Kind::Unknown, Kind::Ok),
        });
        answer
    }

    /// Reads an outcome and removes it.
    pub(crate) async fn take(&self, id: &TaskId) -> Result<Retrieved, RetrieveError> {
        let begun = self.begin(Action::Take { id: id.to_string() });
        self.see(begun, self.client.retrieve_and_dispose_result(id))
            .await
    }

    fn begin(&self, action: Action) -> Begun<'_> {
        let operation = self.recorder.operations.fetch_add(1, Ordering::Relaxed);
        self.recorder
            .record(self.process, operation, Kind::Invoke(action));
        Begun {
            observer: self,
            operation,
        }
    }
}

impl Begun<'_> {
    fn end(self, kind: Kind) {
        let observer = self.observer;
        observer
            .recorder
            .record(observer.process, self.operation, kind);
    }
}

/// An answer that says why there is no outcome; others say nothing of the task.
fn absence(code: ErrorCode) -> Option<Sighting> {
    code.is_absence().then_some(Sighting::Absent { code })
}

/// A program that appends a line about its run to `file`, and returns the line.
pub(crate) fn writes_its_run(file: &Path) -> ProcessTask {
    let script = r#"line="$RINGHOLD_TASK_ID $RINGHOLD_FENCING_TOKEN $$"; echo "$line" >> "$0"; echo "$line""#;
    ProcessTask::new("sh").arg("-c").arg(script).arg(file)
}

fn run_of(line: &str) -> Run {
    let mut words = line.split([' ', '-']);
    let id = words.next().unwrap_or_default().to_owned();
    let mut number = || words.next().and_then(|word| word.parse().ok());
    let (term, _sequence, attempt): (Option<u64>, Option<u64>, Option<u64>) =
        (number(), number(), number());
    Run {
        id,
        term: term.expect("a fencing token"),
        attempt: attempt.expect("a fencing token"),
        value: hash(line.as_bytes()) & !NOT_FROM_A_RUN,
    }
}

/// A number for an outcome: that of a run if a program of [`writes_its_run`] returned it.
fn value_of(outcome: &Outcome) -> u64 {
    match outcome {
        Outcome::Succeeded(result) if result.process.is_some() && !result.payload.is_empty() => {
            hash(result.payload.trim_ascii_end()) & !NOT_FROM_A_RUN
        }
        other => hash(format!("{other:?}").as_bytes()) | NOT_FROM_A_RUN,
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// Nanoseconds on the clock that all processes share.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let (seconds, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    seconds * 1_000_000_000 + nanos
}
