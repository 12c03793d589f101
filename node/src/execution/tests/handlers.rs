//! In-process handlers.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use ringhold_types::FailureKind;
use ringhold_types::limits::RESULT_BYTES_MAX;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::*;
use crate::execution::{
    AttemptContext, Handler, HandlerError, HandlerInput, HandlerNameTaken, HandlerOutput,
    TypedHandler,
};

type HandlerResult = Result<HandlerOutput, HandlerError>;

/// A handler that is a function.
struct Function<F>(F);

impl<F> Handler for Function<F>
where
    F: Fn(AttemptContext, HandlerInput) -> BoxFuture<'static, HandlerResult>
        + Send
        + Sync
        + 'static,
{
    fn run(&self, context: AttemptContext, input: HandlerInput) -> BoxFuture<'_, HandlerResult> {
        (self.0)(context, input)
    }
}

fn bench_with<F>(name: &str, function: F) -> Bench
where
    F: Fn(AttemptContext, HandlerInput) -> BoxFuture<'static, HandlerResult>
        + Send
        + Sync
        + 'static,
{
    let mut handlers = HandlerRegistry::with_echo();
    handlers
        .register(name, Function(function))
        .expect("a new name");
    Bench::new(handlers)
}

fn bench_blocking(
    function: impl Fn(AttemptContext, HandlerInput) -> HandlerResult + Send + Sync + 'static,
) -> Bench {
    let mut handlers = HandlerRegistry::new();
    handlers
        .register_blocking("block", function)
        .expect("a new name");
    Bench::new(handlers)
}

struct Render;

#[derive(Deserialize)]
struct Page {
    title: String,
}

#[derive(Serialize)]
struct Rendered {
    html: String,
}

impl TypedHandler for Render {
    const NAME: &'static str = "render";
    type Input = Page;
    type Output = Rendered;

    async fn run(&self, context: AttemptContext, input: Page) -> Result<Rendered, HandlerError> {
        if input.title.is_empty() {
            return Err(HandlerError::new("a page needs a title"));
        }
        "5".parse::<u32>()?;
        Ok(Rendered {
            html: format!("<h1>{}</h1>{}", input.title, context.task_id()),
        })
    }
}

#[test]
fn the_echo_handler_returns_its_input() {
    let mut bench = Bench::new(HandlerRegistry::with_echo());
    let result = bench.succeed(call_handler("ringhold.echo", "[1]"), config());
    assert_eq!(result.payload, "[1]");
    assert_eq!(result.content_type, "application/json");
    assert_eq!(result.process, None);
}

