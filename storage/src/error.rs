//! What can go wrong with storage.

use std::io;
use std::path::{Path, PathBuf};

use ringhold_types::{ClusterId, ErrorCode, Lsn, PartitionKey};

/// Why storage refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The operating system failed an operation.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried, as a verb: "read", "write".
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The disk is full. Nothing of the refused records was written; the log can be used again once there is room.
    #[error("the disk is full: no room at {}; free some space or move the data directory", path.display())]
    DiskFull {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// A write or a flush failed before. What is on disk is unknown, so the member must stop; nothing is retried.
    #[error("the storage failed earlier and is not used any more; restart the member")]
    Poisoned,
    /// The log was found damaged and [`crate::SegmentedLog::start_over`] was not called yet.
    #[error(
        "the log is damaged; it takes no records before it is started over as a new incarnation"
    )]
    Damaged,
    /// A record does not fit into a segment.
    #[error("a record of {bytes} bytes is larger than a log segment can hold ({limit})")]
    RecordTooLarge {
        /// Its encoded size.
        bytes: u64,
        /// The most that fits.
        limit: u64,
    },
    /// An entry that does not follow its replica's log: it would leave a hole, or lie below the stored state.
    #[error("entry {lsn} of partition {partition} does not follow {last}")]
    OutOfOrder {
        /// The partition.
        partition: PartitionKey,
        /// The last position stored.
        last: Lsn,
        /// The position that was to be appended.
        lsn: Lsn,
    },
    /// A part of a state that does not follow the part before it.
    #[error(
        "part {index} of the state at {lsn} of partition {partition} does not follow the part before it"
    )]
    PartOutOfOrder {
        /// The partition.
        partition: PartitionKey,
        /// Position of the state.
        lsn: Lsn,
        /// The part that was to be appended.
        index: u32,
    },
    /// A file of a newer format, or of none.
    #[error("{} has format {found}, this version reads format {supported}; use the version that wrote it", path.display())]
    UnknownVersion {
        /// The file.
        path: PathBuf,
        /// The format it has.
        found: String,
        /// The newest format that is understood.
        supported: u32,
    },
    /// Files of another cluster.
    #[error("{} belongs to cluster {found}, not to {expected}; use another data directory", path.display())]
    OtherCluster {
        /// The file.
        path: PathBuf,
        /// The cluster that was expected.
        expected: ClusterId,
        /// The cluster found.
        found: ClusterId,
    },
    /// A data directory of another member.
    #[error("{} belongs to member {found:?}, not to {expected:?}; use another data directory or the name it has", path.display())]
    OtherMember {
        /// The directory.
        path: PathBuf,
        /// The member's name that was expected.
        expected: String,
        /// The name found.
        found: String,
    },
    /// Another process holds the data directory.
    #[error("the data directory {} is in use by another process", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The path of the data directory is something else.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The data directory cannot be written.
    #[error("the data directory {} is not writable", path.display())]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A directory that holds other files and no identity: it is never taken over.
    #[error("{} holds {found:?} but no ringhold identity; use an empty directory", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// One of the files found.
        found: String,
    },
    /// The identity file cannot be understood.
    #[error("the identity file {} is damaged: {reason}", path.display())]
    IdentityDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The metadata store failed.
    #[error("the metadata store cannot {operation}")]
    Metadata {
        /// What was tried, as a verb.
        operation: &'static str,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StorageError {
    /// The stable code of this error.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::DiskFull { .. } => ErrorCode::DiskFull,
            Self::UnknownVersion { .. }
            | Self::OtherMember { .. }
            | Self::OtherCluster { .. }
            | Self::InUse { .. }
            | Self::NotADirectory { .. }
            | Self::NotWritable { .. }
            | Self::NotEmpty { .. }
            | Self::IdentityDamaged { .. } => ErrorCode::DataDirectory,
            Self::RecordTooLarge { .. } => ErrorCode::TooLarge,
            Self::Io { .. }
            | Self::Poisoned
            | Self::Damaged
            | Self::OutOfOrder { .. }
            | Self::PartOutOfOrder { .. }
            | Self::Metadata { .. } => ErrorCode::Internal,
        }
    }

    /// Wraps what the operating system said; a full disk gets its own variant.
    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        if is_disk_full(&source) {
            Self::DiskFull { path }
        } else {
            Self::Io {
                operation,
                path,
                source,
            }
        }
    }
}

/// Whether the disk, or the user's share of it, has no room.
fn is_disk_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
