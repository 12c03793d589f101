//! The client: cheap to clone, shared by all of a program's tasks.

use std::future::Future;
use std::sync::Arc;

use ringhold_proto::convert::duration_from_millis;
use ringhold_proto::{StatedTaskId, v1};
use ringhold_types::{ErrorCode, TaskId, TaskStatus};
use tokio::task::JoinHandle;

use crate::builder::ClientBuilder;
use crate::cluster::Cluster;
use crate::connections::executor_service;
use crate::error::RequestError;
use crate::executor::Executor;
use crate::limits;
use crate::retrieve::Retrieve;
use crate::routing::RoutingTable;
use crate::shared::{Asking, NoAnswer, Place, Shared, Try};
use crate::task::Task;
use crate::task_info::{ListFilter, TaskInfo, TaskPage};
use crate::typed::Typed;

/// A connection to a cluster. Clones share everything; closing the last one stops no task.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
    _background: Arc<Background>,
}

/// Tasks of the client's own; they end with it.
#[derive(Debug, Default)]
pub(crate) struct Background(Vec<JoinHandle<()>>);

impl Background {
    pub(crate) fn spawn(&mut self, future: impl Future<Output = ()> + Send + 'static) {
        self.0.push(tokio::spawn(future));
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl Client {
    /// Begins to build a client.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    pub(crate) fn new(shared: Arc<Shared>, background: Background) -> Self {
        Self {
            shared,
            _background: Arc::new(background),
        }
    }

    /// A named executor. Asks nothing: a name that the cluster does not know shows at the first submit.
    #[must_use]
    pub fn executor(&self, name: impl Into<String>) -> Executor {
        Executor::new(self.clone(), name.into())
    }

    /// The executor that a type of task names ([`Task::EXECUTOR`]), for tasks of that type.
    #[must_use]
    pub fn typed<T: Task>(&self) -> Typed<T> {
        self.executor(T::EXECUTOR).typed()
    }

    /// The cluster itself: members, executors, partitions.
    #[must_use]
    pub fn cluster(&self) -> Cluster {
        Cluster::new(self.clone())
    }

    /// The newest routing table that this client has seen.
    #[must_use]
    pub fn routing_table(&self) -> Arc<RoutingTable> {
        self.shared.routing.current()
    }

    /// Reads the outcome of any task by its id. It stays, for everybody.
    pub fn retrieve_result(&self, id: &TaskId) -> Retrieve {
        Retrieve::new(self.clone(), id.clone())
    }

    /// Reads the outcome of a task and removes it in one step: for everybody else it is gone.
    pub fn retrieve_and_dispose_result(&self, id: &TaskId) -> Retrieve {
        Retrieve::new(self.clone(), id.clone()).and_dispose()
    }

    /// Removes the outcome of an ended task.
    ///
    /// # Errors
    /// [`RequestError`] with the reason: not ended yet (FAILED_PRECONDITION), or one of the codes of DESIGN G9.
    /// UNAVAILABLE and INDETERMINATE leave open whether it was done; asking again is safe.
    pub async fn dispose_result(&self, id: &TaskId) -> Result<(), RequestError> {
        let request = v1::DisposeResultRequest {
            cluster_id: self.shared.cluster_id(),
            id: Some(self.wire_id(id)),
        };
        let send = |attempt: Try| {
            let request = request.clone();
            async move {
                executor_service(attempt.channel)
                    .dispose_result(request)
                    .await
            }
        };
        let asking = Asking::call(Some(Place::of(id)), limits::REQUEST_DEADLINE);
        match self.shared.ask(&asking, send).await {
            Ok(_) => Ok(()),
            // An earlier try may have been the one that did it, its answer lost.
            Err(no) if no.unsure && no.last.code() == Some(ErrorCode::Disposed) => Ok(()),
            Err(no) => Err(no.into_request_error()),
        }
    }

    /// Ends a task as cancelled, whether it waits or runs.
    ///
    /// # Errors
    /// [`RequestError`], among others FAILED_PRECONDITION for a task that has ended in another way already. UNAVAILABLE
    /// and INDETERMINATE leave open whether it was done; asking again is safe: a task that is cancelled already is
    /// answered like one that was cancelled now.
    pub async fn cancel(&self, id: &TaskId) -> Result<(), RequestError> {
        let request = v1::CancelRequest {
            cluster_id: self.shared.cluster_id(),
            id: Some(self.wire_id(id)),
        };
        let send = |attempt: Try| {
            let request = request.clone();
            async move { executor_service(attempt.channel).cancel(request).await }
        };
        let asking = Asking::call(Some(Place::of(id)), limits::REQUEST_DEADLINE);
        match self.shared.ask(&asking, send).await {
            Ok(_) => Ok(()),
            // An earlier try may have cancelled it, its answer lost: only then is the repeat too late.
            Err(no) if no.unsure && no.last.code() == Some(ErrorCode::FailedPrecondition) => {
                let cancelled = self.get(id).await;
                match cancelled.is_ok_and(|task| task.status == TaskStatus::Cancelled) {
                    true => Ok(()),
                    false => Err(no.into_request_error()),
                }
            }
            Err(no) => Err(no.into_request_error()),
        }
    }

    /// Shows a task as it is, with the task as submitted and its outcome. This does not count as retrieved.
    ///
    /// # Errors
    /// [`RequestError`] with one of the codes of DESIGN G9, or UNAVAILABLE.
    pub async fn get(&self, id: &TaskId) -> Result<TaskInfo, RequestError> {
        let request = v1::GetRequest {
            cluster_id: self.shared.cluster_id(),
            id: Some(self.wire_id(id)),
            include_task: true,
            include_outcome: true,
        };
        let send = |attempt: Try| {
            let request = request.clone();
            async move { executor_service(attempt.channel).get(request).await }
        };
        let answer = self.ask_about(id, send).await?;
        TaskInfo::from_wire(answer.task.unwrap_or_default())
    }

    /// Shows one page of tasks, in the order of executor, partition and sequence.
    ///
    /// # Errors
    /// [`RequestError`], among others INVALID_ARGUMENT for a page token of another kind of request.
    pub async fn list(
        &self,
        filter: &ListFilter,
        page: Option<&str>,
    ) -> Result<TaskPage, RequestError> {
        let statuses = filter
            .statuses
            .iter()
            .map(|status| v1::TaskStatus::from(*status).into());
        let request = v1::ListRequest {
            cluster_id: self.shared.cluster_id(),
            executor: filter.executor.clone().unwrap_or_default(),
            statuses: statuses.collect(),
            older_than: filter.older_than.map(duration_from_millis),
            page_size: filter.page_size,
            page_token: page.unwrap_or_default().to_owned(),
        };
        let asking = Asking::call(None, limits::REQUEST_DEADLINE);
        let send = |attempt: Try| {
            let request = request.clone();
            async move { executor_service(attempt.channel).list(request).await }
        };
        let answer = self.shared.ask(&asking, send).await;
        TaskPage::from_wire(answer.map_err(NoAnswer::into_request_error)?)
    }

    async fn ask_about<R, F, T>(&self, id: &TaskId, send: F) -> Result<R, RequestError>
    where
        F: Fn(Try) -> T,
        T: Future<Output = Result<tonic::Response<R>, tonic::Status>>,
    {
        let asking = Asking::call(Some(Place::of(id)), limits::REQUEST_DEADLINE);
        self.shared
            .ask(&asking, send)
            .await
            .map_err(NoAnswer::into_request_error)
    }

    fn wire_id(&self, id: &TaskId) -> v1::TaskId {
        let cluster = self.shared.routing.cluster();
        v1::TaskId::from(&StatedTaskId {
            cluster,
            id: id.clone(),
        })
    }
}
