//! The control plane: cluster state under Raft, on every member (DESIGN §3.1). The only folder that names openraft.
//!
//! [`ControlPlane::new`] opens it, [`ControlPlane::service`] goes onto the listener for peers, then
//! [`ControlPlane::join`] finds or makes the cluster and records this process start. From then on [`ControlEvents`] carries
//! what is applied. `bootstrap`, `detector`, `exchanges`, `grants` and `voters` are pure decisions; `join`, `lease` and `keeper` are the
//! loops around them; `log_store`, `state_machine` and `network` are openraft's three sides.

mod bootstrap;
mod codec;
mod core;
mod detector;
mod disk;
mod error;
mod events;
mod exchanges;
mod grants;
mod join;
mod keeper;
mod lease;
mod log_store;
mod metadata;
mod namesake;
mod network;
mod propose;
mod raft;
mod read_index;
mod service;
mod state_machine;
#[cfg(test)]
mod tests;
mod types;
mod voters;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use ringhold_control::{Command, MemberInfo, Response, StoreReport};
use ringhold_storage::MetadataStore;
use ringhold_types::{ClusterId, ControlIndex, MemberId, StartNonce};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use error::{Asked, ControlError, ProposeError};
pub use events::{ControlEvent, ControlEvents, ControlView};
pub use service::ControlService;

use self::core::{Core, Parts};
use crate::clock::Clock;
use crate::peer::control::Peers;
use disk::Disk;
use events::Publisher;
use join::Wish;
use log_store::LogStore;
use metadata::{Batch, Metadata};
use network::Network;
use read_index::ReadIndex;
use state_machine::StateMachine;
use types::{Raft, member};

/// How long a stopping leader waits for another one to take over.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(1);

/// What a control plane starts with.
pub struct ControlOptions {
    /// This member. Its id is that of the data directory; its peer address must be the one that is really listened on.
    pub member: MemberInfo,
    /// The name of the cluster to join or make.
    pub cluster_name: String,
    /// Addresses of members for peers, `host:port`; this member's own may be among them. Empty: nobody is asked.
    pub join: Vec<String>,
    /// How many members, this one included, begin a new cluster. With 1 and an empty `join` it is one by itself.
    pub expect: u32,
    /// Where Raft's vote and log are kept. The control plane's tables in it begin with `raft`.
    pub store: Arc<dyn MetadataStore>,
    /// The cluster that the data directory belongs to, if it says so.
    pub known_cluster: Option<ClusterId>,
    /// Random identity of the cluster, used if this member makes it.
    pub new_cluster: ClusterId,
    /// Random nonce of this process start, not zero. The control plane itself remembers which one was accepted last.
    pub fresh: StartNonce,
    /// What was found in the task store.
    pub store_report: StoreReport,
    /// [`ControlPlane::join`] gives up after this time; `None`: never.
    pub join_deadline: Option<Duration>,
    /// Time.
    pub clock: Clock,
}

/// The control plane of one member. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct ControlPlane {
    core: Arc<Core>,
    wish: Arc<Wish>,
    read_index: ReadIndex,
    loops: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

/// Raft's state for people and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RaftSummary {
    /// The leader, if known.
    pub leader: Option<MemberId>,
    /// Raft's term; not a partition's.
    pub term: u64,
    /// `Leader`, `Follower`, `Candidate`, `Learner` or `Shutdown`.
    pub role: String,
    /// Who votes.
    pub voters: Vec<MemberId>,
    /// Whether the voters are just being changed: until it is done, a majority of the old and of the new ones is needed.
    pub voters_change: bool,
    /// Who only learns.
    pub learners: Vec<MemberId>,
    /// The last position in the log here.
    pub last_index: u64,
    /// The last position applied here.
    pub applied_index: u64,
}

