//! The times that the protocol works with, so that a test can shorten them together.

use ringhold_types::{Millis, Tick, limits};

/// The times that the protocol works with. The default is what [`ringhold_types::limits`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Until a request for a lease that was not answered is repeated.
    pub heartbeat: Millis,
    /// Until a lease is asked for again when everybody has granted what was last asked for.
    pub renewal: Millis,
    /// Validity of a lease, counted from the time its request was sent.
    pub lease: Millis,
    /// What a grantor waits beyond it, in percent.
    pub drift_percent: u64,
    /// A seat without a living replica and without a replacement is removed after this time.
    pub degrade_after: Millis,
    /// A replica that takes less than this to make entries safe is never slow.
    pub slow_latency: Millis,
    /// Who is slow for this long is replaced.
    pub slow_after: Millis,
    /// At most one slow replica of a partition is ejected in this time.
    pub eject_every: Millis,
    /// How long attempts of older terms may be adopted before they are run again.
    pub adopt_window: Millis,
    /// A served outcome counts as retrieved after this time.
    pub retrieved_grace: Millis,
    /// Most that ring time may advance over a takeover.
    pub max_clock_step: Millis,
    /// How long a planned hand-over may hold submits.
    pub hand_over_hold: Millis,
    /// Unacknowledged prepares are sent again after this time; it doubles up to [`Timing::resend_most`].
    pub resend: Millis,
    /// The longest time between two prepares to a peer that does not acknowledge.
    pub resend_most: Millis,
    /// A proposal without an outcome is followed up after this time.
    pub propose_again: Millis,
    /// An executing member repeats its offers to a primary in this interval.
    pub offer: Millis,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: limits::HEARTBEAT,
            renewal: limits::LEASE_RENEWAL,
            lease: limits::LEASE,
            drift_percent: limits::LEASE_DRIFT_PERCENT,
            degrade_after: limits::DEGRADE_AFTER,
            slow_latency: Millis(500),
            slow_after: Millis(5_000),
            eject_every: Millis(30_000),
            adopt_window: limits::ADOPT_WINDOW,
            retrieved_grace: limits::RETRIEVED_GRACE,
            max_clock_step: limits::MAX_CLOCK_STEP,
            hand_over_hold: limits::HAND_OVER_HOLD,
            resend: Millis(200),
            resend_most: Millis(2_000),
            propose_again: Millis(1_000),
            offer: Millis(500),
        }
    }
}

impl Timing {
    /// When a lease ends for its holder, who counts from the time of sending.
    #[must_use]
    pub const fn lease_end(&self, sent: Tick) -> Tick {
        sent.after(self.lease)
    }

    /// When a lease has certainly ended for its holder, as its grantor counts: from the grant, with the drift margin.
    #[must_use]
    pub const fn grant_end(&self, granted: Tick) -> Tick {
        granted.after(self.lease.plus_percent(self.drift_percent))
    }
}
