//! A named executor, as a caller sees it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use ringhold_proto::{StatedTaskId, v1};
use ringhold_types::{Receipt, TaskId};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use crate::Client;
use crate::codec::read_json;
use crate::connections::executor_service;
use crate::error::{RequestError, SubmitError, TaskError};
use crate::handle::TaskHandle;
use crate::limits;
use crate::shared::{Asking, NoAnswer, Place, Try};
use crate::submit::Submit;
use crate::submitter::{FullPolicy, Stored};
use crate::task::{Submittable, Task};
use crate::task_info::unreadable;
use crate::typed::Typed;

/// A named executor. Cheap to clone.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use ringhold_client::{Client, ProcessTask};
///
/// let client = Client::builder().endpoints(["127.0.0.1:7400"]).build().await?;
/// let reports = client.executor("reports");
/// let task = reports.submit(ProcessTask::new("sha256sum").arg("/etc/hostname")).key("customer-7").await?;
/// println!("{} is durable on {} members", task.id(), task.receipt().members.len());
/// let output = task.await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Executor {
    client: Client,
    name: String,
    when_full: FullPolicy,
}

/// One item of [`Executor::submit_all`].
#[derive(Debug)]
pub struct BatchItem<T> {
    /// Position of the task in the stream that was submitted, from 0.
    pub index: u64,
    /// The task, if it was stored.
    pub id: Option<TaskId>,
    /// Its result.
    pub outcome: Result<T, BatchError>,
}

