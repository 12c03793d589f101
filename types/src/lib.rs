//! The words of Ringhold as types: identifiers, counters, time, tasks, outcomes, configurations and limits.
//!
//! Pure: no clock, no randomness, no threads, no I/O. Every crate of the workspace may use it, and it uses none.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod codec;
pub mod configuration;
pub mod counter;
pub mod error_code;
pub mod executor;
pub mod id;
pub mod key;
pub mod limits;
pub mod outcome;
pub mod sequence;
pub mod task;
pub mod time;
pub mod token;

pub use codec::{Codec, CodecCause, JSON, Json};
pub use configuration::{ChangeKind, Configuration, ConfigurationChange};
pub use counter::{
    AttemptNumber, ConfigurationVersion, ControlIndex, Generation, Incarnation, Lsn, StartNonce,
    Term,
};
pub use error_code::ErrorCode;
pub use executor::{ExecutorConfig, Persistence, WhenFull};
pub use id::{
    ClusterId, ExecutorId, ExecutorName, IdParseError, MemberId, PartitionKey, PartitionNumber,
    ReplicaId, TaskId,
};
pub use key::{AffinityKey, IdempotencyKey, PartitionCount, RequestId, partition_of};
pub use outcome::{Attempt, Failure, FailureKind, KindName, Outcome, ProcessExit, TaskResult};
pub use sequence::{Counter, Sequence, SequenceExhausted};
pub use task::{OnInterrupt, ProcessCall, TaskCall, TaskLimits, TaskSpec, TaskStatus};
pub use time::{Millis, RingTime, Tick, UnixMillis};
pub use token::{AttemptToken, Copies, Receipt};
