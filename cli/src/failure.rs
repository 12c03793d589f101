//! How the program fails: what happened, why, what to do, and the exit code.

use std::process::ExitCode;
use std::time::Duration;

use ringhold_client::{BuildError, ErrorCode, RequestError, RetrieveError, SubmitError, TaskError};

/// How long the end of the program waits until its last words are read.
const REPORT_PATIENCE: Duration = Duration::from_secs(2);

/// Exit codes, the same for every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All went well.
    Ok,
    /// It failed.
    Failed,
    /// The arguments make no sense.
    Usage,
    /// What was named does not exist (any more).
    NotFound,
    /// No member answers.
    CannotConnect,
    /// It took too long.
    TimedOut,
    /// Something else has to happen before.
    Precondition,
    /// Not allowed.
    NotAllowed,
    /// Some of it failed.
    Partly,
    /// The task that was waited for failed.
    TaskFailed,
    /// The task that was waited for was cancelled.
    TaskCancelled,
    /// Interrupted by the user.
    Interrupted,
    /// Nobody reads standard output any more: ends quietly, as 0.
    BrokenPipe,
}

impl Exit {
    /// The worse of two, for a command about several tasks. That nothing is known of an outcome is worse than a bad
    /// outcome; that it cannot be had any more is worse than that it did not come yet.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        std::cmp::max_by_key(self, other, |exit| exit.badness())
    }

    const fn badness(self) -> u8 {
        match self {
            Self::Ok | Self::BrokenPipe => 0,
            Self::TaskCancelled => 1,
            Self::TaskFailed => 2,
            Self::TimedOut => 3,
            Self::CannotConnect => 4,
            Self::Precondition => 5,
            Self::NotAllowed => 6,
            Self::Usage => 7,
            Self::NotFound => 8,
            Self::Partly => 9,
            Self::Failed => 10,
            Self::Interrupted => 11,
        }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Ok | Self::BrokenPipe => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::CannotConnect => 4,
            Self::TimedOut => 5,
            Self::Precondition => 6,
            Self::NotAllowed => 7,
            Self::Partly => 8,
            Self::TaskFailed => 10,
            Self::TaskCancelled => 11,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// Text of `--help` that lists the exit codes.
pub const EXIT_CODES: &str = "Exit codes:
  0  all went well             7    not allowed
  1  failed                    8    some of it failed
  2  wrong arguments           10   the task waited for failed
  3  not found                 11   the task waited for was cancelled
  4  no member answers         130  interrupted
  5  took too long
  6  something has to happen before (the message says what)";

/// A failure of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The stable code.
    pub code: ErrorCode,
    /// What happened.
    pub what: String,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What to do, if it is not the usual for the code.
    pub advice: Option<String>,
    /// The exit code.
    pub exit: Exit,
}

impl Failure {
    /// A failure with the exit code that goes with its code.
    #[must_use]
    pub fn new(code: ErrorCode, what: impl Into<String>) -> Self {
        Self {
            code,
            what: what.into(),
            causes: Vec::new(),
            advice: None,
            exit: exit_of(code),
        }
    }

