//! What members say to each other: streams of protocol messages, one per ordered pair, which may lose messages but never
//! mangle them; and the control plane's calls.

pub(crate) mod control;
mod links;
mod service;

pub use control::CallError;
pub use links::Links;
pub use service::{PeerIdentity, PeerServiceImpl};

use ringhold_proto::internal::peer_service_server::PeerServiceServer;
use ringhold_types::limits;
use tonic::service::Routes;

use crate::control::ControlService;

/// Both services that are served on the listener for peers.
pub(crate) fn routes(control: ControlService, exchange: PeerServiceImpl) -> Routes {
    Routes::new(control::server(control)).add_service(
        PeerServiceServer::new(exchange).max_decoding_message_size(limits::MESSAGE_BYTES_MAX * 4),
    )
}
