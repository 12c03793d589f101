//! One attempt from start to end.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use ringhold_replica::{AttemptEnd, StartAttempt};
use ringhold_types::{
    ExecutorConfig, Failure, FailureKind, Millis, ProcessExit, TaskCall, TaskResult,
};

use super::limits::bounded_message;
use super::slots::{Stop, StopSignal};
use super::threads::Busy;
use super::{AttemptContext, Shared, StopReason, in_process, process};
use crate::clock::Clock;

/// How an attempt ended, before it is known whether that was asked for.
pub(super) type RunEnd = Result<Arc<TaskResult>, Arc<Failure>>;

/// The end of a run, and what goes on after it.
pub(super) struct Over {
    /// What is reported.
    pub(super) end: AttemptEnd,
    /// The thread of a blocking handler that was given up: until it has returned, its slot is in use.
    pub(super) thread: Option<Busy>,
}

impl From<AttemptEnd> for Over {
    fn from(end: AttemptEnd) -> Self {
        Self { end, thread: None }
    }
}

/// Everything that one run needs.
pub(super) struct Run {
    pub(super) context: AttemptContext,
    pub(super) config: Arc<ExecutorConfig>,
    pub(super) attempt: Arc<StartAttempt>,
    pub(super) stop: StopSignal,
    /// The limit that holds: the task's own, else the executor's.
    pub(super) run_limit: Option<Millis>,
}

/// Runs an attempt and says how it ended. Never panics: a panic below is that attempt's failure.
pub(super) async fn run(
    shared: &Shared,
    attempt: StartAttempt,
    config: Arc<ExecutorConfig>,
    stop: StopSignal,
) -> Over {
    let attempt = Arc::new(attempt);
    let run_limit = attempt.task.limits.run.or(config.run_limit);
    let deadline = run_limit.map(|limit| Clock.now().after(limit));
    let context = AttemptContext::new(
        shared.options.member,
        config.name.clone(),
        Arc::clone(&attempt),
        deadline,
        stop.clone(),
    );
    let run = Run {
        context,
        config,
        attempt,
        stop,
        run_limit,
    };
    if let Some(stop) = run.stop.given() {
        return unbegun_end(stop.reason, || run.timed_out("the attempt", None)).into();
    }
    AssertUnwindSafe(run_call(shared, &run))
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| AttemptEnd::Failed(panic_failure(&*panic)).into())
}

async fn run_call(shared: &Shared, run: &Run) -> Over {
    match &run.attempt.task.call {
        TaskCall::Handler {
            name,
            // Refused at submit until handlers have versions.
            version: _,
            payload,
            content_type,
        } => {
            let input = super::HandlerInput {
                payload: payload.clone(),
                content_type: content_type.clone(),
            };
            in_process::run(shared, name, run, input).await
        }
        TaskCall::Process(call) => process::run(&shared.options, call, run).await.into(),
    }
}

impl Run {
    /// Waits until the attempt must end: told so, or out of time. The context then shows it too.
    pub(super) async fn must_stop(&self) -> Stop {
        let out_of_time = async {
            match self.context.remaining() {
                Some(remaining) => tokio::time::sleep(remaining).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            stop = self.stop.wait() => stop,
            () = out_of_time => {
                self.stop.give(Stop::unhurried(StopReason::TimedOut));
                // Whoever was first to give the signal is the reason.
                self.stop.wait().await
            }
        }
    }

    /// The failure of an attempt that ran out of time.
    pub(super) fn timed_out(&self, what: &str, process: Option<ProcessExit>) -> Arc<Failure> {
        let limit = self.run_limit.unwrap_or_default();
        let message = format!(
            "{what} ran longer than its limit of {} ms and was ended",
            limit.0
        );
        Arc::new(Failure {
            kind: FailureKind::TimedOut,
            message: bounded_message(message),
            process,
        })
    }
}

/// The end of an attempt that nobody stopped.
pub(super) fn own_end(end: RunEnd) -> AttemptEnd {
    match end {
        Ok(result) => AttemptEnd::Succeeded(result),
        Err(failure) => AttemptEnd::Failed(failure),
    }
}

/// The end of an attempt that was stopped for `reason`; `timed_out` says how when it was the run limit.
pub(super) fn stopped_end(
    reason: StopReason,
    timed_out: impl FnOnce() -> Arc<Failure>,
) -> AttemptEnd {
    match reason {
        StopReason::Aborted => AttemptEnd::Aborted,
        StopReason::HandedBack | StopReason::Drained => AttemptEnd::HandedBack,
        StopReason::TimedOut => AttemptEnd::Failed(timed_out()),
    }
}

/// The end of an attempt that was stopped before its handler or program was started: one that is to run elsewhere says so,
/// since then even a task that must not run twice can.
pub(super) fn unbegun_end(
    reason: StopReason,
    timed_out: impl FnOnce() -> Arc<Failure>,
) -> AttemptEnd {
    match stopped_end(reason, timed_out) {
        AttemptEnd::HandedBack => AttemptEnd::NotBegun,
        end => end,
    }
}

/// The failure that a panic stands for.
pub(super) fn panic_failure(panic: &(dyn Any + Send)) -> Arc<Failure> {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text");
    failure(FailureKind::Panic, format!("the handler panicked: {text}"))
}

/// A failure without a program behind it; its message is cut to its bound.
pub(super) fn failure(kind: FailureKind, message: String) -> Arc<Failure> {
    Arc::new(Failure::new(kind, bounded_message(message)))
}
