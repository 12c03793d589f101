//! One module for each command.

mod cluster;
mod config;
mod dev;
mod executor;
mod map;
mod member;
mod partition;
mod server;
mod task;

use crate::arguments::{Arguments, Command};
use crate::demo;
use crate::failure::{Exit, Failure};

/// Does what the arguments say.
///
/// # Errors
/// [`Failure`] with what happened and what to do.
pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let output = arguments.output;
    match arguments.command {
        Command::Server(arguments) => server::run(*arguments, output).await,
        Command::Dev(arguments) => dev::run(&arguments, output).await,
        Command::Demo(arguments) => demo::run(&arguments, output).await,
        Command::Map(arguments) => map::run(&arguments, output).await,
        Command::Task(command) => task::run(command, output).await,
        Command::Executor(command) => executor::run(command, output).await,
        Command::Member(command) => member::run(command, output).await,
        Command::Partition(command) => partition::run(command, output).await,
        Command::Cluster(command) => cluster::run(command, output).await,
        Command::Config(command) => config::run(command, output),
    }
}
