//! Programs, each with a keeper from which nothing that it starts gets away.
//!
//! A member starts a *helper*, a process with one thread, and hands it requests with their descriptors over a socket. For each
//! the helper forks a *keeper*, to which every descendant of its program falls, whatever it does; the keeper reports the end
//! once nothing of the program lives. When the member goes, by whatever end, its sockets close, and the keepers end what they
//! keep.

mod connection;
mod deadline;
mod descendants;
mod helper;
mod keeper;
mod launch;
mod report;
mod request;
mod signals;
mod wire;

pub use connection::{HELPER_VARIABLE, HelperProcess, ProgramDescriptors, Sending};
pub use descendants::sweep;
pub use helper::{HELPER_NAME, helper_main_if_called};
pub use keeper::REAP_MAX;
pub use report::{Errno, Exit, KeeperEvent, KeeperOrder, LaunchStep, ProcessId, ProgramEnd};
pub use request::{DESCRIPTORS_MAX, GroupId, Resource, SpawnLimits, SpawnRequest, UserId};
pub use wire::{FRAME_BYTES_MAX, Malformed};
