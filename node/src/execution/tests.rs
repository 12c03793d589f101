//! Real processes, real panics, real threads.

mod handlers;
mod processes;
mod slots;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringhold_replica::{AttemptEnd, StartAttempt};
use ringhold_types::{
    AttemptNumber, AttemptToken, ExecutorConfig, ExecutorId, ExecutorName, Failure, IdempotencyKey,
    MemberId, Millis, PartitionKey, PartitionNumber, ProcessCall, Sequence, TaskCall, TaskResult,
    TaskSpec, Term,
};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use super::{
    AttemptReport, Execution, ExecutionOptions, HandlerRegistry, MemberEnvironment, Report,
};

/// Longest that any test waits for a report; far above what a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// An execution with a runtime and a scratch directory of its own.
struct Bench {
    execution: Execution,
    reports: mpsc::Receiver<Report>,
    scratch: tempfile::TempDir,
    handlers: Option<Runtime>,
    driver: Runtime,
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(runtime) = self.handlers.take() {
            runtime.shutdown_background();
        }
    }
}

impl Bench {
    fn new(handlers: HandlerRegistry) -> Self {
        Self::with_environment(handlers, MemberEnvironment::of_this_process())
    }

    fn with_environment(handlers: HandlerRegistry, environment: MemberEnvironment) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let driver = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let scratch = tempfile::tempdir().expect("a directory");
        let options = ExecutionOptions {
            member: MemberId(0xabc),
            scratch_directory: scratch.path().join("scratch"),
            runtime: runtime.handle().clone(),
            environment,
        };
        let (sender, reports) = mpsc::channel(4);
        let execution = Execution::start(options, handlers, sender);
        Self {
            execution,
            reports,
            scratch,
            handlers: Some(runtime),
            driver,
        }
    }

    /// The next end of an attempt; fails the test when none comes.
    fn report(&mut self) -> AttemptReport {
        match self.said() {
            Report::Ended(report) => report,
            other => panic!("expected the end of an attempt, got {other:?}"),
        }
    }

    /// What is said next; fails the test when nothing is.
    fn said(&mut self) -> Report {
        let next = async { tokio::time::timeout(PATIENCE, self.reports.recv()).await };
        self.driver
            .block_on(next)
            .expect("a report in time")
            .expect("the execution lives")
    }

    /// Waits until a program has made a file in its scratch directory.
    fn wait_for_file(&self, name: &str) {
        let file = self.scratch.path().join("scratch").join(name);
        let begun = std::time::Instant::now();
        while !file.exists() {
            assert!(begun.elapsed() < PATIENCE, "{name} was not made in time");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Runs one attempt to its end.
    fn run(&mut self, task: TaskSpec, config: ExecutorConfig) -> AttemptEnd {
        self.execution.begin(start(1, task), Arc::new(config));
        let report = self.report();
        assert_eq!(report.token, token(1));
        assert!(self.reports.try_recv().is_err(), "a second report came");
        assert_eq!(self.execution.running(), 0, "a slot is still taken");
        report.end
    }

    fn succeed(&mut self, task: TaskSpec, config: ExecutorConfig) -> TaskResult {
        match self.run(task, config) {
            AttemptEnd::Succeeded(result) => (*result).clone(),
            other => panic!("expected a success, got {other:?}"),
        }
    }

    fn fail(&mut self, task: TaskSpec, config: ExecutorConfig) -> Failure {
        failure(self.run(task, config))
    }
}

fn failure(end: AttemptEnd) -> Failure {
    match end {
        AttemptEnd::Failed(failure) => (*failure).clone(),
        other => panic!("expected a failure, got {other:?}"),
    }
}

fn token(sequence: u64) -> AttemptToken {
    AttemptToken {
        partition: PartitionKey {
            executor: ExecutorId(3),
            partition: PartitionNumber(5),
        },
        sequence: Sequence::from_bits(sequence),
        term: Term(7),
        attempt: AttemptNumber(1),
    }
}

fn start(sequence: u64, task: TaskSpec) -> StartAttempt {
    StartAttempt {
        token: token(sequence),
        task: Arc::new(task),
        checkpoint: None,
    }
}

fn task(call: TaskCall) -> TaskSpec {
    TaskSpec::new(call, IdempotencyKey::new("k").expect("valid"))
}

fn call_handler(name: &str, payload: &str) -> TaskSpec {
    task(TaskCall::Handler {
        name: name.to_owned(),
        version: None,
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        content_type: "application/json".to_owned(),
    })
}

fn process(arguments: &[&str]) -> ProcessCall {
    let arguments = arguments
        .iter()
        .map(|text| Bytes::copy_from_slice(text.as_bytes()))
        .collect();
    ProcessCall {
        arguments,
        ..ProcessCall::default()
    }
}

fn call_process(arguments: &[&str]) -> TaskSpec {
    task(TaskCall::Process(process(arguments)))
}

fn shell(script: &str) -> TaskSpec {
    call_process(&["/bin/sh", "-c", script])
}

fn limited(mut task: TaskSpec, run: Millis) -> TaskSpec {
    task.limits.run = Some(run);
    task
}

/// An executor that allows every program and ends them quickly.
fn config() -> ExecutorConfig {
    let mut config = ExecutorConfig::with_name(ExecutorName::new("reports").expect("valid"));
    config.allowed_binaries = vec!["*".to_owned()];
    config.kill_grace = Millis(200);
    config
}
