//! The behaviour of the cluster state machine, through its public face only.

#![allow(clippy::unwrap_used, reason = "a test panics on what must not happen")]

mod executors;
mod failures;
mod forgetting;
mod placing;
mod proposals;
mod random;
mod rates;
mod rebalancing;
mod slow;
mod snapshots;
mod speed;
mod starts;
mod states;
mod world;
