//! The engine: keeps a bounded number of lines under way, and hands their outcomes on.

use std::collections::BTreeMap;
use std::future::{Future, IntoFuture};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use ringhold_client::{
    Client, ErrorCode, Executor, GoneReason, HandlerTask, Outcome, PartitionNumber, Receipt,
    RetrieveError, Retrieved, SubmitError, TaskId,
};
use tokio::sync::mpsc;

use super::room::Room;
use super::{Line, LineNumber, Template};
use crate::failure::Failure;

/// Lines whose outcome may wait for an earlier line to be handed on. With ordered output a line that takes long holds up
/// those behind it; this many go on meanwhile.
const HELD_LINES_MAX: usize = 4096;
/// Bytes of outcomes that may wait so.
const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The handler that every member has: it returns what it is given.
const ECHO: &str = "ringhold.echo";
/// How long one submit is tried. Longer than a failover by far, shorter than the dedup window by far.
const SUBMIT_DEADLINE: Duration = Duration::from_secs(120);

/// One run over lines.
pub(crate) struct Run {
    /// The cluster.
    pub(crate) client: Client,
    /// The executor.
    pub(crate) executor: Executor,
    /// What is made of a line.
    pub(crate) template: Template,
    /// The run's name: with a line's number it is the idempotency key.
    pub(crate) name: String,
    /// Most lines under way at once.
    pub(crate) jobs: usize,
    /// Whether outcomes are handed on in the order of the lines.
    pub(crate) ordered: bool,
    /// Longest run of one attempt.
    pub(crate) run_limit: Option<Duration>,
    /// Where the task lies that says that there is this run, if it is marked.
    pub(crate) marked: Option<PartitionNumber>,
    /// When this process began: what is older than that was stored by an earlier one.
    pub(crate) started: Instant,
}

/// The task that says that there is a run.
#[derive(Debug)]
pub(crate) struct Mark {
    /// Which.
    pub(crate) id: TaskId,
    /// An earlier process had stored it.
    pub(crate) was_there: bool,
    /// It was disposed with the outcomes: the run has ended.
    pub(crate) is_over: bool,
}

/// How one line ended.
#[derive(Debug)]
pub(crate) struct LineOutcome {
    /// The line.
    pub(crate) line: Line,
    /// What came of it.
    pub(crate) ended: Ended,
}

/// What came of a line.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Its task ended; how, is in the outcome.
    Outcome(Box<Retrieved>),
    /// It has no outcome to give.
    Lost(RetrieveError),
    /// It could not be submitted.
    NotSubmitted(SubmitError),
}

/// Sees what happens while a run goes on.
pub(crate) trait Observer {
    /// A line's task is stored durably, as of `at`.
    fn acknowledged(&mut self, line: LineNumber, receipt: &Receipt, at: Instant);
    /// A line ended.
    fn ended(&mut self, outcome: &LineOutcome);
    /// A line's outcome is handed on: in order, if the run is ordered.
    ///
    /// # Errors
    /// [`Failure`] ends the run.
    fn hand_on(&mut self, outcome: LineOutcome) -> Result<(), Failure>;
}

/// The counts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Lines read.
    pub(crate) lines: u64,
    /// Lines whose task was stored by this process.
    pub(crate) submitted: u64,
    /// Lines whose task an earlier process had stored.
    pub(crate) reused: u64,
    /// Tasks that succeeded.
    pub(crate) succeeded: u64,
    /// Tasks that ended in another way, and lines that could not be submitted.
    pub(crate) failed: u64,
    /// Stored tasks without an outcome to give.
    pub(crate) lost: u64,
}

impl Totals {
    fn store(&mut self, stored: &Stored) {
        let count = if stored.reused {
            &mut self.reused
        } else {
            &mut self.submitted
        };
        *count += 1;
    }

    fn add(&mut self, outcome: &LineOutcome) {
        let count = match &outcome.ended {
            Ended::Outcome(retrieved) if matches!(retrieved.outcome, Outcome::Succeeded(_)) => {
                &mut self.succeeded
            }
            Ended::Outcome(_) | Ended::NotSubmitted(_) => &mut self.failed,
            Ended::Lost(_) => &mut self.lost,
        };
        *count += 1;
    }
}

/// A line's task, which is stored.
struct Stored {
    receipt: Receipt,
    /// An earlier process had stored it.
    reused: bool,
}

/// Where a run is.
struct Progress {
    totals: Totals,
    held: Held,
    /// Not known before the executor exists: the first line may create it.
    room: Option<Room>,
    more: bool,
    /// Why no further line is submitted, although there are more.
    stopped: Option<Failure>,
}

/// What happens to a line that is under way.
enum Step {
    Acknowledged {
        line: Line,
        at: Instant,
        stored: Result<Stored, SubmitError>,
    },
    Ended(LineOutcome),
}

