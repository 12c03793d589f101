//! The thread that owns the shared log: takes what the driver hands over, writes it, flushes once, tells how far.
//!
//! While one flush runs the next batches queue up, so that the following flush covers them all: group commit without a
//! timer (DESIGN §4).

use std::sync::Arc;
use std::time::Duration;

use ringhold_replica::PersistToken;
use ringhold_storage::{LogRecord, RecordLog, StorageError};
use ringhold_types::PartitionKey;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};

use crate::spawn;

/// Batches that may wait for the disk. The driver waits beyond it: a disk that slow is the limit of the member.
const BATCHES_QUEUED_MAX: usize = 4096;
/// Partitions asked for a copy at a time, so that copying forward never starves new work.
const COPY_FORWARD_MOST: usize = 4;

/// How often a full disk is looked at again, whether something waits to be written or not.
const DISK_FULL_PAUSE: Duration = Duration::from_millis(200);

/// A hand-over to the disk.
struct Batch {
    records: Vec<LogRecord>,
    token: PersistToken,
}

/// What the committer reports.
#[derive(Clone, Debug, Default)]
pub struct CommitterReport {
    /// Everything up to this token is on disk.
    pub persisted: PersistToken,
    /// Partitions whose ring must be written again so that old segments can go.
    pub copy_forward: Vec<PartitionKey>,
    /// Room on disk runs out: new tasks are refused, promised work still ends.
    pub nearly_full: bool,
    /// Set once: the log failed and the member must stop. A failed flush is never retried (DESIGN §3.5).
    pub failed: Option<Arc<StorageError>>,
}

/// Why nothing can be handed over any more.
#[derive(Debug, thiserror::Error)]
pub enum CommitterError {
    /// The thread ended, after a failure that [`CommitterReport::failed`] names.
    #[error("the log's thread has stopped")]
    Stopped,
    /// The thread could not be started.
    #[error("the log's thread could not be started")]
    Start(#[source] std::io::Error),
}

/// The driver's end of the committer's thread.
pub struct Committer {
    batches: Option<mpsc::Sender<Batch>>,
    report: watch::Receiver<CommitterReport>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Committer {
    /// Starts the thread, which owns `log` from now on.
    ///
    /// # Errors
    /// [`CommitterError::Start`] when the operating system gives no thread.
    pub fn start(log: Box<dyn RecordLog>) -> Result<Self, CommitterError> {
        let (batches, receiver) = mpsc::channel(BATCHES_QUEUED_MAX);
        let (reports, report) = watch::channel(CommitterReport::default());
        let timer = Builder::new_current_thread().enable_time().build();
        let timer = timer.map_err(CommitterError::Start)?;
        let thread = spawn::thread("ringhold-log", move || run(log, receiver, &reports, &timer))
            .map_err(CommitterError::Start)?;
        Ok(Self {
            batches: Some(batches),
            report,
            thread: Some(thread),
        })
    }

    /// Hands records over; `token` is reported once they are on disk.
    ///
    /// # Errors
    /// [`CommitterError::Stopped`] when the thread has ended.
    pub async fn hand_over(
        &self,
        records: Vec<LogRecord>,
        token: PersistToken,
    ) -> Result<(), CommitterError> {
        let batches = self.batches.as_ref().ok_or(CommitterError::Stopped)?;
        batches
            .send(Batch { records, token })
            .await
            .map_err(|_| CommitterError::Stopped)
    }

    /// Follows what is on disk.
    #[must_use]
    pub fn reports(&self) -> watch::Receiver<CommitterReport> {
        self.report.clone()
    }
}

impl Drop for Committer {
    /// Lets the thread write what it was given, and waits for it: the directory is free for the next start afterwards.
    fn drop(&mut self) {
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

fn run(
    log: Box<dyn RecordLog>,
    batches: mpsc::Receiver<Batch>,
    reports: &watch::Sender<CommitterReport>,
    timer: &Runtime,
) {
    let mut writer = Writer {
        log,
        batches,
        reports,
        timer,
    };
    if let Err(error) = writer.write_until_closed() {
        tracing::error!(%error, "the log failed; the member stops");
        let failed = Some(Arc::new(error));
        reports.send_modify(|report| report.failed = failed);
    }
}

/// The thread's own state.
struct Writer<'a> {
    log: Box<dyn RecordLog>,
    batches: mpsc::Receiver<Batch>,
    reports: &'a watch::Sender<CommitterReport>,
    /// Waits with a limit of time, for nothing else.
    timer: &'a Runtime,
}

/// What a wait for the next batch ended with.
enum Next {
    Batch(Batch),
    /// Nothing came while the disk is full.
    Idle,
    Closed,
}

impl Writer<'_> {
    fn write_until_closed(&mut self) -> Result<(), StorageError> {
        loop {
            match self.next() {
                Next::Batch(first) => self.commit(first)?,
                Next::Idle => {}
                Next::Closed => return Ok(()),
            }
            // Nobody waits: a good time to make the next segment ready, and to find out about room.
            if self.batches.is_empty() {
                self.log.prepare()?;
                self.report_room();
            }
        }
    }

