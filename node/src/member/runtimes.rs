//! The member's own threads, so that what a user's program does on its runtime never delays a heartbeat.

use tokio::runtime::{Builder, Handle, Runtime};

use super::StartError;

/// Threads for calls, Raft and pages: two, so that one long decode does not hold up a vote.
const RPC_THREADS: usize = 2;
/// Blocking handlers that may run at once on a member, over all executors: the pools bound each executor already.
const BLOCKING_THREADS_MAX: usize = 512;

/// Runtimes that end with the member.
pub(super) struct Runtimes {
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
            rpc: Some(rpc),
            execution: Some(execution),
        })
    }

    /// For calls, Raft and pages.
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
