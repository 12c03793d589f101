//! The control plane's writes to the metadata store: one thread, everything durable, many writes in one commit.

use std::io;

use tokio::sync::{mpsc, oneshot};

use super::metadata::{Batch, Metadata};

/// Writes that may wait for the thread; beyond it writers wait. Each is one of Raft's calls, so few are ever in flight.
const WRITES_WAITING_MAX: usize = 256;
/// Writes that one commit takes together.
const WRITES_PER_COMMIT_MAX: usize = 64;

/// Called once a write is durable, or has failed for good.
type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

enum Job {
    Write(Batch, Done),
    /// Answered once the store is closed.
    Stop(oneshot::Sender<()>),
}

/// Handle of the writing thread. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Disk {
    jobs: mpsc::Sender<Job>,
}

impl Disk {
    /// Starts the thread, which owns the store.
    pub(crate) fn start(store: Metadata) -> io::Result<Self> {
        let (jobs, receiver) = mpsc::channel(WRITES_WAITING_MAX);
        crate::spawn::thread("control-disk", move || run(store, receiver))?;
        Ok(Self { jobs })
    }

    /// Hands a write over; `done` is called from the thread once it is durable. Writes are committed in the order of calls.
    pub(crate) async fn submit(&self, batch: Batch, done: Done) {
        if let Err(mpsc::error::SendError(Job::Write(_, done))) =
            self.jobs.send(Job::Write(batch, done)).await
        {
            done(Err(stopped()));
        }
    }

    /// Writes and waits until it is durable.
    pub(crate) async fn write(&self, batch: Batch) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        let done = move |result| {
            // The waiting caller may have gone away; the write stands all the same.
            let _ = sender.send(result);
        };
        self.submit(batch, Box::new(done)).await;
        receiver.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Finishes what was handed over, then closes the store, so that its file can be opened again.
    pub(crate) async fn stop(&self) {
        let (sender, receiver) = oneshot::channel();
        if self.jobs.send(Job::Stop(sender)).await.is_ok() {
            // A thread that ended by itself has closed the store, too.
            let _ = receiver.await;
        }
    }
}

fn stopped() -> io::Error {
    io::Error::other("the control plane's metadata store has stopped")
}

fn run(store: Metadata, mut jobs: mpsc::Receiver<Job>) {
    // After a failed flush nobody knows what is on disk; it is never tried again (DESIGN §3.5).
    let mut failed: Option<String> = None;
    let mut stop = None;
    while stop.is_none() {
        let Some(first) = jobs.blocking_recv() else {
            break;
        };
        let mut batch = Batch::default();
        let mut waiting = Vec::new();
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Write(more, done) => {
                    batch.append(more);
                    waiting.push(done);
                }
                Job::Stop(sender) => stop = Some(sender),
            }
            let full = waiting.len() >= WRITES_PER_COMMIT_MAX || stop.is_some();
            next = if full { None } else { jobs.try_recv().ok() };
        }
        if failed.is_none() && !batch.is_empty() {
            failed = store.commit(batch).err().map(|error| error.to_string());
        }
        for done in waiting {
            done(match &failed {
                None => Ok(()),
                Some(reason) => Err(io::Error::other(reason.clone())),
            });
        }
    }
    drop(store);
    if let Some(sender) = stop {
        // Whoever waited may have gone away.
        let _ = sender.send(());
    }
}
