//! The `ringhold` program, as a target of the tests' crate: tests start the very binary that they were built with.

use std::process::ExitCode;

fn main() -> ExitCode {
    ringhold_cli::main_with(std::env::args_os())
}
