//! `ringhold map`: one durable task for each line of standard input.

use std::collections::VecDeque;
use std::future::IntoFuture;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use indicatif::ProgressBar;
use ringhold_client::{Client, ErrorCode, GoneReason, Outcome, Receipt, RetrieveError, TaskId};
use serde_json::json;

use crate::arguments::{Format, MapArguments};
use crate::failure::{Exit, Failure};
use crate::map::{
    Ended, LineNumber, LineOutcome, Observer, ROOM_PATIENCE, Run, Template, Totals, lines,
};
use crate::{connect, output, progress, signals};

/// How long the end of a run waits for its mark, which runs like any task: no user waits longer for a prompt.
const MARK_PATIENCE: Duration = Duration::from_secs(5);
/// Failures that are printed one by one; the rest is counted.
const FAILURES_SHOWN: u64 = 20;
/// Bytes of a run's name: with a line's number it has to fit an idempotency key.
const RUN_BYTES_MAX: usize = 128;

pub(super) async fn run(arguments: &MapArguments, format: Format) -> Result<Exit, Failure> {
    let started = Instant::now();
    let name = run_name(arguments)?;
    let builder = connect::builder(&arguments.server);
    let client = builder.submits_in_flight(arguments.jobs).build().await?;
    let mut run = Run {
        marked: None,
        executor: client.executor(&arguments.executor),
        client: client.clone(),
        template: Template::new(&arguments.command, arguments.key.as_deref()),
        name: name.clone(),
        jobs: arguments.jobs,
        ordered: !arguments.unordered,
        run_limit: arguments.run_limit,
        room_patience: arguments.wait_for_room.unwrap_or(ROOM_PATIENCE),
        started,
    };
    let mark = mark(&mut run, arguments).await?;
    let mut printer = Printer::new(format, &name);
    let lines = lines::read(std::io::BufReader::new(std::io::stdin()));
    let totals = tokio::select! {
        totals = run.over(lines, &mut printer) => totals,
        interrupted = signals::interrupted() => {
            interrupted?;
            return Err(Failure::interrupted(format!("tasks that are stored go on; resume with --resume {name}")));
        }
    };
    printer.bar.finish_and_clear();
    let totals = totals.map_err(|failure| match failure.code {
        ErrorCode::Disposed => failure,
        _ => failure.because(format!("the run is {name}")),
    })?;
    let exit = summarise(arguments, &name, totals, started)?;
    if printer.unanswered == 0 {
        tokio::select! {
            () = end_run(&client, printer.ids, arguments.jobs, &mark) => {}
            interrupted = signals::interrupted() => {
                interrupted?;
                return Err(Failure::interrupted(format!(
                    "everything was printed; results that are not disposed yet expire, or --resume {name} prints them again"
                )));
            }
        }
    } else {
        let lines = printer.unanswered;
        output::say(format_args!(
            "{lines} lines have no outcome yet, so nothing is disposed; --resume {name} tries them again"
        ));
    }
    Ok(exit)
}

/// Marks the run; one that is to be resumed must be marked already, or its lines would all run again.
async fn mark(run: &mut Run, arguments: &MapArguments) -> Result<TaskId, Failure> {
    let mark = match &arguments.resume {
        None => run.mark().await?,
        Some(name) => {
            let found = run.find_mark().await?;
            found.ok_or_else(|| is_unknown(name, &arguments.executor))?
        }
    };
    if mark.is_over {
        return Err(has_ended(&run.name));
    }
    Ok(mark.id)
}

fn is_unknown(run: &str, executor: &str) -> Failure {
    let what = format!(
        "there is no run {run} to resume in executor {executor}: it ended long ago, or never began"
    );
    Failure::new(ErrorCode::NotFound, what).advise(format!(
        "look for the name and the executor of its beginning, or begin it with --run {run}"
    ))
}

fn has_ended(run: &str) -> Failure {
    let what = format!("run {run} has ended: its results were printed, and disposed after that");
    Failure::new(ErrorCode::Disposed, what)
        .advise("there is nothing to resume; start a new run, under another name or without --run")
        .exiting(Exit::Precondition)
}

/// The name that was given, or a fresh one, which is printed so that the run can be resumed.
fn run_name(arguments: &MapArguments) -> Result<String, Failure> {
    if let Some(name) = arguments.run.as_ref().or(arguments.resume.as_ref()) {
        if name.is_empty() || name.len() > RUN_BYTES_MAX {
            let what = format!("a run's name has 1 to {RUN_BYTES_MAX} bytes");
            return Err(Failure::new(ErrorCode::InvalidArgument, what));
        }
        return Ok(name.clone());
    }
    let mut drawn = [0; 8];
    getrandom::fill(&mut drawn).map_err(|error| {
        Failure::new(ErrorCode::Internal, "no random bytes").because(error.to_string())
    })?;
    let name = crate::json::hex(&drawn);
    output::say(format_args!(
        "run {name}; if it is interrupted, --resume {name} goes on where it stopped"
    ));
    Ok(name)
}

/// Prints outcomes.
struct Printer {
    /// Name of the run.
    run: String,
    format: Format,
    bar: ProgressBar,
    failures: u64,
    /// Lines that another try may give an outcome.
    unanswered: u64,
    /// Outcomes to remove at the end of the run.
    ids: VecDeque<TaskId>,
}

impl Printer {
    fn new(format: Format, run: &str) -> Self {
        Self {
            run: run.to_owned(),
            format,
            bar: progress::count("map"),
            failures: 0,
            unanswered: 0,
            ids: VecDeque::new(),
        }
    }

