//! Pauses between tries: exponential, with jitter, never shorter than what the member asked for.

use std::time::Duration;

use crate::limits;
use crate::random;

/// Counts tries and says how long to pause before the next.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// The pause before the next try: half of it fixed, half of it drawn, so that many clients do not come back at the
    /// same instant. A member's own wish is honoured, up to [`limits::RETRY_AFTER_MAX`].
    pub(crate) fn next(&mut self, retry_after: Option<Duration>) -> Duration {
        let doubled = limits::BACKOFF_FIRST.saturating_mul(1 << self.tries.min(16));
        let span = doubled.min(limits::BACKOFF_MAX);
        self.tries = self.tries.saturating_add(1);
        let drawn = span / 2 + random::up_to(span / 2);
        let asked = retry_after
            .unwrap_or(Duration::ZERO)
            .min(limits::RETRY_AFTER_MAX);
        drawn.max(asked)
    }

    /// Whether a hint at the right member is followed without a pause. Only at first: members that hint at each other
    /// would otherwise be asked without end.
    pub(crate) fn follows_hint(&self, hinted: bool) -> bool {
        hinted && self.tries <= 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_their_bound_and_honour_the_wish_of_the_member() {
        let mut backoff = Backoff::default();
        let first = backoff.next(None);
        assert!(first >= limits::BACKOFF_FIRST / 2 && first <= limits::BACKOFF_FIRST);
        let long = (0..20)
            .map(|_| backoff.next(None))
            .max()
            .expect("twenty pauses");
        assert!(long <= limits::BACKOFF_MAX);
        assert_eq!(
            backoff.next(Some(Duration::from_secs(2))),
            Duration::from_secs(2)
        );
        assert_eq!(
            backoff.next(Some(Duration::from_secs(3600))),
            limits::RETRY_AFTER_MAX
        );
        assert!(
            !backoff.follows_hint(true),
            "hints are followed without a pause only at first"
        );
    }
}
