//! Streams of protocol messages between members. One stream per ordered pair; it may lose messages, never mangle them.

mod links;
mod service;

pub use links::Links;
pub use service::{PeerIdentity, PeerServiceImpl};
