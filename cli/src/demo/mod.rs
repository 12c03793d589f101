//! `ringhold demo`: a cluster of processes hashes real files through `map`'s path, loses a member in the middle to
//! SIGKILL, and every acknowledged task is read back from every survivor.

mod audit;
mod directory;
mod files;
mod kill;
mod processes;
mod report;
mod tracker;

use std::time::{Duration, Instant};

use ringhold_client::{Client, ErrorCode, ExecutorConfig, ExecutorName};

use crate::arguments::{DemoArguments, Format};
use crate::failure::{Exit, Failure};
use crate::map::{Ended, LineOutcome, Run, Template, Totals, lines};
use crate::{json, output, progress, signals};
use audit::Findings;
use files::HashedFile;
use kill::Killed;
use processes::Processes;
use report::Report;
use tracker::Tracker;

/// The demo's executor.
const EXECUTOR: &str = "demo";
/// Tasks under way at once: few enough that the kill comes while submits still flow.
const JOBS: std::ops::RangeInclusive<usize> = 4..=32;
/// The demo ends by then, whatever happens.
const DEADLINE: Duration = Duration::from_secs(55);

/// Runs the demo.
///
/// # Errors
/// [`Failure`] when it cannot be run at all; a proof that fails is an exit code.
pub(crate) async fn run(arguments: &DemoArguments, format: Format) -> Result<Exit, Failure> {
    check(arguments)?;
    let report = tokio::select! {
        report = tokio::time::timeout(DEADLINE, play(arguments)) => report,
        interrupted = signals::interrupted() => {
            interrupted?;
            return Err(Failure::interrupted("nothing is left behind; run it again"));
        }
    };
    let report = report.map_err(|_| {
        Failure::new(
            ErrorCode::DeadlineExceeded,
            format!("the demo was not over within {DEADLINE:?}"),
        )
        .advise("run it on a machine with less to do, or with a smaller --count")
        .exiting(Exit::Partly)
    })??;
    output::print(format, &report, &report.table())?;
    Ok(if report.ok {
        Exit::Ok
    } else if report.lost + report.mismatches > 0 {
        Exit::Failed
    } else {
        Exit::Partly
    })
}

fn check(arguments: &DemoArguments) -> Result<(), Failure> {
    let DemoArguments {
        members,
        kills,
        durability,
        ..
    } = *arguments;
    let refuse = |what: String| Err(Failure::new(ErrorCode::InvalidArgument, what));
    if durability >= members {
        return refuse(format!(
            "durability {durability} needs {} members",
            durability + 1
        ));
    }
    if kills > durability {
        return refuse(format!(
            "{kills} kills at once may lose tasks of durability {durability}; use at most {durability}"
        ));
    }
    if kills == 0 || members - kills <= members / 2 {
        return refuse(format!(
            "of {members} members 1 to {} can be killed",
            members.div_ceil(2) - 1
        ));
    }
    if arguments.count < 20 {
        return refuse("the kill needs at least 20 files around it".to_owned());
    }
    Ok(())
}

async fn play(arguments: &DemoArguments) -> Result<Report, Failure> {
    let started = Instant::now();
    let files = find_files(arguments).await?;
    output::say(format_args!(
        "starting {} member processes",
        arguments.members
    ));
    let mut processes = Processes::start(arguments.members, arguments.data_dir.as_deref()).await?;
    for member in &processes.members {
        output::say(format_args!(
            "{} is process {}, clients at {}",
            member.name, member.pid, member.client
        ));
    }
    let client = connect(&processes).await?;
    create_executor(&client, arguments).await?;
    let total = u64::try_from(files.len()).unwrap_or(u64::MAX);
    output::say(format_args!("submitting {total} tasks: sha256sum FILE"));
    let tracker = Tracker::new(progress::bar(total, "tasks"));
    let run = Run {
        client: client.clone(),
        executor: client.executor(EXECUTOR),
        template: Template::new(&["sha256sum".into(), "{}".into()], None),
        name: format!("demo-{}", arguments.seed),
        jobs: (files.len() / 10).clamp(*JOBS.start(), *JOBS.end()),
        ordered: true,
        run_limit: None,
    };
    let input = lines::known(files.iter().map(|file| file.path.clone()).collect());
    let mut observer = tracker.clone();
    let timing = (arguments.seed, total);
    let (totals, killed) = tokio::try_join!(
        run.over(input, &mut observer),
        kill::kill(&client, &mut processes, &tracker, arguments.kills, timing),
    )?;
    output::say("reading every acknowledged task from every survivor");
    let survivors: Vec<_> = processes
        .survivors()
        .map(|member| (member.name.clone(), member.client.clone()))
        .collect();
    let ids = tracker
        .tasks()
        .into_iter()
        .map(|(line, task)| (line, task.id))
        .collect();
    let findings = audit::audit(&survivors, &ids, &files).await?;
    let audited = survivors.into_iter().map(|(name, _)| name).collect();
    let fallen = processes.fallen();
    drop(processes);
    Ok(report(
        arguments,
        Seen {
            totals,
            killed,
            findings,
            audited,
            fallen,
            tracker,
        },
        started,
    ))
}

