//! The explorer: random schedules over the protocol's machines, with everything that goes wrong, and what must hold all the
//! same. Also the sabotages that show that it would notice.
//!
//! Start reading at [`world::World::run`]: one seed, one run. [`plan`] says what a seed explores.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod coverage;
pub mod explore;
mod oracle;
pub mod plan;
pub mod random;
pub mod sabotage;
pub mod schedule;
pub mod trace;
pub mod world;
