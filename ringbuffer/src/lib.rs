//! One partition's replicated state: a ring of tasks and outcomes as a pure state machine.
//!
//! [`Ring::apply`] is total, deterministic and clock-free: equal operations give equal rings on every replica (PROTOCOL
//! I13), which [`Ring::digest`] checks. The life of an entry:
//!
//! ```text
//! Accept ─► Pending ─┬─Start──► Running ─┬─Complete─► Succeeded ─┐
//!           Delayed ─┘   ▲               ├─Fail─────► Failed     ├─MarkRetrieved, Dispose, Expire, Evict─► gone, with a reason
//!                        └──── RetryAt ──┤ Cancel───► Cancelled ─┘
//!                        └──── HandBack ─┘
//! ```

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod absence;
mod admission;
mod applied;
mod apply;
mod apply_attempt;
mod apply_end;
mod dedup;
mod digest;
mod ended;
mod entry;
mod grace;
mod housekeeping;
pub mod op;
mod part;
mod retention;
mod ring;
mod snapshot;

pub use absence::Absence;
pub use admission::{Admission, InFlight};
pub use applied::{Applied, Refusal};
pub use apply::Quirks;
pub use dedup::{KeyHit, RemovedKey};
pub use entry::{EntryState, TaskEntry};
pub use grace::DisposedOutcome;
pub use op::{LogEntry, Op, RingLimits};
pub use part::{RingHeader, RingPart};
pub use retention::{LostRange, RemovedSequence};
pub use ring::Ring;
pub use snapshot::SnapshotError;
