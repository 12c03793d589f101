//! `ringhold map`: one durable task for each line of standard input.

use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

use ringhold_client::{Client, ErrorCode, TaskId};
use serde_json::json;

use crate::arguments::{Format, MapArguments};
use crate::failure::{Exit, Failure};
use crate::map::{
    Observer, Printer, ROOM_PATIENCE, Run, Template, Totals, Writer, Written, ending, has_ended,
    lines,
};
use crate::{connect, directory, duration, output, progress, signals};

/// Bytes of a run's name: with a line's number it has to fit an idempotency key.
const RUN_BYTES_MAX: usize = 128;
/// How long an interrupted run waits for what is on its way to standard output: a reader that pauses may never take it.
const PRINT_PATIENCE: Duration = Duration::from_millis(200);

/// Where a run is, for whoever interrupts it.
struct Course {
    stage: Cell<Stage>,
    totals: Cell<Totals>,
    started: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No line is submitted.
    Begins,
    /// Lines are under way.
    Runs,
    /// Everything is printed, and the run can be resumed.
    Printed,
    /// Its mark goes.
    Ends,
    /// Its mark is gone.
    Ended,
}

pub(super) async fn run(arguments: &MapArguments, format: Format) -> Result<Exit, Failure> {
    let name = run_name(arguments)?;
    let course = Course {
        stage: Cell::new(Stage::Begins),
        totals: Cell::default(),
        started: Instant::now(),
    };
    let (writer, mut written) = Writer::start(progress::count("map"));
    let ended = tokio::select! {
        ended = whole(arguments, format, &name, &course, (writer, &mut written)) => ended,
        interrupted = signals::interrupted() => {
            interrupted.and_then(|()| Err(Failure::interrupted(course.interrupted(&name))))
        }
    };
    let Err(failure) = ended else {
        return ended;
    };
    let stage = course.stage.get();
    if stage == Stage::Begins || (failure.exit == Exit::Interrupted && stage == Stage::Runs) {
        // What is not printed by then is printed by the run that resumes this one. The bar goes as well.
        let _late = tokio::time::timeout(PRINT_PATIENCE, written.wait()).await;
    }
    if stage == Stage::Runs
        && let Err(unwritten) = course.write_summary(arguments, &name, Some(&failure))
    {
        output::say(format_args!("no summary: {}", unwritten.what));
    }
    Err(failure)
}

/// From the first line to the last, and to the end of the run.
async fn whole(
    arguments: &MapArguments,
    format: Format,
    name: &str,
    course: &Course,
    (writer, written): (Writer, &mut Written),
) -> Result<Exit, Failure> {
    let builder = connect::builder(&arguments.server);
    let client = builder.submits_in_flight(arguments.jobs).build().await?;
    let named = arguments.directory.as_deref().map(Path::new);
    let directory = directory::of_map(named, &arguments.server, &client)?;
    let mut run = Run {
        marked: None,
        executor: client.executor(&arguments.executor),
        client: client.clone(),
        template: Template::new(&arguments.command, arguments.key.as_deref(), directory),
        name: name.to_owned(),
        jobs: arguments.jobs,
        ordered: !arguments.unordered,
        run_limit: arguments.run_limit,
        room_patience: arguments.wait_for_room.unwrap_or(ROOM_PATIENCE),
        started: course.started,
    };
    let mut printer = Printer::new(format, name, writer, &course.totals);
    let mark = mark(&mut run, arguments, &mut printer).await?;
    course.stage.set(Stage::Runs);
    let lines = lines::read(std::io::BufReader::new(std::io::stdin()));
    let gone_over = run.over(lines, &mut printer).await;
    let printed = printer.finish();
    // That nobody reads what is printed is why the run stopped, if that is so.
    written.wait().await?;
    let totals = gone_over.map_err(|failure| match failure.code {
        ErrorCode::Disposed => failure,
        _ => failure.because(format!("the run is {name}")),
    })?;
    course.stage.set(Stage::Printed);
    course.write_summary(arguments, name, None)?;
    say_totals(name, totals, course.started.elapsed());
    if printed.unanswered > 0 {
        let lines = printed.unanswered;
        output::say(format_args!(
            "{lines} lines have no outcome yet, so nothing is disposed; --resume {name} tries them again"
        ));
        return Ok(totals.exit());
    }
    course.stage.set(Stage::Ends);
    if ending::dispose_mark(&client, &mark).await {
        course.stage.set(Stage::Ended);
        ending::dispose_all(&client, printed.ids, arguments.jobs).await;
    }
    Ok(totals.exit())
}

