//! The ring by its behaviour, beside a reference model.
//!
//! One program: every further one would compile the same rules, optimised, once more.

mod admission;
mod common;
mod dedup;
mod housekeeping;
mod life;
mod model;
mod peer_defects;
mod quirks;
mod reference;
mod retention;
mod snapshot;
mod statuses;
