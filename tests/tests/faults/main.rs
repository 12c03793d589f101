//! Real member processes, real disks, real signals: what a cluster keeps when members die, freeze and come back.

mod cluster;
mod deaths;
mod ledger;
mod restarts;
