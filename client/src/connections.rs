//! Connections to members, made when first needed and kept: two per member, however many calls share them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ringhold_types::limits::{ANSWER_BYTES_MAX, MESSAGE_BYTES_MAX};
use tonic::transport::{Channel, Endpoint};

use crate::error::BuildError;
use crate::limits;

/// Addresses that are remembered: far more than a cluster has members; beyond it the memory starts afresh.
const ADDRESSES_MAX: usize = 1024;
/// How long a member that did not answer is passed over while another can be asked instead.
const SUSPICION: Duration = Duration::from_secs(1);

/// What a connection is for. Waiting retrievals have one of their own, so that thousands of them delay no submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Calls that are answered at once.
    Calls,
    /// Retrievals that wait for an outcome.
    Waits,
}

/// All connections of one client.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    channels: Mutex<BTreeMap<(String, Lane), Channel>>,
    signs: Mutex<BTreeMap<String, SignsOfLife>>,
}

/// What is known of a member's health.
#[derive(Clone, Copy, Debug, Default)]
struct SignsOfLife {
    heard: Option<Instant>,
    suspected: Option<Instant>,
}

/// Checks and completes the text of an endpoint.
///
/// # Errors
/// [`BuildError::Endpoint`] when it is no `host:port`.
pub(crate) fn checked_address(text: &str) -> Result<String, BuildError> {
    let refused = || BuildError::Endpoint {
        text: text.to_owned(),
    };
    let address = text
        .trim()
        .trim_start_matches("http://")
        .trim_end_matches('/');
    let (host, port) = address.rsplit_once(':').ok_or_else(refused)?;
    if host.is_empty() || port.parse::<u16>().is_err() || endpoint(address).is_err() {
        return Err(refused());
    }
    Ok(address.to_owned())
}

fn endpoint(address: &str) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    Ok(endpoint
        .connect_timeout(limits::CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(limits::KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(limits::KEEP_ALIVE_TIMEOUT)
        .http2_adaptive_window(true))
}

impl Connections {
    /// The connection to an address; `None` for one that is no address, as only a broken member would name it.
    pub(crate) fn channel(&self, address: &str, lane: Lane) -> Option<Channel> {
        let mut channels = self.channels.lock().expect("no panic while held");
        if let Some(channel) = channels.get(&(address.to_owned(), lane)) {
            return Some(channel.clone());
        }
        if channels.len() >= ADDRESSES_MAX {
            channels.clear();
        }
        let channel = endpoint(address).ok()?.connect_lazy();
        channels.insert((address.to_owned(), lane), channel.clone());
        Some(channel)
    }

    /// Notes that a member answered.
    pub(crate) fn heard(&self, address: &str) {
        let signs = SignsOfLife {
            heard: Some(Instant::now()),
            suspected: None,
        };
        self.note(address, |known| *known = signs);
    }

    /// Notes that a member broke a connection or refused one.
    pub(crate) fn broken(&self, address: &str) {
        self.note(address, |known| known.suspected = Some(Instant::now()));
    }

    /// Notes that one answer did not come within `waited`. A member that answered others meanwhile is not suspected.
    pub(crate) fn unanswered(&self, address: &str, waited: Duration) {
        self.note(address, |known| {
            if known.heard.is_none_or(|heard| heard.elapsed() >= waited) {
                known.suspected = Some(Instant::now());
            }
        });
    }

    /// Whether a member is passed over while another can be asked.
    pub(crate) fn is_suspected(&self, address: &str) -> bool {
        let signs = self.signs.lock().expect("no panic while held");
        let suspected = signs.get(address).and_then(|known| known.suspected);
        suspected.is_some_and(|since| since.elapsed() < SUSPICION)
    }

    fn note(&self, address: &str, change: impl FnOnce(&mut SignsOfLife)) {
        let mut signs = self.signs.lock().expect("no panic while held");
        if let Some(known) = signs.get_mut(address) {
            return change(known);
        }
        if signs.len() >= ADDRESSES_MAX {
            signs.clear();
        }
        change(signs.entry(address.to_owned()).or_default());
    }
}

/// The executor service behind a connection, with Ringhold's message limit.
pub(crate) fn executor_service(
    channel: Channel,
) -> ringhold_proto::v1::executor_service_client::ExecutorServiceClient<Channel> {
    ringhold_proto::v1::executor_service_client::ExecutorServiceClient::new(channel)
        .max_decoding_message_size(ANSWER_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// The cluster service behind a connection.
pub(crate) fn cluster_service(
    channel: Channel,
) -> ringhold_proto::v1::cluster_service_client::ClusterServiceClient<Channel> {
    ringhold_proto::v1::cluster_service_client::ClusterServiceClient::new(channel)
        .max_decoding_message_size(ANSWER_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        assert_eq!(
            checked_address("http://127.0.0.1:7400/").ok().as_deref(),
            Some("127.0.0.1:7400")
        );
        assert_eq!(
            checked_address("[::1]:7400").ok().as_deref(),
            Some("[::1]:7400")
        );
        for text in ["", "127.0.0.1", ":7400", "a:b", "a b:7400", "m1:99999"] {
            assert!(checked_address(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_member_that_answers_others_is_not_suspected_for_one_late_answer() {
        let connections = Connections::default();
        connections.heard("m1:1");
        connections.unanswered("m1:1", Duration::from_secs(5));
        assert!(!connections.is_suspected("m1:1"));
        connections.unanswered("m2:1", Duration::from_secs(5));
        assert!(connections.is_suspected("m2:1"));
        connections.broken("m1:1");
        assert!(connections.is_suspected("m1:1"));
        connections.heard("m1:1");
        assert!(!connections.is_suspected("m1:1"));
    }
}
