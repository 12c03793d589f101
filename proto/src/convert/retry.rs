//! Retry policies.

use ringhold_types::{AtEnd, Backoff, FailureKinds, GrowthFactor, Jitter, Millis, RetryPolicy};

use super::outcome::failure_kind;
use super::scalar::{duration_from_millis, millis_from_duration};
use super::{ConversionError, optional_millis, value_of};
use crate::v1;
use v1::retry_policy::Backoff as Kind;

impl From<&RetryPolicy> for v1::RetryPolicy {
    /// Every part filled in, so that another version's defaults change nothing.
    fn from(policy: &RetryPolicy) -> Self {
        let codes = |codes: &Vec<i32>| {
            Some(v1::ExitCodes {
                codes: codes.clone(),
            })
        };
        Self {
            max_attempts: Some(policy.max_attempts),
            backoff: Some(policy.backoff.into()),
            cap: Some(duration_from_millis(policy.cap)),
            jitter: match policy.jitter {
                Jitter::None => v1::Jitter::None,
                Jitter::Full => v1::Jitter::Full,
                Jitter::Equal => v1::Jitter::Equal,
            }
            .into(),
            kinds: Some(v1::FailureKinds {
                kinds: policy.kinds.iter().map(|it| it.to_string()).collect(),
            }),
            retry_exit_codes: codes(&policy.retry_codes),
            final_exit_codes: codes(&policy.final_codes),
        }
    }
}

impl TryFrom<v1::RetryPolicy> for RetryPolicy {
    type Error = ConversionError;

    /// Absent parts get their defaults. Ranges are checked by [`RetryPolicy::violations`].
    fn try_from(message: v1::RetryPolicy) -> Result<Self, Self::Error> {
        let default = Self::default();
        let codes = |codes: Option<v1::ExitCodes>, absent| codes.map_or(absent, |it| it.codes);
        Ok(Self {
            max_attempts: message.max_attempts.unwrap_or(default.max_attempts),
            backoff: match message.backoff {
                Some(backoff) => backoff.try_into()?,
                None => default.backoff,
            },
            cap: optional_millis("retry.cap", message.cap.as_ref())?.unwrap_or(default.cap),
            jitter: match value_of("retry.jitter", message.jitter)? {
                v1::Jitter::Unspecified => default.jitter,
                v1::Jitter::None => Jitter::None,
                v1::Jitter::Full => Jitter::Full,
                v1::Jitter::Equal => Jitter::Equal,
            },
            kinds: match message.kinds {
                Some(named) => kinds(named)?,
                None => default.kinds,
            },
            retry_codes: codes(message.retry_exit_codes, default.retry_codes),
            final_codes: codes(message.final_exit_codes, default.final_codes),
        })
    }
}

fn kinds(named: v1::FailureKinds) -> Result<FailureKinds, ConversionError> {
    named.kinds.into_iter().map(failure_kind).collect()
}

impl From<Backoff> for Kind {
    fn from(backoff: Backoff) -> Self {
        match backoff {
            Backoff::Fixed(wait) => Self::Fixed(duration_from_millis(wait)),
            Backoff::Linear { first, step } => Self::Linear(v1::LinearBackoff {
                first: Some(duration_from_millis(first)),
                step: Some(duration_from_millis(step)),
            }),
            Backoff::Exponential { first, factor } => Self::Exponential(v1::ExponentialBackoff {
                first: Some(duration_from_millis(first)),
                factor_thousandths: factor.0,
            }),
        }
    }
}

impl TryFrom<Kind> for Backoff {
    type Error = ConversionError;

    fn try_from(kind: Kind) -> Result<Self, Self::Error> {
        let span = |field, span: Option<_>| {
            optional_millis(field, span.as_ref()).map(|span| span.unwrap_or(Millis(0)))
        };
        Ok(match kind {
            Kind::Fixed(wait) => Self::Fixed(millis_from_duration("retry.fixed", &wait)?),
            Kind::Linear(linear) => Self::Linear {
                first: span("retry.linear.first", linear.first)?,
                step: span("retry.linear.step", linear.step)?,
            },
            Kind::Exponential(exponential) => Self::Exponential {
                first: span("retry.exponential.first", exponential.first)?,
                factor: match exponential.factor_thousandths {
                    0 => GrowthFactor::TWO,
                    thousandths => GrowthFactor(thousandths),
                },
            },
        })
    }
}

/// The number that stands for an end; zero for none.
pub(crate) fn at_end_number(end: Option<AtEnd>) -> i32 {
    match end {
        None => v1::AtEnd::Unspecified,
        Some(AtEnd::Fail) => v1::AtEnd::Fail,
        Some(AtEnd::DeadLetter) => v1::AtEnd::DeadLetter,
    }
    .into()
}

/// The end that a number stands for; `None` if it is not said.
pub(crate) fn at_end_from_number(
    field: &'static str,
    number: i32,
) -> Result<Option<AtEnd>, ConversionError> {
    Ok(match value_of(field, number)? {
        v1::AtEnd::Unspecified => None,
        v1::AtEnd::Fail => Some(AtEnd::Fail),
        v1::AtEnd::DeadLetter => Some(AtEnd::DeadLetter),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_says_nothing_is_the_default() {
        assert_eq!(
            RetryPolicy::try_from(v1::RetryPolicy::default()),
            Ok(RetryPolicy::default())
        );
    }

    #[test]
    fn lists_without_anything_are_not_taken_for_absent_ones() {
        let message = v1::RetryPolicy {
            kinds: Some(v1::FailureKinds::default()),
            retry_exit_codes: Some(v1::ExitCodes::default()),
            ..v1::RetryPolicy::default()
        };
        let policy = RetryPolicy::try_from(message).expect("well formed");
        assert!(policy.kinds.is_empty());
        assert!(policy.retry_codes.is_empty());
    }

    #[test]
    fn a_kind_of_a_newer_version_stays_in_a_policy() {
        let message = v1::RetryPolicy {
            kinds: Some(v1::FailureKinds {
                kinds: vec!["gravity".into(), "handler".into()],
            }),
            ..v1::RetryPolicy::default()
        };
        let policy = RetryPolicy::try_from(message).expect("well formed");
        let mut kinds = v1::RetryPolicy::from(&policy)
            .kinds
            .expect("filled in")
            .kinds;
        kinds.sort();
        assert_eq!(kinds, ["gravity", "handler"]);
    }
}