    /// Waits for work; on a full disk not for long, since nothing but looking finds out that there is room again.
    fn next(&mut self) -> Next {
        let received = if self.log.is_nearly_full() {
            let batches = &mut self.batches;
            let soon = async { tokio::time::timeout(DISK_FULL_PAUSE, batches.recv()).await };
            match self.timer.block_on(soon) {
                Ok(received) => received,
                Err(_) => return Next::Idle,
            }
        } else {
            self.batches.blocking_recv()
        };
        received.map_or(Next::Closed, Next::Batch)
    }

    fn report_room(&self) {
        let nearly_full = self.log.is_nearly_full();
        self.reports.send_if_modified(|report| {
            let changed = report.nearly_full != nearly_full;
            report.nearly_full = nearly_full;
            changed
        });
    }

    /// Writes `first` and everything that queued up behind it, then flushes once.
    fn commit(&mut self, first: Batch) -> Result<(), StorageError> {
        let mut token = first.token;
        self.append(&first.records)?;
        while let Ok(next) = self.batches.try_recv() {
            self.append(&next.records)?;
            token = next.token;
        }
        self.log.sync()?;
        let copy_forward = self.log.copy_forward_wanted(COPY_FORWARD_MOST);
        let nearly_full = self.log.is_nearly_full();
        self.reports.send_modify(|report| {
            report.persisted = token;
            report.copy_forward = copy_forward;
            report.nearly_full = nearly_full;
        });
        Ok(())
    }

    /// Appends, waiting for room as long as the disk is full: what was handed over was promised to nobody yet, and nothing
    /// may be dropped from the middle of a log.
    fn append(&mut self, records: &[LogRecord]) -> Result<(), StorageError> {
        loop {
            match self.log.append(records) {
                Err(StorageError::DiskFull { path }) => {
                    tracing::error!(path = %path.display(), "the disk is full; the log waits for room");
                    self.log.sync()?;
                    self.reports.send_modify(|report| report.nearly_full = true);
                    std::thread::sleep(DISK_FULL_PAUSE);
                    self.log.prepare()?;
                }
                other => return other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ringhold_storage::{LogStatistics, MemoryDisk, MemoryLog};
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Longest wait on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// A log whose disk fills up and empties by a switch.
    struct OnSmallDisk {
        log: MemoryLog,
        full: Arc<AtomicBool>,
        known_full: bool,
    }

    impl RecordLog for OnSmallDisk {
        fn append(&mut self, records: &[LogRecord]) -> Result<(), StorageError> {
            self.log.append(records)
        }

        fn sync(&mut self) -> Result<(), StorageError> {
            self.log.sync()
        }

        fn copy_forward_wanted(&mut self, most: usize) -> Vec<PartitionKey> {
            self.log.copy_forward_wanted(most)
        }

        fn forget(&mut self, partition: PartitionKey) -> Result<(), StorageError> {
            self.log.forget(partition)
        }

        fn settle(&mut self) -> Result<(), StorageError> {
            self.log.settle()
        }

        fn prepare(&mut self) -> Result<(), StorageError> {
            self.known_full = self.full.load(Ordering::Acquire);
            Ok(())
        }

        fn is_nearly_full(&self) -> bool {
            self.known_full
        }

        fn statistics(&self) -> LogStatistics {
            self.log.statistics()
        }
    }

    #[tokio::test]
    async fn a_full_disk_is_noticed_with_a_batch_and_room_without_one() {
        let full = Arc::new(AtomicBool::new(true));
        let log = OnSmallDisk {
            log: MemoryLog::open(&MemoryDisk::default()).0,
            full: Arc::clone(&full),
            known_full: false,
        };
        let committer = Committer::start(Box::new(log)).expect("starts");
        let mut reports = committer.reports();
        let handed = committer.hand_over(Vec::new(), PersistToken(1)).await;
        handed.expect("taken");
        let nearly_full = reports.wait_for(|report| report.nearly_full);
        let noticed = tokio::time::timeout(PATIENCE, nearly_full).await;
        noticed.expect("in time").expect("runs");
        full.store(false, Ordering::Release);
        let room = reports.wait_for(|report| !report.nearly_full);
        let noticed = tokio::time::timeout(PATIENCE, room).await;
        noticed.expect("in time").expect("runs");
    }
}