/// Outcomes that wait for an earlier line.
#[derive(Default)]
struct Held {
    next: u64,
    outcomes: BTreeMap<LineNumber, LineOutcome>,
    bytes: usize,
}

impl Run {
    /// Runs over all lines.
    ///
    /// # Errors
    /// [`Failure`] when the input cannot be read, the observer ends the run, or there is no room for further results; what
    /// is under way then is waited for and handed on.
    pub(crate) async fn over(
        &self,
        mut lines: mpsc::Receiver<std::io::Result<Line>>,
        observer: &mut impl Observer,
    ) -> Result<Totals, Failure> {
        let mut progress = Progress::new(self.room().await?);
        let mut submits = FuturesUnordered::new();
        let mut waits = FuturesUnordered::new();
        while progress.more || !submits.is_empty() || !waits.is_empty() {
            let free = submits.len() + waits.len() < progress.jobs(self.jobs);
            let step = tokio::select! {
                biased;
                Some(step) = submits.next(), if !submits.is_empty() => step,
                Some(step) = waits.next(), if !waits.is_empty() => step,
                line = lines.recv(), if progress.more && free && progress.held.has_room() => {
                    submits.extend(self.admit(line, &mut progress)?.map(|line| self.submit(line)));
                    continue;
                }
            };
            match step {
                Step::Acknowledged {
                    line,
                    at,
                    stored: Ok(stored),
                } => {
                    progress.totals.store(&stored);
                    if progress.room.is_none() {
                        progress.room = self.room().await?;
                        let room = progress.room.iter_mut();
                        room.for_each(|room| room.note(stored.receipt.id.partition));
                    }
                    observer.acknowledged(line.number, &stored.receipt, at);
                    waits.push(self.wait(line, stored.receipt));
                }
                Step::Acknowledged {
                    line,
                    stored: Err(error),
                    ..
                } => {
                    let ended = Ended::NotSubmitted(error);
                    self.conclude(LineOutcome { line, ended }, &mut progress, observer)?;
                }
                Step::Ended(outcome) => self.conclude(outcome, &mut progress, observer)?,
            }
        }
        match progress.stopped {
            Some(failure) => Err(failure),
            None => Ok(progress.totals),
        }
    }

