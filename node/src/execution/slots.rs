//! Which attempts run, and how many of each executor: the bound that `pool-size` promises.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ringhold_types::{AttemptToken, ExecutorId, Millis};
use tokio::sync::watch;

use super::StopReason;

/// What a running attempt is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    /// Why it must end.
    pub(super) reason: StopReason,
    /// A shorter time between TERM and KILL than the executor's, when the member stops or its drain is over.
    pub(super) kill_grace: Option<Millis>,
    /// How long the end of a blocking handler is awaited, when the drain is over; without it for as long as it takes.
    pub(super) patience: Option<Millis>,
}

impl Stop {
    /// A stop that leaves the attempt as much time as its executor says.
    pub(super) const fn unhurried(reason: StopReason) -> Self {
        Self {
            reason,
            kill_grace: None,
            patience: None,
        }
    }

    /// Takes over whatever of a later stop leaves less time.
    fn shorten(&mut self, later: Self) {
        let shorter = |known: Option<Millis>, other: Option<Millis>| match (known, other) {
            (Some(known), Some(other)) => Some(known.min(other)),
            (known, other) => known.or(other),
        };
        self.kill_grace = shorter(self.kill_grace, later.kill_grace);
        self.patience = shorter(self.patience, later.patience);
    }
}

/// Carries a [`Stop`] to an attempt. The first one is the reason for its end; later ones can only leave it less time: what
/// ran out of time may be on its way out for as long as it likes, but not beyond the end of a drain.
#[derive(Clone, Debug)]
pub(super) struct StopSignal(watch::Sender<Option<Stop>>);

impl StopSignal {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Gives the signal; the reason of an earlier one stays.
    pub(super) fn give(&self, stop: Stop) {
        self.0.send_if_modified(|given| {
            let before = *given;
            given.get_or_insert(stop).shorten(stop);
            *given != before
        });
    }

    /// The signal, if it was given.
    pub(super) fn given(&self) -> Option<Stop> {
        *self.0.borrow()
    }

    /// Waits for the signal, for ever if it never comes.
    pub(super) async fn wait(&self) -> Stop {
        self.wait_for(Some).await
    }

    /// Waits until the time between TERM and KILL is over: `usual`, or less once a stop says so.
    pub(super) async fn kill_time(&self, usual: Millis) {
        let usual = tokio::time::sleep(Duration::from_millis(usual.0));
        let hurried = async {
            let grace = self.wait_for(|stop| stop.kill_grace).await;
            tokio::time::sleep(Duration::from_millis(grace.0)).await;
        };
        tokio::select! {
            () = usual => {}
            () = hurried => {}
        }
    }

    /// Waits until the end of a blocking handler is not awaited any longer; for ever if nothing says so.
    pub(super) async fn out_of_patience(&self) {
        let patience = self.wait_for(|stop| stop.patience).await;
        tokio::time::sleep(Duration::from_millis(patience.0)).await;
    }

    /// Waits until the signal says what is asked for.
    async fn wait_for<T>(&self, wanted: impl Fn(Stop) -> Option<T>) -> T {
        let mut receiver = self.0.subscribe();
        loop {
            let said = receiver.borrow_and_update().and_then(&wanted);
            if let Some(said) = said {
                return said;
            }
            if receiver.changed().await.is_err() {
                // Unreachable while `self` holds the sender; waiting is the answer that harms nobody.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Why an attempt gets no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// This token holds one.
    AlreadyRunning,
    /// The executor holds `pool-size` slots here.
    PoolFull,
    /// The execution was stopped.
    Stopped,
}

/// The slots in use.
#[derive(Debug, Default)]
pub(super) struct Slots(Mutex<Used>);

#[derive(Debug, Default)]
struct Used {
    running: BTreeMap<AttemptToken, StopSignal>,
    per_executor: BTreeMap<ExecutorId, u32>,
    stopped: bool,
}

impl Slots {
    /// Takes a slot of the token's executor.
    pub(super) fn take(&self, token: AttemptToken, pool_size: u32) -> Result<StopSignal, Refused> {
        let mut used = self.used();
        if used.running.contains_key(&token) {
            return Err(Refused::AlreadyRunning);
        }
        if used.stopped {
            return Err(Refused::Stopped);
        }
        let count = used
            .per_executor
            .entry(token.partition.executor)
            .or_default();
        if *count >= pool_size {
            return Err(Refused::PoolFull);
        }
        *count += 1;
        let signal = StopSignal::new();
        used.running.insert(token, signal.clone());
        Ok(signal)
    }

    /// Gives the token's slot back.
    pub(super) fn give_back(&self, token: AttemptToken) {
        let mut used = self.used();
        if used.running.remove(&token).is_none() {
            return;
        }
        let executor = token.partition.executor;
        if let Some(count) = used.per_executor.get_mut(&executor) {
            *count -= 1;
            if *count == 0 {
                used.per_executor.remove(&executor);
            }
        }
    }

    /// Tells one attempt to end.
    pub(super) fn stop_one(&self, token: AttemptToken, stop: Stop) {
        if let Some(signal) = self.used().running.get(&token) {
            signal.give(stop);
        }
    }

    /// Gives out no slot any more, and tells every attempt to end.
    pub(super) fn stop_all(&self, kill_grace: Millis) {
        let mut used = self.used();
        used.stopped = true;
        for signal in used.running.values() {
            signal.give(Stop {
                reason: StopReason::HandedBack,
                kill_grace: Some(kill_grace),
                patience: None,
            });
        }
    }

    /// Slots in use, those of handlers that were given up and have not returned included.
    pub(super) fn running(&self) -> usize {
        self.used().running.len()
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        // Every change above is complete before anything can panic, so a poisoned lock still holds true numbers.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
