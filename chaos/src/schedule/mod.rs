//! Directed schedules: dangers too rare for random seeds, each built step by step. Every schedule must be clean as it is and
//! broken under its sabotage.

mod straggler_copy;

use crate::sabotage::Sabotage;
use crate::world::Violation;

/// A schedule by name.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Its name.
    pub name: &'static str,
    /// The sabotage that breaks it.
    pub sabotage: Sabotage,
    /// Plays it.
    pub play: fn(Sabotage) -> Option<Violation>,
}

/// All schedules.
pub const SCHEDULES: [Schedule; 1] = [Schedule {
    name: "a copy forward is cut in half by a crash",
    sabotage: Sabotage::StragglerCopyCuts,
    play: straggler_copy::play,
}];

/// The schedule that a sabotage breaks, if it has one.
#[must_use]
pub fn of(sabotage: Sabotage) -> Option<&'static Schedule> {
    SCHEDULES
        .iter()
        .find(|schedule| schedule.sabotage == sabotage)
}
