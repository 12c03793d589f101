//! A running member, started by [`Member::builder`]: the same one as `ringhold server`.

mod builder;
mod disk;
mod ending;
mod error;
mod executor;
mod listeners;
mod memory;
mod runtimes;
mod start;
mod stop;
mod store;
mod templates;

use std::net::SocketAddr;

use ringhold_types::{ClusterId, MemberId};
use tokio::sync::watch;

pub use builder::MemberBuilder;
pub use error::StartError;
pub use executor::ExecutorConfig;
pub use templates::{Resolve, Templates};

use crate::control::ControlPlane;
use crate::execution::Execution;
use crate::partition::DriverHandle;
use crate::rpc::Servers;
pub(crate) use ending::Ended;

/// A running member.
///
/// Dropping it without [`Member::shutdown`] is like a crash: the cluster fails its partitions over.
pub struct Member {
    id: MemberId,
    name: String,
    cluster: ClusterId,
    control: ControlPlane,
    driver: DriverHandle,
    execution: Execution,
    servers: Servers,
    stop: watch::Sender<bool>,
    /// Set by the driver's thread when it ends: the reason, if it did not end by request.
    ended: watch::Receiver<Ended>,
    partition_thread: Option<std::thread::JoinHandle<()>>,
    /// The member's threads; they end with it.
    _runtimes: runtimes::Runtimes,
    _home: std::sync::Arc<disk::Home>,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Member")
            .field("name", &self.name)
            .field("id", &self.id)
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

impl Member {
    /// Configures a member in code.
    #[must_use]
    pub fn builder() -> MemberBuilder {
        MemberBuilder::default()
    }

    /// A cluster of one on loopback, in a directory of its own that goes with it: for tests and first tries. Its executors
    /// get durability 0, whatever they say, since there is nobody to hold a backup.
    #[must_use]
    pub fn single() -> MemberBuilder {
        MemberBuilder::single()
    }

    /// Its identity.
    #[must_use]
    pub const fn member_id(&self) -> MemberId {
        self.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster it belongs to.
    #[must_use]
    pub const fn cluster_id(&self) -> ClusterId {
        self.cluster
    }

    /// Where clients reach it.
    #[must_use]
    pub const fn client_address(&self) -> SocketAddr {
        self.servers.client_address
    }

    /// Where members reach it.
    #[must_use]
    pub const fn peer_address(&self) -> SocketAddr {
        self.servers.peer_address
    }

    /// Where its HTTP pages are.
    #[must_use]
    pub const fn http_address(&self) -> SocketAddr {
        self.servers.http_address
    }

    /// Whether the control plane knows a leader, this process is registered and every partition led here answers; else
    /// the reasons.
    #[must_use]
    pub fn not_ready_reasons(&self) -> Vec<String> {
        self.servers.readiness.reasons()
    }

    /// Waits until the member ends by itself, and says why: its disk failed, say.
    pub async fn wait_fatal(&self) -> String {
        let mut ended = self.ended.clone();
        let reason = match ended.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone(),
            Err(_) => None,
        };
        match reason {
            Some(Err(reason)) => reason,
            _ => "the partition thread has ended".to_owned(),
        }
    }

    /// Ends the member in good order, within a minute: other members take over what it leads, running attempts end or
    /// are handed back, open calls end, everything handed to the disk is written, the Raft leadership moves. No task is
    /// re-run, unless an attempt ignores its end or no other member can take over.
    pub async fn shutdown(self) {
        stop::stop(self).await;
    }

    async fn join_partition_thread(&mut self) {
        let Some(thread) = self.partition_thread.take() else {
            return;
        };
        // On a thread of its own: a runtime would not end before one of its blocking threads that waits for a hanging disk.
        let (sender, joined) = tokio::sync::oneshot::channel();
        let joins = crate::spawn::thread("join-ring", move || {
            // Nobody may wait for it any more.
            let _ = sender.send(thread.join());
        });
        if let Err(error) = joins {
            tracing::error!(%error, "no thread to wait for the partition thread with");
        }
        if !matches!(joined.await, Ok(Ok(()))) {
            tracing::error!("the partition thread panicked, or could not be waited for");
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}
