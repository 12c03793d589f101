//! When a wait ends. Helpers and keepers are processes of their own, which decide nothing about tasks; so this is their clock.

use std::time::{Duration, Instant};

/// The end of a wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    pub(crate) fn after(span: Duration) -> Self {
        Self(Instant::now() + span)
    }

    /// Whether it has come.
    pub(crate) fn is_over(self) -> bool {
        self.left().is_zero()
    }

    /// What is left until then.
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}
