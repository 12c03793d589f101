//! Who can be reached where: addresses of members, learned from many places, and channels to them, opened when first used.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ringhold_proto::convert::cluster_bytes;
use ringhold_proto::internal as wire;
use ringhold_types::{ClusterId, MemberId};
use tonic::transport::{Channel, Endpoint};

use super::client::ControlClient;

/// How long a connection may take to open; a member that is there answers within a fraction of it.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// How often a connection on which something is awaited is probed, and how long the answer may take: a host that vanished
/// without a word is noticed after both, and the next call connects anew.
const PROBE: Duration = Duration::from_secs(1);
/// Connections are kept apart, so that a heartbeat never waits behind a large append or a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Log entries.
    Log,
    /// Heartbeats and votes.
    Beat,
    /// Snapshots.
    Snapshot,
    /// Proposals, discovery, joining.
    Call,
}

/// No address is known for a member, or what is known is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAddress {
    /// Nobody told it yet.
    #[error("no address of member {0} is known")]
    Unknown(MemberId),
    /// It does not read `host:port`.
    #[error("{0:?} is no address; it reads host:port")]
    Malformed(String),
}

#[derive(Debug, Default)]
struct Known {
    cluster: Option<ClusterId>,
    addresses: BTreeMap<MemberId, String>,
    channels: BTreeMap<(MemberId, Lane), (String, Channel)>,
}

/// Addresses and channels. Its size is bounded by the members that belong to the cluster or were discovered.
#[derive(Debug)]
pub(crate) struct Peers {
    own: MemberId,
    known: Mutex<Known>,
}

impl Peers {
    /// Knows nobody yet.
    pub(crate) fn new(own: MemberId) -> Self {
        Self {
            own,
            known: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This member.
    pub(crate) fn own(&self) -> MemberId {
        self.own
    }

    /// The cluster that this member belongs to, once known.
    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        self.known().cluster
    }

    /// This member belongs to `cluster`. The first word counts.
    pub(crate) fn belong(&self, cluster: ClusterId) {
        self.known().cluster.get_or_insert(cluster);
    }

    /// A member was heard from, or is recorded, at this address; the last word counts.
    pub(crate) fn learn(&self, member: MemberId, address: &str) {
        if member == self.own || address.is_empty() {
            return;
        }
        let mut known = self.known();
        if known
            .addresses
            .get(&member)
            .is_none_or(|former| former != address)
        {
            known.addresses.insert(member, address.to_owned());
            known.channels.retain(|(other, _), _| *other != member);
        }
    }

    /// A member is reached at this address unless a better one is known.
    pub(crate) fn suggest(&self, member: MemberId, address: &str) {
        let unknown = !self.known().addresses.contains_key(&member);
        if unknown {
            self.learn(member, address);
        }
    }

    /// Where a member is reached.
    pub(crate) fn address(&self, member: MemberId) -> Option<String> {
        self.known().addresses.get(&member).cloned()
    }

    /// What goes before each message to `to`.
    pub(crate) fn envelope(&self, to: MemberId) -> wire::RaftEnvelope {
        wire::RaftEnvelope {
            cluster_id: self.cluster().map(cluster_bytes).unwrap_or_default(),
            from: self.own.0,
            to: to.0,
        }
    }

    /// A client of a member; opens nothing by itself.
    pub(crate) fn client(&self, member: MemberId, lane: Lane) -> Result<ControlClient, NoAddress> {
        let mut known = self.known();
        let address = known
            .addresses
            .get(&member)
            .ok_or(NoAddress::Unknown(member))?
            .clone();
        if let Some((former, channel)) = known.channels.get(&(member, lane))
            && *former == address
        {
            return Ok(ControlClient::new(channel.clone()));
        }
        let channel = endpoint(&address)?.connect_lazy();
        known
            .channels
            .insert((member, lane), (address, channel.clone()));
        Ok(ControlClient::new(channel))
    }
}

/// A client of whoever is at an address; for discovery, before it is known who that is.
pub(crate) fn client_at(address: &str) -> Result<ControlClient, NoAddress> {
    Ok(ControlClient::new(endpoint(address)?.connect_lazy()))
}

fn endpoint(address: &str) -> Result<Endpoint, NoAddress> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|_| NoAddress::Malformed(address.to_owned()))?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PROBE)
        .keep_alive_timeout(PROBE))
}
