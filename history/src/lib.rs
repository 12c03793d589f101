//! Checkers that decide from what clients saw (reliability §5): pure, and fast enough for every history of every run.
//!
//! Record [`Event`]s, give them to [`check()`], and look at the [`Report`]. The explorer and the tests with real processes use
//! the same checkers; processes write their events as [`text`].

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod check;
pub mod dedupe;
pub mod event;
pub mod fence;
pub mod history;
pub mod ledger;
pub mod losses;
pub mod lost;
pub mod monotone;
mod seen;
pub mod stable;
pub mod text;
pub mod unique;

pub use check::{Breach, Expectation, Report, check, check_with_window};
pub use dedupe::KeyWindow;
pub use event::{Action, Event, Kind, Loss, NOT_FROM_A_RUN, Run, Sighting};
pub use history::{Acknowledged, End, History, Operation};
pub use losses::Losses;
