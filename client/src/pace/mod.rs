//! How long something that polls waits before it polls again.
//!
//! The fixed and the linear pace are those of ppacer's package `pace`, with its numbers and its refusals; it has no exponential
//! one and no jitter. Paces that grow keep an idle poller quiet, a jitter keeps many of them apart.

mod exponential;
mod fixed;
mod linear;

use std::time::Duration;

use ringhold_types::GrowthFactor;
use thiserror::Error;

pub use exponential::ExponentialPace;
pub use fixed::FixedPace;
pub use linear::LinearPace;

/// Says how long to wait before the next poll. It is asked after each poll that brought nothing (or failed), and reset by one
/// that brought something.
///
/// ```
/// use std::time::Duration;
///
/// use ringhold_client::{LinearPace, Pace as _};
///
/// let mut pace = LinearPace::default();
/// assert_eq!(pace.next(), Duration::from_millis(1));
/// pace.reset();
/// assert_eq!(pace.next(), Duration::from_millis(1));
/// ```
pub trait Pace: Send {
    /// The wait before the next poll.
    fn next(&mut self) -> Duration;

    /// Something came: the next wait is the first one again.
    fn reset(&mut self);
}

/// A pace that cannot be: what is wrong with its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PaceError {
    /// The longest wait is not longer than the shortest: such a pace would be a fixed one.
    #[error("the longest wait ({most:?}) must be longer than the shortest ({least:?})")]
    MostNotAboveLeast {
        /// The shortest wait.
        least: Duration,
        /// The longest wait.
        most: Duration,
    },
    /// Each wait has to be given at least once before it grows.
    #[error("a wait is given at least once before it grows: repeat must be at least 1")]
    RepeatIsZero,
    /// A wait of nothing stays nothing, whatever it is multiplied with.
    #[error("the shortest wait must be longer than nothing, or it would never grow")]
    LeastIsZero,
    /// A factor that does not let the waits grow.
    #[error("the factor must be above 1000 thousandths, not {}", .factor.0)]
    FactorDoesNotGrow {
        /// The factor.
        factor: GrowthFactor,
    },
}
