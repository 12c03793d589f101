//! The member's three ports: clients, peers, HTTP.

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
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::ending::Ended;
use super::{MemberBuilder, StartError};
use crate::http::{self, Pages, Readiness};
use crate::rpc::{Api, ClusterServiceImpl, ExecutorServiceImpl};
use crate::spawn;

/// Silence on a client's connection after which it is pinged, and the time it has to answer: waiters of clients that
/// vanished without a word do not stay longer.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// The name under which gRPC's health service knows the server as a whole.
const WHOLE_MEMBER: &str = "";
/// Calls open at once on one connection; SDKs park thousands of retrieves on one.
const CALLS_PER_CONNECTION_MAX: u32 = 100_000;

/// Bound ports that nothing is served on yet.
pub(super) struct Listeners {
    pub(super) client: TcpListener,
    pub(super) peer: TcpListener,
    pub(super) http: TcpListener,
}

/// The addresses that the ports have in the end, of which the system may have picked some.
#[derive(Clone, Copy)]
pub(super) struct Addresses {
    pub(super) client: SocketAddr,
    pub(super) peer: SocketAddr,
    pub(super) http: SocketAddr,
}

impl Listeners {
    /// Where they are.
    pub(super) fn addresses(&self) -> Addresses {
        Addresses {
            client: address_of(&self.client),
            peer: address_of(&self.peer),
            http: address_of(&self.http),
        }
    }

    /// Binds the three addresses of a builder, unless it brings a bound socket.
    pub(super) async fn bind(builder: &mut MemberBuilder) -> Result<Self, StartError> {
        Ok(Self {
            client: match builder.client_listener.take() {
                Some(bound) => serve_on("client-address", bound)?,
                None => bind("client-address", &builder.client_address).await?,
            },
            peer: match builder.peer_listener.take() {
                Some(bound) => serve_on("peer-address", bound)?,
                None => bind("peer-address", &builder.peer_address).await?,
            },
            http: bind("http-address", &builder.http_address).await?,
        })
    }
}

async fn bind(setting: &'static str, address: &str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Bind {
            setting,
            address: address.to_owned(),
            source,
        })
}

fn serve_on(
    setting: &'static str,
    bound: std::net::TcpListener,
) -> Result<TcpListener, StartError> {
    let address = bound.local_addr().map(|it| it.to_string());
    let listener = bound.set_nonblocking(true);
    let listener = listener.and_then(|()| TcpListener::from_std(bound));
    listener.map_err(|source| StartError::Bind {
        setting,
        address: address.unwrap_or_default(),
        source,
    })
}

/// The address that a listener has in the end, which the system may have picked.
fn address_of(listener: &TcpListener) -> SocketAddr {
    listener
        .local_addr()
        .expect("a bound socket has an address")
}

/// Serves members, on a runtime of their own.
pub(super) fn serve_peers(runtime: &Handle, listener: TcpListener, routes: Routes) -> Serving {
    let _inside = runtime.enter();
    let (stop, stopped) = watch::channel(false);
    let server = Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .add_routes(routes)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), until(stopped));
    Serving {
        stop,
        task: spawn::task("serve-peers", logged("peer", server)),
    }
}

/// Something that is being served.
pub(super) struct Serving {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
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
pub(super) struct Servers {
    pub(super) client_address: SocketAddr,
    pub(super) peer_address: SocketAddr,
    pub(super) http_address: SocketAddr,
    pub(super) readiness: Arc<Readiness>,
    clients: Serving,
    peers: Serving,
    http: Serving,
}

/// What [`Servers::start`] needs.
pub(super) struct ServersOptions {
    pub(super) client: TcpListener,
    pub(super) http: Serving,
    pub(super) http_address: SocketAddr,
    pub(super) peers: Serving,
    pub(super) peer_address: SocketAddr,
    pub(super) api: Api,
    pub(super) readiness: Arc<Readiness>,
    pub(super) ended: watch::Receiver<Ended>,
}

impl Servers {
    /// Serves clients; members and pages are served already.
    pub(super) async fn start(options: ServersOptions) -> Self {
        let client_address = address_of(&options.client);
        Self {
            client_address,
            peer_address: options.peer_address,
            http_address: options.http_address,
            readiness: options.readiness,
            clients: serve_clients(options.client, options.api, options.ended).await,
            peers: options.peers,
            http: options.http,
        }
    }

    /// Ends calls: new ones are refused, open ones have `grace` to end.
    pub(super) async fn stop_calls(&mut self, grace: Duration) {
        self.clients.stop.send_replace(true);
        if tokio::time::timeout(grace, &mut self.clients.task)
            .await
            .is_err()
        {
            self.clients.task.abort();
        }
    }

    /// Ends the peers' port and the pages.
    pub(super) fn stop_peers(&self) {
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
pub(super) fn serve_pages(listener: TcpListener, readiness: Arc<Readiness>) -> Serving {
    let pages = Pages { readiness };
    let (stop, stopped) = watch::channel(false);
    let server = axum::serve(listener, http::router(pages)).with_graceful_shutdown(until(stopped));
    Serving {
        stop,
        task: spawn::task("serve-http", logged("http", server.into_future())),
    }
}
