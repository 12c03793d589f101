//! Directed schedules: dangers too rare for random seeds, each built step by step. Every schedule must be clean as it is and
//! broken under its sabotage.

mod straggler_copy;

use ringhold_replica::Rule;

use crate::sabotage::Sabotage;
use crate::world::directed;
pub use crate::world::directed::{Played, Staging};

/// A schedule by name.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Its name.
    pub name: &'static str,
    /// The sabotage that breaks it.
    pub sabotage: Sabotage,
    /// Plays it.
    pub play: fn(Staging) -> Played,
}

/// All schedules.
pub const SCHEDULES: [Schedule; 7] = [
    Schedule {
        name: "a copy forward is cut in half by a crash",
        sabotage: Sabotage::StragglerCopyCuts,
        play: straggler_copy::play,
    },
    Schedule {
        name: "the same, in the segmented log",
        sabotage: Sabotage::StragglerCopyCuts,
        play: straggler_copy::play_on_log,
    },
    Schedule {
        name: "a primary that hears nothing goes on beside the learner that it counted",
        sabotage: Sabotage::Rule(Rule::LeaseCountsLearners),
        play: directed::deaf_primary,
    },
    Schedule {
        name: "a damaged backup is named primary while it has a part of its tail again",
        sabotage: Sabotage::Rule(Rule::CutMarkKept),
        play: directed::damaged_backup,
    },
    Schedule {
        name: "a damaged backup is named primary while another is damaged too and the whole one is not heard",
        sabotage: Sabotage::Rule(Rule::TailFromWholePeer),
        play: directed::two_damaged_backups,
    },
    Schedule {
        name: "a seat is given up while the one that stays lacks what it held",
        sabotage: Sabotage::Rule(Rule::RemovalWaitsForMark),
        play: directed::doubtful_removal,
    },
    Schedule {
        name: "a primary and a backup are judged dead while the third one's tail is cut",
        sabotage: Sabotage::DeathIgnoresMark,
        play: directed::deaths_beside_damage,
    },
];

impl Schedule {
    /// Plays it under a sabotage, quietly.
    #[must_use]
    pub fn under(&self, sabotage: Sabotage) -> Played {
        (self.play)(Staging {
            sabotage,
            narrates: false,
        })
    }
}

/// The schedule that a sabotage breaks, if it has one.
#[must_use]
pub fn of(sabotage: Sabotage) -> Option<&'static Schedule> {
    SCHEDULES
        .iter()
        .find(|schedule| schedule.sabotage == sabotage)
}
