//! Says how a program ended.

use std::process::ExitStatus;
use std::sync::Arc;

use ringhold_types::{Failure, FailureKind, ProcessExit, TaskResult};

use crate::execution::attempt::RunEnd;
use crate::execution::limits::bounded_message;

/// Form of a program's output: whatever it wrote.
const OUTPUT_CONTENT_TYPE: &str = "application/octet-stream";
/// Most characters of standard error's last line in a message.
const LAST_LINE_CHARACTERS_MAX: usize = 300;

/// The end of a program that nobody stopped.
pub(super) fn own_end(name: &str, status: ExitStatus, mut exit: ProcessExit) -> RunEnd {
    if status.success() {
        let payload = std::mem::take(&mut exit.standard_output);
        return Ok(Arc::new(TaskResult {
            payload,
            content_type: OUTPUT_CONTENT_TYPE.to_owned(),
            process: Some(exit),
        }));
    }
    let (kind, what) = match exit.signal {
        Some(signal) => (
            FailureKind::Signal,
            format!("was ended by signal {signal}{}", signal_name(signal)),
        ),
        None => {
            let code = exit.exit_code.unwrap_or_default();
            (FailureKind::NonzeroExit, format!("exited with code {code}"))
        }
    };
    let message = match last_line(&exit.standard_error) {
        Some(line) => format!("{name} {what}: {line}"),
        None => format!("{name} {what}"),
    };
    Err(Arc::new(Failure {
        kind,
        message: bounded_message(message),
        process: Some(exit),
    }))
}

/// The last line of standard error that says something.
fn last_line(standard_error: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(standard_error);
    let line = text
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())?;
    // Control characters of a program must not reach a person's terminal by way of a message.
    let plain = line.chars().filter(|character| !character.is_control());
    Some(plain.take(LAST_LINE_CHARACTERS_MAX).collect())
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => " (SIGHUP)",
        2 => " (SIGINT)",
        3 => " (SIGQUIT)",
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        8 => " (SIGFPE)",
        9 => " (SIGKILL, perhaps out of memory)",
        11 => " (SIGSEGV)",
        13 => " (SIGPIPE)",
        15 => " (SIGTERM)",
        24 => " (SIGXCPU)",
        25 => " (SIGXFSZ)",
        _ => "",
    }
}
