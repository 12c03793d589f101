//! The path of `map` and `demo`: lines in, one durable task each, results out.
//!
//! [`lines`] reads, [`template`] makes a line's task, [`mark`] says that there is a run, [`room`] keeps the results from
//! overwriting each other, [`full`] waits where others fill a partition, [`run`] keeps a bounded number under way and hands
//! results on, in order or as they come, [`printer`] and [`writer`] print them, [`ending`] disposes them. A task's idempotency key is the run's name and the line's number, so that a run
//! that is resumed finds what it submitted before.

pub(crate) mod ending;
mod full;
mod held;
pub(crate) mod lines;
mod mark;
mod printer;
mod repeats;
mod room;
pub(crate) mod run;
pub(crate) mod template;
mod totals;
mod writer;

pub(crate) use full::ROOM_PATIENCE;
pub(crate) use lines::{Line, LineNumber};
pub(crate) use printer::{Printer, has_ended};
pub(crate) use run::{Ended, LineOutcome, Observer, Run};
pub(crate) use template::Template;
pub(crate) use totals::Totals;
pub(crate) use writer::{Writer, Written};

/// Most tasks of one run under way at once: what one client may have under way.
pub(crate) const JOBS_MAX: usize = ringhold_client::limits::SUBMITS_IN_FLIGHT;