impl Course {
    /// What becomes of a run that is interrupted now.
    fn interrupted(&self, name: &str) -> String {
        match self.stage.get() {
            Stage::Begins => "no line was submitted yet; run it again".to_owned(),
            Stage::Runs => {
                format!("tasks that are stored go on; resume with --resume {name}")
            }
            Stage::Printed => {
                format!("everything was printed; --resume {name} prints it again and ends the run")
            }
            Stage::Ends => {
                "everything was printed, and the run may have ended; its results expire (result-ttl)"
                    .to_owned()
            }
            Stage::Ended => {
                "everything was printed, and the run has ended; results that are not disposed yet expire (result-ttl)"
                    .to_owned()
            }
        }
    }

    /// Writes the summary, if one is wanted, of as much as there was of the run.
    fn write_summary(
        &self,
        arguments: &MapArguments,
        name: &str,
        stopped: Option<&Failure>,
    ) -> Result<(), Failure> {
        let Some(file) = &arguments.summary else {
            return Ok(());
        };
        let totals = self.totals.get();
        let elapsed = self.started.elapsed();
        let stopped = stopped.map(|failure| match failure.exit {
            Exit::Interrupted => "INTERRUPTED",
            _ => failure.code.as_str(),
        });
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
            "truncated": totals.truncated,
            "stopped": stopped,
            "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        });
        std::fs::write(file, format!("{summary}\n"))
            .map_err(|error| Failure::io(&format!("write {}", file.display()), &error))
    }
}

/// Marks the run; one that is to be resumed must be marked already, or its lines would all run again.
async fn mark(
    run: &mut Run,
    arguments: &MapArguments,
    observer: &mut impl Observer,
) -> Result<TaskId, Failure> {
    let mark = match &arguments.resume {
        None => run.mark(observer).await?,
        Some(name) => match run.find_mark().await? {
            Some(mark) => mark,
            None => return Err(is_unknown(name, &arguments.executor, &run.client).await),
        },
    };
    if mark.is_over {
        return Err(has_ended(&run.name));
    }
    Ok(mark.id)
}

async fn is_unknown(run: &str, executor: &str, client: &Client) -> Failure {
    // Its own failure would say less than what this is about.
    let found = client.cluster().executor(executor).await.ok();
    let kept = found.map_or_else(String::new, |found| {
        let span = duration::show(Duration::from_millis(found.config.result_ttl.0));
        format!(" {span}")
    });
    let what = format!(
        "there is no run {run} to resume in executor {executor}: it ended, never began, or began longer ago than results \
         are kept (result-ttl{kept})"
    );
    Failure::new(ErrorCode::NotFound, what).advise(format!(
        "look for the name and the executor of its beginning. --run {run} begins it anew: lines whose results have expired \
         run a second time, if they ran before"
    ))
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

fn say_totals(name: &str, totals: Totals, elapsed: Duration) {
    let Totals {
        lines,
        submitted,
        reused,
        succeeded,
        failed,
        lost,
        unanswered,
        truncated,
    } = totals;
    output::say(format_args!(
        "run {name}: {lines} lines in {}, {submitted} submitted, {reused} found again, {succeeded} succeeded, {failed} \
         failed, {lost} lost, {unanswered} without an answer yet, {truncated} with less output than they printed",
        duration::show(elapsed)
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_promised_that_a_run_whose_mark_goes_can_be_resumed() {
        for (stage, resumes) in [
            (Stage::Begins, false),
            (Stage::Runs, true),
            (Stage::Printed, true),
            (Stage::Ends, false),
            (Stage::Ended, false),
        ] {
            let course = Course {
                stage: Cell::new(stage),
                totals: Cell::default(),
                started: Instant::now(),
            };
            let said = course.interrupted("nightly");
            assert_eq!(said.contains("--resume nightly"), resumes, "{said}");
        }
    }
}
