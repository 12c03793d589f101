//! The load: an endless row of tasks, each accepted, completed half a window later, disposed a window later.

use bytes::Bytes;
use ringhold_types::PartitionNumber;

/// Partitions that the tasks are spread over: the default of an executor.
pub(super) const PARTITIONS: u64 = 271;
/// Bytes of an outcome.
const OUTCOME_BYTES: usize = 64;

/// Number of a task in the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TaskNumber(pub(super) u64);

impl TaskNumber {
    /// The partition that it lives in.
    pub(super) fn partition(self) -> PartitionNumber {
        PartitionNumber(u32::try_from(self.0 % PARTITIONS).unwrap_or(0))
    }

    /// Its key in a store with keys: partition, then number, so that a partition's tasks lie together.
    #[cfg(feature = "peers")]
    pub(super) fn key(self) -> [u8; 12] {
        let mut key = [0; 12];
        key[..4].copy_from_slice(&self.partition().0.to_be_bytes());
        key[4..].copy_from_slice(&self.0.to_be_bytes());
        key
    }
}

/// One step of a life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The task is stored.
    Accept(TaskNumber, Bytes),
    /// Its outcome takes its place.
    Complete(TaskNumber, Bytes),
    /// It is removed.
    Dispose(TaskNumber),
}

/// The row of tasks.
pub(super) struct Lives {
    next: u64,
    window: u64,
    payload: Bytes,
    outcome: Bytes,
}

impl Lives {
    /// A row in which `window` tasks live at any time, at least 2.
    pub(super) fn new(window: u64, payload: Bytes) -> Self {
        let outcome = Bytes::copy_from_slice(&crate::executor::payload(OUTCOME_BYTES));
        Self {
            next: 0,
            window: window.max(2),
            payload,
            outcome,
        }
    }

    /// The next so many tasks, and what is due of earlier ones.
    pub(super) fn next_batch(&mut self, tasks: usize) -> Vec<Change> {
        let mut batch = Vec::with_capacity(3 * tasks);
        for _ in 0..tasks {
            batch.push(Change::Accept(TaskNumber(self.next), self.payload.clone()));
            if let Some(earlier) = self.next.checked_sub(self.window / 2) {
                batch.push(Change::Complete(TaskNumber(earlier), self.outcome.clone()));
            }
            if let Some(earlier) = self.next.checked_sub(self.window) {
                batch.push(Change::Dispose(TaskNumber(earlier)));
            }
            self.next += 1;
        }
        batch
    }

    /// Whether as many live as ever will.
    pub(super) const fn is_full(&self) -> bool {
        self.next > self.window
    }

    /// Tasks whose life is over.
    pub(super) const fn disposed(&self) -> u64 {
        self.next.saturating_sub(self.window)
    }

    /// Tasks that live.
    pub(super) const fn live(&self) -> u64 {
        self.next - self.disposed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_accepted_completed_and_disposed_in_this_order_and_the_live_set_is_bounded() {
        let mut lives = Lives::new(10, Bytes::from_static(b"task"));
        let mut steps = std::collections::BTreeMap::<TaskNumber, Vec<u8>>::new();
        for _ in 0..20 {
            for change in lives.next_batch(3) {
                let (task, step) = match change {
                    Change::Accept(task, _) => (task, b'a'),
                    Change::Complete(task, _) => (task, b'c'),
                    Change::Dispose(task) => (task, b'd'),
                };
                steps.entry(task).or_default().push(step);
            }
            assert!(lives.live() <= 10);
        }
        assert!(lives.is_full());
        assert_eq!((lives.disposed(), lives.live()), (50, 10));
        let over = steps.values().filter(|steps| **steps == b"acd");
        assert_eq!(over.count(), 50);
        assert_eq!(steps[&TaskNumber(59)], b"a");
    }
}
