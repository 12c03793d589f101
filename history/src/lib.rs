//! Checkers that decide from what clients saw (reliability §5): pure, fast enough for every history of every run.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod event;

pub use event::{Action, Event, Kind, Sighting};
