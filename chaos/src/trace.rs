//! A hash over all that happened in a run: equal seeds must give equal hashes, or nothing can be replayed.

use crate::random::mix;

/// The hash so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trace(u64);

impl Trace {
    /// Adds a number.
    pub fn fold(&mut self, number: u64) {
        self.0 = mix(self.0.rotate_left(17) ^ number.wrapping_add(0x9E37_79B9_7F4A_7C15));
    }

    /// The hash.
    #[must_use]
    pub const fn hash(self) -> u64 {
        self.0
    }
}
