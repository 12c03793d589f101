//! One member of a cluster: the async shell around the pure machines of `replica` and `control`.
//!
//! Start at [`Member`]; ARCHITECTURE.md has the map. Only `control` names openraft, only `rpc` and `peer` speak gRPC, one file
//! reads the clock, one file spawns tasks.

pub mod clock;
pub mod control;
pub mod execution;
pub mod http;
pub mod member;
pub mod partition;
pub mod peer;
pub mod rpc;
pub mod spawn;

pub use execution::{
    AttemptContext, Coded, Handler, HandlerError, HandlerInput, HandlerOutput, TypedHandler,
};
pub use member::{ExecutorConfig, Member, MemberBuilder, StartError};
