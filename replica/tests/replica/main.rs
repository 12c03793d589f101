//! The replica by its behaviour: a few members in memory, one partition, a network and disks that a test can cut and hold.
//!
//! One program: every further one would compile the same rules, optimised, once more.
#![allow(clippy::unwrap_used)]

mod attempts;
mod cut_tail;
mod draining;
mod ejection;
mod leases;
mod membership;
mod normal_case;
mod ring_bytes;
mod short_log;
mod storing;
mod support;
mod takeover;
