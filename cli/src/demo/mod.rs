//! `ringhold demo`: a cluster of processes hashes real files through `map`'s path, loses a member in the middle to
//! SIGKILL, and every acknowledged task is read back from every survivor.

mod audit;
mod directory;
mod files;
mod kill;
mod processes;
mod report;
mod seen;
mod tracker;

use std::time::{Duration, Instant};

use ringhold_client::{Client, ErrorCode, ExecutorConfig, ExecutorName};

use crate::arguments::{DemoArguments, Format};
use crate::failure::{Exit, Failure};
use crate::map::{ROOM_PATIENCE, Run, Template, lines};
use crate::{output, progress, signals};
use files::HashedFile;
use processes::Processes;
use report::Report;
use seen::Seen;
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
    let started = Instant::now();
    let mut seen = Seen::default();
    let played = tokio::select! {
        played = tokio::time::timeout(DEADLINE, play(arguments, &mut seen)) => {
            played.unwrap_or_else(|_elapsed| Err(late()))
        }
        interrupted = signals::interrupted() => {
            interrupted.and(Err(Failure::interrupted("nothing is left behind; run it again")))
        }
    };
    let report = seen.report(arguments, played.as_ref().err(), started);
    conclude(&report, played.err(), format)
}

fn late() -> Failure {
    let what = format!("the demo was not over within {DEADLINE:?}");
    Failure::new(ErrorCode::DeadlineExceeded, what)
        .advise("run it on a machine with less to do, or with a smaller --count")
}

/// Prints the report, also that of a demo that ended early, and says how it ended.
fn conclude(report: &Report, failure: Option<Failure>, format: Format) -> Result<Exit, Failure> {
    if format == Format::Json || failure.is_none() {
        output::print(format, report, &report.table())?;
    }
    let exit = if report.lost + report.mismatches > 0 {
        Exit::Failed
    } else {
        Exit::Partly
    };
    match failure {
        Some(failure) if failure.exit == Exit::Interrupted => Err(failure),
        Some(failure) => Err(failure.exiting(exit)),
        None if report.ok => Ok(Exit::Ok),
        None => Ok(exit),
    }
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

async fn play(arguments: &DemoArguments, seen: &mut Seen) -> Result<(), Failure> {
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
    let tracker = seen
        .tracker
        .insert(Tracker::new(progress::bar(total, "tasks")));
    let run = Run {
        marked: None,
        client: client.clone(),
        executor: client.executor(EXECUTOR),
        template: Template::new(&["sha256sum".into(), "{}".into()], None, None),
        name: format!("demo-{}", arguments.seed),
        jobs: (files.len() / 10).clamp(*JOBS.start(), *JOBS.end()),
        ordered: true,
        run_limit: None,
        room_patience: ROOM_PATIENCE,
        started: Instant::now(),
    };
    let input = lines::known(files.iter().map(|file| file.path.clone()).collect());
    let mut observer = tracker.clone();
    let timing = (arguments.seed, total);
    let (totals, killed) = (&mut seen.totals, &mut seen.killed);
    let running = async {
        *totals = Some(run.over(input, &mut observer).await?);
        Ok::<(), Failure>(())
    };
    let killing = async {
        let kills = arguments.kills;
        *killed = Some(kill::kill(&client, &mut processes, tracker, kills, timing).await?);
        Ok(())
    };
    tokio::try_join!(running, killing)?;
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
    seen.findings = Some(audit::audit(&survivors, &ids, &files).await?);
    seen.audited = survivors.into_iter().map(|(name, _)| name).collect();
    seen.fallen = processes.fallen();
    Ok(())
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
