//! Prints outcomes as they are handed on, and counts.

use std::cell::Cell;
use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use ringhold_client::{
    ErrorCode, GoneReason, Outcome, Receipt, RetrieveError, Retrieved, SubmitError, TaskId,
};

use super::writer::Writer;
use super::{Ended, LineNumber, LineOutcome, Observer, Totals};
use crate::arguments::Format;
use crate::failure::{Exit, Failure};

/// Failures that are printed one by one; the rest is counted.
const FAILURES_SHOWN: u64 = 20;

/// Prints outcomes.
pub(crate) struct Printer<'a> {
    /// Name of the run.
    run: String,
    format: Format,
    writer: Writer,
    totals: &'a Cell<Totals>,
    failures: u64,
    /// Lines that another try may give an outcome.
    unanswered: u64,
    /// Outcomes to remove at the end of the run.
    ids: VecDeque<TaskId>,
}

/// What is left to do for what was printed.
#[derive(Debug)]
pub(crate) struct Printed {
    /// Lines that another try may give an outcome.
    pub(crate) unanswered: u64,
    /// Outcomes to remove at the end of the run.
    pub(crate) ids: VecDeque<TaskId>,
}

impl<'a> Printer<'a> {
    /// Prints what becomes of the lines of this run, and keeps the counts where others see them at any time.
    pub(crate) fn new(format: Format, run: &str, writer: Writer, totals: &'a Cell<Totals>) -> Self {
        Self {
            run: run.to_owned(),
            format,
            writer,
            totals,
            failures: 0,
            unanswered: 0,
            ids: VecDeque::new(),
        }
    }

    /// Nothing more is to be printed.
    pub(crate) fn finish(self) -> Printed {
        Printed {
            unanswered: self.unanswered,
            ids: self.ids,
        }
    }

    async fn fail(&mut self, line: LineNumber, what: &str) {
        self.failures += 1;
        if self.failures <= FAILURES_SHOWN {
            self.writer.say(format!("line {}: {what}", line.0)).await;
        } else if self.failures == FAILURES_SHOWN + 1 {
            let text = "more failures are counted and not shown".to_owned();
            self.writer.say(text).await;
        }
    }

    async fn print(&mut self, line: LineNumber, retrieved: &Retrieved) -> Result<(), Failure> {
        if self.format == Format::Json {
            let mut document = crate::json::outcome(&retrieved.outcome);
            document["line"] = line.0.into();
            document["id"] = retrieved.id.to_string().into();
            document["attempts"] = retrieved.attempts.into();
            let text = format!("{document}\n");
            self.writer.output(text.into(), Bytes::new()).await?;
        } else {
            let (standard_output, standard_error) = printed_by(&retrieved.outcome);
            self.writer.output(standard_output, standard_error).await?;
        }
        if is_truncated(&retrieved.outcome) {
            let what = "its output was longer than kept, the middle is missing";
            self.fail(line, what).await;
        }
        match &retrieved.outcome {
            Outcome::Succeeded(_) => {}
            Outcome::Failed(failure) | Outcome::DeadLettered(failure) => {
                let what = format!("{}: {}", failure.kind, failure.message);
                self.fail(line, &what).await;
            }
            other => self.fail(line, other.status().as_str()).await,
        }
        Ok(())
    }

    /// A line has no outcome to print.
    async fn miss(&mut self, line: LineNumber, error: &SubmitError) -> Result<(), Failure> {
        if matches!(error, SubmitError::AlreadyExists) {
            return Err(differs(line));
        }
        self.unanswered += 1;
        self.fail(line, &format!("not submitted: {error}")).await;
        Ok(())
    }
}

/// What the task's program printed: to standard output, and to standard error.
fn printed_by(outcome: &Outcome) -> (Bytes, Bytes) {
    match outcome {
        Outcome::Succeeded(result) => {
            let exit = result.process.as_ref();
            let standard_error = exit.map(|exit| exit.standard_error.clone());
            (result.payload.clone(), standard_error.unwrap_or_default())
        }
        Outcome::Failed(failure) | Outcome::DeadLettered(failure) => {
            let exit = failure.process.as_ref();
            exit.map(|exit| (exit.standard_output.clone(), exit.standard_error.clone()))
                .unwrap_or_default()
        }
        Outcome::Cancelled | Outcome::Replaced(_) => (Bytes::new(), Bytes::new()),
    }
}

/// Whether the program printed more to standard output than was kept.
pub(super) fn is_truncated(outcome: &Outcome) -> bool {
    let exit = match outcome {
        Outcome::Succeeded(result) => result.process.as_ref(),
        Outcome::Failed(failure) | Outcome::DeadLettered(failure) => failure.process.as_ref(),
        Outcome::Cancelled | Outcome::Replaced(_) => None,
    };
    exit.is_some_and(|exit| exit.output_truncated)
}

/// The run has stored another task for the line.
fn differs(line: LineNumber) -> Failure {
    let what = format!(
        "line {} was stored as another task when the run began: the line, the command, its directory, the key or the run \
         limit differs",
        line.0
    );
    Failure::new(ErrorCode::AlreadyExists, what).advise(
        "resume with the same input and arguments, in the same directory (or --directory with the one of the beginning), or \
         start a new run",
    )
}

/// The run ended before, so there is nothing to print.
pub(crate) fn has_ended(run: &str) -> Failure {
    let what = format!("run {run} has ended: its results were printed, and disposed after that");
    Failure::new(ErrorCode::Disposed, what)
        .advise("there is nothing to resume; start a new run, under another name or without --run")
        .exiting(Exit::Precondition)
}

/// Why a line that was stored has no outcome to give, and what to do.
fn why_lost(error: &RetrieveError) -> String {
    let what = Failure::from(error.clone()).what;
    match error {
        RetrieveError::Gone {
            reason: GoneReason::Overwritten,
        } => format!(
            "{what}. It ran, and is not run again: map it in a new run, into an executor that does not overwrite \
             (when-full = reject or wait)"
        ),
        RetrieveError::Gone { .. } => {
            format!("{what}. It ran, and is not run again: map it in a new run")
        }
        _ => what,
    }
}

impl Observer for Printer<'_> {
    fn acknowledged(&mut self, _: LineNumber, receipt: &Receipt, _: Instant) {
        self.ids.push_back(receipt.id.clone());
    }

    fn counted(&mut self, totals: Totals) {
        self.totals.set(totals);
    }

    async fn say(&mut self, text: &str) {
        self.writer.say(text.to_owned()).await;
    }

    fn ended(&mut self, _: &LineOutcome) {
        self.writer.line_ended();
    }

    async fn hand_on(&mut self, outcome: LineOutcome) -> Result<(), Failure> {
        if outcome.was_disposed() {
            return Err(has_ended(&self.run));
        }
        let line = outcome.line.number;
        match &outcome.ended {
            Ended::Outcome(retrieved) => self.print(line, retrieved).await,
            Ended::Lost(error) => {
                self.unanswered += u64::from(matches!(error, RetrieveError::Unavailable { .. }));
                self.fail(line, &why_lost(error)).await;
                Ok(())
            }
            Ended::NotSubmitted(error) => self.miss(line, error).await,
        }
    }
}
