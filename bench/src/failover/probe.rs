//! Submits that go on through a fault, one after the other into partitions whose primary it hits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use ringhold_client::{Client, Executor, PartitionNumber, Receipt, Term};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::executor;

/// Partitions that are probed, each by one submit at a time: enough to meet the first that comes back, few enough to be
/// no load.
const PROBED_MAX: usize = 32;
/// Between two submits into a partition.
const PAUSE: Duration = Duration::from_millis(5);
/// Longer than any recovery that the bench waits for.
const SUBMIT_DEADLINE: Duration = Duration::from_secs(90);

/// Probes that go on until they are dropped.
pub(super) struct Probes {
    seen: Arc<watch::Sender<Seen>>,
    probed: usize,
    _running: JoinSet<()>,
}

/// When partitions answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answered {
    /// The first of them.
    pub(super) first: Instant,
    /// The last of them.
    pub(super) last: Instant,
}

#[derive(Debug, Default)]
struct Seen {
    /// Partitions that acknowledged at all.
    any: BTreeMap<PartitionNumber, Instant>,
    /// First acknowledgement of a later term than the one before the fault: of the new primary, not one on its way.
    newer: BTreeMap<PartitionNumber, Instant>,
}

impl Seen {
    fn note(&mut self, partition: PartitionNumber, before: Term, receipt: Term, at: Instant) {
        self.any.entry(partition).or_insert(at);
        if receipt > before {
            self.newer.entry(partition).or_insert(at);
        }
    }

    fn answered(&self, after: Option<Instant>, probed: usize) -> Option<Answered> {
        let times = match after {
            Some(_) => &self.newer,
            None => &self.any,
        };
        let (first, last) = (times.values().min()?, times.values().max()?);
        (times.len() == probed).then_some(Answered {
            first: *first,
            last: *last,
        })
    }
}

impl Probes {
    /// Begins to probe some of these partitions, evenly chosen.
    ///
    /// # Errors
    /// When the client does not know the executor.
    pub(super) fn begin(
        client: &Client,
        executor: &Executor,
        led: &BTreeMap<PartitionNumber, Term>,
    ) -> anyhow::Result<Self> {
        let keys: BTreeMap<_, _> = executor::keys(client)?.into_iter().collect();
        let seen = Arc::new(watch::Sender::new(Seen::default()));
        let mut running = JoinSet::new();
        let step = led.len().div_ceil(PROBED_MAX).max(1);
        for (partition, term) in led.iter().step_by(step) {
            let Some(key) = keys.get(partition).cloned() else {
                bail!("partition {} has no key", partition.0);
            };
            let (seen, executor) = (seen.clone(), executor.clone());
            let (partition, term) = (*partition, *term);
            running.spawn(async move {
                loop {
                    let answer = submit(&executor, &key).await;
                    if let Ok(receipt) = answer {
                        let now = Instant::now();
                        seen.send_modify(|seen| seen.note(partition, term, receipt.term, now));
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        Ok(Self {
            seen,
            probed: running.len(),
            _running: running,
        })
    }

    /// Waits until every probed partition has acknowledged: at all, or, after a fault, in a new term.
    ///
    /// # Errors
    /// When some has not in time.
    pub(super) async fn wait_for_all(
        &self,
        after: Option<Instant>,
        patience: Duration,
    ) -> anyhow::Result<Answered> {
        let mut seen = self.seen.subscribe();
        let all = seen.wait_for(|seen| seen.answered(after, self.probed).is_some());
        let in_time = tokio::time::timeout(patience, all).await;
        if let Ok(Ok(seen)) = in_time
            && let Some(answered) = seen.answered(after, self.probed)
        {
            return Ok(answered);
        }
        let seen = self.seen.borrow();
        let answered = if after.is_some() {
            &seen.newer
        } else {
            &seen.any
        };
        bail!(
            "after {patience:?} {} of {} probed partitions have acknowledged",
            answered.len(),
            self.probed
        )
    }
}

async fn submit(executor: &Executor, key: &str) -> Result<Receipt, ringhold_client::SubmitError> {
    let task = executor::echo(&executor::payload(16));
    executor
        .execute(task)
        .key(key.to_owned())
        .deadline(SUBMIT_DEADLINE)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_acknowledgement_of_a_later_term_shows_a_new_primary() {
        let at = Instant::now();
        let mut seen = Seen::default();
        seen.note(PartitionNumber(1), Term(4), Term(4), at);
        assert!(seen.answered(None, 1).is_some());
        assert_eq!(seen.answered(Some(at), 1), None);
        let later = at + Duration::from_millis(900);
        seen.note(PartitionNumber(1), Term(4), Term(5), later);
        seen.note(
            PartitionNumber(1),
            Term(4),
            Term(5),
            later + Duration::from_millis(5),
        );
        let answered = Answered {
            first: later,
            last: later,
        };
        assert_eq!(seen.answered(Some(at), 1), Some(answered));
        assert_eq!(
            seen.answered(Some(at), 2),
            None,
            "the other has not answered"
        );
    }
}
