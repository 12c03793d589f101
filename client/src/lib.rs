//! The Rust SDK of Ringhold: submit durable tasks to a cluster, and retrieve their outcomes.
//!
//! - Submits go straight to the primary of their partition, many share one stream, and each is tried under one
//!   idempotency key until a member answers or the deadline passes: a task is never stored twice.
//! - Handles and retrievals wait through failovers. Dropping them stops no task.
//! - Everything that waits in memory is bounded; see [`limits`].
//! - Errors are named: [`SubmitError`], [`TaskError`], [`RetrieveError`], each with a stable [`ErrorCode`].
//!
//! Start at [`Client::builder`]. No type of the transport is part of this interface.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod limits;

mod backoff;
mod builder;
mod client;
mod cluster;
mod confirmation;
mod connections;
mod error;
mod executor;
mod follow;
mod handle;
mod random;
mod refusal;
mod retrieve;
mod routing;
mod shared;
mod submit;
mod submit_stream;
mod submitter;
mod task;
mod task_info;
mod typed;

pub use builder::ClientBuilder;
pub use client::Client;
pub use cluster::{
    Cluster, ClusterStatus, ExecutorInfo, Forgotten, Loss, MemberInfo, MemberState, PartitionInfo,
    ReplicaInfo, UnderReplicated,
};
pub use error::{BuildError, GoneReason, RequestError, RetrieveError, SubmitError, TaskError};
pub use executor::{BatchError, BatchItem, Executor};
pub use handle::{AbortOnDrop, TaskHandle};
pub use retrieve::{Retrieve, Retrieved};
pub use ringhold_types::{
    ClusterId, ErrorCode, ExecutorConfig, ExecutorName, Failure, FailureKind, MemberId, Millis,
    OnInterrupt, Outcome, PartitionNumber, Persistence, ProcessExit, Receipt, Sequence, TaskId,
    TaskResult, TaskStatus, Term, WhenFull,
};
pub use routing::{RoutingExecutor, RoutingMember, RoutingTable};
pub use submit::Submit;
pub use task::{
    CodecError, HandlerTask, JSON, ProcessOutput, ProcessTask, Submittable, Task, read_json,
};
pub use task_info::{AttemptInfo, ListFilter, TaskInfo, TaskPage, UnavailablePartition};
pub use typed::Typed;