async fn find_files(arguments: &DemoArguments) -> Result<Vec<HashedFile>, Failure> {
    let (root, count) = (arguments.files.clone(), arguments.count);
    output::say(format_args!(
        "hashing the first {count} files below {}",
        root.display()
    ));
    let found = tokio::task::spawn_blocking(move || files::find(&root, count)).await;
    let found = found.map_err(|error| Failure::of(ErrorCode::Internal, &error))?;
    if found.len() < count {
        let what = format!(
            "only {} readable files of 1 B to 16 MiB below {}",
            found.len(),
            arguments.files.display()
        );
        return Err(Failure::new(ErrorCode::InvalidArgument, what)
            .advise("name another directory with --files"));
    }
    Ok(found)
}

async fn connect(processes: &Processes) -> Result<Client, Failure> {
    let endpoints: Vec<String> = processes
        .members
        .iter()
        .map(|member| member.client.clone())
        .collect();
    Ok(Client::builder()
        .endpoints(endpoints)
        .confirm_retrieved(false)
        .build()
        .await?)
}

async fn create_executor(client: &Client, arguments: &DemoArguments) -> Result<(), Failure> {
    let name = ExecutorName::new(EXECUTOR).expect("letters are a name");
    let config = ExecutorConfig {
        durability: arguments.durability,
        persistence: arguments.persistence,
        allowed_binaries: vec!["*".to_owned()],
        ..ExecutorConfig::with_name(name)
    };
    output::say("the demo's executor runs any program; members listen on loopback only");
    client.cluster().create_executor(&config).await?;
    Ok(())
}

/// All that was seen.
struct Seen {
    totals: Totals,
    killed: Killed,
    findings: Findings,
    audited: Vec<String>,
    fallen: Option<String>,
    tracker: Tracker,
}

fn report(arguments: &DemoArguments, seen: Seen, started: Instant) -> Report {
    let Seen {
        totals,
        killed,
        findings,
        audited,
        fallen,
        tracker,
    } = seen;
    let tasks = tracker.tasks();
    let outcomes = tracker.take_outcomes();
    let not_stored = outcomes
        .iter()
        .filter(|line| matches!(line.ended, Ended::NotSubmitted(_)));
    let not_stored = u64::try_from(not_stored.count()).unwrap_or(u64::MAX);
    let finished = outcomes
        .iter()
        .filter(|line| matches!(line.ended, Ended::Outcome(_)));
    let failovers = killed.failovers(tasks.values());
    let lost = findings.lost.max(totals.lost);
    let mut problems = problems(&outcomes);
    let mut require = |holds: bool, problem: &str| {
        if !holds {
            problems.push(problem.to_owned());
        }
    };
    require(
        killed.in_window,
        "the kill missed its window, so it proves nothing",
    );
    require(
        failovers.iter().all(Option::is_some),
        "no submit met a partition whose primary died",
    );
    require(lost == 0, "acknowledged tasks are lost");
    require(findings.mismatches == 0, "outcomes are wrong");
    require(findings.failed == 0, "tasks failed");
    require(not_stored == 0, "tasks could not be submitted");
    problems.extend(fallen);
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    Report {
        schema: "ringhold.demo/1",
        ok: problems.is_empty(),
        seed: arguments.seed,
        members: arguments.members,
        durability: arguments.durability,
        persistence: json::persistence(arguments.persistence),
        submitted: totals.lines,
        acknowledged: u64::try_from(tasks.len()).unwrap_or(u64::MAX),
        finished: u64::try_from(finished.count()).unwrap_or(u64::MAX),
        failed: findings.failed,
        rerun: findings.rerun,
        lost,
        mismatches: findings.mismatches,
        killed_members: killed.kills.len(),
        kills: killed.kills,
        failover_ms: failovers.into_iter().flatten().map(millis).collect(),
        audited_members: audited,
        elapsed_ms: millis(started.elapsed()),
        problems,
    }
}

/// The first few lines that have no outcome, in words.
fn problems(outcomes: &[LineOutcome]) -> Vec<String> {
    let problem = |line: &LineOutcome| match &line.ended {
        Ended::Outcome(_) => None,
        Ended::Lost(error) => Some(format!("line {}: {error}", line.line.number.0)),
        Ended::NotSubmitted(error) => Some(format!("line {}: {error}", line.line.number.0)),
    };
    outcomes.iter().filter_map(problem).take(3).collect()
}
