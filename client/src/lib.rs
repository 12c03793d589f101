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
mod codec;
mod confirmation;
mod connections;
mod error;
mod executor;
mod follow;
mod handle;
mod pace;
mod random;
mod refusal;
mod retrieve;
mod routing;
mod shared;
mod span;
mod submit;
mod submit_stream;
mod submitter;
mod task;
mod task_info;
mod task_name;
mod typed;

pub use builder::ClientBuilder;
pub use client::Client;
pub use cluster::{
    Cluster, ClusterStatus, Drained, ExecutorInfo, Forgotten, Loss, MemberInfo, MemberState,
    PartitionInfo, ReplicaInfo, UnderReplicated,
};
pub use codec::{Codec, CodecCause, CodecError, JSON, Json, read_json};
pub use error::{BuildError, GoneReason, RequestError, RetrieveError, SubmitError, TaskError};
pub use executor::{BatchError, BatchItem, Executor};
pub use handle::{AbortOnDrop, TaskHandle};
pub use pace::{ExponentialPace, FixedPace, LinearPace, Pace, PaceError};
pub use retrieve::{Retrieve, Retrieved};
pub use ringhold_types::{
    ClusterId, ErrorCode, ExecutorConfig, ExecutorName, Failure, FailureKind, GrowthFactor, Jitter,
    MemberId, Millis, OnInterrupt, Outcome, PartitionNumber, Persistence, ProcessExit, Receipt,
    Sequence, TaskId, TaskResult, TaskStatus, Term, WhenFull,
};
pub use routing::{RoutingExecutor, RoutingMember, RoutingTable};
pub use submit::Submit;
pub use submitter::FullPolicy;
pub use task::{HandlerTask, ProcessOutput, ProcessTask, Submittable, Task};
pub use task_info::{AttemptInfo, ListFilter, TaskInfo, TaskPage, UnavailablePartition};
pub use task_name::{NoParts, make_stable_task_id, make_task_id};
pub use typed::Typed;

/// Implements [`Task`] (the trait): `#[task(name = "…", executor = "…", output = Type)]`, of which only `output` is needed.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use ringhold_client::{Client, Task};
///
/// #[derive(serde::Serialize, Task)]
/// #[task(name = "render", executor = "reports", output = String)]
/// struct Render { page: u64 }
///
/// let client = Client::builder().endpoints(["127.0.0.1:7400"]).build().await?;
/// let text: String = client.typed::<Render>().submit(&Render { page: 7 }).await?.await?;
/// # Ok(()) }
/// ```
#[cfg(feature = "derive")]
pub use ringhold_derive::Task;
