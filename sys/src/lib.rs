//! The crate for what the operating system offers beyond the standard library, and the only one that may hold `unsafe`.
//!
//! Today it holds [`ProcessGroup`]: a started program together with the processes that it started in turn.

#![deny(missing_docs)]

pub mod process_group;

pub use process_group::{ExitDescriptor, LeaderExit, ProcessGroup};
