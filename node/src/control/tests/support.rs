//! Control planes for tests: each with its directory, its listener and a reader of its events.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use ringhold_control::{Changes, MemberInfo, StoreReport};
use ringhold_storage::{MetadataStore, RedbStore};
use ringhold_types::{ClusterId, ControlIndex, MemberId, StartNonce, Tick};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::control::{ControlError, ControlEvent, ControlEvents, ControlOptions, ControlPlane};
use crate::peer::{PeerIdentity, PeerServiceImpl};
use crate::rpc::{Serving, serve_peers};

/// Longest that anything may take on a busy machine; nothing is asserted by waiting this long.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A listener bound before its member exists, so that addresses are known to all.
pub(super) struct Place {
    listener: std::net::TcpListener,
    pub(super) address: String,
}

/// A place on a port picked by the system.
pub(super) fn place() -> Place {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("non-blocking");
    let address = listener.local_addr().expect("bound").to_string();
    Place { listener, address }
}

/// What the events of a member brought.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) applied: Vec<(ControlIndex, Changes)>,
    pub(super) leases: Vec<(Tick, ControlIndex)>,
    pub(super) fatal: Option<String>,
}

/// A running control plane.
pub(super) struct Running {
    pub(super) plane: ControlPlane,
    pub(super) id: MemberId,
    pub(super) fresh: StartNonce,
    pub(super) log: Arc<Mutex<Log>>,
    server: Serving,
    reader: JoinHandle<()>,
}

/// How a member is started.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) id: u64,
    pub(super) fresh: u64,
    pub(super) join: Vec<String>,
    pub(super) expect: u32,
    pub(super) cluster_name: &'static str,
    /// Another name than that of its number.
    pub(super) name: Option<&'static str>,
    pub(super) deadline: Option<Duration>,
}

/// A plan with the defaults of these tests.
pub(super) fn plan(id: u64, fresh: u64, join: &[String], expect: u32) -> Plan {
    Plan {
        id,
        fresh,
        join: join.to_vec(),
        expect,
        cluster_name: "test",
        name: None,
        deadline: Some(PATIENCE),
    }
}

/// Opens a member and mounts its service; it has not joined yet.
pub(super) async fn open(directory: &TempDir, place: Place, plan: &Plan) -> Running {
    let store = RedbStore::open(directory.path().join("metadata.redb")).expect("opens");
    open_on(Arc::new(store), place, plan).await
}

/// A member as others see it.
pub(super) fn info(id: u64, peer_address: &str) -> MemberInfo {
    MemberInfo {
        id: MemberId(id),
        name: format!("m{id}"),
        zone: None,
        client_address: String::new(),
        peer_address: peer_address.to_owned(),
        http_address: String::new(),
        witness: false,
        feature_level: 2,
    }
}

/// Opens a member on a store of the test's.
pub(super) async fn open_on(store: Arc<dyn MetadataStore>, place: Place, plan: &Plan) -> Running {
    let mut member = info(plan.id, &place.address);
    if let Some(name) = plan.name {
        name.clone_into(&mut member.name);
    }
    let options = ControlOptions {
        member,
        cluster_name: plan.cluster_name.to_owned(),
        join: plan.join.clone(),
        expect: plan.expect,
        store,
        known_cluster: None,
        new_cluster: ClusterId(u128::from(plan.fresh) << 64 | u128::from(plan.id)),
        fresh: StartNonce(plan.fresh),
        store_report: if plan.fresh % 100 == 1 {
            StoreReport::Empty
        } else {
            StoreReport::Intact
        },
        join_deadline: plan.deadline,
        clock: Clock,
    };
    let (plane, events) = ControlPlane::new(options).await.expect("opens");
    let listener = TcpListener::from_std(place.listener).expect("listens");
    // No replicas here: streams of other members would be told that this one has not joined.
    let identity = PeerIdentity {
        cluster: OnceLock::new(),
        member: MemberId(plan.id),
        start: StartNonce(plan.fresh),
    };
    let exchange = PeerServiceImpl::new(Arc::new(identity), Arc::default());
    let server = serve_peers(&Handle::current(), listener, plane.service(), exchange);
    let log = Arc::new(Mutex::new(Log::default()));
    let reader = crate::spawn::task("test-reader", read(events, Arc::clone(&log)));
    let id = MemberId(plan.id);
    Running {
        plane,
        id,
        fresh: StartNonce(plan.fresh),
        log,
        server,
        reader,
    }
}

async fn read(mut events: ControlEvents, log: Arc<Mutex<Log>>) {
    while let Some(event) = events.next().await {
        let mut log = log.lock().expect("not poisoned");
        match event {
            ControlEvent::Applied { index, changes, .. } => log.applied.push((index, changes)),
            ControlEvent::Lease { sent, applied } => log.leases.push((sent, applied)),
            ControlEvent::Fatal(reason) => log.fatal = Some(reason),
        }
    }
}

impl Running {
    /// Ends it as a crash does: nobody is told, connections break.
    pub(super) async fn crash(self) {
        self.server.crash().await;
        self.plane.halt().await;
        self.reader.abort();
    }

    /// Stops it in good order.
    pub(super) async fn stop(self) {
        self.plane.stop().await;
        self.server.crash().await;
        self.reader.await.expect("the events end");
    }

    /// The view that satisfies `is_so`, as soon as there is one.
    pub(super) async fn until(
        &self,
        what: &str,
        is_so: impl FnMut(&Arc<crate::control::ControlView>) -> bool,
    ) -> Arc<crate::control::ControlView> {
        let mut views = self.plane.watch();
        let view = tokio::time::timeout(PATIENCE, views.wait_for(is_so)).await;
        Arc::clone(
            &view
                .unwrap_or_else(|_| panic!("{what}: not in time"))
                .expect("runs"),
        )
    }
}

/// Waits until `is_so`; for states without a notification of their own.
pub(super) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, waiting).await.is_ok(),
        "{what}: not in time"
    );
}

/// Joins all at once.
pub(super) async fn join_all(members: &[&Running]) -> Vec<Result<(), ControlError>> {
    futures_util::future::join_all(members.iter().map(|member| member.plane.join())).await
}

/// Three members that form a cluster.
pub(super) async fn three() -> (Vec<TempDir>, Vec<Running>, Vec<String>) {
    let directories: Vec<TempDir> = (0..3)
        .map(|_| tempfile::tempdir().expect("a directory"))
        .collect();
    let places: Vec<Place> = (0..3).map(|_| place()).collect();
    let join: Vec<String> = places.iter().map(|place| place.address.clone()).collect();
    let mut members = Vec::new();
    for ((number, place), directory) in (1_u64..).zip(places).zip(&directories) {
        members.push(open(directory, place, &plan(number, number * 100 + 1, &join, 3)).await);
    }
    let joined = join_all(&members.iter().collect::<Vec<_>>()).await;
    for result in joined {
        result.expect("joins");
    }
    (directories, members, join)
}

/// Waits until three members vote and the change is done.
pub(super) async fn three_voters(member: &Running) {
    eventually("three voters", || {
        let summary = member.plane.summary();
        summary.voters.len() == 3 && !summary.voters_change
    })
    .await;
}
