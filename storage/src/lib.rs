//! What a member keeps on disk: the shared write-ahead log of its partitions, and a small store for metadata.
//!
//! Start reading at [`RecordLog`] (the contract), [`replay`] (what a log means, pure) and [`SegmentedLog`] (the log on
//! disk). The metadata half is [`MetadataStore`] with [`RedbStore`]. [`DataDirectory`] makes sure that one process, and
//! the right one, uses a directory.
//!
//! Payloads are opaque here: `proto` makes and reads them. Everything is synchronous; the shell owns the committer thread.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod conformance;
pub mod data_directory;
pub mod error;
pub mod file_system;
pub mod memory_log;
pub mod metadata;
pub mod record;
pub mod record_log;
pub mod replay;
pub mod segmented;

pub use data_directory::{DataDirectory, DirectoryExpectation, DirectoryIdentity};
pub use error::StorageError;
pub use file_system::{FileSystem, RealFileSystem, SimulatedFileSystem, StorageFile};
pub use memory_log::{MemoryDisk, MemoryLog};
#[cfg(feature = "sled")]
pub use metadata::SledStore;
pub use metadata::{MetadataStore, RedbStore, TableName, WriteBatch};
pub use record::{LogRecord, PartIndex, RecordKind};
pub use record_log::{
    Damage, LogStatistics, RecordLog, Recovered, StoredReplica, StoredState, TornTail,
};
pub use segmented::{LogOptions, PlacedBatch, SegmentedLog, newest_batches, older_batches};
