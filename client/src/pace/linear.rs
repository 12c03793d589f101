use std::num::NonZeroU32;
use std::time::Duration;

use super::{Pace, PaceError};

/// Waits that grow by the same step: the n-th wait after a reset, n from 1, is `min(most, least + ⌊(n − 1) / repeat⌋ · step)`.
/// By default 1 ms to 1 s in steps of 10 ms, each wait ten times, as ppacer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearPace {
    least: Duration,
    most: Duration,
    step: Duration,
    repeat: NonZeroU32,
    /// Waits given since the last reset.
    given: u32,
}

impl LinearPace {
    /// Waits from `least` to `most` that grow by `step` after each `repeat` of them. A `least` of nothing is allowed.
    ///
    /// # Errors
    /// [`PaceError::MostNotAboveLeast`], [`PaceError::RepeatIsZero`].
    pub fn new(
        least: Duration,
        most: Duration,
        step: Duration,
        repeat: u32,
    ) -> Result<Self, PaceError> {
        if most <= least {
            return Err(PaceError::MostNotAboveLeast { least, most });
        }
        let repeat = NonZeroU32::new(repeat).ok_or(PaceError::RepeatIsZero)?;
        Ok(Self {
            least,
            most,
            step,
            repeat,
            given: 0,
        })
    }
}

impl Default for LinearPace {
    fn default() -> Self {
        Self {
            least: Duration::from_millis(1),
            most: Duration::from_secs(1),
            step: Duration::from_millis(10),
            repeat: const { NonZeroU32::new(10).unwrap() },
            given: 0,
        }
    }
}

impl Pace for LinearPace {
    fn next(&mut self) -> Duration {
        let steps = self.given / self.repeat;
        self.given = self.given.saturating_add(1);
        let added = self.step.saturating_mul(steps);
        self.least.saturating_add(added).min(self.most)
    }

    fn reset(&mut self) {
        self.given = 0;
    }
}
