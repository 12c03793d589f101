//! Waits between attempts, and what follows a failed one.

use proptest::prelude::*;
use ringhold_types::{
    AtEnd, Backoff, Draw, FailedOnce, Failure, FailureCount, FailureKind, FailureKinds,
    GrowthFactor, Jitter, Millis, Next, ProcessExit, RetryPolicy, Wish, decide, limits,
};

fn backoff() -> impl Strategy<Value = Backoff> {
    let span = || prop_oneof![0..100_u64, any::<u64>()].prop_map(Millis);
    prop_oneof![
        span().prop_map(Backoff::Fixed),
        (span(), span()).prop_map(|(first, step)| Backoff::Linear { first, step }),
        (span(), 1000..=100_000_u32).prop_map(|(first, factor)| Backoff::Exponential {
            first,
            factor: GrowthFactor(factor),
        }),
    ]
}

fn jitter() -> impl Strategy<Value = Jitter> {
    prop_oneof![Just(Jitter::None), Just(Jitter::Full), Just(Jitter::Equal)]
}

fn draw() -> impl Strategy<Value = Draw> {
    prop_oneof![Just(0), Just(u64::MAX), any::<u64>()].prop_map(Draw)
}

/// What the n-th wait is by definition, in exact arithmetic as far as that goes.
fn expected(backoff: Backoff, failures: u32, cap: Millis) -> f64 {
    let further = f64::from(failures.max(1) - 1);
    let wait = match backoff {
        Backoff::Fixed(wait) => wait.0 as f64,
        Backoff::Linear { first, step } => first.0 as f64 + step.0 as f64 * further,
        // Nothing times infinity is no number.
        Backoff::Exponential { first, .. } if first.0 == 0 => 0.0,
        Backoff::Exponential { first, factor } => {
            first.0 as f64 * (f64::from(factor.0) / 1000.0).powf(further)
        }
    };
    wait.min(cap.0 as f64)
}

proptest! {
    #[test]
    fn a_policy_waits_as_its_kind_says_and_never_longer_than_its_cap(
        backoff in backoff(), failures in prop_oneof![0..20_u32, any::<u32>()],
        cap in prop_oneof![0..100_000_u64, any::<u64>()].prop_map(Millis),
        jitter in jitter(), draw in draw(),
    ) {
        let plain = backoff.wait(FailureCount(failures), cap);
        let expected = expected(backoff, failures, cap);
        // A millisecond, or the sum of what each step of the slowest growth rounds off.
        let near = (plain.0 as f64 - expected).abs() <= 1.0 + expected * 2e-3;
        prop_assert!(near, "{} instead of {}", plain.0, expected);
        let policy = RetryPolicy { backoff, cap, jitter, ..RetryPolicy::default() };
        let wait = policy.delay(FailureCount(failures), draw);
        prop_assert!(wait <= plain && plain <= cap);
    }

    #[test]
    fn waits_never_shrink(backoff in backoff(), cap in any::<u64>().prop_map(Millis)) {
        let waits: Vec<Millis> =
            (1..40).map(|n| backoff.wait(FailureCount(n), cap)).collect();
        prop_assert!(waits.is_sorted(), "{:?}", waits);
    }

    #[test]
    fn equal_jitter_stays_in_the_upper_half_and_full_jitter_in_all(
        wait in any::<u64>().prop_map(Millis), draw in draw(),
    ) {
        let equal = Jitter::Equal.of(wait, draw);
        prop_assert!(equal <= wait && equal.0 >= wait.0 / 2);
        prop_assert!(Jitter::Full.of(wait, draw) <= wait);
        prop_assert_eq!(Jitter::None.of(wait, draw), wait);
        // Chance reaches both ends.
        prop_assert_eq!(Jitter::Equal.of(wait, Draw(u64::MAX)), wait);
        prop_assert_eq!(Jitter::Equal.of(wait, Draw(0)), Millis(wait.0.div_ceil(2)));
        prop_assert_eq!(Jitter::Full.of(wait, Draw(u64::MAX)), wait);
        prop_assert_eq!(Jitter::Full.of(wait, Draw(0)), Millis(0));
    }

    #[test]
    fn a_draw_is_even_and_equal_draws_are_equal(most in any::<u64>(), draw in draw()) {
        let place = draw.up_to(most);
        prop_assert!(place <= most);
        prop_assert_eq!(place, draw.up_to(most));
        // The half of all draws is the half of all places, to one.
        prop_assert!(Draw(1 << 63).up_to(most).abs_diff(most / 2) <= 1);
    }
}

