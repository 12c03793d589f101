//! Tasks as get and list show them.

use std::collections::BTreeMap;

use ringhold_proto::convert::{millis_from_duration, status_from_number, unix_from_timestamp};
use ringhold_proto::{ApiError, ConversionError, StatedTaskId, SubmittedTask, v1};
use ringhold_types::{
    ErrorCode, IdempotencyKey, MemberId, Millis, Outcome, TaskId, TaskSpec, TaskStatus, Term,
    UnixMillis,
};

use crate::error::RequestError;

/// A task as it was at the time of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskInfo {
    /// The task.
    pub id: TaskId,
    /// Where it is in its life.
    pub status: TaskStatus,
    /// What it runs: the handler's name, or the program.
    pub name: String,
    /// Metadata of its caller.
    pub labels: BTreeMap<String, String>,
    /// Wall clock of the primary when it was accepted; for people.
    pub accepted_at: Option<UnixMillis>,
    /// How long ago it was accepted.
    pub age: Millis,
    /// Attempts started so far.
    pub attempts: u32,
    /// Members that died under it.
    pub crashes: u32,
    /// Its last attempts, oldest first; bounded.
    pub history: Vec<AttemptInfo>,
    /// Until it may start, for a delayed or retried task.
    pub starts_in: Option<Millis>,
    /// Whether its outcome reached a caller.
    pub retrieved: bool,
    /// The task as submitted; not in lists.
    pub task: Option<TaskSpec>,
    /// Its outcome, if it has one; not in lists.
    pub outcome: Option<Outcome>,
}

/// One run of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptInfo {
    /// Which run; the first is 1.
    pub number: u64,
    /// The term in which it was started or last adopted.
    pub term: Term,
    /// The member that ran it.
    pub member: MemberId,
    /// How long ago it started.
    pub started_ago: Millis,
    /// How long it ran; `None` while it runs.
    pub ran: Option<Millis>,
    /// Kind of its failure, if it failed.
    pub failure: Option<String>,
}

/// Which tasks to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// Only tasks of this executor.
    pub executor: Option<String>,
    /// Only tasks with one of these statuses; empty: with any.
    pub statuses: Vec<TaskStatus>,
    /// Only tasks accepted at least this long ago.
    pub older_than: Option<Millis>,
    /// Most tasks of a page, 1 to 1000; 0: 100.
    pub page_size: u32,
}

/// A page of tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskPage {
    /// The tasks.
    pub tasks: Vec<TaskInfo>,
    /// Names the next page, if there is one.
    pub next_page: Option<String>,
    /// Partitions that could not be asked; the page is without their tasks.
    pub unavailable: Vec<UnavailablePartition>,
}

/// A partition that could not be asked for its tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnavailablePartition {
    /// The executor.
    pub executor: String,
    /// The partition.
    pub partition: u32,
    /// Why.
    pub reason: RequestError,
}

/// An answer that cannot be read, as only another version of the software would give it.
pub(crate) fn unreadable(error: ConversionError) -> RequestError {
    let message = format!("the answer cannot be read: {error}");
    RequestError::new(ErrorCode::Internal, message)
}

impl TaskInfo {
    pub(crate) fn from_wire(view: v1::TaskView) -> Result<Self, RequestError> {
        Self::read(view).map_err(unreadable)
    }

    fn read(view: v1::TaskView) -> Result<Self, ConversionError> {
        let accepted_at = view.accepted_at.as_ref();
        let age = view.age.unwrap_or_default();
        let starts_in = view.starts_in.as_ref();
        let history = view.history.into_iter().map(AttemptInfo::read);
        Ok(Self {
            id: StatedTaskId::try_from(view.id.unwrap_or_default())?.id,
            status: status_from_number(view.status)?,
            name: view.name,
            labels: view.labels,
            accepted_at: accepted_at
                .map(|at| unix_from_timestamp("accepted_at", at))
                .transpose()?,
            age: millis_from_duration("age", &age)?,
            attempts: view.attempts,
            crashes: view.crashes,
            history: history.collect::<Result<_, _>>()?,
            starts_in: starts_in
                .map(|span| millis_from_duration("starts_in", span))
                .transpose()?,
            retrieved: view.retrieved,
            task: view.task.map(read_task).transpose()?,
            outcome: view.outcome.map(Outcome::try_from).transpose()?,
        })
    }
}

/// A stored task always has a key, so the one made up here is never seen.
fn read_task(task: v1::Task) -> Result<TaskSpec, ConversionError> {
    let made_up = || IdempotencyKey::new("absent").expect("six bytes are a key");
    Ok(SubmittedTask::read(task, made_up)?.task)
}

impl AttemptInfo {
    fn read(attempt: v1::AttemptView) -> Result<Self, ConversionError> {
        let started = attempt.started_ago.unwrap_or_default();
        let ran = attempt.ran.as_ref();
        Ok(Self {
            number: attempt.number,
            term: Term(attempt.term),
            member: MemberId(attempt.member_id),
            started_ago: millis_from_duration("started_ago", &started)?,
            ran: ran
                .map(|span| millis_from_duration("ran", span))
                .transpose()?,
            failure: attempt.failure,
        })
    }
}

impl TaskPage {
    pub(crate) fn from_wire(page: v1::ListResponse) -> Result<Self, RequestError> {
        let tasks = page.tasks.into_iter().map(TaskInfo::from_wire);
        let unavailable = page
            .unavailable
            .into_iter()
            .map(|partition| UnavailablePartition {
                executor: partition.executor,
                partition: partition.partition,
                reason: read_error(partition.error.unwrap_or_default()),
            });
        Ok(Self {
            tasks: tasks.collect::<Result<_, _>>()?,
            next_page: Some(page.next_page_token).filter(|token| !token.is_empty()),
            unavailable: unavailable.collect(),
        })
    }
}

fn read_error(error: v1::Error) -> RequestError {
    match ApiError::try_from(error) {
        Ok(error) => error.into(),
        Err(error) => unreadable(error),
    }
}
