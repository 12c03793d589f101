//! The cluster state machine: what Raft replicates, as pure code.
//!
//! Members, executors and the partition map change only by [`Command`]s, applied in log order by [`Cluster::apply`] with
//! equal results on every member. No clock, no randomness, ordered maps only.
//!
//! Where to start reading: [`Cluster::apply`] names the handler of each command; most handlers change member records and
//! then let `settle` draw the consequences for every partition.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod change;
mod cluster;
pub mod command;
mod executor;
mod executor_state;
mod failure;
mod forget;
pub mod invariant;
mod layout;
mod learner;
pub mod limits;
mod materialise;
mod member;
pub mod placement;
pub mod rate;
mod rebalance;
mod record;
mod settle;
mod slow;
mod snapshot;
mod start;
mod view;

pub use cluster::{Changes, Cluster};
pub use command::{Command, MemberInfo, MemberStart, Refused, Response, StoreReport};
pub use member::{MemberRecord, MemberState};
pub use record::{ExecutorRecord, LossCause, LossRecord, PartitionRecord};
pub use snapshot::{ClusterSnapshot, LayoutSnapshot, RestoreError};
