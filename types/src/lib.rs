//! The words of Ringhold as types: identifiers, counters, time, tasks, outcomes, configurations and limits.
//!
//! Pure: no clock, no randomness, no threads, no I/O. Every crate of the workspace may use it, and it uses none.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod backoff;
pub mod codec;
pub mod configuration;
pub mod counter;
pub mod decision;
pub mod error_code;
pub mod executor;
mod executor_state;
pub mod failure_kinds;
pub mod id;
mod identity;
pub mod key;
pub mod limits;
mod not_yet;
pub mod origin;
pub mod outcome;
pub mod priority;
pub mod process_limits;
pub mod retry;
pub mod sequence;
pub mod task;
pub mod time;
pub mod token;
pub mod transition;
pub mod worker;

pub use backoff::{Backoff, Draw, FailureCount, GrowthFactor, Jitter};
pub use codec::{Codec, CodecCause, JSON, Json};
pub use configuration::{ChangeKind, Configuration, ConfigurationChange};
pub use counter::{
    AttemptNumber, ConfigurationVersion, ControlIndex, Generation, Incarnation, Lsn, StartNonce,
    Term,
};
pub use decision::{AtEnd, FailedOnce, Next, Wish, decide};
pub use error_code::ErrorCode;
pub use executor::{ConfigViolation, ExecutorConfig, Persistence, RateLimit, WhenFull};
pub use executor_state::{ExecutorState, ExecutorWish};
pub use failure_kinds::FailureKinds;
pub use id::{
    ClusterId, ExecutorId, ExecutorName, IdParseError, MemberId, PartitionKey, PartitionNumber,
    ReplicaId, TaskId,
};
pub use key::{AffinityKey, IdempotencyKey, PartitionCount, RequestId, partition_of};
pub use origin::{LineageDepth, Origin, TaskRef};
pub use outcome::{Attempt, Failure, FailureKind, KindName, Outcome, ProcessExit, TaskResult};
pub use priority::Priority;
pub use process_limits::{CgroupPlace, Containment, OutputPolicy, ProcessLimits};
pub use retry::RetryPolicy;
pub use sequence::{Counter, Sequence, SequenceExhausted};
pub use task::{OnInterrupt, ProcessCall, TaskCall, TaskLimits, TaskSpec, TaskStatus};
pub use time::{Millis, RingTime, Tick, UnixMillis};
pub use token::{AttemptName, AttemptToken, Copies, Receipt};
pub use worker::{HandlerKey, SlotNumber, WorkerId, WorkerRef};
