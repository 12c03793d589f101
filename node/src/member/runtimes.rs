//! The member's own threads, so that what a user's program does on its runtime never delays a heartbeat.

use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use super::StartError;
use crate::spawn;

/// Threads for clients' calls and pages: two, so that one long decode does not hold up the others.
const RPC_THREADS: usize = 2;
/// Threads for what handlers themselves pass to `tokio::task::spawn_blocking`, and for starting programs. A blocking handler
/// has a thread of its own, so that no handler waits for one of these.
const BLOCKING_THREADS_MAX: usize = 512;

/// Runtimes that end with the member.
pub(super) struct Runtimes {
    control: OwnThread,
    rpc: Option<Runtime>,
    execution: Option<Runtime>,
}

impl Runtimes {
    pub(super) fn start() -> Result<Self, StartError> {
        let rpc = Builder::new_multi_thread()
            .worker_threads(RPC_THREADS)
            .thread_name("ringhold-rpc")
            .enable_all()
            .build()
            .map_err(StartError::Thread)?;
        let execution = Builder::new_multi_thread()
            .thread_name("ringhold-tasks")
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .enable_all()
            .build()
            .map_err(StartError::Thread)?;
        Ok(Self {
            control: OwnThread::start("ringhold-control").map_err(StartError::Thread)?,
            rpc: Some(rpc),
            execution: Some(execution),
        })
    }

    /// For Raft, heartbeats and what peers send: one thread, which no client's call holds up. With several, most of what an
    /// idle member costs is that they wake each other.
    pub(super) fn control(&self) -> Handle {
        self.control.handle.clone()
    }

    /// For calls and pages.
    pub(super) fn rpc(&self) -> Handle {
        self.rpc
            .as_ref()
            .expect("present until drop")
            .handle()
            .clone()
    }

    /// For handlers and programs.
    pub(super) fn execution(&self) -> Handle {
        self.execution
            .as_ref()
            .expect("present until drop")
            .handle()
            .clone()
    }
}

impl Drop for Runtimes {
    /// Ends the threads without waiting: this may be dropped on a runtime of the user's, where waiting is not allowed.
    fn drop(&mut self) {
        for runtime in [self.rpc.take(), self.execution.take()]
            .into_iter()
            .flatten()
        {
            runtime.shutdown_background();
        }
    }
}

/// A runtime of one thread, which ends when this is dropped.
struct OwnThread {
    handle: Handle,
    _until_dropped: oneshot::Sender<()>,
    _thread: JoinHandle<()>,
}

impl OwnThread {
    fn start(name: &str) -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (until_dropped, dropped) = oneshot::channel::<()>();
        let thread = spawn::thread(name, move || {
            // Nothing is ever sent: the sender's end is the sign.
            let _dropped = runtime.block_on(dropped);
        })?;
        Ok(Self {
            handle,
            _until_dropped: until_dropped,
            _thread: thread,
        })
    }
}
