//! The task that says that there is a run: stored before its first line, disposed after its last, before their results.

use std::future::IntoFuture;
use std::time::Instant;

use ringhold_client::{ErrorCode, HandlerTask, SubmitError, TaskId};

use super::full::{Full, FullPartition, Refused};
use super::run::SUBMIT_DEADLINE;
use super::{Observer, Run};
use crate::failure::Failure;

/// The handler that every member has: it returns what it is given.
const ECHO: &str = "ringhold.echo";

/// The task that says that there is a run.
#[derive(Debug)]
pub(crate) struct Mark {
    /// Which.
    pub(crate) id: TaskId,
    /// It was disposed with the outcomes: the run has ended.
    pub(crate) is_over: bool,
}

impl Run {
    /// Stores the run's mark, or finds it. It does nothing, and is kept as long as the outcomes are. It waits for room like a
    /// line.
    ///
    /// # Errors
    /// [`Failure`] when it cannot be stored.
    pub(crate) async fn mark(&mut self, observer: &mut impl Observer) -> Result<Mark, Failure> {
        let mut full = Full::new(self.room_patience, Instant::now());
        loop {
            let task = HandlerTask::new(ECHO, self.name.clone());
            let submit = self.executor.submit(task).idempotency_key(self.mark_key());
            let submit = submit.deadline(SUBMIT_DEADLINE).fail_when_full();
            let partition = match submit.into_future().await {
                Ok(handle) => return Ok(self.look_at_mark(handle.id().clone()).await),
                Err(SubmitError::Full { partition, .. }) => partition,
                Err(error) => return Err(error.into()),
            };
            let place = FullPartition {
                line: None,
                partition,
                executor: self.executor.name(),
            };
            // Nothing of the run is under way, so only others can make room.
            match full.refused(place, true, Instant::now()) {
                Refused::GivenUp(failure) => return Err(failure),
                Refused::Again(pause, said) => {
                    if let Some(said) = said {
                        observer.say(&said).await;
                    }
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// The run's mark, if there is one. Looks only: a name that was never used is as free as before.
    ///
    /// # Errors
    /// [`Failure`] when no member could say.
    pub(crate) async fn find_mark(&mut self) -> Result<Option<Mark>, Failure> {
        match self.executor.find(self.mark_key(), None).await {
            Ok(Some(id)) => Ok(Some(self.look_at_mark(id).await)),
            Ok(None) => Ok(None),
            // The first submit creates it, so there was none.
            Err(error) if error.code == ErrorCode::ExecutorNotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn look_at_mark(&mut self, id: TaskId) -> Mark {
        self.marked = Some(id.partition);
        let task = self.client.get(&id).await;
        let is_over = task.is_err_and(|error| error.code == ErrorCode::Disposed);
        Mark { id, is_over }
    }

    fn mark_key(&self) -> String {
        format!("{}:run", self.name)
    }
}