impl ControlPlane {
    /// Opens the control plane: reads what is stored, and makes this process start durable. Raft takes part from
    /// [`Self::join`] on.
    ///
    /// # Errors
    /// [`ControlError::Configuration`], [`ControlError::Store`] or [`ControlError::MixedDirectory`].
    pub async fn new(options: ControlOptions) -> Result<(Self, ControlEvents), ControlError> {
        check(&options)?;
        let metadata = Metadata::new(options.store);
        let found = metadata.load().map_err(ControlError::Store)?;
        let mut identity = found.identity;
        let known = same_cluster(options.known_cluster, identity.cluster)?;
        identity.cluster = known;
        identity.present(options.fresh);
        let presented = Batch::default().identity(&identity);
        metadata.commit(presented).map_err(ControlError::Store)?;

        let disk = Disk::start(metadata).map_err(ControlError::Store)?;
        let (publisher, events) = Publisher::new();
        let publisher = Arc::new(publisher);
        let peers = Arc::new(Peers::new(options.member.id));
        if let Some(cluster) = known {
            peers.belong(cluster);
        }
        let has_raft_state = !found.log.is_empty() || found.snapshot.is_some();
        let raft = Raft::build(
            options.member.id.0,
            raft_config(&options.cluster_name)?,
            Network::new(Arc::clone(&peers)),
            LogStore::new(found.log, disk.clone()),
            StateMachine::new(found.snapshot, disk.clone(), Arc::clone(&publisher)),
        )
        .await
        .map_err(|fatal| ControlError::Fatal(fatal.to_string()))?;
        let core = Core::new(Parts {
            info: options.member,
            fresh: options.fresh,
            cluster_name: options.cluster_name,
            new_cluster: options.new_cluster,
            clock: options.clock,
            raft,
            peers,
            publisher,
            disk,
            identity,
            has_raft_state: has_raft_state || known.is_some(),
        });
        let wish = Wish {
            join: options.join,
            expect: options.expect,
            store: options.store_report,
            deadline: options.join_deadline,
        };
        let (read_index, questions) = ReadIndex::new();
        let plane = Self {
            core: Arc::new(core),
            wish: Arc::new(wish),
            read_index,
            loops: Arc::default(),
        };
        plane.start_loops(questions);
        Ok((plane, events))
    }

    fn start_loops(&self, questions: read_index::Questions) {
        let loops = [
            crate::spawn::task(
                "control-read-index",
                read_index::run(Arc::clone(&self.core), questions),
            ),
            crate::spawn::task("control-lease", lease::run(Arc::clone(&self.core))),
            crate::spawn::task("control-keeper", keeper::run(Arc::clone(&self.core))),
            crate::spawn::task("control-follow", follow(Arc::clone(&self.core))),
        ];
        self.loops
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(loops);
    }

    /// What answers other members; to be served on the listener for peers before [`Self::join`], since members that begin a
    /// cluster together ask each other.
    #[must_use]
    pub fn service(&self) -> ControlService {
        ControlService::new(Arc::clone(&self.core))
    }

    /// Finds or makes the cluster (PROTOCOL §6) and records this process start. Returns once that record is applied here,
    /// which is when this member may act, and the voters of a new cluster are there or three seconds have passed.
    ///
    /// # Errors
    /// [`ControlError`], with whom it asked and what each answered where that matters.
    pub async fn join(&self) -> Result<(), ControlError> {
        join::run(&self.core, &self.wish).await
    }

    /// Why this member is not in its cluster yet, and whom it asked; `None` once it is. For `/readyz`.
    #[must_use]
    pub fn waiting(&self) -> Option<(String, Asked)> {
        self.core.waiting()
    }

    /// Proposes a command, from any member; it is forwarded to the leader, and tried again while there is none.
    ///
    /// A command that forgets a member, or replaces one, first waits until no lease of it can be left (about 1.5 s).
    ///
    /// # Errors
    /// [`ProposeError`]; after [`ProposeError::Timeout`] the command may or may not be applied.
    pub async fn propose(
        &self,
        command: Command,
        deadline: Duration,
    ) -> Result<Response, ProposeError> {
        propose::propose(&self.core, command, deadline).await
    }

    /// The position that holds everything committed before this call: who has applied it has seen whatever anybody was told
    /// of before. `None` if no leader said so within `patience`.
    pub async fn read_index(&self, patience: Duration) -> Option<ControlIndex> {
        let asked = tokio::time::timeout(patience, self.read_index.ask());
        asked.await.ok().flatten()
    }

    /// The latest applied view. Cheap.
    #[must_use]
    pub fn view(&self) -> Arc<ControlView> {
        self.core.view()
    }

    /// Members that count as up, though the leader has not heard them since its process started: it waits for them until the
    /// restart grace ends (PROTOCOL §6). As the leader last said.
    #[must_use]
    pub fn starting(&self) -> BTreeSet<MemberId> {
        self.core.starting()
    }

