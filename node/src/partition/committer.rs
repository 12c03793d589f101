//! The thread that owns the shared log: takes what the driver hands over, writes it, flushes once, tells how far.
//!
//! While one flush runs the next batches queue up, so that the following flush covers them all: group commit without a
//! timer (DESIGN §4).

use std::sync::Arc;
use std::time::Duration;

use ringhold_replica::PersistToken;
use ringhold_storage::{LogRecord, RecordLog, StorageError};
use ringhold_types::PartitionKey;
use tokio::sync::{mpsc, watch};

use crate::spawn;

/// Batches that may wait for the disk. The driver waits beyond it: a disk that slow is the limit of the member.
const BATCHES_QUEUED_MAX: usize = 4096;
/// Partitions asked for a copy at a time, so that copying forward never starves new work.
const COPY_FORWARD_MOST: usize = 4;

/// How often a full disk is tried again.
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
        let thread = spawn::thread("ringhold-log", move || run(log, receiver, &reports))
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
) {
    let mut writer = Writer {
        log,
        batches,
        reports,
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
}

impl Writer<'_> {
    fn write_until_closed(&mut self) -> Result<(), StorageError> {
        while let Some(first) = self.batches.blocking_recv() {
            self.commit(first)?;
            // Nobody waits: a good time to make the next segment ready.
            if self.batches.is_empty() {
                self.log.prepare()?;
            }
        }
        Ok(())
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
