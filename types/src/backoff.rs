//! How long a task waits for its next attempt. After "Exponential Backoff And Jitter" (Marc Brooker, AWS, 2015): waits that
//! grow keep a failing dependency from being called ever again at once, and jitter keeps tasks that failed together from coming
//! back together.

use crate::{Millis, limits};

/// Attempts of a task that reported a failure, the newest included. Hand-backs, adoptions and deaths of members are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FailureCount(pub u32);

/// A number drawn evenly out of all 2^64. It is given in, since nothing in this crate is random.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Draw(pub u64);

impl Draw {
    /// The draw as an even one out of 0 to `most`, both included.
    #[must_use]
    pub fn up_to(self, most: u64) -> u64 {
        let scaled = u128::from(self.0) * (u128::from(most) + 1);
        u64::try_from(scaled >> 64).unwrap_or(most)
    }
}

/// How much longer each wait is than the one before, in thousandths: 2000 doubles it. 1000 to
/// [`limits::RETRY_FACTOR_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrowthFactor(pub u32);

impl GrowthFactor {
    /// Every wait is as long as the one before.
    pub const ONE: Self = Self(1000);
    /// Every wait is twice as long as the one before.
    pub const TWO: Self = Self(2000);
}

/// How waits follow each other, before cap and jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Backoff {
    /// Always the same wait.
    Fixed(Millis),
    /// Each wait is longer than the one before by the same span.
    Linear {
        /// The first wait.
        first: Millis,
        /// What each further wait adds.
        step: Millis,
    },
    /// Each wait is a multiple of the one before.
    Exponential {
        /// The first wait.
        first: Millis,
        /// What each further wait is multiplied with.
        factor: GrowthFactor,
    },
}

/// Parts of a millisecond in which exponential waits are reckoned: else a wait of 1 ms that grows by half would stay 1 ms.
const PARTS: u128 = 1_000_000;

impl Backoff {
    /// 1 s, then twice as long each time.
    pub const DEFAULT: Self = Self::Exponential {
        first: Millis(1_000),
        factor: GrowthFactor::TWO,
    };

    /// The wait after the n-th failure, n from 1, and never longer than `cap`. Zero failures count as one.
    #[must_use]
    pub fn wait(self, failures: FailureCount, cap: Millis) -> Millis {
        let further = failures.0.saturating_sub(1);
        let wait = match self {
            Self::Fixed(wait) => wait,
            Self::Linear { first, step } => {
                let added = step.0.saturating_mul(u64::from(further));
                Millis(first.0.saturating_add(added))
            }
            Self::Exponential { first, factor } => exponential(first, factor, further, cap),
        };
        wait.min(cap)
    }

    /// The wait after the first failure.
    #[must_use]
    pub const fn first(self) -> Millis {
        match self {
            Self::Fixed(first) | Self::Linear { first, .. } | Self::Exponential { first, .. } => {
                first
            }
        }
    }
}

fn exponential(first: Millis, factor: GrowthFactor, further: u32, cap: Millis) -> Millis {
    let most = u128::from(cap.0) * PARTS;
    let mut wait = u128::from(first.0) * PARTS;
    for _ in 0..further {
        let next = wait * u128::from(factor.0) / u128::from(GrowthFactor::ONE.0);
        // Grown enough, or it does not grow: no count of failures makes this loop long.
        if wait >= most || next <= wait {
            break;
        }
        wait = next;
    }
    Millis(u64::try_from(wait / PARTS).unwrap_or(u64::MAX))
}

/// What part of a wait is left to chance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Jitter {
    /// None of it.
    None,
    /// All of it: from nothing to the whole wait.
    Full,
    /// Half of it: from half of the wait to the whole wait.
    #[default]
    Equal,
}

impl Jitter {
    /// A wait with its part of chance; never longer than `wait`.
    #[must_use]
    pub fn of(self, wait: Millis, draw: Draw) -> Millis {
        match self {
            Self::None => wait,
            Self::Full => Millis(draw.up_to(wait.0)),
            Self::Equal => {
                let certain = wait.0.div_ceil(2);
                Millis(certain + draw.up_to(wait.0 - certain))
            }
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Backoff {
    /// What is outside its range: setting and rule.
    pub(crate) fn violation(self) -> Option<(&'static str, String)> {
        let most = limits::RETRY_DELAY_MAX;
        let long = |span: Millis| span > most;
        let too_long = match self {
            Self::Fixed(wait) => long(wait),
            Self::Linear { first, step } => long(first) || long(step),
            Self::Exponential { first, .. } => long(first),
        };
        if too_long {
            return Some(("retry.backoff", format!("must be at most {} ms", most.0)));
        }
        let allowed = GrowthFactor::ONE..=limits::RETRY_FACTOR_MAX;
        match self {
            Self::Exponential { factor, .. } if !allowed.contains(&factor) => Some((
                "retry.factor",
                format!("must be 1 to {}", limits::RETRY_FACTOR_MAX.0 / 1000),
            )),
            _ => None,
        }
    }
}