#[test]
fn a_wait_of_a_millisecond_grows_by_half() {
    let backoff = Backoff::Exponential {
        first: Millis(1),
        factor: GrowthFactor(1500),
    };
    let waits = (1..=6).map(|n| backoff.wait(FailureCount(n), Millis(1000)).0);
    assert_eq!(waits.collect::<Vec<_>>(), [1, 1, 2, 3, 5, 7]);
}

#[test]
fn the_default_waits_one_second_and_two_and_then_gives_up() {
    let policy = RetryPolicy {
        jitter: Jitter::None,
        ..RetryPolicy::default()
    };
    assert!(policy.violations().is_empty());
    let waits = (1..=8).map(|n| policy.delay(FailureCount(n), Draw(0)).0);
    let seconds: Vec<u64> = waits.map(|wait| wait / 1000).collect();
    assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
    assert!(policy.has_budget(FailureCount(2)) && !policy.has_budget(FailureCount(3)));
    assert!(!RetryPolicy::never().has_budget(FailureCount(1)));
}

fn exited(kind: FailureKind, code: i32) -> Failure {
    Failure {
        process: Some(ProcessExit {
            exit_code: Some(code),
            ..ProcessExit::default()
        }),
        ..Failure::new(kind, "")
    }
}

#[test]
fn a_final_code_wins_over_a_retried_one_and_that_over_the_kind() {
    let policy = RetryPolicy {
        kinds: [FailureKind::TimedOut].into_iter().collect(),
        retry_codes: vec![75, 76],
        final_codes: vec![76],
        ..RetryPolicy::default()
    };
    let retried = |code| policy.is_retried(&exited(FailureKind::NonzeroExit, code));
    assert!(retried(75) && !retried(76) && !retried(1));
    let all = RetryPolicy {
        kinds: FailureKinds::retried_by_default(),
        ..policy.clone()
    };
    assert!(all.is_retried(&exited(FailureKind::NonzeroExit, 1)));
    assert!(!all.is_retried(&exited(FailureKind::NonzeroExit, 76)));
    // Who was ended did not choose its code.
    assert!(policy.is_retried(&exited(FailureKind::TimedOut, 76)));
    assert!(!policy.is_retried(&exited(FailureKind::OutputLimit, 75)));
}

#[test]
fn by_default_what_may_go_better_is_tried_again_and_nothing_else() {
    let policy = RetryPolicy::default();
    let again: Vec<&str> = FailureKind::ALL
        .iter()
        .filter(|kind| policy.is_retried(&Failure::new(**kind, "")))
        .map(FailureKind::as_str)
        .collect();
    assert_eq!(
        again,
        [
            "handler",
            "panic",
            "nonzero-exit",
            "signal",
            "launch-failure",
            "timeout",
            "oom",
            "lease-lost",
            "internal",
        ]
    );
}

#[test]
fn what_must_not_run_again_does_not_whatever_the_policy_names() {
    let policy = RetryPolicy {
        kinds: FailureKind::ALL.into_iter().collect(),
        ..RetryPolicy::default()
    };
    for kind in FailureKinds::FINAL {
        assert!(!policy.is_retried(&Failure::new(kind, "")), "{kind}");
    }
    let refused = policy.violations();
    assert_eq!(refused.len(), 1);
    assert_eq!(
        refused[0].to_string(),
        "retry.kinds must not name interrupted, which is never tried again"
    );
}

#[test]
fn each_part_of_a_policy_outside_its_range_is_named() {
    let policy = RetryPolicy {
        max_attempts: 0,
        cap: Millis(limits::RETRY_DELAY_MAX.0 + 1),
        backoff: Backoff::Exponential {
            first: Millis(1),
            factor: GrowthFactor(999),
        },
        retry_codes: vec![0],
        final_codes: vec![1; limits::EXIT_CODES_MAX + 1],
        ..RetryPolicy::default()
    };
    let keys: Vec<_> = policy.violations().iter().map(|it| it.key).collect();
    assert_eq!(
        keys,
        [
            "retry.max-attempts",
            "retry.cap",
            "retry.retry-exit-codes",
            "retry.final-exit-codes",
            "retry.factor",
        ]
    );
    let slow = RetryPolicy {
        backoff: Backoff::Fixed(Millis(u64::MAX)),
        ..RetryPolicy::default()
    };
    assert_eq!(slow.violations()[0].key, "retry.backoff");
}