    /// Views as they are applied; a slow receiver sees the newest only.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<ControlView>> {
        self.core.publisher.watch()
    }

    /// The Raft leader as this member knows it.
    #[must_use]
    pub fn leader(&self) -> Option<MemberId> {
        self.core.leader()
    }

    /// Whether this member leads Raft, with a quorum behind it.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.core.leads()
    }

    /// Raft's state for people and metrics.
    #[must_use]
    pub fn summary(&self) -> RaftSummary {
        let metrics = self.core.metrics();
        let membership = metrics.membership_config.membership();
        RaftSummary {
            leader: metrics.current_leader.map(member),
            term: metrics.current_term,
            role: format!("{:?}", metrics.state),
            voters: membership.voter_ids().map(member).collect(),
            voters_change: membership.get_joint_config().len() > 1
                || metrics.membership_config != metrics.committed_membership_config,
            learners: membership.learner_ids().map(member).collect(),
            last_index: metrics.last_log_index.unwrap_or(0),
            applied_index: metrics.last_applied.map_or(0, |applied| applied.index),
        }
    }

    /// Stops: a leader hands its leadership over first. Everything handed to the store is durable and the store is released
    /// when this returns.
    pub async fn stop(self) {
        if self.core.leads() {
            hand_over(&self.core).await;
        }
        self.halt().await;
    }

    /// From now on this member is silent, as if it had died: it neither says nor answers that it is there, and its part of
    /// Raft ends. For a member that can no longer do its share; [`Self::stop`] still ends it in order.
    pub async fn fall_silent(&self) {
        self.core.stop();
        if let Err(error) = self.core.raft.shutdown().await {
            tracing::warn!(%error, "raft did not stop cleanly");
        }
    }

    /// Stops without handing anything over.
    async fn halt(self) {
        self.core.stop();
        let loops = std::mem::take(&mut *self.loops.lock().unwrap_or_else(PoisonError::into_inner));
        for running in loops {
            // A loop that panicked has been reported; stopping goes on.
            let _ = running.await;
        }
        if let Err(error) = self.core.raft.shutdown().await {
            tracing::warn!(%error, "raft did not stop cleanly");
        }
        self.core.disk.stop().await;
        self.core.publisher.end();
    }
}

fn raft_config(cluster_name: &str) -> Result<Arc<openraft::Config>, ControlError> {
    raft::config(cluster_name).map_err(|error| ControlError::Configuration(error.to_string()))
}

fn check(options: &ControlOptions) -> Result<(), ControlError> {
    let refuse = |reason: &str| Err(ControlError::Configuration(reason.to_owned()));
    if options.fresh == StartNonce::ZERO {
        return refuse("a process start needs a nonce that is not zero");
    }
    if options.expect == 0 {
        return refuse("`expect` is at least 1: this member itself");
    }
    if options.expect > 1 && options.join.is_empty() {
        return refuse(
            "`expect` is more than 1, and `join` lists nobody; list the members that begin the cluster",
        );
    }
    Ok(())
}

fn same_cluster(
    directory: Option<ClusterId>,
    store: Option<ClusterId>,
) -> Result<Option<ClusterId>, ControlError> {
    match (directory, store) {
        (Some(directory), Some(store)) if directory != store => {
            Err(ControlError::MixedDirectory { directory, store })
        }
        (directory, store) => Ok(directory.or(store)),
    }
}

/// Takes over what applied state and Raft itself tell: the cluster's identity, members' addresses, and the end.
async fn follow(core: Arc<Core>) {
    let mut views = core.publisher.watch();
    let mut metrics = core.raft.metrics();
    loop {
        let view = Arc::clone(&views.borrow_and_update());
        if let Some(cluster) = view.cluster.id() {
            core.peers.belong(cluster);
        }
        for record in view
            .cluster
            .members()
            .values()
            .filter(|record| record.is_up())
        {
            core.peers
                .suggest(record.info.id, &record.info.peer_address);
        }
        let running = metrics.borrow_watched().running_state.clone();
        if let Err(fatal) = running
            && !core.is_stopped()
        {
            core.publisher.fatal(fatal.to_string());
        }
        tokio::select! {
            () = core.until_stopped() => return,
            changed = views.changed() => if changed.is_err() { return },
            changed = metrics.changed() => if changed.is_err() {
                core.publisher.fatal("raft has stopped".to_owned());
                return;
            },
        }
    }
}

/// Asks the voter whose log is closest to lead, and waits for it.
async fn hand_over(core: &Core) {
    let metrics = core.metrics();
    let Some(replication) = &metrics.replication else {
        return;
    };
    let voters = metrics
        .membership_config
        .voter_ids()
        .filter(|voter| *voter != metrics.id);
    let is_up = |voter: &u64| {
        core.view()
            .cluster
            .members()
            .get(&member(*voter))
            .is_some_and(|record| record.is_up())
    };
    let next = voters.filter(is_up).max_by_key(|voter| {
        replication
            .get(voter)
            .and_then(|matched| matched.map(|id| id.index))
    });
    let Some(next) = next else { return };
    if core.raft.trigger().transfer_leader(next).await.is_err() {
        return;
    }
    let mut metrics = core.raft.metrics();
    let taken_over = async {
        while metrics.borrow_watched().state.is_leader() {
            if metrics.changed().await.is_err() {
                return;
            }
        }
    };
    // Without a successor the others elect one by themselves.
    let _ = tokio::time::timeout(HAND_OVER_TIMEOUT, taken_over).await;
}
