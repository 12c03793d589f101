//! What the control plane tells the rest of the member: the latest applied view, and a bounded stream of events.
//!
//! The stream is bounded by construction, without ever holding back Raft: applied changes that nobody took yet are merged
//! into one event, and of leases only the newest is of use.

use std::sync::{Arc, Mutex, PoisonError};

use ringhold_control::{Changes, Cluster};
use ringhold_types::{ControlIndex, Tick};
use tokio::sync::{Notify, watch};

/// Cluster state as applied here.
#[derive(Debug)]
pub struct ControlView {
    /// Position in the control plane's log up to which it is applied.
    pub index: ControlIndex,
    /// The state.
    pub cluster: Arc<Cluster>,
}

/// Something the rest of the member must act on.
#[derive(Debug)]
pub enum ControlEvent {
    /// Cluster state was applied up to `index`.
    Applied {
        /// Position in the control plane's log.
        index: ControlIndex,
        /// Everything that changed since the event before; each thing once.
        changes: Changes,
        /// The state at `index`.
        cluster: Arc<Cluster>,
    },
    /// The Raft leader, within its own quorum lease, answered the heartbeat sent at `sent` (our clock): the lease of lone
    /// primaries (PROTOCOL §2), usable once `applied` is applied here.
    Lease {
        /// When the heartbeat was sent.
        sent: Tick,
        /// Control state that the leader had applied.
        applied: ControlIndex,
    },
    /// The control plane cannot go on (its store failed, say); the member must stop.
    Fatal(String),
}

#[derive(Debug, Default)]
struct Pending {
    applied: Option<(ControlIndex, Changes, Arc<Cluster>)>,
    lease: Option<(Tick, ControlIndex)>,
    fatal: Option<String>,
    ended: bool,
}

#[derive(Debug, Default)]
struct Queue {
    pending: Mutex<Pending>,
    arrived: Notify,
}

impl Queue {
    fn change(&self, change: impl FnOnce(&mut Pending)) {
        change(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        self.arrived.notify_one();
    }
}

/// The receiving end; one per member.
#[derive(Debug)]
pub struct ControlEvents {
    queue: Arc<Queue>,
}

impl ControlEvents {
    /// The next event: applied state before leases, so that a lease finds the state it needs. `None` once the control plane
    /// has stopped. Cancel-safe.
    pub async fn next(&mut self) -> Option<ControlEvent> {
        loop {
            {
                let mut pending = self
                    .queue
                    .pending
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                if let Some((index, changes, cluster)) = pending.applied.take() {
                    return Some(ControlEvent::Applied {
                        index,
                        changes,
                        cluster,
                    });
                }
                if let Some((sent, applied)) = pending.lease.take() {
                    return Some(ControlEvent::Lease { sent, applied });
                }
                if let Some(reason) = pending.fatal.take() {
                    return Some(ControlEvent::Fatal(reason));
                }
                if pending.ended {
                    return None;
                }
            }
            self.queue.arrived.notified().await;
        }
    }
}

/// The sending end: the view for whoever looks, and the events.
#[derive(Debug)]
pub(crate) struct Publisher {
    view: watch::Sender<Arc<ControlView>>,
    queue: Arc<Queue>,
}

impl Publisher {
    /// A publisher whose view is the state before anything was applied.
    pub(crate) fn new() -> (Self, ControlEvents) {
        let view = ControlView {
            index: ControlIndex::ZERO,
            cluster: Arc::new(Cluster::new()),
        };
        let queue = Arc::new(Queue::default());
        let publisher = Self {
            view: watch::Sender::new(Arc::new(view)),
            queue: Arc::clone(&queue),
        };
        (publisher, ControlEvents { queue })
    }

    /// The latest applied view.
    pub(crate) fn view(&self) -> Arc<ControlView> {
        Arc::clone(&self.view.borrow())
    }

    /// A receiver of views.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<ControlView>> {
        self.view.subscribe()
    }

    /// State was applied up to `index`.
    pub(crate) fn applied(&self, index: ControlIndex, changes: Changes, cluster: &Arc<Cluster>) {
        let view = ControlView {
            index,
            cluster: Arc::clone(cluster),
        };
        self.view.send_replace(Arc::new(view));
        self.queue.change(|pending| {
            let merged = match pending.applied.take() {
                Some((_, earlier, _)) => merge(earlier, changes),
                None => merge(Changes::default(), changes),
            };
            pending.applied = Some((index, merged, Arc::clone(cluster)));
        });
    }

    /// A lease was granted for the heartbeat sent at `sent`.
    pub(crate) fn leased(&self, sent: Tick, applied: ControlIndex) {
        self.queue.change(|pending| {
            let newer = pending.lease.is_none_or(|(earlier, _)| earlier < sent);
            if newer {
                pending.lease = Some((sent, applied));
            }
        });
    }

    /// Nothing works any more.
    pub(crate) fn fatal(&self, reason: String) {
        self.queue.change(|pending| {
            pending.fatal.get_or_insert(reason);
        });
    }

    /// No events will follow.
    pub(crate) fn end(&self) {
        self.queue.change(|pending| pending.ended = true);
    }
}

/// Both lists of changes as one, each thing once.
fn merge(earlier: Changes, later: Changes) -> Changes {
    fn union<T: Ord>(mut earlier: Vec<T>, later: Vec<T>) -> Vec<T> {
        earlier.extend(later);
        earlier.sort_unstable();
        earlier.dedup();
        earlier
    }
    Changes {
        configurations: union(earlier.configurations, later.configurations),
        executors: union(earlier.executors, later.executors),
        deleted: union(earlier.deleted, later.deleted),
        members: union(earlier.members, later.members),
    }
}

#[cfg(test)]
mod tests {
    use ringhold_types::MemberId;

    use super::*;

    fn of_member(member: u64) -> Changes {
        Changes {
            members: vec![MemberId(member)],
            ..Changes::default()
        }
    }

    #[tokio::test]
    async fn changes_that_nobody_took_are_merged_and_none_is_lost() {
        let (publisher, mut events) = Publisher::new();
        let cluster = Arc::new(Cluster::new());
        publisher.applied(ControlIndex(1), of_member(2), &cluster);
        publisher.leased(Tick(5), ControlIndex(1));
        publisher.leased(Tick(4), ControlIndex(1));
        publisher.applied(ControlIndex(2), of_member(1), &cluster);
        publisher.applied(ControlIndex(3), of_member(2), &cluster);
        publisher.end();
        let Some(ControlEvent::Applied { index, changes, .. }) = events.next().await else {
            panic!("applied state comes first");
        };
        assert_eq!(
            (index, changes.members),
            (ControlIndex(3), vec![MemberId(1), MemberId(2)])
        );
        let Some(ControlEvent::Lease { sent, .. }) = events.next().await else {
            panic!("then the lease");
        };
        assert_eq!(sent, Tick(5), "the newest lease counts");
        assert!(events.next().await.is_none());
        assert_eq!(publisher.view().index, ControlIndex(3));
    }
}
