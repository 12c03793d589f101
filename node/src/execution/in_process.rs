//! Runs a handler inside the member.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use ringhold_replica::AttemptEnd;
use ringhold_types::limits::RESULT_BYTES_MAX;
use ringhold_types::{Failure, FailureKind, TaskResult};

use super::attempt::{
    Over, Run, RunEnd, failure, own_end, panic_failure, stopped_end, unbegun_end,
};
use super::handler::BlockingHandler;
use super::registry::Registered;
use super::slots::Stop;
use super::threads::Threads;
use super::{
    Handler, HandlerError, HandlerInput, HandlerOutput, HandlerRegistry, Shared, StopReason,
};

pub(super) async fn run(shared: &Shared, name: &str, run: &Run, input: HandlerInput) -> Over {
    match shared.handlers.find(name) {
        Some(Registered::Asynchronous(handler)) => {
            run_asynchronous(&**handler, name, run, input).await.into()
        }
        Some(Registered::Blocking(handler)) => {
            run_blocking(&shared.threads, Arc::clone(handler), name, run, input).await
        }
        None => own_end(Err(unknown_handler(&shared.handlers, name))).into(),
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
/// the task has ended otherwise. Out of time is out of time. Only at the end of a drain is its end not awaited for ever,
/// whatever it was told before: the member lives on, so nothing else would let the task run elsewhere. It ends for the
/// reason that it was told first; its slot stays taken until its thread is free.
async fn run_blocking(
    threads: &Threads,
    handler: Arc<BlockingHandler>,
    name: &str,
    run: &Run,
    input: HandlerInput,
) -> Over {
    let context = run.context.clone();
    let timed_out = || run.timed_out(&format!("handler {name}"), None);
    let stopped = |stop: Stop| stopped_end(stop.reason, timed_out);
    let mut started = tokio::select! {
        biased;
        started = threads.start(move || handler(context, input)) => started,
        // There was no thread for it so far, and now it never begins.
        stop = run.must_stop() => return unbegun_end(stop.reason, timed_out).into(),
    };
    let (ended, stop) = tokio::select! {
        biased;
        ended = started.end() => (Some(ended), None),
        stop = run.must_stop() => tokio::select! {
            biased;
            ended = started.end() => (Some(ended), Some(stop)),
            () = run.stop.out_of_patience() => (None, Some(stop)),
        },
    };
    let end = match ended {
        Some(Ok(returned)) => Some(checked(name, returned)),
        Some(Err(panic)) => Some(Err(panic_failure(&*panic))),
        None => None,
    };
    match (end, stop) {
        (Some(end), None) => own_end(end).into(),
        (Some(Ok(result)), Some(stop)) if stop.reason != StopReason::TimedOut => {
            own_end(Ok(result)).into()
        }
        (Some(_), Some(stop)) => stopped(stop).into(),
        (None, stop) => Over {
            end: stop.map_or(AttemptEnd::HandedBack, stopped),
            thread: Some(started.given_up()),
        },
    }
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
