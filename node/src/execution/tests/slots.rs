//! The bound of the pool, and one report for each begun attempt.

use std::collections::BTreeMap;

use proptest::prelude::*;
use ringhold_types::FailureKind;

use super::*;
use crate::execution::HandlerOutput;

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
    let stubborn = "trap '' TERM; while :; do sleep 0.05; done";
    bench
        .execution
        .begin(start(1, shell(stubborn)), Arc::clone(&slow));
    bench
        .execution
        .begin(start(2, shell("exec sleep 1000")), Arc::clone(&slow));
    let left = bench.driver.block_on(bench.execution.stop(Millis(10_000)));
    assert_eq!(left, 0);
    bench.execution.begin(start(3, shell("true")), slow);
    for _ in 0..3 {
        assert_eq!(bench.report().end, AttemptEnd::HandedBack);
    }
}

#[test]
fn stopping_tells_how_many_do_not_end() {
    let mut handlers = HandlerRegistry::new();
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let deaf = move |_, _| {
        // Ends when the test does.
        let _ = wait.lock().expect("one at a time").recv();
        Ok(HandlerOutput::default())
    };
    handlers
        .register_blocking("deaf", deaf)
        .expect("a new name");
    let bench = Bench::new(handlers);
    bench
        .execution
        .begin(start(1, call_handler("deaf", "")), Arc::new(config()));
    assert_eq!(bench.driver.block_on(bench.execution.stop(Millis(50))), 1);
    drop(release);
}

#[test]
fn what_is_handed_back_ends_in_time_whatever_it_makes_of_that() {
    let mut handlers = HandlerRegistry::new();
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let (begins, begun) = std::sync::mpsc::channel::<()>();
    let deaf = move |_, _| {
        begins.send(()).expect("the test waits for it");
        // Ends when the test lets it.
        let _ = wait.lock().expect("one at a time").recv();
        Ok(HandlerOutput::default())
    };
    handlers
        .register_blocking("deaf", deaf)
        .expect("a new name");
    let mut bench = Bench::new(handlers);
    let mut slow = config();
    slow.kill_grace = Millis(600_000);
    let slow = Arc::new(slow);
    let tasks = [
        call_handler("deaf", ""),
        shell("trap '' TERM; while :; do sleep 0.05; done"),
        shell("exec sleep 1000"),
    ];
    for (number, task) in (1..).zip(tasks) {
        bench
            .execution
            .begin(start(number, task), Arc::clone(&slow));
        if number == 1 {
            begun.recv_timeout(PATIENCE).expect("it begins");
        }
        bench.execution.hand_back(token(number), Millis(500));
        let report = bench.report();
        assert_eq!(
            (report.token, report.end),
            (token(number), AttemptEnd::HandedBack)
        );
        assert_eq!(bench.execution.running(), 0, "its slot is free");
    }
    // What the handler returns now is nobody's, and the execution goes on.
    release.send(()).expect("it still waits");
    bench.succeed(shell("true"), config());
    assert!(bench.reports.try_recv().is_err());
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
