//! An executor for one type of task, so that results come back with their type and without naming it again.

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use ringhold_types::{Receipt, TaskCall, TaskId, TaskResult};

use crate::codec::{Codec, CodecError, Json, decode};
use crate::error::{RequestError, TaskError};
use crate::executor::{BatchItem, Executor};
use crate::handle::TaskHandle;
use crate::submit::Submit;
use crate::submitter::FullPolicy;
use crate::task::{Submittable, Task, handler_call};

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
///
/// Inputs and results are JSON, or of the form of another [`Codec`]: `client.typed::<Render>().codec::<Cbor>()`.
pub struct Typed<T, C = Json> {
    executor: Executor,
    types: PhantomData<fn() -> (T, C)>,
}

impl<T: Task, C: Codec> Typed<T, C> {
    pub(crate) fn new(executor: Executor) -> Self {
        Self {
            executor,
            types: PhantomData,
        }
    }

    /// The same with inputs and results of another form.
    #[must_use]
    pub fn codec<Other: Codec>(&self) -> Typed<T, Other> {
        Typed::new(self.executor.clone())
    }

    /// The same with another choice for full partitions; see [`Executor::when_full`].
    #[must_use]
    pub fn when_full(&self, policy: FullPolicy) -> Self {
        Self::new(self.executor.when_full(policy))
    }

    /// The executor behind it, for tasks of every type.
    #[must_use]
    pub fn executor(&self) -> &Executor {
        &self.executor
    }

    /// Submits a task. `.await` gives its handle once it is stored durably; see [`Executor::submit`].
    pub fn submit(&self, task: &T) -> Submit<TaskHandle<T::Output>> {
        self.executor.submit(Encoded::<T, C, _>::of(task))
    }

    /// Submits a task to the partition of a key; see [`Executor::submit_to_key_owner`].
    pub fn submit_to_key_owner(
        &self,
        key: impl Into<Bytes>,
        task: &T,
    ) -> Submit<TaskHandle<T::Output>> {
        self.executor
            .submit_to_key_owner(key, Encoded::<T, C, _>::of(task))
    }

    /// Fire and forget; see [`Executor::execute`].
    pub fn execute(&self, task: &T) -> Submit<Receipt> {
        self.executor.execute(Encoded::<T, C, _>::of(task))
    }

    /// Fire and forget in the partition of a key; see [`Executor::execute_on_key_owner`].
    pub fn execute_on_key_owner(&self, key: impl Into<Bytes>, task: &T) -> Submit<Receipt> {
        self.executor
            .execute_on_key_owner(key, Encoded::<T, C, _>::of(task))
    }

    /// Submits a stream of tasks and gives their results as they end; see [`Executor::submit_all`].
    pub fn submit_all<I>(&self, tasks: I) -> impl Stream<Item = BatchItem<T::Output>> + use<T, C, I>
    where
        T: Send + 'static,
        I: Stream<Item = T>,
    {
        self.executor.submit_all(tasks.map(Encoded::<T, C, T>::of))
    }

    /// Waits for the result of a task by its id; the outcome stays.
    ///
    /// # Errors
    /// [`TaskError`]: how the task ended, or why there is no outcome to give.
    pub async fn retrieve_result(&self, id: &TaskId) -> Result<T::Output, TaskError> {
        let retrieved = self.executor.client().retrieve_result(id).await?;
        retrieved.read(|result| decode::<T::Output, C>(&result))
    }

    /// Like [`Typed::retrieve_result`], and removes the outcome for everybody else.
    ///
    /// # Errors
    /// [`TaskError`]: how the task ended, or why there is no outcome to give.
    pub async fn retrieve_and_dispose_result(&self, id: &TaskId) -> Result<T::Output, TaskError> {
        let retrieved = self
            .executor
            .client()
            .retrieve_and_dispose_result(id)
            .await?;
        retrieved.read(|result| decode::<T::Output, C>(&result))
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

impl<T, C> Clone for Typed<T, C> {
    fn clone(&self) -> Self {
        Self {
            executor: self.executor.clone(),
            types: PhantomData,
        }
    }
}

impl<T, C> fmt::Debug for Typed<T, C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Typed")
            .field(&self.executor)
            .finish()
    }
}

/// A task in a codec's form: borrowed from the caller of one submit, or given away by a stream (`B`).
struct Encoded<T, C, B> {
    task: B,
    types: PhantomData<fn() -> (T, C)>,
}

impl<T, C, B: Borrow<T>> Encoded<T, C, B> {
    fn of(task: B) -> Self {
        Self {
            task,
            types: PhantomData,
        }
    }
}

impl<T: Task, C: Codec, B: Borrow<T>> Submittable for Encoded<T, C, B> {
    type Output = T::Output;

    fn to_call(&self) -> Result<TaskCall, CodecError> {
        handler_call::<T, C>(self.task.borrow())
    }

    fn read(result: TaskResult) -> Result<Self::Output, CodecError> {
        decode::<T::Output, C>(&result)
    }
}
