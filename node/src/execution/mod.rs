//! Runs attempts: in-process handlers and subprocesses.
//!
//! Start at [`Execution`]. A driver begins and aborts attempts by token; each begun attempt sends exactly one
//! [`AttemptReport`], whatever happens to it. Attempts run on a runtime of their own, never on the threads that own
//! partitions. This module knows no cluster, no storage and no protocol beyond the token it hands through.
//!
//! What this does not do yet, and docs/status.md says so: children of a member that is itself killed by SIGKILL run to
//! their own end, and a child that leaves its process group (`setsid`) is not stopped with it.

mod attempt;
mod coded;
mod context;
mod handler;
mod in_process;
mod limits;
mod process;
mod registry;
mod slots;
mod threads;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use ringhold_replica::{AttemptEnd, StartAttempt};
use ringhold_types::{AttemptToken, ExecutorConfig, FailureKind, MemberId, Millis};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use crate::spawn;

pub use coded::Coded;
pub use context::AttemptContext;
pub use handler::{Handler, HandlerError, HandlerInput, HandlerOutput, TypedHandler};
pub use process::environment::{DENIED_NAMES, MemberEnvironment};
pub use registry::{ECHO, HandlerNameTaken, HandlerRegistry};

use attempt::Over;
use slots::{Refused, Slots, Stop};
use threads::Threads;

/// What an [`Execution`] needs to know of its member.
#[derive(Clone, Debug)]
pub struct ExecutionOptions {
    /// The member that runs the attempts.
    pub member: MemberId,
    /// Working directory of programs that name none; created at need.
    pub scratch_directory: PathBuf,
    /// The multi-thread runtime that handlers and programs run on; it must outlive the execution.
    pub runtime: Handle,
    /// The lowest layer of every program's environment.
    pub environment: MemberEnvironment,
}

/// How an attempt ended. One per begun attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptReport {
    /// Which attempt.
    pub token: AttemptToken,
    /// How it ended. [`AttemptEnd::Aborted`] follows [`Execution::abort`], [`AttemptEnd::HandedBack`] follows
    /// [`Execution::hand_back`] and [`Execution::stop`], or [`AttemptEnd::NotBegun`] if neither handler nor program was
    /// started by then.
    pub end: AttemptEnd,
    /// Whether its slot is still in use, since its handler was given up and has not returned. [`Report::Returned`] follows
    /// once it has.
    pub lingers: bool,
}

/// What an [`Execution`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// An attempt ended.
    Ended(AttemptReport),
    /// The handler of an attempt that ended before has returned: its slot is free.
    Returned(AttemptToken),
}

/// Why a running attempt is told to end before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StopReason {
    /// The driver aborted it.
    Aborted,
    /// The member stops.
    HandedBack,
    /// The time of the member's drain is over.
    Drained,
    /// Its run limit ran out.
    TimedOut,
}

/// Runs attempts. Clones are handles to the same execution.
#[derive(Clone)]
pub struct Execution {
    shared: Arc<Shared>,
}

struct Shared {
    options: ExecutionOptions,
    handlers: HandlerRegistry,
    reports: mpsc::Sender<Report>,
    slots: Slots,
    /// Where blocking handlers run.
    threads: Threads,
    /// Attempts whose report was not taken by the channel yet.
    unreported: watch::Sender<usize>,
}

impl std::fmt::Debug for Execution {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Execution")
            .field("member", &self.shared.options.member)
            .field("running", &self.running())
            .finish_non_exhaustive()
    }
}

