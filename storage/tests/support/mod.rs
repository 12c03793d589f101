//! A small log on a simulated disk.

use std::path::Path;
use std::sync::Arc;

use ringhold_storage::{LogOptions, Recovered, SegmentedLog, SimulatedFileSystem, StorageError};
use ringhold_types::ClusterId;

/// Where the log lives.
pub(crate) const DIRECTORY: &str = "/data/log";

/// The smallest segments, so that a test crosses many.
pub(crate) const OPTIONS: LogOptions = LogOptions {
    segment_bytes: 16 * 1024,
    zero_bytes: 4096,
    cluster: ClusterId(77),
};

/// Opens the log of a disk.
pub(crate) fn open(disk: &SimulatedFileSystem) -> Result<(SegmentedLog, Recovered), StorageError> {
    SegmentedLog::open_on(Arc::new(disk.clone()), Path::new(DIRECTORY), OPTIONS)
}
