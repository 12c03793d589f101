//! The thread that owns the shared log: takes what the driver hands over, writes it, flushes once, tells how far.
//!
//! While one flush runs the next batches queue up, so that the following flush covers them all: group commit without a
//! timer (DESIGN §4).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ringhold_replica::PersistToken;
use ringhold_storage::{LogRecord, RecordLog, StorageError};
use ringhold_types::PartitionKey;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};

use crate::spawn;

/// Batches on their way to the thread. Further ones stay with the driver, which then takes no new requests, but goes on
/// with heartbeats, leases and what is under way: bounded, since a partition has a bound on what is not committed.
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
    /// Room on disk runs out: new tasks are refused, promised work still ends.
    pub nearly_full: bool,
    /// Bytes appended to the log since its start, headers included and padding not.
    pub appended_bytes: u64,
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
    /// What the queue has no room for, in order.
    behind: VecDeque<Batch>,
    report: watch::Receiver<CommitterReport>,
    copies: mpsc::Receiver<PartitionKey>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Committer {
    /// Starts the thread, which owns `log` from now on. `home`, whatever keeps other processes out of the log's directory, is
    /// let go only after the last write.
    ///
    /// # Errors
    /// [`CommitterError::Start`] when the operating system gives no thread.
    pub fn start<H: Send + 'static>(
        log: Box<dyn RecordLog>,
        home: H,
    ) -> Result<Self, CommitterError> {
        let (batches, receiver) = mpsc::channel(BATCHES_QUEUED_MAX);
        let (reports, report) = watch::channel(CommitterReport::default());
        let (wanted, copies) = mpsc::channel(COPY_FORWARD_MOST);
        let timer = Builder::new_current_thread().enable_time().build();
        let timer = timer.map_err(CommitterError::Start)?;
        let ends = Ends {
            batches: receiver,
            reports,
            copies: wanted,
        };
        let thread = spawn::thread("ringhold-log", move || {
            run(log, ends, &timer);
            drop(home);
        })
        .map_err(CommitterError::Start)?;
        Ok(Self {
            batches: Some(batches),
            behind: VecDeque::new(),
            report,
            copies,
            thread: Some(thread),
        })
    }

    /// A partition whose ring must be written again so that old segments can go; each is told once, and a report follows it.
    pub fn next_copy(&mut self) -> Option<PartitionKey> {
        self.copies.try_recv().ok()
    }

    /// Hands records over; `token` is reported once they are on disk. Never waits: the caller has leases to keep.
    ///
    /// # Errors
    /// [`CommitterError::Stopped`] when the thread has ended.
    pub fn hand_over(
        &mut self,
        records: Vec<LogRecord>,
        token: PersistToken,
    ) -> Result<(), CommitterError> {
        self.behind.push_back(Batch { records, token });
        self.catch_up()
    }

    /// Passes on what had no room in the queue before. To be called after each report of the thread.
    ///
    /// # Errors
    /// [`CommitterError::Stopped`] when the thread has ended.
    pub fn catch_up(&mut self) -> Result<(), CommitterError> {
        let batches = self.batches.as_ref().ok_or(CommitterError::Stopped)?;
        while !self.behind.is_empty() {
            let place = match batches.try_reserve() {
                Ok(place) => place,
                Err(mpsc::error::TrySendError::Full(())) => return Ok(()),
                Err(mpsc::error::TrySendError::Closed(())) => return Err(CommitterError::Stopped),
            };
            if let Some(batch) = self.behind.pop_front() {
                place.send(batch);
            }
        }
        Ok(())
    }

    /// Whether the disk is so far behind that no new work should be taken.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        !self.behind.is_empty()
    }

    /// Follows what is on disk.
    #[must_use]
    pub fn reports(&self) -> watch::Receiver<CommitterReport> {
        self.report.clone()
    }
}

