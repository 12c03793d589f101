//! The tries of one submit: always the same idempotency key, until a member answers or the deadline passes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringhold_proto::{StatedReceipt, v1};
use ringhold_types::{ErrorCode, PartitionNumber, Receipt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::backoff::Backoff;
use crate::error::SubmitError;
use crate::limits;
use crate::random;
use crate::refusal::Miss;
use crate::shared::{Place, Shared};
use crate::span;

/// What a submit does when its partition is full. What the *executor* does about that is its own setting,
/// [`ringhold_types::WhenFull`], and comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FullPolicy {
    /// It waits for room until its deadline; one without keys of the caller's looks in other partitions meanwhile.
    #[default]
    Wait,
    /// It fails with [`SubmitError::Full`] without waiting; one without keys of the caller's looks in a few other
    /// partitions before. In [`crate::Executor::submit_all`] the first one that fails so ends the stream: no further task
    /// is read, and those under way are answered.
    Fail,
    /// It is given up with [`SubmitError::Full`] at the first full partition: the cheapest answer under overload. In
    /// [`crate::Executor::submit_all`] that ends this task only, and the stream goes on at full pace.
    Shed,
}

/// Submits one task.
pub(crate) struct Submitter<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) executor: &'a str,
    pub(crate) deadline: Instant,
    pub(crate) when_full: FullPolicy,
}

/// What a submit ended with.
pub(crate) struct Stored {
    pub(crate) receipt: Receipt,
    /// Whether the task was stored before this submit; none if one of its own tries, unanswered, may have done it.
    pub(crate) before: Option<bool>,
}

/// What the tries so far have shown.
#[derive(Debug, Default)]
struct Progress {
    /// Whether a try may have stored the task. The key stays the same ever after.
    may_be_stored: bool,
    /// Partitions found full.
    full: u32,
    backoff: Backoff,
    hint: Option<String>,
}

impl Submitter<'_> {
    /// Tries until there is a receipt.
    ///
    /// # Errors
    /// [`SubmitError`]; the variants say whether the task may be stored.
    pub(crate) async fn submit(&self, mut task: v1::Task) -> Result<Stored, SubmitError> {
        let _permits = self.permits(&task).await?;
        let draws_key = task.idempotency_key.is_none();
        let draws_place = draws_key && task.affinity_key.is_none();
        let mut progress = Progress::default();
        let latest = self.latest_try();
        if draws_key {
            task.idempotency_key = Some(self.draw_key(draws_place, None));
        }
        loop {
            let place = self.place_of(&task);
            let miss = match self.try_once(&task, place.as_ref(), &mut progress).await {
                Ok(receipt) => match read_receipt(receipt) {
                    Ok(receipt) => return Ok(progress.stored(receipt)),
                    Err(miss) => miss,
                },
                Err(miss) => miss,
            };
            progress.note(&miss);
            let may_move = draws_place && !progress.may_be_stored;
            let pause = progress.backoff.next(retry_after(&miss, may_move));
            let mut over =
                self.is_over(&miss, &progress, may_move) || Instant::now() + pause >= latest;
            if !over && !progress.backoff.follows_hint(progress.hint.is_some()) {
                tokio::time::sleep(pause).await;
                over = Instant::now() >= self.deadline;
            }
            if over {
                return Err(error(miss, &task, place.as_ref(), &progress));
            }
            if may_move {
                let full = place.map(|place| place.partition);
                task.idempotency_key = Some(self.draw_key(true, full));
            }
        }
    }

    /// When the last try may begin, so that its answer has time to come.
    fn latest_try(&self) -> Instant {
        let span = self.deadline.saturating_duration_since(Instant::now());
        self.deadline
            .checked_sub(limits::LAST_TRY.min(span / 4))
            .unwrap_or(self.deadline)
    }

    /// Permits for one submit and its bytes, so that callers are slowed down before memory grows.
    async fn permits(
        &self,
        task: &v1::Task,
    ) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), SubmitError> {
        let bytes = bytes_of(task).min(limits::SUBMIT_BYTES_IN_FLIGHT);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let place = acquire(&self.shared.submits, 1);
        let room = acquire(&self.shared.submit_bytes, bytes);
        let both = async { (place.await, room.await) };
        let (place, room) = tokio::time::timeout_at(self.deadline.into(), both)
            .await
            .map_err(|_| SubmitError::Unavailable {
                message: TOO_MANY_IN_FLIGHT.to_owned(),
            })?;
        Ok((place, room))
    }

    async fn try_once(
        &self,
        task: &v1::Task,
        place: Option<&Place>,
        progress: &mut Progress,
    ) -> Result<v1::Receipt, Miss> {
        let address = self.shared.target(place, progress.hint.take().as_deref());
        let Some(stream) = self.shared.stream(&address) else {
            return Err(Miss::Unanswered(format!("{address:?} is no address")));
        };
        let waited =
            limits::TRY_TIMEOUT.min(self.deadline.saturating_duration_since(Instant::now()));
        let request = v1::SubmitStreamRequest {
            cluster_id: self.shared.cluster_id(),
            correlation_id: 0,
            executor: self.executor.to_owned(),
            task: Some(task.clone()),
            // A member that holds the task back until there is room must not seem frozen.
            patience: Some(span::wire(waited)),
        };
        let answer = tokio::select! {
            answer = tokio::time::timeout(waited, stream.submit(request)) => answer,
            () = self.shared.moved_away(place, &address) => {
                return Err(Miss::Unanswered(format!("{address} is no longer the primary")));
            }
        };
        let Ok(answer) = answer else {
            self.shared.connections.unanswered(&address, waited);
            return Err(Miss::Unanswered(format!(
                "{address} did not answer within {waited:?}"
            )));
        };
        match &answer {
            Err(Miss::Unanswered(_)) => self.shared.connections.broken(&address),
            // It lives, and does not get done what it began: its disk may hang.
            Err(miss) if miss.code() == Some(ErrorCode::Indeterminate) => {
                self.shared.connections.unanswered(&address, waited);
            }
            Err(Miss::Refused(_)) | Ok(_) => self.shared.connections.heard(&address),
        }
        answer.map_err(|miss| miss.at(&address))
    }

    /// Whether no further try is to be made. A submit that is surely not stored and may live anywhere looks for room in
    /// a few other partitions even if it does not want to wait.
    fn is_over(&self, miss: &Miss, progress: &Progress, may_move: bool) -> bool {
        if miss.code() == Some(ErrorCode::ExecutorFull) {
            match self.when_full {
                FullPolicy::Wait => {}
                FullPolicy::Fail => {
                    return !may_move || progress.full >= limits::FULL_PARTITIONS_MAX;
                }
                FullPolicy::Shed => return true,
            }
        }
        !miss.is_worth_another_try() && !self.shared.is_behind(miss, Some(self.executor))
    }

    fn place_of(&self, task: &v1::Task) -> Option<Place> {
        let key = task
            .affinity_key
            .as_ref()
            .or(task.idempotency_key.as_ref())?;
        let partition = self
            .shared
            .routing
            .current()
            .partition_of(self.executor, key)?;
        Some(Place {
            executor: self.executor.to_owned(),
            partition,
        })
    }

    /// A random key. Where it decides the partition, one whose primary is known and not suspected, and that is not the
    /// partition just found full: drawn anew until it fits, which spreads tasks evenly over all such partitions.
    fn draw_key(&self, decides_place: bool, full: Option<PartitionNumber>) -> Bytes {
        let table = self.shared.routing.current();
        let fits = |key: &Bytes| {
            let Some(partition) = table.partition_of(self.executor, key) else {
                return true;
            };
            let primary = table.primary(self.executor, partition);
            let alive = primary.is_some_and(|member| {
                !self.shared.connections.is_suspected(&member.client_address)
            });
            alive && full != Some(partition)
        };
        let mut key = random::key();
        let mut draws = 1;
        while decides_place && draws < limits::KEY_DRAWS_MAX && !fits(&key) {
            key = random::key();
            draws += 1;
        }
        key
    }
}

