//! The engine: keeps a bounded number of lines under way, and hands their outcomes on.

use std::future::Future;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use ringhold_client::{
    Client, ErrorCode, Executor, GoneReason, PartitionNumber, Receipt, RetrieveError, Retrieved,
    SubmitError, TaskId,
};
use tokio::sync::mpsc;

use super::full::{Full, FullPartition, Refused};
use super::held::Held;
use super::repeats::Repeats;
use super::room::Room;
use super::{Line, LineNumber, Template, Totals};
use crate::failure::Failure;

/// How long one submit is tried. Longer than a failover by far, shorter than the dedup window by far.
pub(super) const SUBMIT_DEADLINE: Duration = Duration::from_secs(120);

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
    /// How long to wait for room without any progress.
    pub(crate) room_patience: Duration,
    /// Where the task lies that says that there is this run, if it is marked.
    pub(crate) marked: Option<PartitionNumber>,
    /// When this process began: what is older than that was stored by an earlier one.
    pub(crate) started: Instant,
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
    /// The counts have changed.
    fn counted(&mut self, _totals: Totals) {}
    /// A person should know this while the run goes on.
    async fn say(&mut self, text: &str);
    /// A line ended.
    fn ended(&mut self, outcome: &LineOutcome);
    /// A line's outcome is handed on: in order, if the run is ordered.
    ///
    /// # Errors
    /// [`Failure`] ends the run.
    async fn hand_on(&mut self, outcome: LineOutcome) -> Result<(), Failure>;
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
    full: Full,
    /// Not known before the executor exists: the first line may create it.
    room: Option<Room>,
    /// Not known before the executor exists.
    repeats: Option<Repeats>,
    more: bool,
    /// Why no further line is submitted, although there are more.
    stopped: Option<Failure>,
}

/// What happens to a line that is under way.
enum Step {
    Stored {
        line: Line,
        at: Instant,
        stored: Stored,
    },
    /// Its partition is full; nothing is stored.
    Full(Line, Option<PartitionNumber>),
    Ended(LineOutcome),
}