    /// The user, or the system, ended the program early.
    #[must_use]
    pub fn interrupted(advice: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unavailable, "interrupted")
            .advise(advice)
            .exiting(Exit::Interrupted)
    }

    /// A failure of the operating system.
    #[must_use]
    pub fn io(what: &str, error: &std::io::Error) -> Self {
        let code = match error.kind() {
            std::io::ErrorKind::AddrInUse => ErrorCode::AddressInUse,
            std::io::ErrorKind::StorageFull => ErrorCode::DiskFull,
            std::io::ErrorKind::PermissionDenied => ErrorCode::NotAllowed,
            _ => ErrorCode::Internal,
        };
        let mut failure = Self::new(code, format!("cannot {what}")).because(error.to_string());
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            failure.exit = Exit::BrokenPipe;
        }
        failure.advice = Some("see the cause; nothing of the cluster has changed".to_owned());
        failure
    }

    /// The same with a cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// The same with advice of its own.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// The same with another exit code.
    #[must_use]
    pub fn exiting(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// A failure from an error and its sources.
    #[must_use]
    pub fn of(code: ErrorCode, error: &dyn std::error::Error) -> Self {
        let mut failure = Self::new(code, error.to_string());
        let mut source = error.source();
        while let Some(cause) = source {
            failure.causes.push(cause.to_string());
            source = cause.source();
        }
        failure
    }

    /// Prints the failure to standard error, and gives its exit code. A reader of standard error that pauses does not hold up
    /// the end of the program for long.
    pub fn report(&self) -> ExitCode {
        let (sender, reported) = std::sync::mpsc::channel();
        let text = self.to_string();
        std::thread::spawn(move || {
            eprintln!("{text}");
            // Nobody waits if it took too long.
            let _ = sender.send(());
        });
        let _late = reported.recv_timeout(REPORT_PATIENCE);
        self.exit.into()
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.exit == Exit::Interrupted {
            let advice = self.advice.as_deref().unwrap_or("run it again");
            return write!(formatter, "interrupted; {advice}");
        }
        write!(formatter, "error[{}] {}", self.code, self.what)?;
        for cause in &self.causes {
            write!(formatter, "\n  cause: {cause}")?;
        }
        let advice = self
            .advice
            .as_deref()
            .unwrap_or_else(|| advice_of(self.code));
        write!(formatter, "\n  what to do: {advice}")
    }
}

/// The exit code that goes with a code.
fn exit_of(code: ErrorCode) -> Exit {
    match code {
        ErrorCode::NeverExisted
        | ErrorCode::Disposed
        | ErrorCode::Overwritten
        | ErrorCode::Expired
        | ErrorCode::Gone
        | ErrorCode::ExecutorNotFound
        | ErrorCode::NotFound => Exit::NotFound,
        ErrorCode::Unavailable | ErrorCode::NotPrimary | ErrorCode::NotReady => Exit::CannotConnect,
        ErrorCode::DeadlineExceeded | ErrorCode::DrainTimeout => Exit::TimedOut,
        ErrorCode::FailedPrecondition
        | ErrorCode::Fenced
        | ErrorCode::WrongCluster
        | ErrorCode::AlreadyExists
        | ErrorCode::NotEnoughCopies => Exit::Precondition,
        ErrorCode::NotAllowed => Exit::NotAllowed,
        ErrorCode::InvalidArgument | ErrorCode::InvalidConfiguration => Exit::Usage,
        ErrorCode::ExecutorFull
        | ErrorCode::Indeterminate
        | ErrorCode::DataLoss
        | ErrorCode::TooLarge
        | ErrorCode::TooManyWaiters
        | ErrorCode::DataDirectory
        | ErrorCode::AddressInUse
        | ErrorCode::DiskFull
        | ErrorCode::Internal => Exit::Failed,
    }
}

