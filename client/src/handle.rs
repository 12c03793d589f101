//! The handle of a submitted task: a future of its result.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use ringhold_types::{Receipt, TaskId, TaskResult};

use crate::Client;
use crate::codec::CodecError;
use crate::error::{RequestError, TaskError};
use crate::retrieve::Retrieve;
use crate::submitter::Stored;

type Waiting<T> = Pin<Box<dyn Future<Output = Result<T, TaskError>> + Send>>;

/// A submitted task. `.await` gives its result, through failovers, for as long as it takes.
///
/// Dropping the handle detaches: the task goes on, and its outcome can be retrieved by its id, by anybody. See
/// [`TaskHandle::abort_on_drop`] for the other choice. Nothing is asked before the first poll.
pub struct TaskHandle<T> {
    client: Client,
    receipt: Receipt,
    stored_before: Option<bool>,
    read: fn(TaskResult) -> Result<T, CodecError>,
    waiting: Option<Waiting<T>>,
}

impl<T: Send + 'static> TaskHandle<T> {
    pub(crate) fn new(
        client: Client,
        stored: Stored,
        read: fn(TaskResult) -> Result<T, CodecError>,
    ) -> Self {
        Self {
            client,
            receipt: stored.receipt,
            stored_before: stored.before,
            read,
            waiting: None,
        }
    }

    /// The task.
    #[must_use]
    pub fn id(&self) -> &TaskId {
        &self.receipt.id
    }

    /// What is stored, where, and how durably.
    #[must_use]
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// Whether the task had been stored before this submit, under its idempotency key. `None` if that cannot be told: it
    /// was found after a try of this very submit had gone unanswered. [`Receipt::reused`] is true in both cases.
    #[must_use]
    pub fn was_stored_before(&self) -> Option<bool> {
        self.stored_before
    }

    /// Ends the task as cancelled, whether it waits or runs.
    ///
    /// # Errors
    /// [`RequestError`], among others for a task that has ended already.
    pub async fn cancel(&self) -> Result<(), RequestError> {
        self.client.cancel(self.id()).await
    }

    /// Cancels the task when this is dropped before the result is there.
    pub fn abort_on_drop(self) -> AbortOnDrop<T> {
        AbortOnDrop {
            handle: self,
            ended: false,
        }
    }
}

impl<T: Send + 'static> Future for TaskHandle<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let handle = &mut *self;
        let waiting = handle.waiting.get_or_insert_with(|| {
            let retrieve = Retrieve::new(handle.client.clone(), handle.receipt.id.clone());
            let read = handle.read;
            Box::pin(async move { retrieve.await?.read(read) })
        });
        waiting.as_mut().poll(context)
    }
}

impl<T> fmt::Debug for TaskHandle<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TaskHandle")
            .field("receipt", &self.receipt)
            .finish_non_exhaustive()
    }
}

/// A [`TaskHandle`] whose drop cancels the task.
#[must_use = "dropping this cancels the task"]
pub struct AbortOnDrop<T: Send + 'static> {
    handle: TaskHandle<T>,
    ended: bool,
}

impl<T: Send + 'static> AbortOnDrop<T> {
    /// The task.
    #[must_use]
    pub fn id(&self) -> &TaskId {
        self.handle.id()
    }
}

impl<T: Send + 'static> Future for AbortOnDrop<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let poll = Pin::new(&mut self.handle).poll(context);
        self.ended |= poll.is_ready();
        poll
    }
}

impl<T: Send + 'static> Drop for AbortOnDrop<T> {
    /// Cancels in the background; outside of a runtime there is nothing that could.
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if !self.ended {
            let (client, id) = (self.handle.client.clone(), self.handle.id().clone());
            runtime.spawn(async move { client.cancel(&id).await });
        }
    }
}

impl<T: Send + 'static> fmt::Debug for AbortOnDrop<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(formatter)
    }
}