    fn fail(&mut self, line: LineNumber, what: &str) {
        self.failures += 1;
        if self.failures <= FAILURES_SHOWN {
            self.bar
                .suspend(|| output::say(format_args!("line {}: {what}", line.0)));
        } else if self.failures == FAILURES_SHOWN + 1 {
            self.bar
                .suspend(|| output::say("more failures are counted and not shown"));
        }
    }

    fn print(
        &mut self,
        outcome: &LineOutcome,
        retrieved: &ringhold_client::Retrieved,
    ) -> Result<(), Failure> {
        if self.format == Format::Json {
            let mut document = crate::json::outcome(&retrieved.outcome);
            document["line"] = outcome.line.number.0.into();
            document["id"] = retrieved.id.to_string().into();
            document["attempts"] = retrieved.attempts.into();
            return self
                .bar
                .suspend(|| output::write(format!("{document}\n").as_bytes()));
        }
        let (standard_output, process) = match &retrieved.outcome {
            Outcome::Succeeded(result) => (&result.payload[..], result.process.as_ref()),
            Outcome::Failed(failure) | Outcome::DeadLettered(failure) => {
                let process = failure.process.as_ref();
                (
                    process.map_or(&[][..], |exit| &exit.standard_output[..]),
                    process,
                )
            }
            Outcome::Cancelled | Outcome::Replaced(_) => (&[][..], None),
        };
        self.bar.suspend(|| {
            if let Some(exit) = process {
                // As if the program had run here.
                let _ = std::io::Write::write_all(&mut std::io::stderr(), &exit.standard_error);
            }
            output::write(standard_output)
        })?;
        if process.is_some_and(|exit| exit.output_truncated) {
            self.fail(
                outcome.line.number,
                "its output was longer than kept, the middle is missing",
            );
        }
        Ok(())
    }
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

impl Observer for Printer {
    fn acknowledged(&mut self, _: LineNumber, receipt: &Receipt, _: Instant) {
        self.ids.push_back(receipt.id.clone());
    }

    fn say(&mut self, text: &str) {
        self.bar.suspend(|| output::say(text));
    }

    fn ended(&mut self, _: &LineOutcome) {
        self.bar.inc(1);
    }

    fn hand_on(&mut self, outcome: LineOutcome) -> Result<(), Failure> {
        if outcome.was_disposed() {
            return Err(has_ended(&self.run));
        }
        match &outcome.ended {
            Ended::Outcome(retrieved) => {
                self.print(&outcome, retrieved)?;
                match &retrieved.outcome {
                    Outcome::Succeeded(_) => {}
                    Outcome::Failed(failure) | Outcome::DeadLettered(failure) => {
                        self.fail(
                            outcome.line.number,
                            &format!("{}: {}", failure.kind, failure.message),
                        );
                    }
                    other => self.fail(outcome.line.number, other.status().as_str()),
                }
            }
            Ended::Lost(error) => {
                self.unanswered += u64::from(matches!(error, RetrieveError::Unavailable { .. }));
                self.fail(outcome.line.number, &why_lost(error));
            }
            Ended::NotSubmitted(ringhold_client::SubmitError::AlreadyExists) => {
                return Err(Failure::new(
                    ErrorCode::AlreadyExists,
                    format!(
                        "line {} is not what it was when the run began",
                        outcome.line.number.0
                    ),
                )
                .advise("resume with the same input, command and key, or start a new run"));
            }
            Ended::NotSubmitted(error) => {
                self.unanswered += 1;
                self.fail(outcome.line.number, &format!("not submitted: {error}"));
            }
        }
        Ok(())
    }
}

/// Ends a run of which everything was printed: its results go, and its mark last of all, since until then it can be resumed.
async fn end_run(client: &Client, ids: VecDeque<TaskId>, at_once: usize, mark: &TaskId) {
    dispose_all(client, ids, at_once).await;
    // A mark that stays behind, since nothing has run it yet, expires.
    let removed = client.retrieve_and_dispose_result(mark);
    let _stays = tokio::time::timeout(MARK_PATIENCE, removed.into_future()).await;
}

/// Removes the outcomes of a run that has ended. One that stays behind, since its member does not answer, expires.
async fn dispose_all(client: &Client, ids: VecDeque<TaskId>, at_once: usize) {
    let bar = progress::bar(u64::try_from(ids.len()).unwrap_or(u64::MAX), "disposing");
    futures_util::stream::iter(ids)
        .map(|id| async move { client.dispose_result(&id).await })
        .buffer_unordered(at_once)
        .for_each(|_| {
            bar.inc(1);
            std::future::ready(())
        })
        .await;
    bar.finish_and_clear();
}

fn summarise(
    arguments: &MapArguments,
    name: &str,
    totals: Totals,
    started: Instant,
) -> Result<Exit, Failure> {
    let elapsed = started.elapsed();
    if let Some(file) = &arguments.summary {
        let summary = json!({
            "schema": "ringhold.map/1",
            "run": name,
            "lines": totals.lines,
            "submitted": totals.submitted,
            "reused": totals.reused,
            "succeeded": totals.succeeded,
            "failed": totals.failed,
            "lost": totals.lost,
            "unanswered": totals.unanswered,
            "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        });
        std::fs::write(file, format!("{summary}\n"))
            .map_err(|error| Failure::io(&format!("write {}", file.display()), &error))?;
    }
    let Totals {
        lines,
        submitted,
        reused,
        succeeded,
        failed,
        lost,
        unanswered,
    } = totals;
    output::say(format_args!(
        "run {name}: {lines} lines in {}, {submitted} submitted, {reused} found again, {succeeded} succeeded, {failed} \
         failed, {lost} lost, {unanswered} without an answer yet",
        crate::duration::show(elapsed)
    ));
    Ok(if failed + lost + unanswered > 0 {
        Exit::Partly
    } else {
        Exit::Ok
    })
}