/// What to do about a code, in general.
fn advice_of(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::ExecutorFull => {
            "dispose outcomes that nobody needs, or raise the bound that the message names: the executor's capacity, or \
             ring-bytes-max of a member"
        }
        ErrorCode::NotPrimary | ErrorCode::Unavailable | ErrorCode::NotReady => {
            "check that members run (ringhold server, ringhold dev) and that --server or RINGHOLD__SERVER names one"
        }
        ErrorCode::NotEnoughCopies => {
            "bring members back, or lower the executor's min-copies or durability"
        }
        ErrorCode::Indeterminate => {
            "submit again under the same --idempotency-key: it finds the task if it is stored"
        }
        ErrorCode::NeverExisted => "check the id; it reads executor/partition/sequence",
        ErrorCode::Disposed | ErrorCode::Overwritten | ErrorCode::Expired | ErrorCode::Gone => {
            "the outcome cannot be had any more; submit the task again if it is still needed"
        }
        ErrorCode::DataLoss => "every copy was lost; `ringhold cluster status` says when and why",
        ErrorCode::WrongCluster => "point --server at the cluster that the id belongs to",
        ErrorCode::ExecutorNotFound => {
            "see `ringhold executor ls`, or configure an executor of that name"
        }
        ErrorCode::NotFound => {
            "check the name; `ringhold member ls` and `ringhold executor ls` list what there is"
        }
        ErrorCode::Fenced => "look at the newest state, and decide again",
        ErrorCode::AlreadyExists => {
            "use another name or key, or exactly the same content as before"
        }
        ErrorCode::TooLarge => "pass large data by reference: a path, an URL, an object's name",
        ErrorCode::InvalidArgument | ErrorCode::InvalidConfiguration => "correct it, and try again",
        ErrorCode::DeadlineExceeded => {
            "wait longer (--timeout), or look at the task with `ringhold task get`"
        }
        ErrorCode::DrainTimeout => {
            "the drain goes on: see `ringhold member ls`, drain again to wait on, or end it with --undo"
        }
        ErrorCode::FailedPrecondition => "the message says what has to happen before",
        ErrorCode::TooManyWaiters => "wait for fewer tasks at once",
        ErrorCode::DataDirectory => {
            "use the directory with the member, cluster and version that wrote it, or an empty one"
        }
        ErrorCode::AddressInUse => {
            "stop the process that uses the address, or choose another (port 0: the system does)"
        }
        ErrorCode::DiskFull => "make room on the disk; nothing acknowledged is lost",
        ErrorCode::NotAllowed => {
            "ask for the permission, or allow the program in the executor's allowed-binaries"
        }
        ErrorCode::Internal => "this is a defect; report it with the log of the member",
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        Self::of(error.code(), &error)
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        Self::of(error.code, &error)
    }
}

impl From<SubmitError> for Failure {
    fn from(error: SubmitError) -> Self {
        Self::of(error.code(), &error)
    }
}

impl From<RetrieveError> for Failure {
    fn from(error: RetrieveError) -> Self {
        Self::of(error.code(), &error)
    }
}

impl From<TaskError> for Failure {
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::Retrieve(error) => error.into(),
            TaskError::Cancelled => {
                Self::new(ErrorCode::FailedPrecondition, "the task was cancelled")
                    .advise("submit it again if it is still needed")
                    .exiting(Exit::TaskCancelled)
            }
            other => Self::of(
                other.code().unwrap_or(ErrorCode::FailedPrecondition),
                &other,
            )
            .advise("see `ringhold task get` for its attempts")
            .exiting(Exit::TaskFailed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_why_and_what_to_do() {
        let failure = Failure::new(ErrorCode::Unavailable, "no member answered").because("refused");
        let text = failure.to_string();
        assert!(text.starts_with(
            "error[UNAVAILABLE] no member answered\n  cause: refused\n  what to do: "
        ));
        assert_eq!(failure.exit.number(), 4);
    }

    #[test]
    fn of_two_exits_the_one_that_says_less_of_the_outcome_is_the_worse() {
        let rising = [
            Exit::Ok,
            Exit::TaskCancelled,
            Exit::TaskFailed,
            Exit::TimedOut,
            Exit::CannotConnect,
            Exit::NotFound,
            Exit::Failed,
        ];
        for pair in rising.windows(2) {
            assert_eq!(pair[0].worse(pair[1]), pair[1]);
            assert_eq!(pair[1].worse(pair[0]), pair[1]);
        }
    }

    #[test]
    fn every_code_has_advice_and_every_exit_code_is_listed_in_the_help() {
        for code in ErrorCode::ALL {
            assert!(!advice_of(code).is_empty());
            let number = exit_of(code).number().to_string();
            let listed = EXIT_CODES.split_whitespace().any(|word| word == number);
            assert!(listed, "exit code {number} of {code} is not in the help");
        }
    }
}
