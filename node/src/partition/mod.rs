//! Drives this member's replicas: one thread, one machine, no locks.

mod committer;
mod driver;
mod handle;
mod proposals;
mod records;
mod recovery;
mod update;
mod view;

pub use committer::{Committer, CommitterError};
pub use driver::{Driver, DriverOptions};
pub use handle::{AskError, DriverHandle};
pub use recovery::{RecoveryError, recover};
pub use view::{Counters, MemberView};