/// What is to be done for a line next.
enum Next {
    Submit(Line, Duration),
    Wait(Line, Receipt),
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
        let mut progress = Progress::new(self.room_patience);
        self.find_room(&mut progress, observer).await?;
        let mut submits = FuturesUnordered::new();
        let mut waits = FuturesUnordered::new();
        while progress.more || !submits.is_empty() || !waits.is_empty() {
            let free = submits.len() + waits.len() < progress.jobs(self.jobs);
            let step = tokio::select! {
                biased;
                Some(step) = submits.next(), if !submits.is_empty() => step,
                Some(step) = waits.next(), if !waits.is_empty() => step,
                line = lines.recv(), if progress.more && free && progress.held.has_room() => {
                    let line = self.admit(line, &mut progress)?;
                    observer.counted(progress.totals);
                    submits.extend(line.map(|line| self.submit(line, Duration::ZERO)));
                    continue;
                }
            };
            let idle = waits.is_empty();
            match self.follow(step, idle, &mut progress, observer).await? {
                Some(Next::Submit(line, pause)) => submits.push(self.submit(line, pause)),
                Some(Next::Wait(line, receipt)) => waits.push(self.wait(line, receipt)),
                None => {}
            }
        }
        let repeats = progress.repeats.as_ref();
        if let Some(warning) = repeats.and_then(|repeats| repeats.warning(self.executor.name())) {
            observer.say(&warning).await;
        }
        match progress.stopped {
            Some(failure) => Err(failure),
            None => Ok(progress.totals),
        }
    }

    /// Takes note of a step, and says what comes next for its line.
    async fn follow(
        &self,
        step: Step,
        idle: bool,
        progress: &mut Progress,
        observer: &mut impl Observer,
    ) -> Result<Option<Next>, Failure> {
        match step {
            Step::Stored { line, at, stored } => {
                progress.totals.store(stored.reused);
                observer.counted(progress.totals);
                progress.full.progress(line.number, Instant::now());
                if progress.room.is_none() {
                    self.find_room(progress, observer).await?;
                    let room = progress.room.iter_mut();
                    room.for_each(|room| room.note(stored.receipt.id.partition));
                }
                let repeats = progress.repeats.iter_mut();
                repeats.for_each(|repeats| repeats.note(line.number, stored.reused));
                observer.acknowledged(line.number, &stored.receipt, at);
                Ok(Some(Next::Wait(line, stored.receipt)))
            }
            Step::Full(line, partition) => {
                let full = FullPartition {
                    line: Some(line.number),
                    partition,
                    executor: self.executor.name(),
                };
                match progress.full.refused(full, idle, Instant::now()) {
                    Refused::Again(pause, said) => {
                        if let Some(said) = said {
                            observer.say(&said).await;
                        }
                        Ok(Some(Next::Submit(line, pause)))
                    }
                    Refused::GivenUp(failure) => {
                        progress.stop(failure);
                        Ok(None)
                    }
                }
            }
            Step::Ended(outcome) => {
                progress.full.progress(outcome.line.number, Instant::now());
                self.conclude(outcome, progress, observer).await?;
                Ok(None)
            }
        }
    }

    /// Finds out how much room the executor has, if it exists.
    async fn find_room(
        &self,
        progress: &mut Progress,
        observer: &mut impl Observer,
    ) -> Result<(), Failure> {
        let name = self.executor.name();
        let executor = match self.client.cluster().executor(name).await {
            Ok(executor) => executor,
            Err(error) if error.code == ErrorCode::ExecutorNotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        progress.repeats = Some(Repeats::new(&executor.config, self.jobs));
        let mut room = Room::new(executor.config);
        self.marked.iter().for_each(|place| room.note(*place));
        if room.is_overwritten() {
            let warning = format!(
                "executor {name} overwrites results that nobody has read (when-full = overwrite): other tasks may remove \
                 results of this run before it ends, and a line whose result is gone for long runs again when the run is \
                 resumed"
            );
            observer.say(&warning).await;
        }
        progress.room = Some(room);
        Ok(())
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
                progress.stop(full);
                return Ok(None);
            }
        }
        progress.totals.lines += 1;
        Ok(Some(line))
    }

    fn idempotency_key(&self, line: LineNumber) -> String {
        format!("{}:{}", self.name, line.0)
    }

    /// Submits a line after a pause.
    fn submit(&self, line: Line, pause: Duration) -> impl Future<Output = Step> + use<> {
        let mut submit = self
            .executor
            .submit(self.template.task(&line.text))
            .idempotency_key(self.idempotency_key(line.number))
            .deadline(SUBMIT_DEADLINE)
            .fail_when_full();
        if let Some(key) = self.template.key(&line.text) {
            submit = submit.key(key);
        }
        if let Some(limit) = self.run_limit {
            submit = submit.run_limit(limit);
        }
        let (client, started) = (self.client.clone(), self.started);
        async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let submitted = submit.await;
            let at = Instant::now();
            let handle = match submitted {
                Ok(handle) => handle,
                Err(SubmitError::Full { partition, .. }) => return Step::Full(line, partition),
                Err(error) => {
                    let ended = Ended::NotSubmitted(error);
                    return Step::Ended(LineOutcome { line, ended });
                }
            };
            let reused = match handle.was_stored_before() {
                Some(known) => known,
                None => is_older(&client, handle.id(), started).await,
            };
            let receipt = handle.receipt().clone();
            let stored = Stored { receipt, reused };
            Step::Stored { line, at, stored }
        }
    }

    /// Waits for an outcome, and leaves it unread: a resumed run reads it again.
    fn wait(&self, line: Line, receipt: Receipt) -> impl Future<Output = Step> + use<> {
        let retrieve = self.client.retrieve_result(&receipt.id).keep();
        async move {
            let ended = match retrieve.await {
                Ok(retrieved) => Ended::Outcome(Box::new(retrieved)),
                Err(error) => Ended::Lost(error),
            };
            Step::Ended(LineOutcome { line, ended })
        }
    }

    /// Counts an outcome, and hands on what can be.
    async fn conclude(
        &self,
        outcome: LineOutcome,
        progress: &mut Progress,
        observer: &mut impl Observer,
    ) -> Result<(), Failure> {
        progress.totals.add(&outcome);
        observer.counted(progress.totals);
        observer.ended(&outcome);
        if !self.ordered {
            return observer.hand_on(outcome).await;
        }
        progress.held.hold(outcome);
        while let Some(outcome) = progress.held.release() {
            observer.hand_on(outcome).await?;
        }
        Ok(())
    }
}

impl Progress {
    fn new(room_patience: Duration) -> Self {
        Self {
            totals: Totals::default(),
            held: Held::default(),
            full: Full::new(room_patience, Instant::now()),
            room: None,
            repeats: None,
            more: true,
            stopped: None,
        }
    }

    /// Takes no further line; the first reason counts.
    fn stop(&mut self, why: Failure) {
        self.more = false;
        self.stopped.get_or_insert(why);
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

impl LineOutcome {
    /// Bytes that it takes while it waits.
    pub(super) fn bytes(&self) -> usize {
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
