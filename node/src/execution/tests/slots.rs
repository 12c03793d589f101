//! The bound of the pool, and one report for each begun attempt.

use std::collections::BTreeMap;

use proptest::prelude::*;
use ringhold_types::FailureKind;

use super::*;
use crate::execution::attempt;
use crate::execution::slots::{Stop, StopSignal};
use crate::execution::{AttemptContext, HandlerOutput, StopReason};

fn registry() -> HandlerRegistry {
    let mut handlers = HandlerRegistry::with_echo();
    handlers
        .register_blocking("panic", |_, _| panic!("as asked"))
        .expect("a new name");
    handlers
        .register_blocking("patient", |context, _| {
            while !context.is_cancelled() {
                std::thread::yield_now();
            }
            Ok(HandlerOutput::default())
        })
        .expect("a new name");
    handlers
}

#[test]
fn an_attempt_beyond_the_pool_is_refused_as_an_internal_failure() {
    let mut bench = Bench::new(registry());
    let mut one = config();
    one.pool_size = 1;
    let one = Arc::new(one);
    bench
        .execution
        .begin(start(1, shell("exec sleep 1000")), Arc::clone(&one));
    bench
        .execution
        .begin(start(2, shell("true")), Arc::clone(&one));
    let report = bench.report();
    assert_eq!(report.token, token(2));
    let failure = failure(report.end);
    assert_eq!(failure.kind, FailureKind::Internal);
    assert!(failure.message.contains("pool-size of 1"));
    // Another executor has a pool of its own.
    let mut other = start(3, shell("true"));
    other.token.partition.executor = ExecutorId(4);
    bench.execution.begin(other, Arc::clone(&one));
    assert!(matches!(bench.report().end, AttemptEnd::Succeeded(_)));
    // The slot is free by the time the report is there.
    bench.execution.abort(token(1));
    assert_eq!(bench.report().end, AttemptEnd::Aborted);
    bench.execution.begin(start(4, shell("true")), one);
    assert!(matches!(bench.report().end, AttemptEnd::Succeeded(_)));
}

#[test]
fn an_attempt_that_is_begun_twice_reports_once() {
    let mut bench = Bench::new(registry());
    let config = Arc::new(config());
    bench
        .execution
        .begin(start(1, shell("exec sleep 1000")), Arc::clone(&config));
    bench.execution.begin(start(1, shell("true")), config);
    bench.execution.abort(token(1));
    assert_eq!(bench.report().end, AttemptEnd::Aborted);
    assert!(bench.reports.try_recv().is_err());
    assert_eq!(bench.execution.running(), 0);
}

#[test]
fn stopping_hands_everything_back_and_begins_nothing_more() {
    let mut bench = Bench::new(registry());
    let mut slow = config();
    slow.kill_grace = Millis(600_000);
    let slow = Arc::new(slow);
    let stubborn = "trap '' TERM; touch 1; while :; do sleep 0.05; done";
    bench
        .execution
        .begin(start(1, shell(stubborn)), Arc::clone(&slow));
    bench.execution.begin(
        start(2, shell("touch 2; exec sleep 1000")),
        Arc::clone(&slow),
    );
    bench.wait_for_file("1");
    bench.wait_for_file("2");
    let left = bench.driver.block_on(bench.execution.stop(Millis(10_000)));
    assert_eq!(left, 0);
    for _ in 0..2 {
        assert_eq!(bench.report().end, AttemptEnd::HandedBack);
    }
    bench.execution.begin(start(3, shell("true")), slow);
    assert_eq!(bench.report().end, AttemptEnd::NotBegun);
}

#[test]
fn stopping_tells_how_many_do_not_end() {
    let mut deaf = Deaf::new();
    deaf.begin(call_handler("deaf", ""), config());
    let bench = &mut deaf.bench;
    assert_eq!(bench.driver.block_on(bench.execution.stop(Millis(50))), 1);
    deaf.heard();
}

/// A blocking handler that ends when the test lets it, whatever it is told.
struct Deaf {
    bench: Bench,
    /// A word when it begins, and one when it was told to stop.
    says: std::sync::mpsc::Receiver<()>,
    release: std::sync::mpsc::Sender<()>,
}

impl Deaf {
    fn new() -> Self {
        let mut handlers = HandlerRegistry::new();
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        let (say, says) = std::sync::mpsc::channel::<()>();
        let deaf = move |context: AttemptContext, _| {
            say.send(()).expect("the test waits for it");
            while !context.is_cancelled() {
                std::thread::sleep(Duration::from_millis(1));
            }
            say.send(()).expect("the test waits for it");
            let _ = wait.lock().expect("one at a time").recv();
            Ok(HandlerOutput::default())
        };
        handlers
            .register_blocking("deaf", deaf)
            .expect("a new name");
        Self {
            bench: Bench::new(handlers),
            says,
            release,
        }
    }

    fn heard(&self) {
        self.says.recv_timeout(PATIENCE).expect("it says so");
    }

    fn begin(&mut self, task: TaskSpec, config: ExecutorConfig) {
        let attempt = start(1, task);
        self.bench.execution.begin(attempt, Arc::new(config));
        self.heard();
    }
}

