//! What all parts of the control plane share.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::async_runtime::WatchReceiver;
use ringhold_control::MemberInfo;
use ringhold_types::{ClusterId, MemberId, StartNonce};
use tokio::sync::watch;

use super::detector::Detector;
use super::disk::Disk;
use super::error::Asked;
use super::events::{ControlView, Publisher};
use super::exchanges::Exchanges;
use super::grants::Grants;
use super::metadata::Identity;
use super::raft;
use super::types::{Metrics, Raft, member};
use crate::clock::Clock;
use crate::peer::control::Peers;

/// The shared middle of the control plane.
pub(crate) struct Core {
    /// This member.
    pub(crate) info: MemberInfo,
    /// This process start.
    pub(crate) fresh: StartNonce,
    /// The name of the cluster that it belongs to or wants to belong to.
    pub(crate) cluster_name: String,
    /// Identity of the cluster, if this member makes it.
    pub(crate) new_cluster: ClusterId,
    /// Time.
    pub(crate) clock: Clock,
    /// Raft.
    pub(crate) raft: Raft,
    /// Ways to other members.
    pub(crate) peers: Arc<Peers>,
    /// View and events.
    pub(crate) publisher: Arc<Publisher>,
    /// Durable writes.
    pub(crate) disk: Disk,
    /// Raft changes its membership one step at a time; interleaved changes may leave a joint one behind.
    pub(crate) membership_change: tokio::sync::Mutex<()>,
    detector: Mutex<Detector>,
    exchanges: Mutex<Exchanges>,
    grants: Mutex<Grants>,
    identity: Mutex<Identity>,
    /// Members that the leader waits for, as it last said.
    starting: Mutex<BTreeSet<MemberId>>,
    /// Whether this member is on its way into a cluster and can no longer be told to have none.
    forming: AtomicBool,
    /// Whether Raft runs.
    takes_part: AtomicBool,
    /// Why it is not in the cluster yet.
    waiting: Mutex<Option<(String, Asked)>>,
    stopped: watch::Sender<bool>,
}

/// What [`Core::new`] needs.
pub(crate) struct Parts {
    pub(crate) info: MemberInfo,
    pub(crate) fresh: StartNonce,
    pub(crate) cluster_name: String,
    pub(crate) new_cluster: ClusterId,
    pub(crate) clock: Clock,
    pub(crate) raft: Raft,
    pub(crate) peers: Arc<Peers>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) disk: Disk,
    pub(crate) identity: Identity,
    pub(crate) has_raft_state: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Core {
    pub(crate) fn new(parts: Parts) -> Self {
        let waiting = ("it has not asked anybody yet".to_owned(), Asked::default());
        Self {
            detector: Mutex::new(Detector::new(parts.info.id, parts.fresh, parts.clock.now())),
            exchanges: Mutex::new(Exchanges::new(parts.info.id)),
            info: parts.info,
            fresh: parts.fresh,
            cluster_name: parts.cluster_name,
            new_cluster: parts.new_cluster,
            clock: parts.clock,
            raft: parts.raft,
            peers: parts.peers,
            publisher: parts.publisher,
            disk: parts.disk,
            membership_change: tokio::sync::Mutex::new(()),
            grants: Mutex::default(),
            identity: Mutex::new(parts.identity),
            starting: Mutex::default(),
            forming: AtomicBool::new(parts.has_raft_state),
            takes_part: AtomicBool::new(false),
            waiting: Mutex::new(Some(waiting)),
            stopped: watch::Sender::new(false),
        }
    }

    /// This member.
    pub(crate) fn own(&self) -> MemberId {
        self.info.id
    }

    /// The latest applied view.
    pub(crate) fn view(&self) -> Arc<ControlView> {
        self.publisher.view()
    }

    /// openraft's metrics, copied: its guard must never be held for long.
    pub(crate) fn metrics(&self) -> Metrics {
        self.raft.metrics().borrow_watched().clone()
    }

    /// The Raft leader as this member knows it, this member included.
    pub(crate) fn leader(&self) -> Option<MemberId> {
        self.raft
            .metrics()
            .borrow_watched()
            .current_leader
            .map(member)
    }

    /// Whether this member leads, with a quorum behind it that rules out another leader.
    pub(crate) fn leads(&self) -> bool {
        raft::leads(&self.raft.metrics().borrow_watched())
    }

    /// Whether this member, if it leads, has applied all that was in its log when it was elected.
    pub(crate) fn knows_its_log(&self) -> bool {
        raft::knows_its_log(&self.raft.metrics().borrow_watched())
    }

    /// Who asks whom for signs of life. Never held across an await.
    pub(crate) fn exchanges(&self) -> MutexGuard<'_, Exchanges> {
        locked(&self.exchanges)
    }

    /// The failure detector. Never held across an await.
    pub(crate) fn detector(&self) -> MutexGuard<'_, Detector> {
        locked(&self.detector)
    }

    /// Leases granted. Never held across an await.
    pub(crate) fn grants(&self) -> MutexGuard<'_, Grants> {
        locked(&self.grants)
    }

    /// Members that the leader has not heard since its process started and waits for, as it last said.
    pub(crate) fn starting(&self) -> BTreeSet<MemberId> {
        locked(&self.starting).clone()
    }

    /// Sets what [`Self::starting`] tells.
    pub(crate) fn set_starting(&self, starting: BTreeSet<MemberId>) {
        *locked(&self.starting) = starting;
    }

    /// What the directory knows of itself, copied.
    pub(crate) fn identity(&self) -> Identity {
        locked(&self.identity).clone()
    }

    /// Changes what the directory knows of itself, and what the next one reads there.
    pub(crate) async fn change_identity(
        &self,
        change: impl FnOnce(&mut Identity),
    ) -> std::io::Result<()> {
        let batch = {
            let mut identity = locked(&self.identity);
            change(&mut identity);
            super::metadata::Batch::default().identity(&identity)
        };
        self.disk.write(batch).await
    }

    /// Whether this member has, or is about to have, a cluster.
    pub(crate) fn is_forming(&self) -> bool {
        self.forming.load(Ordering::Acquire)
    }

    /// From now on this member never answers "no cluster".
    pub(crate) fn set_forming(&self) {
        self.forming.store(true, Ordering::Release);
    }

    /// Whether Raft runs: votes and acknowledges.
    pub(crate) fn takes_part(&self) -> bool {
        self.takes_part.load(Ordering::Acquire)
    }

    /// Lets Raft run. Until then its calls wait.
    pub(crate) fn take_part(&self) {
        if !self.takes_part.swap(true, Ordering::AcqRel) {
            self.raft.run();
        }
    }

    /// Why this member is not in the cluster yet; `None` once it is.
    pub(crate) fn waiting(&self) -> Option<(String, Asked)> {
        locked(&self.waiting).clone()
    }

    /// Sets what [`Self::waiting`] tells.
    pub(crate) fn set_waiting(&self, waiting: Option<(String, Asked)>) {
        *locked(&self.waiting) = waiting;
    }

    /// Tells all loops to end.
    pub(crate) fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// Whether the loops are to end.
    pub(crate) fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Waits until the loops are to end.
    pub(crate) async fn until_stopped(&self) {
        let mut stopped = self.stopped.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }
}
