//! A log in memory, for replicas with `persistence = "memory"` in tests, and as the plainest reading of the contract.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ringhold_types::PartitionKey;

use crate::segmented::progress::Progress;
use crate::{LogRecord, LogStatistics, RecordLog, Recovered, StorageError, replay};

/// Where a [`MemoryLog`] keeps what it synced; outlives the log, as a disk outlives a process. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    records: Arc<Mutex<Vec<LogRecord>>>,
    settled: Arc<AtomicBool>,
}

/// A log that keeps every record for ever.
#[derive(Debug)]
pub struct MemoryLog {
    disk: MemoryDisk,
    unsynced: Vec<LogRecord>,
    progress: BTreeMap<PartitionKey, Progress>,
    statistics: LogStatistics,
}

impl MemoryLog {
    /// Opens what a disk holds.
    #[must_use]
    pub fn open(disk: &MemoryDisk) -> (Self, Recovered) {
        let records = disk
            .records
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut log = Self {
            disk: disk.clone(),
            unsynced: Vec::new(),
            progress: BTreeMap::new(),
            statistics: LogStatistics::default(),
        };
        let created = records.is_empty() && !disk.settled.load(Ordering::Acquire);
        for record in &records {
            note(&mut log.progress, record);
        }
        let (replicas, damage) = match replay::replay(records) {
            Ok(replicas) => (replicas, None),
            Err(missing) => (
                Vec::new(),
                Some(crate::Damage {
                    segment: 0,
                    offset: 0,
                    what: missing.to_string(),
                }),
            ),
        };
        let recovered = Recovered {
            replicas,
            damage,
            created,
            ..Recovered::default()
        };
        (log, recovered)
    }
}

fn note(progress: &mut BTreeMap<PartitionKey, Progress>, record: &LogRecord) {
    let mut now = Progress::of(progress.get(&record.partition).copied(), record);
    now.advance(record);
    progress.insert(record.partition, now);
}

impl RecordLog for MemoryLog {
    fn append(&mut self, records: &[LogRecord]) -> Result<(), StorageError> {
        let mut drafts: BTreeMap<PartitionKey, Progress> = BTreeMap::new();
        for record in records {
            let known = drafts
                .get(&record.partition)
                .or_else(|| self.progress.get(&record.partition))
                .copied();
            let checked = Progress::check(known, record)?;
            drafts.insert(record.partition, checked);
        }
        self.progress.extend(drafts);
        self.unsynced.extend_from_slice(records);
        self.statistics.records += records.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        if !self.unsynced.is_empty() {
            self.statistics.syncs += 1;
        }
        let mut disk = self
            .disk
            .records
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        disk.append(&mut self.unsynced);
        Ok(())
    }

    fn copy_forward_wanted(&mut self, _most: usize) -> Vec<PartitionKey> {
        Vec::new()
    }

    fn settle(&mut self) -> Result<(), StorageError> {
        self.disk.settled.store(true, Ordering::Release);
        Ok(())
    }

    fn prepare(&mut self) -> Result<(), StorageError> {
        Ok(())
    }

    fn is_nearly_full(&self) -> bool {
        false
    }

    fn statistics(&self) -> LogStatistics {
        LogStatistics {
            partitions: self.progress.len() as u64,
            ..self.statistics
        }
    }
}
