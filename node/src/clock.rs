//! The one file that reads a clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringhold_types::{Tick, UnixMillis};

/// Reads the member's clocks. Cheap to copy.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    /// Monotonic time that counts suspend (`CLOCK_BOOTTIME`), so that a lease runs out during a suspend (PROTOCOL §3).
    #[must_use]
    pub fn now(self) -> Tick {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
        Tick(seconds * 1_000_000 + nanos / 1000)
    }

    /// Monotonic time for measuring patience, where no lease depends on it.
    #[must_use]
    pub fn instant(self) -> tokio::time::Instant {
        tokio::time::Instant::now()
    }

    /// Wall clock, for people and `not_before` only.
    #[must_use]
    pub fn wall(self) -> UnixMillis {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// How long from now until `tick`; zero if it has passed.
    #[must_use]
    pub fn until(self, tick: Tick) -> Duration {
        Duration::from_micros(tick.micros_since(self.now()))
    }
}
