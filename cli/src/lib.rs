//! The `ringhold` program: runs members, and talks to clusters.
//!
//! [`main_with`] is the whole program; [`arguments`] is its grammar, one module of [`commands`] each verb. What `map`
//! does on the inside is [`map`], and `demo` uses the very same path. Data goes to standard output, all else to standard
//! error; [`failure`] has the exit codes.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod arguments;
pub mod failure;

mod commands;
mod connect;
mod demo;
mod directory;
mod duration;
mod json;
mod map;
mod output;
mod progress;
mod signals;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;
use crate::failure::{Exit, Failure};

/// Threads of the client's side: it mostly waits.
const CLIENT_THREADS: usize = 2;

/// Runs the program with these arguments, the program's name first.
pub fn main_with<I>(arguments: I) -> ExitCode
where
    I: IntoIterator,
    I::Item: Into<OsString>,
{
    main_of(arguments.into_iter().map(Into::into).collect())
}

/// All of it, compiled here once: a generic function would be compiled again, with everything that it calls, in each
/// binary that calls it.
fn main_of(arguments: Vec<OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return arguments::explain(&error),
    };
    output::start_log(&arguments);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CLIENT_THREADS)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return Failure::io("start a thread", &error).report(),
    };
    let ended = runtime.block_on(commands::run(arguments));
    // A thread may still wait in a read of standard input, which nothing can end.
    runtime.shutdown_background();
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) if failure.exit == Exit::BrokenPipe => Exit::Ok.into(),
        Err(failure) => failure.report(),
    }
}
