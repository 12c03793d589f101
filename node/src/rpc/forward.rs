//! Channels to other members' client ports, for requests that this member does not lead.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ringhold_control::Cluster;
use ringhold_proto::ApiError;
use ringhold_proto::v1::cluster_service_client::ClusterServiceClient;
use ringhold_proto::v1::executor_service_client::ExecutorServiceClient;
use ringhold_types::{ErrorCode, MemberId, limits};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::api_error;

/// Marks a request that a member forwarded, which is not forwarded again, and carries the number of the connection that
/// it came by.
pub(super) const FORWARDED: &str = "ringhold-forwarded";
/// A member that cannot be connected to in this time is asked again after the next change of the view.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// Silence on the wire, while a call is under way, after which a ping is sent, and the time it has to be answered: a paused primary must not hold
/// forwarded calls much longer than its failover takes.
const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// A client of another member.
pub(super) type Client = ExecutorServiceClient<Channel>;

/// The way on to the primary, for one call.
pub(super) struct Onward {
    /// The primary's service.
    pub(super) client: Client,
    /// Time that is left.
    pub(super) patience: Duration,
    /// The connection by which the caller came to this member; waiters are bounded by it at the primary too.
    pub(super) connection: u64,
}

impl Onward {
    /// A request with the mark of a forwarded one, the time that is left and where it came from.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert(FORWARDED, MetadataValue::from(self.connection));
        request.set_timeout(self.patience);
        request
    }
}

/// Marks a request as forwarded that counts for no connection.
pub(super) fn mark<T>(request: &mut Request<T>) {
    let metadata = request.metadata_mut();
    metadata.insert(FORWARDED, MetadataValue::from(0_u64));
}

/// The connection that a forwarded request came by; `None` for one that was not forwarded.
pub(super) fn forwarded_from<T>(request: &Request<T>) -> Option<u64> {
    let value = request.metadata().get(FORWARDED)?;
    // The mark counts whatever it carries: a request is never forwarded twice.
    Some(
        value
            .to_str()
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or_default(),
    )
}

/// Keeps one channel per member.
pub(super) struct Forwarder {
    member: MemberId,
    /// Bounded by the number of members; a plain lock, never held across an await.
    channels: Mutex<BTreeMap<MemberId, (String, Channel)>>,
}

impl Forwarder {
    pub(super) fn new(member: MemberId) -> Self {
        Self {
            member,
            channels: Mutex::new(BTreeMap::new()),
        }
    }

    /// A client of `to`, connected when first used.
    pub(super) fn client(&self, cluster: &Cluster, to: MemberId) -> Result<Client, ApiError> {
        let record = cluster.members().get(&to).ok_or_else(|| {
            api_error(
                ErrorCode::Unavailable,
                format!("member {to} is not known here"),
            )
        })?;
        debug_assert_ne!(to, self.member, "a member does not forward to itself");
        let channel = self.channel(to, &record.info.client_address)?;
        Ok(ExecutorServiceClient::new(channel)
            .max_decoding_message_size(limits::ANSWER_BYTES_MAX)
            .max_encoding_message_size(limits::MESSAGE_BYTES_MAX))
    }

    /// A client of the cluster's service of `to`; `None` for a member without an address.
    pub(super) fn cluster_client(
        &self,
        cluster: &Cluster,
        to: MemberId,
    ) -> Option<ClusterServiceClient<Channel>> {
        let record = cluster.members().get(&to)?;
        let channel = self.channel(to, &record.info.client_address).ok()?;
        Some(ClusterServiceClient::new(channel))
    }

    fn channel(&self, to: MemberId, address: &str) -> Result<Channel, ApiError> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, channel)) = channels.get(&to)
            && known == address
        {
            return Ok(channel.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| {
            api_error(
                ErrorCode::Internal,
                format!("{address} is no address: {error}"),
            )
        })?;
        let channel = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .connect_lazy();
        channels.insert(to, (address.to_owned(), channel.clone()));
        Ok(channel)
    }
}

/// What another member answered, or that it did not answer.
pub(super) fn from_status(status: &Status) -> ApiError {
    ApiError::from_status(status).unwrap_or_else(|| match status.code() {
        tonic::Code::DeadlineExceeded | tonic::Code::Cancelled => {
            api_error(ErrorCode::Unavailable, "the primary did not answer in time")
        }
        _ => api_error(
            ErrorCode::Unavailable,
            format!("the primary cannot be asked: {status}"),
        ),
    })
}
