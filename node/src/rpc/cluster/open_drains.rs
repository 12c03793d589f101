//! Calls that wait here for the end of a drain of this member. The one with the most time decides when that is over: nothing is
//! handed back while a caller still gives time to the same drain. A caller who goes away gives none any more.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ringhold_proto::ApiError;
use ringhold_replica::Event;
use ringhold_types::{ControlIndex, ErrorCode};
use tokio::time::Instant;

use super::super::api_error;
use crate::partition::DriverHandle;

/// Calls that may wait at a time: a drain has one operator, whose tries may overlap.
const CALLS_MAX: usize = 64;

/// The calls that wait.
#[derive(Default)]
pub(in crate::rpc) struct OpenDrains {
    calls: Mutex<Calls>,
    /// Held while the driver is told what follows from the calls, so that it hears of them in their order.
    telling: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Calls {
    /// For which drain, and until when.
    open: BTreeMap<u64, (ControlIndex, Instant)>,
    last: u64,
}

/// One call; it is closed when this is dropped.
pub(super) struct OpenDrain<'a> {
    all: &'a OpenDrains,
    number: u64,
    drain: ControlIndex,
    over: Instant,
}

impl OpenDrains {
    /// A call gives a drain time until `over`.
    ///
    /// # Errors
    /// UNAVAILABLE if too many wait.
    pub(super) async fn open(
        &self,
        driver: &DriverHandle,
        drain: ControlIndex,
        over: Instant,
    ) -> Result<OpenDrain<'_>, ApiError> {
        let _telling = self.telling.lock().await;
        let open = self.add(drain, over)?;
        driver.notify(Event::DrainOver { drain, over: false }).await;
        Ok(open)
    }

    fn add(&self, drain: ControlIndex, over: Instant) -> Result<OpenDrain<'_>, ApiError> {
        let mut calls = self.calls();
        if calls.open.len() >= CALLS_MAX {
            let message = format!("{CALLS_MAX} calls wait for the end of this member's drain");
            return Err(api_error(ErrorCode::Unavailable, message));
        }
        calls.last += 1;
        let number = calls.last;
        calls.open.insert(number, (drain, over));
        Ok(OpenDrain {
            all: self,
            number,
            drain,
            over,
        })
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        // Every change is complete before anything can panic.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenDrain<'_> {
    /// The time of this call is over: so is the drain's, unless another call gives it more. Returns whether it is.
    pub(super) async fn end(&self, driver: &DriverHandle) -> bool {
        let _telling = self.all.telling.lock().await;
        if self.is_outlasted() {
            return false;
        }
        let drain = self.drain;
        driver.notify(Event::DrainOver { drain, over: true }).await;
        true
    }

    /// Whether another call gives the same drain more time.
    fn is_outlasted(&self) -> bool {
        let calls = self.all.calls();
        let later =
            |(drain, over): &(ControlIndex, Instant)| *drain == self.drain && *over > self.over;
        calls.open.values().any(later)
    }
}

impl Drop for OpenDrain<'_> {
    fn drop(&mut self) {
        self.all.calls().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;

    const DRAIN: ControlIndex = ControlIndex(7);

    #[test]
    fn the_open_call_with_the_most_time_for_a_drain_decides_when_that_is_over() {
        let calls = OpenDrains::default();
        let now = Clock.instant();
        let later = now + Duration::from_secs(10);
        let first = calls.add(DRAIN, now).expect("there is room");
        assert!(!first.is_outlasted());
        let of_another = calls.add(ControlIndex(8), later).expect("there is room");
        assert!(!first.is_outlasted());
        let second = calls.add(DRAIN, later).expect("there is room");
        assert!(first.is_outlasted());
        assert!(!second.is_outlasted());
        assert!(!of_another.is_outlasted());
        drop(second);
        assert!(!first.is_outlasted(), "its caller went away");
    }

    #[test]
    fn no_more_calls_wait_than_there_is_room_for() {
        let calls = OpenDrains::default();
        let add = || calls.add(DRAIN, Clock.instant());
        let all: Vec<_> = (0..CALLS_MAX)
            .map(|_| add().expect("there is room"))
            .collect();
        assert_eq!(add().err().map(|it| it.code), Some(ErrorCode::Unavailable));
        drop(all);
        assert!(add().is_ok());
    }
}