/// A row of the decision table: kind, failures so far (of three), wish, time left, what follows.
type Row = (FailureKind, u32, Option<Wish>, Option<u64>, Next);

const RETRY: Option<Wish> = Some(Wish::Retry { after: None });
const SOON: Option<Wish> = Some(Wish::Retry {
    after: Some(Millis(5)),
});
const NEVER: Option<Wish> = Some(Wish::Retry {
    after: Some(Millis(u64::MAX)),
});
const FAIL: Option<Wish> = Some(Wish::Fail);
const DEAD: Option<Wish> = Some(Wish::DeadLetter);
const AGAIN: Next = again(100);
const ENDS: Next = Next::DeadLetter;

const fn again(after: u64) -> Next {
    Next::Again {
        after: Millis(after),
    }
}

#[rustfmt::skip]
const DECISIONS: [Row; 32] = [
    // Within the budget: the kind decides.
    (FailureKind::Handler,     1, None,  None,      AGAIN),
    (FailureKind::Handler,     2, None,  None,      AGAIN),
    (FailureKind::Panic,       1, None,  None,      AGAIN),
    (FailureKind::LeaseLost,   1, None,  None,      AGAIN),
    (FailureKind::NotAllowed,  1, None,  None,      ENDS),
    (FailureKind::OutputLimit, 1, None,  None,      ENDS),
    (FailureKind::Interrupted, 1, None,  None,      ENDS),
    (FailureKind::Poison,      1, None,  None,      ENDS),
    (FailureKind::Cancelled,   1, None,  None,      ENDS),
    // The budget is used up.
    (FailureKind::Handler,     3, None,  None,      ENDS),
    (FailureKind::Handler,     4, None,  None,      ENDS),
    (FailureKind::Handler,     u32::MAX, None, None, ENDS),
    // A wish counts before the kind, not before the budget, and never over what must not run again.
    (FailureKind::OutputLimit, 1, RETRY, None,      AGAIN),
    (FailureKind::OutputLimit, 1, SOON,  None,      again(5)),
    (FailureKind::Handler,     1, SOON,  None,      again(5)),
    (FailureKind::Handler,     1, NEVER, None,      again(86_400_000)),
    (FailureKind::Handler,     3, RETRY, None,      ENDS),
    (FailureKind::Handler,     3, SOON,  None,      ENDS),
    (FailureKind::Interrupted, 1, RETRY, None,      ENDS),
    (FailureKind::Poison,      1, SOON,  None,      ENDS),
    (FailureKind::Handler,     1, FAIL,  None,      Next::Fail),
    (FailureKind::Handler,     3, FAIL,  None,      Next::Fail),
    (FailureKind::Interrupted, 1, FAIL,  None,      Next::Fail),
    (FailureKind::Handler,     1, DEAD,  None,      Next::DeadLetter),
    (FailureKind::NotAllowed,  1, DEAD,  None,      Next::DeadLetter),
    // An attempt that would be due when the task's time is over is none.
    (FailureKind::Handler,     1, None,  Some(101), AGAIN),
    (FailureKind::Handler,     1, None,  Some(100), ENDS),
    (FailureKind::Handler,     1, None,  Some(0),   ENDS),
    (FailureKind::Handler,     1, SOON,  Some(6),   again(5)),
    (FailureKind::Handler,     1, SOON,  Some(5),   ENDS),
    (FailureKind::Handler,     1, FAIL,  Some(0),   Next::Fail),
    (FailureKind::Handler,     1, DEAD,  Some(0),   Next::DeadLetter),
];

#[test]
fn the_decision_table() {
    let policy = RetryPolicy {
        backoff: Backoff::Fixed(Millis(100)),
        jitter: Jitter::None,
        ..RetryPolicy::default()
    };
    for (kind, failures, wish, left, next) in DECISIONS {
        let failure = Failure::new(kind, "");
        let failed = FailedOnce {
            failure: &failure,
            failures: FailureCount(failures),
            wish,
            left: left.map(Millis),
            draw: Draw(7),
        };
        let case = format!("{kind} {failures} {wish:?} {left:?}");
        assert_eq!(decide(&policy, AtEnd::DeadLetter, failed), next, "{case}");
        // Where nobody wished for an end, the task's own kind of end is the other one.
        let at_end = decide(&policy, AtEnd::Fail, failed);
        if next == ENDS && wish != DEAD {
            assert_eq!(at_end, Next::Fail, "{case}");
        } else {
            assert_eq!(at_end, next, "{case}");
        }
    }
}
