//! The explorer's command line.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use ringhold_chaos::explore::{Exploration, ExplorationReport, explore};
use ringhold_chaos::plan::Plan;
use ringhold_chaos::sabotage::{LIST, Listed, Sabotage, Watch};
use ringhold_chaos::schedule::{self, Staging};
use ringhold_chaos::world::World;
use serde::Serialize;

/// Threads of an exploration.
const THREADS: usize = 2;
/// Exit code of a broken invariant, or of a sabotage that nobody noticed.
const VIOLATION: u8 = 1;
/// Exit code when something was never met.
const ZERO_COVERAGE: u8 = 8;

/// Explores random schedules of the replication protocol, with everything that goes wrong.
#[derive(Parser)]
#[command(name = "ringhold-chaos", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs many seeds and says which invariant broke.
    Explore(ExploreArguments),
    /// Shows that dropped rules are noticed.
    Sabotage(SabotageArguments),
    /// Runs one seed, or a directed schedule, again and tells on standard error what happens.
    Replay {
        /// The seed.
        #[arg(long, required_unless_present = "schedule")]
        seed: Option<u64>,
        /// Simulate disks as lists of records, as all seeds did before the segmented log was simulated.
        #[arg(long, conflicts_with = "schedule")]
        records: bool,
        /// The directed schedule that breaks under this sabotage, as it is or with `--sabotage`.
        #[arg(long, conflicts_with = "seed")]
        schedule: Option<String>,
        /// A rule to drop.
        #[arg(long)]
        sabotage: Option<String>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

#[derive(Args)]
struct ExploreArguments {
    /// How many seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed, or `random`.
    #[arg(long, default_value = "random")]
    from: String,
    /// A rule to drop (`ringhold-chaos sabotage --list`).
    #[arg(long)]
    sabotage: Option<String>,
    /// Threads.
    #[arg(long, default_value_t = THREADS)]
    threads: usize,
    /// Form of the report.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Args)]
struct SabotageArguments {
    /// Which one.
    name: Option<String>,
    /// Lists them.
    #[arg(long)]
    list: bool,
    /// Tries every one.
    #[arg(long)]
    all: bool,
    /// The first seed, or `random`.
    #[arg(long, default_value = "random")]
    from: String,
    /// Most seeds for each.
    #[arg(long, default_value_t = 20_000)]
    max_seeds: u64,
    /// Threads.
    #[arg(long, default_value_t = THREADS)]
    threads: usize,
    /// Form of the report.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// What became of one sabotage.
#[derive(Serialize)]
struct SabotageReport {
    name: &'static str,
    breaks: &'static str,
    caught: bool,
    seeds_needed: u64,
    invariant: Option<String>,
    stated: u64,
}

fn main() -> anyhow::Result<ExitCode> {
    // A panic inside a seed is reported as a violation of that seed.
    std::panic::set_hook(Box::new(|_| {}));
    match Arguments::parse().command {
        Command::Explore(arguments) => run_explore(&arguments),
        Command::Sabotage(arguments) => run_sabotage(&arguments),
        Command::Replay {
            seed,
            records,
            schedule,
            sabotage,
        } => {
            let sabotage = match &sabotage {
                Some(name) => listed(name)?.sabotage,
                None => Sabotage::None,
            };
            match schedule {
                Some(name) => replay_schedule(&name, sabotage),
                None => {
                    let seed = seed.unwrap_or_default();
                    let plan = if records {
                        Plan::with_records(seed)
                    } else {
                        Plan::of_seed(seed)
                    };
                    replay(plan, sabotage)
                }
            }
        }
    }
}

fn first_seed(text: &str) -> anyhow::Result<u64> {
    if text == "random" {
        // Room for many seeds after it, and short enough to type.
        return Ok(getrandom::u64().context("the system gives no random number")? >> 24);
    }
    text.parse()
        .with_context(|| format!("--from takes a number or `random`, not {text:?}"))
}

fn listed(name: &str) -> anyhow::Result<&'static Listed> {
    Sabotage::named(name).with_context(|| {
        format!("there is no sabotage {name:?}; `ringhold-chaos sabotage --list` names them")
    })
}

fn run_explore(arguments: &ExploreArguments) -> anyhow::Result<ExitCode> {
    let sabotage = match &arguments.sabotage {
        Some(name) => listed(name)?.sabotage,
        None => Sabotage::None,
    };
    let report = explore(Exploration {
        from: first_seed(&arguments.from)?,
        seeds: arguments.seeds,
        sabotage,
        watch: Watch::All,
        threads: arguments.threads,
        stop_at_first: false,
    });
    match arguments.output {
        Output::Json => println!("{}", serde_json::to_string(&report)?),
        Output::Table => print_report(&report),
    }
    Ok(if !report.violations.is_empty() {
        ExitCode::from(VIOLATION)
    } else if !report.zero_coverage.is_empty() {
        ExitCode::from(ZERO_COVERAGE)
    } else {
        ExitCode::SUCCESS
    })
}

fn print_report(report: &ExplorationReport) {
    println!(
        "{} seeds from {}, {} a second, trace {}",
        report.seeds, report.from, report.seeds_per_second, report.trace_hash
    );
    for violation in &report.violations {
        println!(
            "seed {}: {}: {}",
            violation.seed, violation.invariant, violation.detail
        );
    }
    for (name, count) in &report.coverage {
        println!("{count:>12} {name}");
    }
    if !report.zero_coverage.is_empty() {
        println!("never met: {}", report.zero_coverage.join(", "));
    }
}

fn run_sabotage(arguments: &SabotageArguments) -> anyhow::Result<ExitCode> {
    if arguments.list {
        for listed in LIST {
            println!("{:<30} {}", listed.name, listed.breaks);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let chosen: Vec<&Listed> = match &arguments.name {
        Some(name) => vec![listed(name)?],
        None if arguments.all => LIST.iter().collect(),
        None => anyhow::bail!("name a sabotage, or say --all or --list"),
    };
    let from = first_seed(&arguments.from)?;
    let mut reports = Vec::new();
    for listed in chosen {
        let report = try_sabotage(listed, from, arguments);
        if arguments.output == Output::Table {
            let verdict = if report.caught {
                "caught"
            } else {
                "NOT CAUGHT"
            };
            let by = report.invariant.as_deref().unwrap_or("-");
            println!(
                "{:<30} {verdict} after {} seeds by {by}",
                report.name, report.seeds_needed
            );
        }
        reports.push(report);
    }
    if arguments.output == Output::Json {
        println!("{}", serde_json::to_string(&reports)?);
    }
    let all = reports.iter().all(|report| report.caught);
    Ok(if all {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(VIOLATION)
    })
}

fn try_sabotage(listed: &Listed, from: u64, arguments: &SabotageArguments) -> SabotageReport {
    if let Some(violation) =
        schedule::of(listed.sabotage).and_then(|it| it.under(listed.sabotage).violation)
    {
        return SabotageReport {
            name: listed.name,
            breaks: listed.breaks,
            caught: true,
            seeds_needed: 1,
            invariant: Some(violation.invariant.to_owned()),
            stated: listed.needed.stated,
        };
    }
    let report = explore(Exploration {
        from,
        seeds: arguments.max_seeds.min(listed.needed.stated),
        sabotage: listed.sabotage,
        watch: Watch::Outside,
        threads: arguments.threads,
        stop_at_first: true,
    });
    SabotageReport {
        name: listed.name,
        breaks: listed.breaks,
        caught: !report.violations.is_empty(),
        seeds_needed: report.seeds,
        invariant: report.violations.first().map(|it| it.invariant.clone()),
        stated: listed.needed.stated,
    }
}

fn replay_schedule(name: &str, sabotage: Sabotage) -> anyhow::Result<ExitCode> {
    let schedule = schedule::of(listed(name)?.sabotage)
        .with_context(|| format!("{name} is noticed by random seeds and has no schedule"))?;
    println!("{}", schedule.name);
    let narrates = true;
    match (schedule.play)(Staging { sabotage, narrates }).violation {
        Some(violation) => {
            println!("{}: {}", violation.invariant, violation.detail);
            Ok(ExitCode::from(VIOLATION))
        }
        None => Ok(ExitCode::SUCCESS),
    }
}

fn replay(plan: Plan, sabotage: Sabotage) -> anyhow::Result<ExitCode> {
    let report = World::narrate(plan, sabotage);
    println!(
        "{} happenings in {:.3} s of true time",
        report.events,
        report.ended as f64 / 1e6
    );
    match report.violation {
        Some(violation) => {
            println!("{}: {}", violation.invariant, violation.detail);
            Ok(ExitCode::from(VIOLATION))
        }
        None => Ok(ExitCode::SUCCESS),
    }
}