impl Drop for Committer {
    /// Lets the thread write what it was given, and waits for it: the directory is free for the next start afterwards.
    /// On a full disk it gives up instead; nothing of that was promised to anybody.
    fn drop(&mut self) {
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// The thread's ends of the channels.
struct Ends {
    batches: mpsc::Receiver<Batch>,
    reports: watch::Sender<CommitterReport>,
    copies: mpsc::Sender<PartitionKey>,
}

fn run(log: Box<dyn RecordLog>, ends: Ends, timer: &Runtime) {
    let mut writer = Writer {
        log,
        ends,
        timer,
        written: PersistToken::default(),
    };
    if let Err(error) = writer.write_until_closed() {
        tracing::error!(%error, "the log failed; the member stops");
        let failed = Some(Arc::new(error));
        let reports = &writer.ends.reports;
        reports.send_modify(|report| report.failed = failed);
    }
}

/// The thread's own state.
struct Writer<'a> {
    log: Box<dyn RecordLog>,
    ends: Ends,
    /// Waits with a limit of time, for nothing else.
    timer: &'a Runtime,
    /// Everything up to this token was appended.
    written: PersistToken,
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
            if self.ends.batches.is_empty() {
                self.log.prepare()?;
                self.report_room();
            }
        }
    }

    /// Waits for work; on a full disk not for long, since nothing but looking finds out that there is room again.
    fn next(&mut self) -> Next {
        let received = if self.log.is_nearly_full() {
            let batches = &mut self.ends.batches;
            let soon = async { tokio::time::timeout(DISK_FULL_PAUSE, batches.recv()).await };
            match self.timer.block_on(soon) {
                Ok(received) => received,
                Err(_) => return Next::Idle,
            }
        } else {
            self.ends.batches.blocking_recv()
        };
        received.map_or(Next::Closed, Next::Batch)
    }

    fn report_room(&self) {
        let nearly_full = self.log.is_nearly_full();
        self.ends.reports.send_if_modified(|report| {
            let changed = report.nearly_full != nearly_full;
            report.nearly_full = nearly_full;
            changed
        });
    }

    /// Writes `first` and everything that queued up behind it, then flushes once.
    fn commit(&mut self, first: Batch) -> Result<(), StorageError> {
        self.append(&first.records)?;
        self.written = first.token;
        while let Ok(next) = self.ends.batches.try_recv() {
            self.append(&next.records)?;
            self.written = next.token;
        }
        self.log.sync()?;
        self.ask_for_copies();
        let nearly_full = self.log.is_nearly_full();
        let appended_bytes = self.log.statistics().appended_bytes;
        self.ends.reports.send_modify(|report| {
            report.persisted = self.written;
            report.appended_bytes = appended_bytes;
            report.nearly_full = nearly_full;
        });
        Ok(())
    }

    /// Asks for no more than the driver has room to hear: the log names each partition once.
    fn ask_for_copies(&mut self) {
        let room = self.ends.copies.capacity();
        if room == 0 {
            return;
        }
        for partition in self.log.copy_forward_wanted(room) {
            // There is room, as nobody else sends; a driver that is gone needs no copies.
            let _gone = self.ends.copies.try_send(partition);
        }
    }

    /// Appends, waiting for room as long as the disk is full: what was handed over was promised to nobody yet, and nothing
    /// may be dropped from the middle of a log. What was written before is flushed and reported meanwhile.
    fn append(&mut self, records: &[LogRecord]) -> Result<(), StorageError> {
        loop {
            match self.log.append(records) {
                Err(StorageError::DiskFull { path }) if !self.ends.batches.is_closed() => {
                    self.log.sync()?;
                    let written = self.written;
                    let is_news = self.ends.reports.send_if_modified(|report| {
                        let persisted = std::mem::replace(&mut report.persisted, written);
                        !std::mem::replace(&mut report.nearly_full, true) || persisted < written
                    });
                    if is_news {
                        tracing::error!(path = %path.display(), "the disk is full; the log waits for room");
                    }
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
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};

    use bytes::Bytes;
    use ringhold_storage::conformance::entry;
    use ringhold_storage::{
        LogOptions, LogStatistics, MemoryDisk, MemoryLog, SegmentedLog, SimulatedFileSystem,
    };
    use ringhold_types::ClusterId;

    use super::*;

    /// Longest wait on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// A log in memory whose disk fills up and empties by a switch, and that looks at each flush whether its directory is still
    /// kept.
    struct Watched {
        log: MemoryLog,
        full: Arc<AtomicBool>,
        known_full: bool,
        home: std::sync::Weak<()>,
    }

    impl Watched {
        fn new(full: &Arc<AtomicBool>, home: &Arc<()>) -> Box<Self> {
            Box::new(Self {
                log: MemoryLog::open(&MemoryDisk::default()).0,
                full: Arc::clone(full),
                known_full: false,
                home: Arc::downgrade(home),
            })
        }
    }

    impl RecordLog for Watched {
        fn append(&mut self, records: &[LogRecord]) -> Result<(), StorageError> {
            self.log.append(records)
        }

        fn sync(&mut self) -> Result<(), StorageError> {
            assert_eq!(self.home.strong_count(), 1, "another process may write");
            self.log.sync()
        }

        fn copy_forward_wanted(&mut self, most: usize) -> Vec<PartitionKey> {
            self.log.copy_forward_wanted(most)
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

    #[test]
    fn a_directory_is_kept_until_the_last_write_and_then_let_go() {
        let home = Arc::new(());
        let kept = Arc::downgrade(&home);
        let log = Watched::new(&Arc::default(), &home);
        let mut committer = Committer::start(log, home).expect("there is a thread");
        for token in 1..=100 {
            let records = vec![entry(1, token)];
            let handed = committer.hand_over(records, PersistToken(token));
            handed.expect("the thread runs");
        }
        let mut reports = committer.reports();
        drop(committer);
        assert_eq!(reports.borrow_and_update().persisted, PersistToken(100));
        assert!(reports.borrow().failed.is_none());
        assert_eq!(kept.strong_count(), 0);
    }

    #[tokio::test]
    async fn a_full_disk_is_noticed_with_a_batch_and_room_without_one() {
        let full = Arc::new(AtomicBool::new(true));
        let home = Arc::new(());
        let log = Watched::new(&full, &home);
        let mut committer = Committer::start(log, home).expect("starts");
        let mut reports = committer.reports();
        let handed = committer.hand_over(Vec::new(), PersistToken(1));
        handed.expect("taken");
        let nearly_full = reports.wait_for(|report| report.nearly_full);
        let noticed = tokio::time::timeout(PATIENCE, nearly_full).await;
        noticed.expect("in time").expect("runs");
        full.store(false, Ordering::Release);
        let room = reports.wait_for(|report| !report.nearly_full);
        let noticed = tokio::time::timeout(PATIENCE, room).await;
        noticed.expect("in time").expect("runs");
    }

    const PAYLOAD: usize = 300;

    fn committer_on(disk: &SimulatedFileSystem) -> Committer {
        let options = LogOptions {
            segment_bytes: 16 * 1024,
            zero_bytes: 4096,
            cluster: ClusterId(7),
        };
        let opened = SegmentedLog::open_on(Arc::new(disk.clone()), Path::new("/data/log"), options);
        let (log, _) = opened.expect("opens");
        Committer::start(Box::new(log), ()).expect("there is a thread")
    }

    fn records(lsn: u64) -> Vec<LogRecord> {
        vec![LogRecord {
            payload: Bytes::from(vec![0xee; PAYLOAD]),
            ..entry(1, lsn)
        }]
    }

    async fn reported(
        committer: &Committer,
        wanted: impl FnMut(&CommitterReport) -> bool,
    ) -> CommitterReport {
        let mut reports = committer.reports();
        let seen = tokio::time::timeout(PATIENCE, reports.wait_for(wanted)).await;
        seen.expect("in time").expect("the thread runs").clone()
    }

    /// Writes until the disk is full; returns the last token that was handed over.
    async fn fill(committer: &mut Committer, disk: &SimulatedFileSystem) -> u64 {
        committer
            .hand_over(records(1), PersistToken(1))
            .expect("runs");
        reported(committer, |report| report.persisted == PersistToken(1)).await;
        disk.set_capacity(Some(disk.used()));
        let last = BATCHES_QUEUED_MAX as u64 + 500;
        for token in 2..=last {
            committer
                .hand_over(records(token), PersistToken(token))
                .expect("runs");
        }
        last
    }

    #[tokio::test]
    async fn a_full_disk_never_makes_the_driver_wait_and_everything_is_written_when_there_is_room()
    {
        let disk = SimulatedFileSystem::new();
        let mut committer = committer_on(&disk);
        let last = fill(&mut committer, &disk).await;
        let full = reported(&committer, |report| report.nearly_full).await;
        assert!(full.persisted < PersistToken(last));
        assert!(full.failed.is_none());
        assert!(committer.is_behind(), "new work is to wait");
        disk.set_capacity(None);
        let mut reports = committer.reports();
        while committer.is_behind() {
            reports.changed().await.expect("the thread runs");
            committer.catch_up().expect("runs");
        }
        let written = reported(&committer, |report| report.persisted == PersistToken(last)).await;
        assert!(!written.nearly_full);
    }

    #[tokio::test]
    async fn a_member_with_a_full_disk_can_be_stopped() {
        let disk = SimulatedFileSystem::new();
        let mut committer = committer_on(&disk);
        fill(&mut committer, &disk).await;
        reported(&committer, |report| report.nearly_full).await;
        let (ended, end) = std::sync::mpsc::channel();
        let stopping = spawn::thread("stop", move || {
            drop(committer);
            let _nobody_waits = ended.send(());
        });
        assert!(end.recv_timeout(PATIENCE).is_ok(), "the thread ends");
        stopping
            .expect("there is a thread")
            .join()
            .expect("no panic");
    }
}
