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
    /// Partitions that acknowledged, and when first: at all; after the fault, in a later term than the one before it, so
    /// that it was the new primary and no acknowledgement on its way.
    acknowledged: BTreeMap<PartitionNumber, Instant>,
    /// The partitions that the fault hits, with their terms just before it; partitions may have moved since the probes
    /// began.
    hit: Option<BTreeMap<PartitionNumber, Term>>,
}

impl Seen {
    fn fault(&mut self, hit: BTreeMap<PartitionNumber, Term>) {
        self.acknowledged.clear();
        self.hit = Some(hit);
    }

    fn note(&mut self, partition: PartitionNumber, receipt: Term, at: Instant) {
        let counts = match &self.hit {
            None => true,
            Some(hit) => hit.get(&partition).is_some_and(|before| receipt > *before),
        };
        if counts {
            self.acknowledged.entry(partition).or_insert(at);
        }
    }

    fn answered(&self, probed: usize) -> Option<Answered> {
        let times = &self.acknowledged;
        let (first, last) = (times.values().min()?, times.values().max()?);
        let wanted = self.hit.as_ref().map_or(probed, BTreeMap::len);
        (times.len() == wanted).then_some(Answered {
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
        for partition in led.keys().step_by(step) {
            let Some(key) = keys.get(partition).cloned() else {
                bail!("partition {} has no key", partition.0);
            };
            let (seen, executor) = (seen.clone(), executor.clone());
            let partition = *partition;
            running.spawn(async move {
                loop {
                    let answer = submit(&executor, &key).await;
                    if let Ok(receipt) = answer {
                        let now = Instant::now();
                        seen.send_modify(|seen| seen.note(partition, receipt.term, now));
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

    /// The member that leads these partitions, in these terms, is about to be hit: from now on only what their next
    /// primaries acknowledge counts.
    ///
    /// # Errors
    /// When it leads none of the probed partitions any more.
    pub(super) fn fault(&self, led: &BTreeMap<PartitionNumber, Term>) -> anyhow::Result<()> {
        let mut hit = led.clone();
        let seen = self.seen.borrow();
        hit.retain(|partition, _| seen.acknowledged.contains_key(partition));
        drop(seen);
        if hit.is_empty() {
            bail!("the partitions that were probed have moved to other members");
        }
        self.seen.send_modify(|seen| seen.fault(hit));
        Ok(())
    }

    /// Waits until every probed partition has acknowledged; after a fault, by a new primary.
    ///
    /// # Errors
    /// When some has not in time.
    pub(super) async fn wait_for_all(&self, patience: Duration) -> anyhow::Result<Answered> {
        let mut seen = self.seen.subscribe();
        let all = seen.wait_for(|seen| seen.answered(self.probed).is_some());
        let in_time = tokio::time::timeout(patience, all).await;
        if let Ok(Ok(seen)) = in_time
            && let Some(answered) = seen.answered(self.probed)
        {
            return Ok(answered);
        }
        let acknowledged = self.seen.borrow().acknowledged.len();
        bail!("after {patience:?} only {acknowledged} of the probed partitions have acknowledged")
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
    fn only_an_acknowledgement_of_a_later_term_than_just_before_the_fault_shows_a_new_primary() {
        let at = Instant::now();
        let mut seen = Seen::default();
        seen.note(PartitionNumber(1), Term(4), at);
        assert!(seen.answered(1).is_some());
        seen.fault(BTreeMap::from([(PartitionNumber(1), Term(5))]));
        assert_eq!(seen.answered(1), None);
        // A hand-over before the fault, and an acknowledgement that was on its way.
        seen.note(PartitionNumber(1), Term(5), at);
        // Another partition, which the fault does not hit.
        seen.note(PartitionNumber(2), Term(9), at);
        assert_eq!(seen.answered(1), None);
        let later = at + Duration::from_millis(900);
        seen.note(PartitionNumber(1), Term(6), later);
        seen.note(
            PartitionNumber(1),
            Term(6),
            later + Duration::from_millis(5),
        );
        let answered = Answered {
            first: later,
            last: later,
        };
        assert_eq!(seen.answered(1), Some(answered));
    }

    #[test]
    fn every_partition_that_the_fault_hits_has_to_answer() {
        let at = Instant::now();
        let mut seen = Seen::default();
        seen.fault(BTreeMap::from([
            (PartitionNumber(1), Term(5)),
            (PartitionNumber(2), Term(5)),
        ]));
        seen.note(PartitionNumber(1), Term(6), at);
        assert_eq!(seen.answered(2), None);
        seen.note(PartitionNumber(2), Term(6), at);
        assert!(seen.answered(2).is_some());
    }
}
