//! The engine: keeps a bounded number of lines under way, and hands their outcomes on.

use std::collections::BTreeMap;
use std::future::{Future, IntoFuture};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use ringhold_client::{
    Client, Executor, GoneReason, Outcome, Receipt, RetrieveError, Retrieved, SubmitError,
};
use tokio::sync::mpsc;

use super::{Line, LineNumber, Template};
use crate::failure::Failure;

/// Lines whose outcome may wait for an earlier line to be handed on. With ordered output a line that takes long holds up
/// those behind it; this many go on meanwhile.
const HELD_LINES_MAX: usize = 4096;
/// Bytes of outcomes that may wait so.
const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;
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

/// What happens to a line that is under way.
enum Step {
    Acknowledged {
        line: Line,
        at: Instant,
        receipt: Result<Receipt, SubmitError>,
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
    /// [`Failure`] when the input cannot be read, or the observer ends the run.
    pub(crate) async fn over(
        &self,
        mut lines: mpsc::Receiver<std::io::Result<Line>>,
        observer: &mut impl Observer,
    ) -> Result<Totals, Failure> {
        let mut totals = Totals::default();
        let mut held = Held {
            next: 1,
            ..Held::default()
        };
        let mut submits = FuturesUnordered::new();
        let mut waits = FuturesUnordered::new();
        let mut more = true;
        while more || !submits.is_empty() || !waits.is_empty() {
            let under_way = submits.len() + waits.len();
            let step = tokio::select! {
                biased;
                Some(step) = submits.next(), if !submits.is_empty() => step,
                Some(step) = waits.next(), if !waits.is_empty() => step,
                line = lines.recv(), if more && under_way < self.jobs && held.has_room() => {
                    match line {
                        Some(Ok(line)) => {
                            totals.lines += 1;
                            submits.push(self.submit(line));
                        }
                        Some(Err(error)) => return Err(Failure::io("read standard input", &error)),
                        None => more = false,
                    }
                    continue;
                }
            };
            match step {
                Step::Acknowledged {
                    line,
                    at,
                    receipt: Ok(receipt),
                } => {
                    let count = if receipt.reused {
                        &mut totals.reused
                    } else {
                        &mut totals.submitted
                    };
                    *count += 1;
                    observer.acknowledged(line.number, &receipt, at);
                    waits.push(self.wait(line, receipt));
                }
                Step::Acknowledged {
                    line,
                    receipt: Err(error),
                    ..
                } => {
                    let ended = Ended::NotSubmitted(error);
                    self.conclude(
                        LineOutcome { line, ended },
                        &mut totals,
                        &mut held,
                        observer,
                    )?;
                }
                Step::Ended(outcome) => self.conclude(outcome, &mut totals, &mut held, observer)?,
            }
        }
        Ok(totals)
    }

    fn submit(&self, line: Line) -> impl Future<Output = Step> + use<> {
        let mut submit = self
            .executor
            .submit(self.template.task(&line.text))
            .idempotency_key(format!("{}:{}", self.name, line.number.0))
            .deadline(SUBMIT_DEADLINE);
        if let Some(key) = self.template.key(&line.text) {
            submit = submit.key(key);
        }
        if let Some(limit) = self.run_limit {
            submit = submit.run_limit(limit);
        }
        let submit = submit.into_future();
        async move {
            let receipt = submit.await.map(|handle| handle.receipt().clone());
            Step::Acknowledged {
                line,
                at: Instant::now(),
                receipt,
            }
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
        totals: &mut Totals,
        held: &mut Held,
        observer: &mut impl Observer,
    ) -> Result<(), Failure> {
        totals.add(&outcome);
        observer.ended(&outcome);
        if !self.ordered {
            return observer.hand_on(outcome);
        }
        held.hold(outcome);
        while let Some(outcome) = held.release() {
            observer.hand_on(outcome)?;
        }
        Ok(())
    }
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
