//! The `ringhold` binary; everything is in the library, so that tests and benches have the same program.

use std::process::ExitCode;

fn main() -> ExitCode {
    ringhold_cli::main_with(std::env::args_os())
}
