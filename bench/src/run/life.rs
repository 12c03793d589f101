//! One task's whole life, and the times of all of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use ringhold_client::{Client, ErrorCode, Executor, Outcome};

use crate::executor::echo;
use crate::histogram::Histogram;

/// Lives tasks and keeps their times.
pub(super) struct Lives {
    client: Client,
    executor: Executor,
    payload: Bytes,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// From when to when is measured.
    from: Option<Instant>,
    until: Option<Instant>,
    /// Lives that ended while it was measured.
    ended: u64,
    times: Times,
}

/// The times of the lives that began while it was measured.
#[derive(Default)]
pub(super) struct Times {
    /// From the start to the acknowledgement.
    pub(super) acknowledged: Histogram,
    /// From the start to the answer that retrieved and disposed the outcome.
    pub(super) disposed: Histogram,
    /// Lives that ended in another way, by code.
    pub(super) errors: BTreeMap<&'static str, u64>,
}

/// When one life came how far.
struct Milestones {
    acknowledged: Instant,
    disposed: Instant,
}

impl Lives {
    pub(super) fn new(client: Client, executor: Executor, payload: Bytes) -> Self {
        Self {
            client,
            executor,
            payload,
            state: Mutex::default(),
        }
    }

    /// Lives one task; its times count from `start`, which may be before now.
    pub(super) async fn live(&self, start: Instant) {
        let lived = self.milestones().await;
        let mut state = self.state();
        state.record(start, Instant::now(), lived);
    }

    async fn milestones(&self) -> Result<Milestones, ErrorCode> {
        let submit = self.executor.submit(echo(&self.payload)).await;
        let handle = submit.map_err(|error| error.code())?;
        let acknowledged = Instant::now();
        let retrieved = self.client.retrieve_and_dispose_result(handle.id()).await;
        let retrieved = retrieved.map_err(|error| error.code())?;
        match retrieved.outcome {
            Outcome::Succeeded(result) if result.payload == self.payload => Ok(Milestones {
                acknowledged,
                disposed: Instant::now(),
            }),
            // An echo that fails, or returns something else, is a defect of the cluster.
            _ => Err(ErrorCode::Internal),
        }
    }

    /// Begins to count.
    pub(super) fn measure_from(&self, from: Instant) {
        self.state().from = Some(from);
    }

    /// Ends the counting, and gives the number of lives that ended within. Times of those that began within still come in.
    pub(super) fn measure_until(&self, until: Instant) -> u64 {
        let mut state = self.state();
        state.until = Some(until);
        state.ended
    }

    /// The times so far, taken out.
    pub(super) fn take_times(&self) -> Times {
        std::mem::take(&mut self.state().times)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn record(&mut self, start: Instant, now: Instant, lived: Result<Milestones, ErrorCode>) {
        let Some(from) = self.from else {
            return;
        };
        let open = self.until.is_none();
        let began_within = start >= from && self.until.is_none_or(|until| start < until);
        match lived {
            Ok(milestones) => {
                self.ended += u64::from(open && now >= from);
                if began_within {
                    let since = |at: Instant| at.saturating_duration_since(start);
                    self.times
                        .acknowledged
                        .record(since(milestones.acknowledged));
                    self.times.disposed.record(since(milestones.disposed));
                }
            }
            Err(code) => *self.times.errors.entry(code.as_str()).or_default() += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn lives_count_when_they_end_and_times_when_they_begin_while_it_is_measured() {
        let zero = Instant::now();
        let at = |millis| zero + Duration::from_millis(millis);
        let life = |end| {
            Ok(Milestones {
                acknowledged: at(end),
                disposed: at(end),
            })
        };
        let mut state = State::default();
        state.record(at(0), at(5), life(5));
        state.from = Some(at(10));
        state.record(at(5), at(15), life(15));
        state.record(at(12), at(20), life(20));
        state.until = Some(at(30));
        state.record(at(29), at(40), life(40));
        state.record(at(31), at(41), life(41));
        state.record(at(31), at(41), Err(ErrorCode::Unavailable));
        assert_eq!(state.ended, 2);
        assert_eq!(state.times.disposed.count(), 2);
        assert_eq!(state.times.errors["UNAVAILABLE"], 1);
    }

    #[test]
    fn a_life_that_began_late_counts_from_its_intended_start() {
        let zero = Instant::now();
        let mut state = State {
            from: Some(zero),
            ..State::default()
        };
        let end = zero + Duration::from_millis(500);
        let milestones = Milestones {
            acknowledged: end,
            disposed: end,
        };
        state.record(zero, end, Ok(milestones));
        assert!(state.times.disposed.latency().p50 >= 500_000);
    }
}