impl Execution {
    /// Gets ready to run attempts; every end goes to `reports`. When that channel is full, ended attempts wait for room:
    /// at most as many as were begun.
    #[must_use]
    pub fn start(
        options: ExecutionOptions,
        handlers: HandlerRegistry,
        reports: mpsc::Sender<Report>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                threads: Threads::new(options.runtime.clone(), threads::IDLE_MAX),
                options,
                handlers,
                reports,
                slots: Slots::default(),
                unreported: watch::Sender::new(0),
            }),
        }
    }

    /// Begins an attempt and returns at once.
    ///
    /// The replica machine keeps at most `pool_size` attempts of an executor running. One beyond that is refused with a
    /// report of an internal failure, never queued. One begun after [`Execution::stop`] is given back unbegun. A token that is
    /// running already is not begun again: its one report is still to come.
    pub fn begin(&self, attempt: StartAttempt, config: Arc<ExecutorConfig>) {
        let token = attempt.token;
        let refused = match self.shared.slots.take(token, config.pool_size) {
            Ok(stop) => {
                let shared = Arc::clone(&self.shared);
                self.report_later(token, async move {
                    let over = attempt::run(&shared, attempt, config, stop).await;
                    if over.thread.is_none() {
                        shared.slots.give_back(token);
                    }
                    over
                });
                return;
            }
            Err(refused) => refused,
        };
        let end = match refused {
            Refused::AlreadyRunning => {
                tracing::error!(
                    ?token,
                    "an attempt was begun twice; the second start is ignored"
                );
                return;
            }
            Refused::Stopped => AttemptEnd::NotBegun,
            Refused::PoolFull => {
                tracing::error!(?token, executor = %config.name, "an attempt was begun beyond pool-size");
                let message = format!(
                    "executor {} was given more than its pool-size of {} attempts at once",
                    config.name, config.pool_size
                );
                AttemptEnd::Failed(attempt::failure(FailureKind::Internal, message))
            }
        };
        self.report_later(token, async move { end.into() });
    }

    /// Tells an attempt to end. Its report still comes: [`AttemptEnd::Aborted`], or its own end if that was first.
    /// A blocking handler that ignores [`AttemptContext::is_cancelled`] keeps its slot until it really ends.
    /// An unknown token is none of ours, or has ended: nothing happens.
    pub fn abort(&self, token: AttemptToken) {
        let stop = Stop::unhurried(StopReason::Aborted);
        self.shared.slots.stop_one(token, stop);
    }

    /// Tells an attempt to end so that its task can run elsewhere. Its report comes within `grace`:
    /// [`AttemptEnd::HandedBack`], or its own end if that was first, or what it was told before: one that was aborted or
    /// has run out of time gets no longer than this either. A program that does not end on TERM is killed after half of
    /// it. A blocking handler that ignores [`AttemptContext::is_cancelled`] is given up after it: what it returns later is
    /// dropped, and its slot is in use until then.
    /// An unknown token is none of ours, or has ended: nothing happens.
    pub fn hand_back(&self, token: AttemptToken, grace: Millis) {
        let stop = Stop {
            reason: StopReason::Drained,
            kill_grace: Some(Millis(grace.0 / 2)),
            patience: Some(grace),
        };
        self.shared.slots.stop_one(token, stop);
    }

    /// Slots in use: of attempts that run, and of handlers that were given up and have not returned.
    #[must_use]
    pub fn running(&self) -> usize {
        self.shared.slots.running()
    }

    /// Ends the execution: nothing begins any more, every attempt is told to end and handed back. Waits until all reports
    /// were taken by the channel, at most `grace`; programs that do not end on TERM are killed after half of it.
    ///
    /// Returns the number of attempts that have not ended by then: blocking handlers that ignore their cancellation, or
    /// reports that nobody takes.
    pub async fn stop(&self, grace: Millis) -> usize {
        self.shared.slots.stop_all(Millis(grace.0 / 2));
        let mut unreported = self.shared.unreported.subscribe();
        let all = unreported.wait_for(|count| *count == 0);
        let limit = std::time::Duration::from_millis(grace.0);
        // The sender lives in `shared`, so only the time limit can end this wait early.
        let _ = tokio::time::timeout(limit, all).await;
        *self.shared.unreported.borrow()
    }

    /// Sends the one report of `token` once its end is known, and says later when the slot is free, if it is not by then.
    fn report_later(&self, token: AttemptToken, over: impl Future<Output = Over> + Send + 'static) {
        let shared = Arc::clone(&self.shared);
        shared.unreported.send_modify(|count| *count += 1);
        let _runtime = self.shared.options.runtime.enter();
        spawn::task("attempt", async move {
            let Over { end, thread } = over.await;
            let report = AttemptReport {
                token,
                end,
                lingers: thread.is_some(),
            };
            shared.report(Report::Ended(report)).await;
            shared.unreported.send_modify(|count| *count -= 1);
            if let Some(thread) = thread {
                thread.await;
                shared.slots.give_back(token);
                shared.report(Report::Returned(token)).await;
            }
        });
    }
}

impl Shared {
    async fn report(&self, report: Report) {
        if let Err(mpsc::error::SendError(report)) = self.reports.send(report).await {
            tracing::debug!(
                ?report,
                "nobody takes reports any more; this one is dropped"
            );
        }
    }
}
