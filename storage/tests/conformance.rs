//! Every backend against the conformance suites.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringhold_storage::conformance::{LogBackend, MetadataBackend, check_log, check_metadata};
use ringhold_storage::{
    LogOptions, MemoryDisk, MemoryLog, MetadataStore, RecordLog, Recovered, RedbStore,
    SegmentedLog, SimulatedFileSystem, StorageError,
};
use ringhold_types::ClusterId;
use tempfile::TempDir;

type Opened = Result<(Box<dyn RecordLog>, Recovered), StorageError>;

fn boxed<L: RecordLog + 'static>(
    (log, recovered): (L, Recovered),
) -> (Box<dyn RecordLog>, Recovered) {
    (Box::new(log), recovered)
}

/// A real directory, new for each check.
struct Directory(TempDir);

impl Directory {
    fn new() -> Self {
        Self(TempDir::new().expect("a temporary directory"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("store")
    }
}

struct OnRealFiles(Directory, LogOptions);

impl LogBackend for OnRealFiles {
    fn renew(&mut self) {
        self.0 = Directory::new();
    }

    fn open(&mut self) -> Opened {
        SegmentedLog::open(self.0.path(), self.1).map(boxed)
    }
}

struct OnSimulatedFiles(SimulatedFileSystem);

impl LogBackend for OnSimulatedFiles {
    fn renew(&mut self) {
        self.0 = SimulatedFileSystem::new();
    }

    fn open(&mut self) -> Opened {
        let options = LogOptions {
            segment_bytes: 16 * 1024,
            zero_bytes: 4096,
            cluster: ClusterId(1),
        };
        SegmentedLog::open_on(Arc::new(self.0.clone()), Path::new("/log"), options).map(boxed)
    }
}

struct InMemory(MemoryDisk);

impl LogBackend for InMemory {
    fn renew(&mut self) {
        self.0 = MemoryDisk::default();
    }

    fn open(&mut self) -> Opened {
        Ok(boxed(MemoryLog::open(&self.0)))
    }
}

#[test]
fn the_segmented_log_on_real_files_conforms() {
    let options = LogOptions::for_cluster(ClusterId(1));
    check_log(&mut OnRealFiles(Directory::new(), options));
}

#[test]
fn the_segmented_log_on_a_simulated_disk_conforms() {
    check_log(&mut OnSimulatedFiles(SimulatedFileSystem::new()));
}

#[test]
fn the_log_in_memory_conforms() {
    check_log(&mut InMemory(MemoryDisk::default()));
}

struct OnRedb(Directory);

impl MetadataBackend for OnRedb {
    fn renew(&mut self) {
        self.0 = Directory::new();
    }

    fn open(&mut self) -> Result<Box<dyn MetadataStore>, StorageError> {
        Ok(Box::new(RedbStore::open(self.0.path())?))
    }
}

#[test]
fn the_metadata_store_on_redb_conforms() {
    check_metadata(&mut OnRedb(Directory::new()));
}

#[cfg(feature = "sled")]
struct OnSled(Directory);

#[cfg(feature = "sled")]
impl MetadataBackend for OnSled {
    fn renew(&mut self) {
        self.0 = Directory::new();
    }

    fn open(&mut self) -> Result<Box<dyn MetadataStore>, StorageError> {
        Ok(Box::new(ringhold_storage::SledStore::open(self.0.path())?))
    }
}

#[cfg(feature = "sled")]
#[test]
fn the_metadata_store_on_sled_conforms() {
    check_metadata(&mut OnSled(Directory::new()));
}

#[test]
fn a_metadata_store_that_is_open_is_in_use() {
    let directory = Directory::new();
    let _held = RedbStore::open(directory.path()).expect("opens");
    let refused = RedbStore::open(directory.path());
    assert!(matches!(refused, Err(StorageError::InUse { .. })));
}