#[test]
fn what_is_handed_back_ends_in_time_whatever_it_makes_of_that() {
    let mut bench = Bench::new(registry());
    let mut slow = config();
    slow.kill_grace = Millis(600_000);
    let slow = Arc::new(slow);
    let tasks = [
        shell("trap '' TERM; touch 1; while :; do sleep 0.05; done"),
        shell("touch 2; exec sleep 1000"),
    ];
    for (number, task) in (1..).zip(tasks) {
        bench
            .execution
            .begin(start(number, task), Arc::clone(&slow));
        bench.wait_for_file(&number.to_string());
        bench.execution.hand_back(token(number), Millis(500));
        let report = bench.report();
        assert_eq!(
            (report.token, report.end),
            (token(number), AttemptEnd::HandedBack)
        );
        assert_eq!(bench.execution.running(), 0, "its slot is free");
    }
}

#[test]
fn a_handler_that_is_given_up_keeps_its_slot_until_it_returns() {
    let mut deaf = Deaf::new();
    let mut one = config();
    one.pool_size = 1;
    deaf.begin(call_handler("deaf", ""), one.clone());
    let bench = &mut deaf.bench;
    bench.execution.hand_back(token(1), Millis(50));
    let report = bench.report();
    assert_eq!(
        (report.token, report.end, report.lingers),
        (token(1), AttemptEnd::HandedBack, true)
    );
    assert_eq!(bench.execution.running(), 1, "its thread is busy");
    let one = Arc::new(one);
    let second = start(2, shell("true"));
    bench.execution.begin(second, Arc::clone(&one));
    assert_eq!(failure(bench.report().end).kind, FailureKind::Internal);
    // What the handler returns now is nobody's.
    deaf.release.send(()).expect("it still waits");
    assert_eq!(bench.said(), Report::Returned(token(1)));
    assert_eq!(bench.execution.running(), 0);
    bench.execution.begin(start(3, shell("true")), one);
    assert!(matches!(bench.report().end, AttemptEnd::Succeeded(_)));
    assert!(bench.reports.try_recv().is_err());
}

#[test]
fn the_end_of_a_drain_shortens_what_was_told_to_stop_before() {
    let limited_too = [(Some(Millis(5)), "its limit"), (None, "an abort")];
    for (limit, what) in limited_too {
        let mut deaf = Deaf::new();
        let mut task = call_handler("deaf", "");
        task.limits.run = limit;
        deaf.begin(task, config());
        if limit.is_none() {
            deaf.bench.execution.abort(token(1));
        }
        deaf.heard();
        let bench = &mut deaf.bench;
        bench.execution.hand_back(token(1), Millis(50));
        let report = bench.report();
        assert!(report.lingers, "after {what}");
        match (limit, report.end) {
            (Some(_), end) => assert_eq!(failure(end).kind, FailureKind::TimedOut),
            (None, end) => assert_eq!(end, AttemptEnd::Aborted),
        }
        deaf.release.send(()).expect("it still waits");
        assert_eq!(bench.said(), Report::Returned(token(1)));
    }
}

#[test]
fn the_end_of_a_drain_leaves_a_program_that_is_being_stopped_no_more_time_than_others() {
    let mut bench = Bench::new(registry());
    let mut slow = config();
    slow.kill_grace = Millis(600_000);
    let stubborn = shell("trap '' TERM; touch 1; while :; do sleep 0.05; done");
    bench.execution.begin(start(1, stubborn), Arc::new(slow));
    bench.wait_for_file("1");
    bench.execution.abort(token(1));
    bench.execution.hand_back(token(1), Millis(100));
    assert_eq!(bench.report().end, AttemptEnd::Aborted);
}

#[test]
fn what_is_handed_back_before_it_began_says_so() {
    let bench = Bench::new(registry());
    let told = StopSignal::new();
    told.give(Stop::unhurried(StopReason::Drained));
    let attempt = start(1, shell("touch 1"));
    let shared = Arc::clone(&bench.execution.shared);
    let run = attempt::run(&shared, attempt, Arc::new(config()), told);
    assert_eq!(bench.driver.block_on(run).end, AttemptEnd::NotBegun);
    assert!(!bench.scratch.path().join("scratch/1").exists());
}

/// What one begun attempt does, and whether it is aborted.
fn plan() -> impl Strategy<Value = (u8, bool)> {
    (0_u8..9, any::<bool>())
}

fn planned(kind: u8) -> TaskSpec {
    match kind {
        0 => shell("true"),
        1 => shell("exit 4"),
        2 => shell("kill -9 $$"),
        3 => limited(shell("exec sleep 1000"), Millis(5)),
        4 => call_handler("ringhold.echo", "x"),
        5 => call_handler("panic", ""),
        6 => limited(call_handler("patient", ""), Millis(5)),
        7 => call_handler("unknown", ""),
        _ => call_process(&["no-such-program"]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_begun_attempt_reports_exactly_once(plans in prop::collection::vec(plan(), 1..24)) {
        let mut bench = Bench::new(registry());
        let mut few = config();
        few.pool_size = 12;
        let few = Arc::new(few);
        for (index, (kind, aborted)) in plans.iter().enumerate() {
            let attempt = start(index as u64, planned(*kind));
            bench.execution.begin(attempt, Arc::clone(&few));
            if *aborted {
                bench.execution.abort(token(index as u64));
            }
        }
        let mut seen = BTreeMap::new();
        for _ in 0..plans.len() {
            let report = bench.report();
            *seen.entry(report.token).or_insert(0) += 1;
        }
        prop_assert!(seen.len() == plans.len() && seen.values().all(|count| *count == 1));
        prop_assert_eq!(bench.driver.block_on(bench.execution.stop(Millis(60_000))), 0);
        prop_assert!(bench.reports.try_recv().is_err());
        prop_assert_eq!(bench.execution.running(), 0);
    }
}