/// Why an item of [`Executor::submit_all`] has no result.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// It was not stored, or it is not known to be.
    #[error("not submitted")]
    Submit(#[from] SubmitError),
    /// It was stored and has no result.
    #[error("no result")]
    Task(#[from] TaskError),
}

impl Executor {
    pub(crate) fn new(client: Client, name: String) -> Self {
        Self {
            client,
            name,
            when_full: FullPolicy::default(),
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The same executor with another choice for full partitions, for all submits through it: also those of
    /// [`Executor::submit_all`].
    #[must_use]
    pub fn when_full(&self, policy: FullPolicy) -> Self {
        Self {
            when_full: policy,
            ..self.clone()
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same executor for one type of task.
    #[must_use]
    pub fn typed<T: Task>(&self) -> Typed<T> {
        Typed::new(self.clone())
    }

    /// Submits a task. `.await` gives its handle once it is stored durably.
    pub fn submit<S: Submittable>(&self, task: S) -> Submit<TaskHandle<S::Output>> {
        let finish: fn(Client, Stored) -> TaskHandle<S::Output> =
            |client, stored| TaskHandle::new(client, stored, S::read);
        Submit::new(
            self.client.clone(),
            self.name.clone(),
            task.to_call(),
            finish,
        )
        .when_full(self.when_full)
    }

    /// Submits a task to the partition of a key: [`Executor::submit`] with [`Submit::key`], by the peer's name.
    pub fn submit_to_key_owner<S: Submittable>(
        &self,
        key: impl Into<Bytes>,
        task: S,
    ) -> Submit<TaskHandle<S::Output>> {
        self.submit(task).key(key)
    }

    /// Fire and forget: `.await` gives the receipt once the task is stored durably. A task that succeeds disposes
    /// itself; a failure stays to be looked at.
    pub fn execute<S: Submittable>(&self, task: S) -> Submit<Receipt> {
        let finish: fn(Client, Stored) -> Receipt = |_, stored| stored.receipt;
        Submit::new(
            self.client.clone(),
            self.name.clone(),
            task.to_call(),
            finish,
        )
        .when_full(self.when_full)
        .disposed_on_success()
    }

    /// [`Executor::execute`] in the partition of a key.
    pub fn execute_on_key_owner<S: Submittable>(
        &self,
        key: impl Into<Bytes>,
        task: S,
    ) -> Submit<Receipt> {
        self.execute(task).key(key)
    }

    /// Submits a stream of tasks and gives their results as they end, each with its position. At most
    /// [`limits::SUBMIT_ALL_IN_FLIGHT`] are under way; the stream is read no faster than that. An item that fails ends
    /// nothing but itself. What happens at full partitions is [`Executor::when_full`]'s choice; to keep what was not read
    /// under [`FullPolicy::Fail`], pass the stream as `&mut`.
    pub fn submit_all<S, I>(&self, tasks: I) -> impl Stream<Item = BatchItem<S::Output>> + use<S, I>
    where
        S: Submittable + Send + 'static,
        I: Stream<Item = S>,
    {
        let executor = self.clone();
        let full = Arc::new(Notify::new());
        let ended = Arc::clone(&full);
        let run = move |(index, task): (usize, S)| {
            let submit = executor.submit(task);
            let full = (executor.when_full == FullPolicy::Fail).then(|| Arc::clone(&full));
            async move {
                let index = u64::try_from(index).unwrap_or(u64::MAX);
                let handle = match submit.await {
                    Ok(handle) => handle,
                    Err(error) => {
                        if matches!(error, SubmitError::Full { .. }) {
                            full.iter().for_each(|full| full.notify_one());
                        }
                        return BatchItem {
                            index,
                            id: None,
                            outcome: Err(error.into()),
                        };
                    }
                };
                let id = Some(handle.id().clone());
                BatchItem {
                    index,
                    id,
                    outcome: handle.await.map_err(BatchError::from),
                }
            }
        };
        tasks
            .take_until(async move { ended.notified().await })
            .enumerate()
            .map(run)
            .buffer_unordered(limits::SUBMIT_ALL_IN_FLIGHT)
    }

    /// The task that was submitted under an idempotency key, with its affinity key if it was submitted with one. Submits
    /// nothing, and creates no executor. None if no task is remembered under the key: none was stored, or it is gone for
    /// longer than keys are kept. A submit that is still on its way may store one afterwards.
    ///
    /// # Errors
    /// [`RequestError`], among others EXECUTOR_NOT_FOUND, and UNAVAILABLE if no member could answer in time.
    pub async fn find(
        &self,
        idempotency_key: impl Into<Bytes>,
        key: Option<Bytes>,
    ) -> Result<Option<TaskId>, RequestError> {
        let shared = &self.client.shared;
        let idempotency_key = idempotency_key.into();
        let table = shared.routing.current();
        let decides = key.as_ref().unwrap_or(&idempotency_key);
        let partition = table.partition_of(&self.name, decides);
        let place = partition.map(|partition| Place {
            executor: self.name.clone(),
            partition,
        });
        let request = v1::FindRequest {
            cluster_id: shared.cluster_id(),
            executor: self.name.clone(),
            idempotency_key,
            affinity_key: key,
        };
        let send = |attempt: Try| {
            let request = request.clone();
            async move { executor_service(attempt.channel).find(request).await }
        };
        let asking = Asking::call(place, limits::REQUEST_DEADLINE);
        let answer = shared.ask(&asking, send).await;
        let found = answer.map_err(NoAnswer::into_request_error)?.id;
        let found = found.map(StatedTaskId::try_from).transpose();
        Ok(found.map_err(unreadable)?.map(|stated| stated.id))
    }

    /// Waits for the JSON result of any task by its id; the outcome stays. For other kinds of results and for a limit on
    /// the waiting see [`Client::retrieve_result`].
    ///
    /// # Errors
    /// [`TaskError`]: how the task ended, or why there is no outcome to give.
    pub async fn retrieve_result<T: DeserializeOwned>(&self, id: &TaskId) -> Result<T, TaskError> {
        self.client
            .retrieve_result(id)
            .await?
            .read(|result| read_json(&result))
    }

    /// Like [`Executor::retrieve_result`], and removes the outcome for everybody else.
    ///
    /// # Errors
    /// [`TaskError`]: how the task ended, or why there is no outcome to give.
    pub async fn retrieve_and_dispose_result<T: DeserializeOwned>(
        &self,
        id: &TaskId,
    ) -> Result<T, TaskError> {
        self.client
            .retrieve_and_dispose_result(id)
            .await?
            .read(|result| read_json(&result))
    }

    /// Removes the outcome of an ended task; see [`Client::dispose_result`].
    ///
    /// # Errors
    /// [`RequestError`] with the reason.
    pub async fn dispose_result(&self, id: &TaskId) -> Result<(), RequestError> {
        self.client.dispose_result(id).await
    }

    /// Ends a task as cancelled; see [`Client::cancel`].
    ///
    /// # Errors
    /// [`RequestError`] with the reason.
    pub async fn cancel(&self, id: &TaskId) -> Result<(), RequestError> {
        self.client.cancel(id).await
    }
}
