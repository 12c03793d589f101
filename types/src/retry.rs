//! When a failed attempt is followed by another one.

use crate::{
    Backoff, ConfigViolation, Draw, Failure, FailureCount, FailureKind, FailureKinds, Jitter,
    Millis, limits,
};

/// When a failed attempt is followed by another one, and how long that waits. A task that has a policy has a whole one: which
/// field came from where would be a riddle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts that may fail before the task ends, the first included: 1 to [`limits::RETRY_ATTEMPTS_MAX`]. 1 never retries.
    pub max_attempts: u32,
    /// How waits follow each other.
    pub backoff: Backoff,
    /// No wait is longer, at most [`limits::RETRY_DELAY_MAX`].
    pub cap: Millis,
    /// What part of a wait is left to chance.
    pub jitter: Jitter,
    /// Kinds of failure that are tried again.
    pub kinds: FailureKinds,
    /// Exit codes (1 to 255) that are tried again although nonzero-exit is not among the kinds; at most
    /// [`limits::EXIT_CODES_MAX`].
    pub retry_codes: Vec<i32>,
    /// Exit codes (1 to 255) that are never tried again; at most [`limits::EXIT_CODES_MAX`].
    pub final_codes: Vec<i32>,
}

impl Default for RetryPolicy {
    /// Three attempts, 1 s and 2 s apart and half of that left to chance, of every kind that may go better.
    fn default() -> Self {
        Self {
            max_attempts: limits::RETRY_ATTEMPTS,
            backoff: Backoff::DEFAULT,
            cap: limits::RETRY_CAP,
            jitter: Jitter::Equal,
            kinds: FailureKinds::retried_by_default(),
            retry_codes: vec![limits::EXIT_CODE_RETRY],
            final_codes: Vec::new(),
        }
    }
}

impl RetryPolicy {
    /// No second attempt, whatever happens.
    #[must_use]
    pub fn never() -> Self {
        Self {
            max_attempts: 1,
            ..Self::default()
        }
    }

    /// How long the task waits after its n-th failure, n from 1. Never longer than the cap.
    #[must_use]
    pub fn delay(&self, failures: FailureCount, draw: Draw) -> Millis {
        let wait = self.backoff.wait(failures, self.cap);
        self.jitter.of(wait, draw)
    }

    /// Whether a failure is one to try again after, the budget aside. What a program says by its exit code counts before the
    /// kind, and of its exit codes a final one before one to retry.
    #[must_use]
    pub fn is_retried(&self, failure: &Failure) -> bool {
        if FailureKinds::FINAL.contains(&failure.kind) {
            return false;
        }
        let code = failure.process.as_ref().and_then(|exit| exit.exit_code);
        // A program that was ended (timeout, too much output) did not choose its code.
        let chosen = code.filter(|_| failure.kind == FailureKind::NonzeroExit);
        match chosen {
            Some(code) if self.final_codes.contains(&code) => false,
            Some(code) if self.retry_codes.contains(&code) => true,
            _ => self.kinds.contains(failure.kind),
        }
    }

    /// Whether another attempt is within the budget after so many failures.
    #[must_use]
    pub const fn has_budget(&self, failures: FailureCount) -> bool {
        failures.0 < self.max_attempts
    }

    /// Bytes that count towards the limits of a partition.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let kinds: usize = self.kinds.iter().map(|kind| kind.as_str().len()).sum();
        kinds + (self.retry_codes.len() + self.final_codes.len()) * size_of::<i32>()
    }

    /// Everything that is outside its range, by setting.
    #[must_use]
    pub fn violations(&self) -> Vec<ConfigViolation> {
        let mut found = Vec::new();
        let mut check = |holds: bool, key: &'static str, rule: String| {
            if !holds {
                found.push(ConfigViolation { key, rule });
            }
        };
        check(
            (1..=limits::RETRY_ATTEMPTS_MAX).contains(&self.max_attempts),
            "retry.max-attempts",
            format!("must be 1 to {}", limits::RETRY_ATTEMPTS_MAX),
        );
        check(
            self.cap <= limits::RETRY_DELAY_MAX,
            "retry.cap",
            format!("must be at most {} ms", limits::RETRY_DELAY_MAX.0),
        );
        let lists = [
            ("retry.retry-exit-codes", &self.retry_codes),
            ("retry.final-exit-codes", &self.final_codes),
        ];
        for (key, codes) in lists {
            let known = codes.iter().all(|code| (1..=255).contains(code));
            let few = codes.len() <= limits::EXIT_CODES_MAX;
            let rule = format!("must be at most {} of 1 to 255", limits::EXIT_CODES_MAX);
            check(known && few, key, rule);
        }
        let final_kind = self
            .kinds
            .iter()
            .find(|kind| FailureKinds::FINAL.contains(kind));
        check(
            final_kind.is_none() && self.kinds.len() <= limits::RETRY_KINDS_MAX,
            "retry.kinds",
            match final_kind {
                Some(kind) => format!("must not name {kind}, which is never tried again"),
                None => format!("must be at most {}", limits::RETRY_KINDS_MAX),
            },
        );
        let backoff = self.backoff.violation();
        found.extend(backoff.map(|(key, rule)| ConfigViolation { key, rule }));
        found
    }
}
