//! How urgent a task is.

use crate::limits::PRIORITY_MAX;

/// How urgent a task is: −[`PRIORITY_MAX`] to [`PRIORITY_MAX`], higher goes first. A unit is a head start of
/// [`crate::limits::PRIORITY_STARTS`] starts of other tasks, so that nothing starves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(i16);

impl Priority {
    /// The priority of a task of which nobody says one.
    pub const DEFAULT: Self = Self(0);

    /// A priority within its range, or nothing.
    #[must_use]
    pub fn new(priority: i32) -> Option<Self> {
        let small = i16::try_from(priority).ok()?;
        (small.unsigned_abs() <= PRIORITY_MAX.unsigned_abs()).then_some(Self(small))
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> i16 {
        self.0
    }
}

impl std::fmt::Display for Priority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_is_within_a_thousand_of_zero() {
        let numbers = |it: i32| Priority::new(it).map(Priority::get);
        assert_eq!(numbers(-1000), Some(-1000));
        assert_eq!(numbers(1000), Some(1000));
        for outside in [-1001, 1001, i32::MIN, i32::MAX, 65_536] {
            assert_eq!(numbers(outside), None);
        }
    }
}
