//! The control plane's calls as gRPC. `node::control` decides, and knows of these calls nothing but their messages, a
//! [`ControlClient`] to ask with and a [`CallError`].

mod beat;
mod client;
mod error;
mod peers;
mod service;

pub(crate) use beat::{BeatStream, exchange};
pub(crate) use client::ControlClient;
pub use error::CallError;
pub(crate) use peers::{Lane, Peers, client_at};
pub(super) use service::server;

/// Most bytes of one message: a full append of [`crate::control`]'s longest run of the largest commands (about 200 KiB,
/// materialising all 65 536 partitions of an executor).
const RAFT_MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
