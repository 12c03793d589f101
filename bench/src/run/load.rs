//! The two ways to load a cluster.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::life::Lives;
use crate::arguments::RunArguments;

/// Most lives under way in an open loop: a cluster that is slower than the rate must not fill this process's memory.
/// Lives that wait for room keep their intended start.
const OPEN_IN_FLIGHT_MAX: usize = 20_000;

/// A load that goes on until it is ended.
pub(super) struct Load {
    stop: watch::Sender<bool>,
    lives: JoinSet<()>,
    open: Option<Arc<Semaphore>>,
}

/// The pace of an open loop.
#[derive(Clone, Copy, Debug)]
struct Pace {
    begin: Instant,
    rate: u32,
}

impl Pace {
    /// When life number `number` is intended to start, from 0.
    fn start_of(self, number: u64) -> Instant {
        let nanos = u128::from(number) * 1_000_000_000 / u128::from(self.rate);
        self.begin + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// The most submits that a client of this run has under way.
pub(super) fn most_in_flight(run: &RunArguments) -> usize {
    let closed = run
        .in_flight
        .map(|lives| usize::try_from(lives).unwrap_or(usize::MAX));
    closed.unwrap_or(OPEN_IN_FLIGHT_MAX)
}

impl Load {
    /// Begins.
    pub(super) fn begin(run: &RunArguments, lives: &Arc<Lives>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut load = Self {
            stop,
            lives: JoinSet::new(),
            open: None,
        };
        match run.rate {
            Some(rate) => {
                let room = Arc::new(Semaphore::new(OPEN_IN_FLIGHT_MAX));
                load.open = Some(room.clone());
                load.lives
                    .spawn(open_loop(rate, room, lives.clone(), stopped));
            }
            None => {
                for _ in 0..run.in_flight.unwrap_or(1) {
                    load.lives
                        .spawn(closed_loop(lives.clone(), stopped.clone()));
                }
            }
        }
        load
    }

    /// Ends it: no new lives, and some patience for those under way. Gives the number of those that did not end.
    pub(super) async fn end(mut self, patience: Duration) -> u64 {
        self.stop.send_replace(true);
        let drained = async {
            while self.lives.join_next().await.is_some() {}
            if let Some(room) = &self.open {
                let all = u32::try_from(OPEN_IN_FLIGHT_MAX).unwrap_or(u32::MAX);
                let _all_ended = room.acquire_many(all).await;
            }
        };
        let in_time = tokio::time::timeout(patience, drained).await.is_ok();
        let open = self
            .open
            .as_ref()
            .map(|room| OPEN_IN_FLIGHT_MAX - room.available_permits());
        let unfinished = if in_time {
            0
        } else {
            self.lives.len() + open.unwrap_or(0)
        };
        u64::try_from(unfinished).unwrap_or(u64::MAX)
    }
}

async fn closed_loop(lives: Arc<Lives>, stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        lives.live(Instant::now()).await;
    }
}

async fn open_loop(
    rate: u32,
    room: Arc<Semaphore>,
    lives: Arc<Lives>,
    stopped: watch::Receiver<bool>,
) {
    let pace = Pace {
        begin: Instant::now(),
        rate,
    };
    for number in 0.. {
        let start = pace.start_of(number);
        tokio::time::sleep_until(start.into()).await;
        let place = room.clone().acquire_owned().await;
        if *stopped.borrow() {
            return;
        }
        let lives = lives.clone();
        tokio::spawn(async move {
            lives.live(start).await;
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_of_an_open_loop_does_not_drift() {
        let pace = Pace {
            begin: Instant::now(),
            rate: 3000,
        };
        let after = |number| pace.start_of(number) - pace.begin;
        assert_eq!(after(0), Duration::ZERO);
        assert_eq!(after(3000), Duration::from_secs(1));
        assert_eq!(after(3000 * 600), Duration::from_secs(600));
    }
}
