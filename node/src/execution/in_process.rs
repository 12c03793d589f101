//! Runs a handler inside the member.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use ringhold_replica::AttemptEnd;
use ringhold_types::limits::RESULT_BYTES_MAX;
use ringhold_types::{Failure, FailureKind, TaskResult};

use super::attempt::{Run, RunEnd, failure, own_end, panic_failure, stopped_end};
use super::handler::BlockingHandler;
use super::registry::Registered;
use super::slots::Stop;
use super::threads::Threads;
use super::{
    Handler, HandlerError, HandlerInput, HandlerOutput, HandlerRegistry, Shared, StopReason,
};

pub(super) async fn run(shared: &Shared, name: &str, run: &Run, input: HandlerInput) -> AttemptEnd {
    match shared.handlers.find(name) {
        Some(Registered::Asynchronous(handler)) => {
            run_asynchronous(&**handler, name, run, input).await
        }
        Some(Registered::Blocking(handler)) => {
            run_blocking(&shared.threads, Arc::clone(handler), name, run, input).await
        }
        None => own_end(Err(unknown_handler(&shared.handlers, name))),
    }
}

async fn run_asynchronous(
    handler: &dyn Handler,
    name: &str,
    run: &Run,
    input: HandlerInput,
) -> AttemptEnd {
    // Inside the block, so that a panic before the handler's first await is caught as well.
    let body = AssertUnwindSafe(async { handler.run(run.context.clone(), input).await });
    tokio::select! {
        biased;
        ended = body.catch_unwind() => own_end(match ended {
            Ok(returned) => checked(name, returned),
            Err(panic) => Err(panic_failure(&*panic)),
        }),
        stop = run.must_stop() => {
            stopped_end(stop.reason, || run.timed_out(&format!("handler {name}"), None))
        }
    }
}

/// A thread cannot be taken away from a blocking handler: its end is awaited whatever was asked of it, and the slot stays
/// taken. If it succeeds although it was told to stop, the work is done and the result stands; the ring refuses it if
/// the task has ended otherwise. Out of time is out of time. Only at the end of a drain is its end not awaited for ever:
/// the member lives on, so nothing else would let the task run elsewhere.
async fn run_blocking(
    threads: &Threads,
    handler: Arc<BlockingHandler>,
    name: &str,
    run: &Run,
    input: HandlerInput,
) -> AttemptEnd {
    let context = run.context.clone();
    let started = tokio::select! {
        biased;
        started = threads.start(move || handler(context, input)) => started,
        // There was no thread for it so far, and now it never begins.
        stop = run.must_stop() => {
            return stopped_end(stop.reason, || run.timed_out(&format!("handler {name}"), None));
        }
    };
    let mut body = pin!(started.end());
    let (ended, stop) = tokio::select! {
        biased;
        ended = &mut body => (ended, None),
        stop = run.must_stop() => match patiently(&mut body, stop).await {
            Some(ended) => (ended, Some(stop)),
            None => return AttemptEnd::HandedBack,
        },
    };
    let end = match ended {
        Ok(returned) => checked(name, returned),
        Err(panic) => Err(panic_failure(&*panic)),
    };
    match stop {
        None => own_end(end),
        Some(stop) if end.is_ok() && stop.reason != StopReason::TimedOut => own_end(end),
        Some(stop) => stopped_end(stop.reason, || {
            run.timed_out(&format!("handler {name}"), None)
        }),
    }
}

/// Waits for the end of a body that was told to stop; `None` if it is given up.
async fn patiently<T>(body: impl Future<Output = T>, stop: Stop) -> Option<T> {
    let half = match stop {
        Stop {
            reason: StopReason::Drained,
            kill_grace: Some(half),
        } => Duration::from_millis(half.0),
        _ => return Some(body.await),
    };
    tokio::time::timeout(half * 2, body).await.ok()
}

fn checked(name: &str, returned: Result<HandlerOutput, HandlerError>) -> RunEnd {
    let output =
        returned.map_err(|error| failure(FailureKind::Handler, error.message().to_owned()))?;
    let bytes = output.payload.len() + output.content_type.len();
    if bytes > RESULT_BYTES_MAX {
        let message = format!(
            "handler {name} returned {bytes} bytes, the limit is {RESULT_BYTES_MAX}; store large results elsewhere \
             and return where"
        );
        return Err(failure(FailureKind::OutputLimit, message));
    }
    let HandlerOutput {
        payload,
        content_type,
    } = output;
    Ok(Arc::new(TaskResult {
        payload,
        content_type,
        process: None,
    }))
}

fn unknown_handler(handlers: &HandlerRegistry, name: &str) -> Arc<Failure> {
    let known: Vec<&str> = handlers.names().collect();
    let known = if known.is_empty() {
        "none".to_owned()
    } else {
        known.join(", ")
    };
    let message = format!("no handler {name:?} is registered in this member; registered: {known}");
    failure(FailureKind::UnknownHandler, message)
}