    /// The room that the executor has, if it exists.
    async fn room(&self) -> Result<Option<Room>, Failure> {
        match self.client.cluster().executor(self.executor.name()).await {
            Ok(executor) => {
                let mut room = Room::new(executor.config);
                self.marked.iter().for_each(|place| room.note(*place));
                Ok(Some(room))
            }
            Err(error) if error.code == ErrorCode::ExecutorNotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The line that is to be submitted; none at the end of the input, or when there is no room for its result.
    fn admit(
        &self,
        line: Option<std::io::Result<Line>>,
        progress: &mut Progress,
    ) -> Result<Option<Line>, Failure> {
        let line = line.transpose();
        let Some(line) = line.map_err(|error| Failure::io("read standard input", &error))? else {
            progress.more = false;
            return Ok(None);
        };
        if let Some(room) = &mut progress.room {
            let key = self.template.key(&line.text);
            let key = key.unwrap_or_else(|| self.idempotency_key(line.number).into());
            if let Err(full) = room.take(line.number, &key) {
                progress.more = false;
                progress.stopped = Some(full);
                return Ok(None);
            }
        }
        progress.totals.lines += 1;
        Ok(Some(line))
    }

    /// Stores the task that says that there is a run of this name, or finds it. It does nothing, and is kept as long as the
    /// outcomes are.
    ///
    /// # Errors
    /// [`Failure`] when it cannot be stored.
    pub(crate) async fn mark(&self) -> Result<Mark, Failure> {
        let task = HandlerTask::new(ECHO, self.name.clone());
        let key = format!("{}:run", self.name);
        let submit = self.executor.submit(task).idempotency_key(key);
        let handle = submit.deadline(SUBMIT_DEADLINE).await?;
        let id = handle.id().clone();
        let was_there = match handle.was_stored_before() {
            Some(known) => known,
            None => is_older(&self.client, &id, self.started).await,
        };
        let is_over = match self.client.get(&id).await {
            Err(error) => error.code == ErrorCode::Disposed,
            Ok(_) => false,
        };
        Ok(Mark {
            id,
            was_there,
            is_over,
        })
    }

    fn idempotency_key(&self, line: LineNumber) -> String {
        format!("{}:{}", self.name, line.0)
    }

    fn submit(&self, line: Line) -> impl Future<Output = Step> + use<> {
        let mut submit = self
            .executor
            .submit(self.template.task(&line.text))
            .idempotency_key(self.idempotency_key(line.number))
            .deadline(SUBMIT_DEADLINE);
        if let Some(key) = self.template.key(&line.text) {
            submit = submit.key(key);
        }
        if let Some(limit) = self.run_limit {
            submit = submit.run_limit(limit);
        }
        let submit = submit.into_future();
        let (client, started) = (self.client.clone(), self.started);
        async move {
            let submitted = submit.await;
            let at = Instant::now();
            let stored = match submitted {
                Ok(handle) => Ok(Stored {
                    reused: match handle.was_stored_before() {
                        Some(known) => known,
                        None => is_older(&client, handle.id(), started).await,
                    },
                    receipt: handle.receipt().clone(),
                }),
                Err(error) => Err(error),
            };
            Step::Acknowledged { line, at, stored }
        }
    }

    fn wait(&self, line: Line, receipt: Receipt) -> impl Future<Output = Step> + use<> {
        let retrieve = self.client.retrieve_result(&receipt.id).into_future();
        async move {
            let ended = match retrieve.await {
                Ok(retrieved) => Ended::Outcome(Box::new(retrieved)),
                Err(error) => Ended::Lost(error),
            };
            Step::Ended(LineOutcome { line, ended })
        }
    }

    /// Counts an outcome, and hands on what can be.
    fn conclude(
        &self,
        outcome: LineOutcome,
        progress: &mut Progress,
        observer: &mut impl Observer,
    ) -> Result<(), Failure> {
        progress.totals.add(&outcome);
        observer.ended(&outcome);
        if !self.ordered {
            return observer.hand_on(outcome);
        }
        progress.held.hold(outcome);
        while let Some(outcome) = progress.held.release() {
            observer.hand_on(outcome)?;
        }
        Ok(())
    }
}

impl Progress {
    fn new(room: Option<Room>) -> Self {
        Self {
            totals: Totals::default(),
            held: Held {
                next: 1,
                ..Held::default()
            },
            room,
            more: true,
            stopped: None,
        }
    }

    /// Most lines under way; one as long as it is not known how many results there is room for.
    fn jobs(&self, most: usize) -> usize {
        if self.room.is_some() { most } else { 1 }
    }
}

/// Whether a task is older than this process, which has tried to store it, and found it stored after a try without an
/// answer. Both ages are of monotonic clocks. One that cannot be asked about counts as this process's own.
async fn is_older(client: &Client, id: &TaskId, started: Instant) -> bool {
    let task = client.get(id).await;
    let own = started.elapsed();
    task.is_ok_and(|task| Duration::from_millis(task.age.0) > own)
}

impl Held {
    fn has_room(&self) -> bool {
        self.outcomes.len() < HELD_LINES_MAX && self.bytes < HELD_BYTES_MAX
    }

    fn hold(&mut self, outcome: LineOutcome) {
        self.bytes += outcome.bytes();
        self.outcomes.insert(outcome.line.number, outcome);
    }

    fn release(&mut self) -> Option<LineOutcome> {
        let outcome = self.outcomes.remove(&LineNumber(self.next))?;
        self.bytes = self.bytes.saturating_sub(outcome.bytes());
        self.next += 1;
        Some(outcome)
    }
}

impl LineOutcome {
    fn bytes(&self) -> usize {
        let outcome = match &self.ended {
            Ended::Outcome(retrieved) => retrieved.outcome.bytes(),
            Ended::Lost(_) | Ended::NotSubmitted(_) => 0,
        };
        self.line.text.len() + outcome
    }

    /// Whether the outcome was disposed: the run it belongs to has ended before.
    pub(crate) fn was_disposed(&self) -> bool {
        matches!(
            self.ended,
            Ended::Lost(RetrieveError::Gone {
                reason: GoneReason::Disposed
            })
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(number: u64) -> LineOutcome {
        LineOutcome {
            line: Line {
                number: LineNumber(number),
                text: "text".into(),
            },
            ended: Ended::Lost(RetrieveError::NeverExisted),
        }
    }

    #[test]
    fn outcomes_are_released_in_the_order_of_their_lines_and_give_their_room_back() {
        let mut held = Held {
            next: 1,
            ..Held::default()
        };
        for number in [3, 1, 4] {
            held.hold(outcome(number));
        }
        let mut released = Vec::new();
        while let Some(outcome) = held.release() {
            released.push(outcome.line.number.0);
        }
        assert_eq!(released, [1]);
        held.hold(outcome(2));
        while let Some(outcome) = held.release() {
            released.push(outcome.line.number.0);
        }
        assert_eq!(released, [1, 2, 3, 4]);
        assert_eq!(held.bytes, 0);
        assert!(held.has_room());
    }

    #[test]
    fn a_line_that_waits_for_another_one_takes_room() {
        let mut held = Held {
            next: 1,
            ..Held::default()
        };
        for number in 2..2 + HELD_LINES_MAX as u64 {
            held.hold(outcome(number));
        }
        assert!(!held.has_room());
    }
}
