use std::time::Duration;

use super::Pace;

/// Always the same wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedPace {
    wait: Duration,
}

impl FixedPace {
    /// A pace of this wait.
    #[must_use]
    pub const fn new(wait: Duration) -> Self {
        Self { wait }
    }
}

impl Pace for FixedPace {
    fn next(&mut self) -> Duration {
        self.wait
    }

    fn reset(&mut self) {}
}
