//! The crate for what the operating system offers beyond the standard library, and the only one that may hold `unsafe`.
//!
//! Today it holds [`ProcessGroup`]: a started program together with the processes that it started in turn; [`HeldAddress`]: an
//! address that is kept free for a program that has yet to start; and [`programs`]: programs from which nothing gets away.

#![deny(missing_docs)]

pub mod held_address;
pub mod process_group;
pub mod programs;

pub use held_address::HeldAddress;
pub use process_group::{ExitDescriptor, LeaderExit, ProcessGroup};
