//! `ringhold-bench`: what a cluster of processes carries, what it costs at rest, and how long it needs after a death.
//!
//! - [`run`]: whole task lives, closed and open loop.
//! - [`idle`]: what three members cost that have nothing to do.
//! - [`failover`]: from the fault to the first new acknowledgement, again and again.
//! - [`storage`]: the own log beside other stores, on the life cycle of a ring.
//!
//! Members are processes of their own: this very program, which as `ringhold-bench server …` is the `ringhold` program.
//! Figures go to standard output, all else to standard error. Debug builds say so in their figures.

#![forbid(unsafe_code)]

mod arguments;
mod cluster;
mod device;
mod executor;
mod failover;
mod histogram;
mod idle;
mod machine;
mod metrics;
mod network;
mod output;
mod process;
mod run;
mod storage;
mod watch;
mod whole;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command, Fault};

/// First argument of a member process.
const MEMBER: &str = "server";
/// Threads of the load: the members need the cores as well.
const LOAD_THREADS: usize = 2;
/// Exit code when `--check` finds a bar missed.
const MISSED: u8 = 1;
/// Exit code when the bench itself could not be run.
const NOT_RUN: u8 = 8;

/// Whether what was measured keeps the bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It does, or there is no bar.
    Kept,
    /// A measure is beyond its bar.
    Missed,
    /// Work was lost, refused or did not end: whatever was measured says nothing.
    Broken,
}

fn main() -> ExitCode {
    let is_member = std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == MEMBER);
    if is_member {
        return ringhold_cli::main_with(std::env::args_os());
    }
    let arguments = Arguments::parse();
    match bench(&arguments) {
        Ok(Verdict::Broken) => ExitCode::from(MISSED),
        Ok(Verdict::Missed) if arguments.check => ExitCode::from(MISSED),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(NOT_RUN)
        }
    }
}

fn bench(arguments: &Arguments) -> anyhow::Result<Verdict> {
    match &arguments.command {
        Command::Storage(storage) => return storage::run(arguments, storage),
        Command::StorageLife(life) => return storage::child(life),
        Command::Failover(failover) if failover.fault == Fault::Drop => network::enter()?,
        Command::Run(_) | Command::Idle(_) | Command::Failover(_) => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(LOAD_THREADS)
        .enable_all()
        .build()?;
    let verdict = runtime.block_on(async {
        let interrupted = output::interrupted()?;
        let bench = async {
            match &arguments.command {
                Command::Run(run) => run::run(arguments, run).await,
                Command::Idle(idle) => idle::run(arguments, idle).await,
                Command::Failover(failover) => failover::run(arguments, failover).await,
                Command::Storage(_) | Command::StorageLife(_) => Ok(Verdict::Kept),
            }
        };
        tokio::select! {
            verdict = bench => verdict,
            () = interrupted => Err(anyhow::anyhow!("interrupted; nothing is left behind")),
        }
    });
    runtime.shutdown_background();
    verdict
}
