//! Whole control planes in one process, on loopback ports picked by the system, with real stores in temporary directories.

mod cluster;
mod fencing;
mod golden;
mod membership;
mod storage;
mod support;
