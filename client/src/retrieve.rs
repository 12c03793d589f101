//! Reading an outcome: by anybody, through any member, as often as wanted until it is disposed.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringhold_proto::convert::status_from_number;
use ringhold_proto::{StatedTaskId, v1};
use ringhold_types::{Outcome, TaskId, TaskResult, TaskStatus};

use crate::backoff::Backoff;
use crate::codec::CodecError;
use crate::connections::{Lane, executor_service};
use crate::error::{RetrieveError, TaskError};
use crate::shared::{Asking, Place, Try};
use crate::span;
use crate::{Client, limits, random};

/// The outcome of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retrieved {
    /// The task.
    pub id: TaskId,
    /// How it ended.
    pub outcome: Outcome,
    /// Attempts it took; more than one after a retry, a failover or a hand-back.
    pub attempts: u32,
}

impl Retrieved {
    /// The result of a task that succeeded, read by `read`.
    ///
    /// # Errors
    /// [`TaskError`] for a task that ended in another way, or a result that `read` refuses.
    pub fn read<T>(
        self,
        read: impl FnOnce(TaskResult) -> Result<T, CodecError>,
    ) -> Result<T, TaskError> {
        match self.outcome {
            Outcome::Succeeded(result) => Ok(read(result)?),
            Outcome::Failed(failure) => Err(TaskError::Failed(Box::new(failure))),
            Outcome::Cancelled => Err(TaskError::Cancelled),
            Outcome::Replaced(children) => Err(TaskError::Replaced(children)),
            Outcome::DeadLettered(failure) => Err(TaskError::DeadLettered(Box::new(failure))),
        }
    }
}

/// A retrieval that is being put together; `.await` waits for the outcome.
///
/// Dropping it stops the waiting and changes nothing for the task.
#[must_use = "nothing is asked before `.await`"]
pub struct Retrieve {
    client: Client,
    id: TaskId,
    patience: Patience,
    /// Names this read if the outcome is to be disposed as well.
    dispose: Option<Bytes>,
    keep: bool,
}

#[derive(Clone, Copy, Debug)]
enum Patience {
    Forever,
    For(Duration),
    None,
}

/// One answer of a member.
struct Answer {
    status: i32,
    outcome: Option<v1::Outcome>,
    attempts: u32,
}

impl Retrieve {
    pub(crate) fn new(client: Client, id: TaskId) -> Self {
        Self {
            client,
            id,
            patience: Patience::Forever,
            dispose: None,
            keep: false,
        }
    }

    pub(crate) fn and_dispose(mut self) -> Self {
        self.dispose = Some(random::key());
        self
    }

    /// Waits at most this long; then [`RetrieveError::NotYet`].
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.patience = Patience::For(deadline);
        self
    }

    /// Does not wait for an outcome at all: [`RetrieveError::NotYet`] if there is none.
    pub fn no_wait(mut self) -> Self {
        self.patience = Patience::None;
        self
    }

    /// Leaves the outcome unread: it is to be read again. A full partition then refuses new tasks rather than overwrite
    /// it, unless its executor overwrites unread outcomes too. Whoever keeps outcomes disposes them in the end; they expire
    /// otherwise. Says nothing to a read that disposes.
    pub fn keep(mut self) -> Self {
        self.keep = true;
        self
    }

    async fn send(self) -> Result<Retrieved, RetrieveError> {
        let deadline = match self.patience {
            Patience::For(span) => Some(Instant::now() + span),
            Patience::Forever | Patience::None => None,
        };
        let mut pauses = Backoff::default();
        loop {
            let asked = Instant::now();
            let answer = self.ask(deadline).await?;
            if let Some(outcome) = answer.outcome {
                return self.conclude(outcome, answer.attempts);
            }
            let over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if over || matches!(self.patience, Patience::None) {
                let status = status_from_number(answer.status).unwrap_or(TaskStatus::Pending);
                return Err(RetrieveError::NotYet { status });
            }
            let pause = pauses.next(None);
            if asked.elapsed() < pause {
                // A member that answers without waiting, as one does that shuts down, is not asked in a tight loop.
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Asks until some member answers.
    async fn ask(&self, deadline: Option<Instant>) -> Result<Answer, RetrieveError> {
        let shared = &self.client.shared;
        let waits = !matches!(self.patience, Patience::None);
        let unreachable = Instant::now() + shared.settings.unreachable_limit;
        let asking = Asking {
            place: Some(Place::of(&self.id)),
            deadline: deadline.map_or(unreachable, |deadline| deadline.min(unreachable)),
            budget: if waits {
                limits::RETRIEVE_WAIT
            } else {
                limits::TRY_TIMEOUT
            },
            margin: if waits {
                limits::RETRIEVE_MARGIN
            } else {
                Duration::ZERO
            },
            lane: if waits { Lane::Waits } else { Lane::Calls },
        };
        let wait = |budget| if waits { budget } else { Duration::ZERO };
        let answer = match &self.dispose {
            None => {
                shared
                    .ask(&asking, |attempt| {
                        self.read_once(wait(attempt.budget), attempt)
                    })
                    .await
            }
            Some(request) => {
                let dispose = |attempt: Try| {
                    self.dispose_once(request.clone(), wait(attempt.budget), attempt)
                };
                shared.ask(&asking, dispose).await
            }
        };
        answer.map_err(|no_answer| no_answer.last.into())
    }

    async fn read_once(
        &self,
        wait: Duration,
        attempt: Try,
    ) -> Result<tonic::Response<Answer>, tonic::Status> {
        let request = v1::RetrieveResultRequest {
            cluster_id: self.client.shared.cluster_id(),
            id: Some(self.wire_id()),
            wait: Some(span::wire(wait)),
            keep: self.keep,
        };
        let response = executor_service(attempt.channel)
            .retrieve_result(request)
            .await?;
        Ok(response.map(|answer| Answer {
            status: answer.status,
            outcome: answer.outcome,
            attempts: answer.attempts,
        }))
    }

    async fn dispose_once(
        &self,
        request_id: Bytes,
        wait: Duration,
        attempt: Try,
    ) -> Result<tonic::Response<Answer>, tonic::Status> {
        let request = v1::RetrieveAndDisposeRequest {
            cluster_id: self.client.shared.cluster_id(),
            id: Some(self.wire_id()),
            request_id: Some(request_id),
            wait: Some(span::wire(wait)),
        };
        let response = executor_service(attempt.channel)
            .retrieve_and_dispose(request)
            .await?;
        Ok(response.map(|answer| Answer {
            status: answer.status,
            outcome: answer.outcome,
            attempts: answer.attempts,
        }))
    }

    fn wire_id(&self) -> v1::TaskId {
        let cluster = self.client.shared.routing.cluster();
        v1::TaskId::from(&StatedTaskId {
            cluster,
            id: self.id.clone(),
        })
    }

    fn conclude(self, outcome: v1::Outcome, attempts: u32) -> Result<Retrieved, RetrieveError> {
        let outcome = Outcome::try_from(outcome).map_err(|error| RetrieveError::Refused {
            code: ringhold_types::ErrorCode::Internal,
            message: format!("the outcome cannot be read: {error}"),
        })?;
        if self.dispose.is_none() && !self.keep {
            self.client.shared.confirm(&self.id);
        }
        Ok(Retrieved {
            id: self.id,
            outcome,
            attempts,
        })
    }
}

impl IntoFuture for Retrieve {
    type Output = Result<Retrieved, RetrieveError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl fmt::Debug for Retrieve {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Retrieve")
            .field("id", &self.id)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
