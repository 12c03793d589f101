//! Raft's log and vote: in memory for reading, in the metadata store for keeping. Nothing counts before it is durable.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};

use super::disk::Disk;
use super::metadata::Batch;
use super::types::{Entry, LogId, RaftTypes, Vote};

/// What the metadata store held at start.
#[derive(Debug, Default)]
pub(crate) struct StoredLog {
    /// The vote.
    pub(crate) vote: Option<Vote>,
    /// What was committed, as far as it was noted.
    pub(crate) committed: Option<LogId>,
    /// The last entry that was purged.
    pub(crate) purged: Option<LogId>,
    /// All entries after it. Few enough for memory: they are purged once a snapshot covers them.
    pub(crate) entries: BTreeMap<u64, Entry>,
}

impl StoredLog {
    /// Whether Raft ever ran on this store.
    pub(crate) fn is_empty(&self) -> bool {
        self.vote.is_none() && self.purged.is_none() && self.entries.is_empty()
    }
}

/// The log store; its clones are readers of the same log.
#[derive(Clone)]
pub(crate) struct LogStore {
    log: Arc<Mutex<StoredLog>>,
    disk: Disk,
}

impl LogStore {
    /// A log store that goes on where the metadata store left off.
    pub(crate) fn new(found: StoredLog, disk: Disk) -> Self {
        Self {
            log: Arc::new(Mutex::new(found)),
            disk,
        }
    }

    fn log(&self) -> MutexGuard<'_, StoredLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RaftLogReader<RaftTypes> for LogStore {
    async fn try_get_log_entries<R>(&mut self, range: R) -> io::Result<Vec<Entry>>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let bounds = (range.start_bound().cloned(), range.end_bound().cloned());
        if is_empty_range(bounds) {
            return Ok(Vec::new());
        }
        Ok(self
            .log()
            .entries
            .range(bounds)
            .map(|(_, entry)| entry.clone())
            .collect())
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.log().vote)
    }
}

/// `BTreeMap::range` panics on ranges that end before they begin; they hold nothing.
fn is_empty_range(bounds: (Bound<u64>, Bound<u64>)) -> bool {
    let first = match bounds.0 {
        Bound::Included(first) => first,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    match bounds.1 {
        Bound::Included(last) => first > last,
        Bound::Excluded(end) => first >= end,
        Bound::Unbounded => false,
    }
}

impl RaftLogStorage<RaftTypes> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<RaftTypes>> {
        let log = self.log();
        let last = log.entries.last_key_value().map(|(_, entry)| entry.log_id);
        Ok(LogState {
            last_purged_log_id: log.purged,
            last_log_id: last.or(log.purged),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.disk.write(Batch::default().vote(vote)).await?;
        self.log().vote = Some(*vote);
        Ok(())
    }

    /// Noted in memory and written along with the next entries: a restart that begins with less applied catches up, and a
    /// member acts only after its own start is applied anew.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.log().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.log().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<RaftTypes>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut batch = Batch::default();
        {
            let mut log = self.log();
            if let Some(committed) = &log.committed {
                batch = batch.committed(committed);
            }
            for entry in entries {
                batch = batch.entry(&entry);
                log.entries.insert(entry.log_id.index, entry);
            }
        }
        self.disk
            .submit(batch, Box::new(|result| callback.io_completed(result)))
            .await;
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let first_cut = last.map_or(0, |last| last.index.saturating_add(1));
        self.log().entries.split_off(&first_cut);
        self.disk.write(Batch::default().truncate(first_cut)).await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        {
            let mut log = self.log();
            log.entries = log.entries.split_off(&upto.index.saturating_add(1));
            log.purged = Some(upto);
        }
        self.disk.write(Batch::default().purge(&upto)).await
    }
}