#[test]
fn a_typed_handler_speaks_json() {
    let mut handlers = HandlerRegistry::new();
    handlers.register_typed(Render).expect("a new name");
    let mut bench = Bench::new(handlers);
    let result = bench.succeed(call_handler("render", r#"{"title":"T"}"#), config());
    assert_eq!(result.payload, r#"{"html":"<h1>T</h1>reports/5/1"}"#);
    let failure = bench.fail(call_handler("render", r#"{"title":""}"#), config());
    assert_eq!(
        failure,
        Failure::new(FailureKind::Handler, "a page needs a title")
    );
    let failure = bench.fail(call_handler("render", "{"), config());
    assert_eq!(failure.kind, FailureKind::Handler);
    assert!(
        failure
            .message
            .starts_with("the input of render does not read as application/json: EOF")
    );
}

#[test]
fn an_unknown_handler_is_a_failure_that_names_the_known_ones() {
    let mut bench = Bench::new(HandlerRegistry::with_echo());
    let failure = bench.fail(call_handler("rendr", ""), config());
    assert_eq!(failure.kind, FailureKind::UnknownHandler);
    assert_eq!(
        failure.message,
        "no handler \"rendr\" is registered in this member; registered: ringhold.echo"
    );
}

#[test]
fn a_name_is_registered_once() {
    let mut handlers = HandlerRegistry::new();
    handlers.register_typed(Render).expect("a new name");
    let refused = handlers.register_typed(Render).expect_err("taken");
    assert_eq!(
        refused,
        HandlerNameTaken {
            name: "render".to_owned()
        }
    );
}

#[test]
fn a_panic_is_the_failure_of_one_attempt_only() {
    let mut bench = bench_with("panic", |_, input| {
        let text = String::from_utf8_lossy(&input.payload).into_owned();
        if text == "early" {
            panic!("before the first await");
        }
        Box::pin(async move {
            tokio::task::yield_now().await;
            panic!("bad page {text}");
        })
    });
    let failure = bench.fail(call_handler("panic", "7"), config());
    assert_eq!(
        failure,
        Failure::new(FailureKind::Panic, "the handler panicked: bad page 7")
    );
    let failure = bench.fail(call_handler("panic", "early"), config());
    assert_eq!(
        failure.message,
        "the handler panicked: before the first await"
    );
    bench.succeed(call_handler("ringhold.echo", "still here"), config());
}

#[test]
fn a_panic_of_a_blocking_handler_is_contained_too() {
    let mut bench = bench_blocking(|_, _| panic!("on a thread"));
    let failure = bench.fail(call_handler("block", ""), config());
    assert_eq!(
        failure,
        Failure::new(FailureKind::Panic, "the handler panicked: on a thread")
    );
}

#[test]
fn a_future_that_panics_when_dropped_is_contained() {
    struct Mine;
    impl Drop for Mine {
        fn drop(&mut self) {
            panic!("dropped badly");
        }
    }
    let mut bench = bench_with("mine", |_, _| {
        Box::pin(async {
            let _mine = Mine;
            std::future::pending().await
        })
    });
    let failure = bench.fail(limited(call_handler("mine", ""), Millis(20)), config());
    assert_eq!(
        failure,
        Failure::new(FailureKind::Panic, "the handler panicked: dropped badly")
    );
}

#[test]
fn a_handler_is_dropped_at_its_run_limit() {
    let dropped = Arc::new(AtomicBool::new(false));
    struct OnDrop(Arc<AtomicBool>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let flag = Arc::clone(&dropped);
    let mut bench = bench_with("slow", move |context, _| {
        let guard = OnDrop(Arc::clone(&flag));
        Box::pin(async move {
            let _guard = guard;
            assert!(
                context
                    .remaining()
                    .is_some_and(|left| left <= Duration::from_millis(50))
            );
            std::future::pending().await
        })
    });
    let mut limited = config();
    limited.run_limit = Some(Millis(50));
    let failure = bench.fail(call_handler("slow", ""), limited);
    let message = "handler slow ran longer than its limit of 50 ms and was ended";
    assert_eq!(failure, Failure::new(FailureKind::TimedOut, message));
    assert!(dropped.load(Ordering::SeqCst));
}

#[test]
fn an_aborted_handler_is_dropped() {
    let started = Arc::new(Notify::new());
    let notify = Arc::clone(&started);
    let mut bench = bench_with("slow", move |_, _| {
        notify.notify_one();
        Box::pin(std::future::pending())
    });
    bench
        .execution
        .begin(start(1, call_handler("slow", "")), Arc::new(config()));
    bench.driver.block_on(started.notified());
    bench.execution.abort(token(1));
    assert_eq!(bench.report().end, AttemptEnd::Aborted);
}

#[test]
fn a_blocking_handler_keeps_its_slot_until_it_really_ends() {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let mut bench = bench_blocking(move |context, _| {
        wait.lock()
            .expect("one at a time")
            .recv()
            .expect("released");
        assert!(context.is_cancelled());
        Err(HandlerError::new("noticed"))
    });
    let task = limited(call_handler("block", ""), Millis(20));
    bench.execution.begin(start(1, task), Arc::new(config()));
    let early =
        async { tokio::time::timeout(Duration::from_millis(200), bench.reports.recv()).await };
    assert!(
        bench.driver.block_on(early).is_err(),
        "reported while it still ran"
    );
    assert_eq!(bench.execution.running(), 1);
    release.send(()).expect("it waits");
    assert_eq!(failure(bench.report().end).kind, FailureKind::TimedOut);
    assert_eq!(bench.execution.running(), 0);
}

#[test]
fn a_blocking_handler_that_finishes_its_work_after_an_abort_has_succeeded() {
    let (started, wait_started) = std::sync::mpsc::channel::<()>();
    let mut bench = bench_blocking(move |context, _| {
        started.send(()).expect("the test waits");
        while !context.is_cancelled() {
            std::thread::yield_now();
        }
        Ok(HandlerOutput::default())
    });
    bench
        .execution
        .begin(start(1, call_handler("block", "")), Arc::new(config()));
    wait_started.recv().expect("started");
    bench.execution.abort(token(1));
    assert!(matches!(bench.report().end, AttemptEnd::Succeeded(_)));
}

#[test]
fn a_result_larger_than_allowed_is_a_failure() {
    let mut bench = bench_with("large", |_, _| {
        let payload = Bytes::from(vec![0; RESULT_BYTES_MAX + 1]);
        Box::pin(async {
            Ok(HandlerOutput {
                payload,
                content_type: String::new(),
            })
        })
    });
    let failure = bench.fail(call_handler("large", ""), config());
    assert_eq!(failure.kind, FailureKind::OutputLimit);
}

#[test]
fn a_message_of_any_length_is_bounded() {
    let mut bench = bench_with("wordy", |_, _| {
        Box::pin(async { Err(HandlerError::new("ü".repeat(9000))) })
    });
    let failure = bench.fail(call_handler("wordy", ""), config());
    assert!(failure.message.len() <= 4100 && failure.message.ends_with("ü…"));
}

#[test]
fn as_many_blocking_handlers_run_at_the_same_moment_as_the_pool_has_slots() {
    // More than the 512 threads that a runtime has for blocking work unless told otherwise.
    const AT_ONCE: u32 = 600;
    let all_are_there = std::sync::Barrier::new(AT_ONCE as usize);
    let mut bench = bench_blocking(move |_, _| {
        all_are_there.wait();
        Ok(HandlerOutput::default())
    });
    let mut wide = config();
    wide.pool_size = AT_ONCE;
    let wide = Arc::new(wide);
    for sequence in 1..=u64::from(AT_ONCE) {
        bench.execution.begin(
            start(sequence, call_handler("block", "")),
            Arc::clone(&wide),
        );
    }
    for _ in 0..AT_ONCE {
        assert!(matches!(bench.report().end, AttemptEnd::Succeeded(_)));
    }
    assert_eq!(bench.execution.running(), 0);
}

#[test]
fn a_blocking_handler_may_use_the_runtime_that_its_member_runs_on() {
    let mut bench = bench_blocking(|_, _| {
        let waits = tokio::time::sleep(Duration::from_millis(1));
        tokio::runtime::Handle::current().block_on(waits);
        Ok(HandlerOutput::default())
    });
    let task = call_handler("block", "");
    assert_eq!(bench.succeed(task, config()).payload, "");
}
