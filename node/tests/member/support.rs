//! Clusters for these tests, and the few calls that they make.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use ringhold_node::{Member, MemberBuilder};
use ringhold_proto::v1::cluster_service_client::ClusterServiceClient;
use ringhold_proto::v1::executor_service_client::ExecutorServiceClient;
use ringhold_proto::{ApiError, v1};
use ringhold_sys::HeldAddress;
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Longest that anything may take on a busy machine; nothing is asserted by waiting this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Three members, and their directories, which go with them.
pub(crate) struct Three {
    pub(crate) members: Vec<Member>,
    directories: TempDir,
    _held: Vec<HeldAddress>,
}

/// Starts three members, each made by `configure` from a builder that knows the others.
pub(crate) async fn three(configure: impl Fn(usize, MemberBuilder) -> MemberBuilder) -> Three {
    let directories = tempfile::tempdir().expect("a directory");
    let held = held_addresses(3);
    let peers: Vec<String> = held.iter().map(|it| it.address().to_string()).collect();
    let starts = (0..3).map(|number| {
        let builder = Member::builder()
            .name(format!("m{}", number + 1))
            .cluster("test")
            .join(peers.clone())
            .join_deadline(PATIENCE)
            .peer_address(&peers[number])
            .data_dir(directories.path().join(format!("m{}", number + 1)));
        configure(number, builder).start()
    });
    let members = futures_util::future::try_join_all(starts).await;
    Three {
        members: members.expect("the members start"),
        directories,
        _held: held,
    }
}

impl Three {
    /// The data directory of a member.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        self.directories.path().join(name)
    }

    /// Stops all members.
    pub(crate) async fn stop(self) {
        futures_util::future::join_all(self.members.into_iter().map(Member::shutdown)).await;
    }
}

/// Addresses that nobody else gets while they are held: members must know each other's before any has started.
pub(crate) fn held_addresses(count: usize) -> Vec<HeldAddress> {
    (0..count)
        .map(|_| HeldAddress::on_loopback().expect("a free port"))
        .collect()
}

pub(crate) async fn executors(member: &Member) -> ExecutorServiceClient<Channel> {
    let address = format!("http://{}", member.client_address());
    ExecutorServiceClient::connect(address)
        .await
        .expect("connects")
}

pub(crate) async fn cluster(member: &Member) -> ClusterServiceClient<Channel> {
    let address = format!("http://{}", member.client_address());
    ClusterServiceClient::connect(address)
        .await
        .expect("connects")
}

/// A call that may take as long as a test waits at most.
pub(crate) fn patient<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    request
}

/// What a refusal says.
pub(crate) fn refusal(status: &Status) -> ApiError {
    ApiError::from_status(status).unwrap_or_else(|| panic!("no refusal of ours: {status}"))
}

/// A task for a handler.
pub(crate) fn task(handler: &str, payload: String, key: &str) -> v1::Task {
    let call = v1::task::Call::Handler(v1::HandlerCall {
        name: handler.to_owned(),
        payload: payload.into(),
        content_type: "application/json".to_owned(),
        version: None,
    });
    v1::Task {
        call: Some(call),
        idempotency_key: Some(key.to_owned().into()),
        ..v1::Task::default()
    }
}

/// Waits until `is_so`; for states without a notification of their own.
pub(crate) async fn eventually<F>(what: &str, mut is_so: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(in_time.is_ok(), "{what}: not in time");
}
