//! Time as the pure core sees it: numbers handed in, never a clock.

/// A span in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// The span in microseconds, the unit of [`Tick`].
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0.saturating_mul(1000)
    }

    /// This span plus a percentage of it, rounded up; used for the drift margin of leases.
    #[must_use]
    pub const fn plus_percent(self, percent: u64) -> Self {
        Self(self.0 + (self.0 * percent).div_ceil(100))
    }
}

/// A member's own monotonic time in microseconds since an arbitrary start, on a clock that counts suspend.
/// Ticks of different members, or of different starts of one member, are never compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

impl Tick {
    /// The tick `span` later.
    #[must_use]
    pub const fn after(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span.as_micros()))
    }

    /// Microseconds from `earlier` to this tick; zero if `earlier` is later.
    #[must_use]
    pub const fn micros_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole milliseconds from `earlier` to this tick; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Millis {
        Millis(self.micros_since(earlier) / 1000)
    }
}

/// A partition's replicated time in milliseconds: advanced by each logged operation (PROTOCOL I16), so that expiry is
/// the same on every replica. It is not wall-clock time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RingTime(pub u64);

impl RingTime {
    /// The ring time `span` later.
    #[must_use]
    pub const fn after(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The span from `earlier` to this ring time; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }
}

/// Wall-clock time in milliseconds since 1970-01-01 UTC. Shown to people and used for `not_before` only; no guarantee
/// rests on it (DESIGN G13).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub u64);
