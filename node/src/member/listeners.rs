//! The member's three ports, bound before anything is served on them.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::{MemberBuilder, StartError};

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
