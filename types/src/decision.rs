//! What becomes of a task whose attempt failed. Decided once, by the partition's primary, and written into the log.

use crate::{Draw, Failure, FailureCount, FailureKinds, Millis, RetryPolicy, limits};

/// What a task becomes when its last failure is final.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AtEnd {
    /// Failed.
    Fail,
    /// DeadLettered: kept for a person to look at.
    #[default]
    DeadLetter,
}

/// What an `on_error` hook wants; it knows the error, so it counts before the policy's kinds and exit codes, never before its
/// budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wish {
    /// Another attempt.
    Retry {
        /// How long that waits; absent: as the policy says. At most [`limits::RETRY_DELAY_MAX`], a longer one is cut to it.
        after: Option<Millis>,
    },
    /// The end, as Failed.
    Fail,
    /// The end, as DeadLettered.
    DeadLetter,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Next {
    /// Another attempt.
    Again {
        /// How long that waits.
        after: Millis,
    },
    /// The task is Failed.
    Fail,
    /// The task is DeadLettered.
    DeadLetter,
}

impl From<AtEnd> for Next {
    fn from(end: AtEnd) -> Self {
        match end {
            AtEnd::Fail => Self::Fail,
            AtEnd::DeadLetter => Self::DeadLetter,
        }
    }
}

/// What is known when an attempt has failed.
#[derive(Clone, Copy, Debug)]
pub struct FailedOnce<'a> {
    /// Why it failed.
    pub failure: &'a Failure,
    /// Failures so far, this one included.
    pub failures: FailureCount,
    /// What the hook wants, if there is one.
    pub wish: Option<Wish>,
    /// Time left of the task's total limit, if it has one.
    pub left: Option<Millis>,
    /// Chance, for the wait.
    pub draw: Draw,
}

/// What follows a failed attempt: another one if it is wanted, within the budget and due before the task's time is over; else
/// the end.
#[must_use]
pub fn decide(policy: &RetryPolicy, at_end: AtEnd, failed: FailedOnce<'_>) -> Next {
    let own_wait = || policy.delay(failed.failures, failed.draw);
    let is_final = FailureKinds::FINAL.contains(&failed.failure.kind);
    let wait = match failed.wish {
        Some(Wish::Fail) => return Next::Fail,
        Some(Wish::DeadLetter) => return Next::DeadLetter,
        Some(Wish::Retry { after }) if !is_final => {
            Some(after.map_or_else(own_wait, |span| span.min(limits::RETRY_DELAY_MAX)))
        }
        Some(Wish::Retry { .. }) | None => policy.is_retried(failed.failure).then(own_wait),
    };
    match wait {
        Some(after)
            if policy.has_budget(failed.failures)
                && failed.left.is_none_or(|left| after < left) =>
        {
            Next::Again { after }
        }
        _ => at_end.into(),
    }
}