impl Progress {
    fn stored(&self, receipt: Receipt) -> Stored {
        let before = match (receipt.reused, self.may_be_stored) {
            (false, _) => Some(false),
            (true, false) => Some(true),
            (true, true) => None,
        };
        Stored { receipt, before }
    }

    fn note(&mut self, miss: &Miss) {
        self.may_be_stored |= miss.may_be_done();
        self.full += u32::from(miss.code() == Some(ErrorCode::ExecutorFull));
        self.hint = miss.primary_address();
    }
}

/// The pause that a member asked for; none for a full partition if the next try goes to another one.
fn retry_after(miss: &Miss, may_move: bool) -> Option<Duration> {
    let full = miss.code() == Some(ErrorCode::ExecutorFull);
    miss.retry_after().filter(|_| !(full && may_move))
}

/// What the caller is told. A refusal that no repeat changes and that is about the task itself is the answer also to
/// the earlier tries; after any other end it stays open whether one of them stored the task.
fn error(miss: Miss, task: &v1::Task, place: Option<&Place>, progress: &Progress) -> SubmitError {
    if progress.may_be_stored && !miss.settles() {
        return SubmitError::Indeterminate {
            idempotency_key: task.idempotency_key.clone().unwrap_or_default(),
            last: miss.message().to_owned(),
        };
    }
    let retry_after = miss.retry_after();
    let refusal = match miss {
        Miss::Unanswered(message) => return SubmitError::Unavailable { message },
        Miss::Refused(refusal) => refusal,
    };
    let message = refusal.message;
    match refusal.code {
        ErrorCode::ExecutorFull => {
            let partition = place.map(|place| place.partition);
            SubmitError::Full {
                message,
                partition,
                retry_after,
            }
        }
        ErrorCode::NotEnoughCopies => SubmitError::NotEnoughCopies { message },
        ErrorCode::TooLarge => SubmitError::TooLarge { message },
        ErrorCode::AlreadyExists => SubmitError::AlreadyExists,
        ErrorCode::ExecutorNotFound => SubmitError::ExecutorNotFound { message },
        ErrorCode::WrongCluster => SubmitError::WrongCluster { message },
        code if code.is_retryable() => SubmitError::Unavailable { message },
        code => SubmitError::Refused { code, message },
    }
}

const TOO_MANY_IN_FLIGHT: &str = "earlier submits of this client took until the deadline";

async fn acquire(semaphore: &Arc<Semaphore>, permits: u32) -> OwnedSemaphorePermit {
    let acquired = semaphore.clone().acquire_many_owned(permits).await;
    acquired.expect("the semaphores are never closed")
}

/// Bytes of variable length that a task carries, not counting its small parts.
fn bytes_of(task: &v1::Task) -> usize {
    match &task.call {
        Some(v1::task::Call::Handler(call)) => call.payload.len(),
        Some(v1::task::Call::Process(call)) => {
            let arguments: usize = call.arguments.iter().map(Bytes::len).sum();
            arguments + call.standard_input.as_ref().map_or(0, Bytes::len)
        }
        None => 0,
    }
}

/// A receipt that cannot be read says that something is stored, but not what: the same key asks again.
fn read_receipt(receipt: v1::Receipt) -> Result<Receipt, Miss> {
    let stated = StatedReceipt::try_from(receipt);
    stated
        .map(|stated| stated.receipt)
        .map_err(|error| Miss::Unanswered(error.to_string()))
}
