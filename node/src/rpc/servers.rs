//! What is served on the member's three ports: clients, peers, HTTP.

use std::future::{Future, IntoFuture};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringhold_proto::v1::cluster_service_server::ClusterServiceServer;
use ringhold_proto::v1::executor_service_server::ExecutorServiceServer;
use ringhold_types::limits;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::{Api, ClusterServiceImpl, ExecutorServiceImpl};
use crate::control::ControlService;
use crate::http::{self, Pages, Readiness};
use crate::member::Ended;
use crate::peer::{self, PeerServiceImpl};
use crate::spawn;

/// Silence on a client's connection after which it is pinged, and the time it has to answer: waiters of clients that
/// vanished without a word do not stay longer.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// The name under which gRPC's health service knows the server as a whole.
const WHOLE_MEMBER: &str = "";
/// Calls open at once on one connection; SDKs park thousands of retrieves on one.
const CALLS_PER_CONNECTION_MAX: u32 = 100_000;

/// Serves members, on a runtime of their own: what they ask of the control plane, and their replicas' streams.
pub(crate) fn serve_peers(
    runtime: &Handle,
    listener: TcpListener,
    control: ControlService,
    exchange: PeerServiceImpl,
) -> Serving {
    let _inside = runtime.enter();
    let (stop, stopped) = watch::channel(false);
    let server = Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .add_routes(peer::routes(control, exchange))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), until(stopped));
    Serving {
        stop,
        task: spawn::task("serve-peers", logged("peer", server)),
    }
}

/// Something that is being served.
pub(crate) struct Serving {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

#[cfg(test)]
impl Serving {
    /// Ends it as a crash does; returns once its port is free.
    pub(crate) async fn crash(mut self) {
        self.task.abort();
        let _aborted = (&mut self.task).await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone stops the server as well.
    let _dropped = stopped.wait_for(|stopped| *stopped).await;
}

async fn logged<E: std::fmt::Display>(
    port: &'static str,
    server: impl Future<Output = Result<(), E>>,
) {
    if let Err(error) = server.await {
        tracing::error!(port, %error, "a port is not served any more");
    }
}

/// Everything that is served, with the addresses.
pub(crate) struct Servers {
    pub(crate) client_address: SocketAddr,
    pub(crate) peer_address: SocketAddr,
    pub(crate) http_address: SocketAddr,
    pub(crate) readiness: Arc<Readiness>,
    clients: Serving,
    peers: Serving,
    http: Serving,
}

/// What [`Servers::start`] needs.
pub(crate) struct ServersOptions {
    pub(crate) client: TcpListener,
    pub(crate) client_address: SocketAddr,
    pub(crate) http: Serving,
    pub(crate) http_address: SocketAddr,
    pub(crate) peers: Serving,
    pub(crate) peer_address: SocketAddr,
    pub(crate) api: Api,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) ended: watch::Receiver<Ended>,
}

impl Servers {
    /// Serves clients; members and pages are served already.
    pub(crate) async fn start(options: ServersOptions) -> Self {
        Self {
            client_address: options.client_address,
            peer_address: options.peer_address,
            http_address: options.http_address,
            readiness: options.readiness,
            clients: serve_clients(options.client, options.api, options.ended).await,
            peers: options.peers,
            http: options.http,
        }
    }

    /// Ends calls: new ones are refused, open ones have `grace` to end.
    pub(crate) async fn stop_calls(&mut self, grace: Duration) {
        self.clients.stop.send_replace(true);
        if tokio::time::timeout(grace, &mut self.clients.task)
            .await
            .is_err()
        {
            self.clients.task.abort();
        }
    }

    /// Ends the peers' port and the pages.
    pub(crate) fn stop_peers(&self) {
        self.http.stop.send_replace(true);
        self.peers.stop.send_replace(true);
        self.peers.task.abort();
    }
}

async fn serve_clients(listener: TcpListener, api: Api, ended: watch::Receiver<Ended>) -> Serving {
    let (stop, stopped) = watch::channel(false);
    let (health, health_service) = tonic_health::server::health_reporter();
    let executor = ExecutorServiceServer::new(ExecutorServiceImpl::new(api.clone()))
        .max_decoding_message_size(limits::MESSAGE_BYTES_MAX)
        .max_encoding_message_size(limits::ANSWER_BYTES_MAX);
    let cluster = ClusterServiceServer::new(ClusterServiceImpl::new(api));
    health
        .set_serving::<ExecutorServiceServer<ExecutorServiceImpl>>()
        .await;
    health
        .set_serving::<ClusterServiceServer<ClusterServiceImpl>>()
        .await;
    spawn::task("health", tell_of_failure(health, ended));
    let server = Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .max_concurrent_streams(CALLS_PER_CONNECTION_MAX)
        .add_service(executor)
        .add_service(cluster)
        .add_service(health_service);
    // The descriptors are compiled in; a test calls the service, so that this cannot go unnoticed.
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(ringhold_proto::FILE_DESCRIPTOR_SET)
        .build_v1();
    let older = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(ringhold_proto::FILE_DESCRIPTOR_SET)
        .build_v1alpha();
    let server = server
        .add_optional_service(reflection.ok())
        .add_optional_service(older.ok());
    let serving =
        server.serve_with_incoming_shutdown(TcpListenerStream::new(listener), until(stopped));
    Serving {
        stop,
        task: spawn::task("serve-clients", logged("client", serving)),
    }
}

/// Says that nothing is served any more once the partition thread has ended by itself.
async fn tell_of_failure(health: HealthReporter, mut ended: watch::Receiver<Ended>) {
    let failed = ended
        .wait_for(|it| matches!(it, Some(Err(_))))
        .await
        .is_ok();
    if failed {
        let names = [
            ExecutorServiceServer::<ExecutorServiceImpl>::NAME,
            ClusterServiceServer::<ClusterServiceImpl>::NAME,
            WHOLE_MEMBER,
        ];
        for name in names {
            health
                .set_service_status(name, ServingStatus::NotServing)
                .await;
        }
    }
}

/// Serves the pages, from the first moment on: a member that waits says there why.
pub(crate) fn serve_pages(listener: TcpListener, readiness: Arc<Readiness>) -> Serving {
    let pages = Pages { readiness };
    let (stop, stopped) = watch::channel(false);
    let server = axum::serve(listener, http::router(pages)).with_graceful_shutdown(until(stopped));
    Serving {
        stop,
        task: spawn::task("serve-http", logged("http", server.into_future())),
    }
}
