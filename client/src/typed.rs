//! An executor for one type of task, so that results come back with their type and without naming it again.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use ringhold_types::{Receipt, TaskCall, TaskId, TaskResult};

use crate::error::{RequestError, TaskError};
use crate::executor::{BatchItem, Executor};
use crate::handle::TaskHandle;
use crate::submit::Submit;
use crate::task::{CodecError, Submittable, Task};

/// An executor that takes one type of task. Cheap to clone. From [`crate::Client::typed`], which asks for the executor that
/// the type names, or from [`Executor::typed`] for any other.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use ringhold_client::{Client, Task};
///
/// #[derive(serde::Serialize)]
/// struct Render { page: u64 }
///
/// impl Task for Render {
///     const NAME: &'static str = "render";
///     const EXECUTOR: &'static str = "reports";
///     type Output = String;
/// }
///
/// let client = Client::builder().endpoints(["127.0.0.1:7400"]).build().await?;
/// let renders = client.typed::<Render>();
/// let handle = renders.submit(&Render { page: 7 }).await?;
/// let id = handle.id().clone();
/// let text: String = handle.await?;
/// let again: String = renders.retrieve_result(&id).await?;
/// # Ok(()) }
/// ```
pub struct Typed<T> {
    executor: Executor,
    task: PhantomData<fn() -> T>,
}

impl<T: Task> Typed<T> {
    pub(crate) fn new(executor: Executor) -> Self {
        Self {
            executor,
            task: PhantomData,
        }
    }

    /// The executor behind it, for tasks of every type.
    #[must_use]
    pub fn executor(&self) -> &Executor {
        &self.executor
    }

    /// Submits a task. `.await` gives its handle once it is stored durably; see [`Executor::submit`].
    pub fn submit(&self, task: &T) -> Submit<TaskHandle<T::Output>> {
        self.executor.submit(task)
    }

    /// Submits a task to the partition of a key; see [`Executor::submit_to_key_owner`].
    pub fn submit_to_key_owner(
        &self,
        key: impl Into<Bytes>,
        task: &T,
    ) -> Submit<TaskHandle<T::Output>> {
        self.executor.submit_to_key_owner(key, task)
    }

    /// Fire and forget; see [`Executor::execute`].
    pub fn execute(&self, task: &T) -> Submit<Receipt> {
        self.executor.execute(task)
    }

    /// Fire and forget in the partition of a key; see [`Executor::execute_on_key_owner`].
    pub fn execute_on_key_owner(&self, key: impl Into<Bytes>, task: &T) -> Submit<Receipt> {
        self.executor.execute_on_key_owner(key, task)
    }

    /// Submits a stream of tasks and gives their results as they end; see [`Executor::submit_all`].
    pub fn submit_all<I>(&self, tasks: I) -> impl Stream<Item = BatchItem<T::Output>> + use<T, I>
    where
        T: Send + 'static,
        I: Stream<Item = T>,
    {
        self.executor.submit_all(tasks.map(Owned))
    }

    /// Waits for the result of a task by its id; the outcome stays.
    ///
    /// # Errors
    /// [`TaskError`]: how the task ended, or why there is no outcome to give.
    pub async fn retrieve_result(&self, id: &TaskId) -> Result<T::Output, TaskError> {
        self.executor.retrieve_result(id).await
    }

    /// Like [`Typed::retrieve_result`], and removes the outcome for everybody else.
    ///
    /// # Errors
    /// [`TaskError`]: how the task ended, or why there is no outcome to give.
    pub async fn retrieve_and_dispose_result(&self, id: &TaskId) -> Result<T::Output, TaskError> {
        self.executor.retrieve_and_dispose_result(id).await
    }

    /// Removes the outcome of an ended task; see [`crate::Client::dispose_result`].
    ///
    /// # Errors
    /// [`RequestError`] with the reason.
    pub async fn dispose_result(&self, id: &TaskId) -> Result<(), RequestError> {
        self.executor.dispose_result(id).await
    }

    /// Ends a task as cancelled; see [`crate::Client::cancel`].
    ///
    /// # Errors
    /// [`RequestError`] with the reason.
    pub async fn cancel(&self, id: &TaskId) -> Result<(), RequestError> {
        self.executor.cancel(id).await
    }
}

impl<T> Clone for Typed<T> {
    fn clone(&self) -> Self {
        Self {
            executor: self.executor.clone(),
            task: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Typed<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Typed")
            .field(&self.executor)
            .finish()
    }
}

/// A task given away, as streams give them.
struct Owned<T>(T);

impl<T: Task> Submittable for Owned<T> {
    type Output = T::Output;

    fn to_call(&self) -> Result<TaskCall, CodecError> {
        (&self.0).to_call()
    }

    fn read(result: TaskResult) -> Result<Self::Output, CodecError> {
        <&T>::read(result)
    }
}
