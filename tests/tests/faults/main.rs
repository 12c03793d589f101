//! Real member processes, real disks, real signals: what a cluster keeps when members die, freeze, come and go, and what
//! those get who ask for the impossible.

mod answers;
mod bad_days;
mod bad_input;
mod bad_starts;
mod cluster;
mod cut_off;
mod deaths;
mod gates;
mod ledger;
mod lies;
mod losses;
mod mapping;
mod membership;
mod recorder;
mod restarts;
mod retention;
mod stops;
mod submitters;
mod uncommitted;
mod waiters;
mod zones;
