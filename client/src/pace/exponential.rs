use std::time::Duration;

use ringhold_types::{GrowthFactor, Jitter};

use super::{Pace, PaceError};
use crate::random;

/// Waits each of which is a multiple of the one before, up to a longest one, and a part of each left to chance: for errors, which
/// many pollers meet at the same instant. By default 100 ms, then twice as long each time up to 30 s, half of it left to chance.
///
/// After "Exponential Backoff And Jitter" (Marc Brooker, AWS, 2015).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExponentialPace {
    least: Duration,
    most: Duration,
    factor: GrowthFactor,
    jitter: Jitter,
    /// The next wait, before its part of chance.
    wait: Duration,
}

impl ExponentialPace {
    /// Waits from `least` to `most`, each `factor` times as long as the one before, and never longer than that with their jitter.
    ///
    /// # Errors
    /// [`PaceError::LeastIsZero`], [`PaceError::MostNotAboveLeast`], [`PaceError::FactorDoesNotGrow`].
    pub fn new(
        least: Duration,
        most: Duration,
        factor: GrowthFactor,
        jitter: Jitter,
    ) -> Result<Self, PaceError> {
        if least.is_zero() {
            return Err(PaceError::LeastIsZero);
        }
        if most <= least {
            return Err(PaceError::MostNotAboveLeast { least, most });
        }
        if factor <= GrowthFactor::ONE {
            return Err(PaceError::FactorDoesNotGrow { factor });
        }
        Ok(Self {
            least,
            most,
            factor,
            jitter,
            wait: least,
        })
    }

    /// The wait after one of `wait`. It grows by a nanosecond at least: the shortest waits would else never grow.
    fn after(&self, wait: Duration) -> Duration {
        let grown = wait.as_nanos() * u128::from(self.factor.0) / u128::from(GrowthFactor::ONE.0);
        let grown = grown.max(wait.as_nanos() + 1);
        u64::try_from(grown).map_or(self.most, |nanos| {
            Duration::from_nanos(nanos).min(self.most)
        })
    }
}

impl Default for ExponentialPace {
    fn default() -> Self {
        let least = Duration::from_millis(100);
        Self {
            least,
            most: Duration::from_secs(30),
            factor: GrowthFactor::TWO,
            jitter: Jitter::Equal,
            wait: least,
        }
    }
}

impl Pace for ExponentialPace {
    fn next(&mut self) -> Duration {
        let wait = self.wait;
        self.wait = self.after(wait);
        match self.jitter {
            Jitter::None => wait,
            Jitter::Full => random::up_to(wait),
            Jitter::Equal => wait - random::up_to(wait / 2),
        }
    }

    fn reset(&mut self) {
        self.wait = self.least;
    }
}
