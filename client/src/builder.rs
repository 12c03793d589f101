//! Building a client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringhold_proto::v1;
use ringhold_types::ClusterId;
use tokio::sync::{Semaphore, mpsc};

use crate::client::{Background, Client};
use crate::connections::{Connections, Lane, checked_address, cluster_service};
use crate::error::BuildError;
use crate::follow::{self, Sources};
use crate::refusal::Miss;
use crate::routing::{RoutingCache, RoutingTable};
use crate::shared::{Settings, Shared};
use crate::{confirmation, limits};

/// Puts a [`Client`] together.
#[derive(Clone, Debug)]
#[must_use = "a builder builds nothing before `build`"]
pub struct ClientBuilder {
    endpoints: Vec<String>,
    cluster: Option<ClusterId>,
    smart_routing: bool,
    confirm_retrieved: bool,
    submits_in_flight: usize,
    submit_deadline: Duration,
    connect_deadline: Duration,
    unreachable_limit: Duration,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            cluster: None,
            smart_routing: true,
            confirm_retrieved: true,
            submits_in_flight: limits::SUBMITS_IN_FLIGHT,
            submit_deadline: limits::SUBMIT_DEADLINE,
            connect_deadline: limits::CONNECT_DEADLINE,
            unreachable_limit: limits::UNREACHABLE_LIMIT,
        }
    }
}

impl ClientBuilder {
    /// Members to begin with, as `host:port`; one is enough, several survive its death. The rest is learnt from them.
    pub fn endpoints<E: Into<String>>(mut self, endpoints: impl IntoIterator<Item = E>) -> Self {
        self.endpoints.extend(endpoints.into_iter().map(Into::into));
        self
    }

    /// The cluster that is meant: another one answers WRONG_CLUSTER. Otherwise the first that answers, from then on.
    pub fn cluster(mut self, cluster: ClusterId) -> Self {
        self.cluster = Some(cluster);
        self
    }

    /// Whether requests go straight to the primary of their partition (they do unless told otherwise). Without it
    /// every request goes to the endpoints, and they forward it: for tests, and for networks in which nothing else is
    /// reachable.
    pub fn smart_routing(mut self, on: bool) -> Self {
        self.smart_routing = on;
        self
    }

    /// Whether outcomes that arrived are confirmed, so that a full partition may overwrite them (they are unless told
    /// otherwise). A member counts an outcome as retrieved a minute after it was served in any case.
    pub fn confirm_retrieved(mut self, on: bool) -> Self {
        self.confirm_retrieved = on;
        self
    }

    /// Most submits under way at once, at least 1; default [`limits::SUBMITS_IN_FLIGHT`].
    pub fn submits_in_flight(mut self, most: usize) -> Self {
        self.submits_in_flight = most.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// How long a submit is tried; default [`limits::SUBMIT_DEADLINE`]. Keep it well under the executor's dedup window.
    pub fn submit_deadline(mut self, deadline: Duration) -> Self {
        self.submit_deadline = deadline;
        self
    }

    /// How long [`ClientBuilder::build`] waits for a first member to answer; default [`limits::CONNECT_DEADLINE`].
    pub fn connect_deadline(mut self, deadline: Duration) -> Self {
        self.connect_deadline = deadline;
        self
    }

    /// How long a waiting retrieval bears that no member answers at all; default [`limits::UNREACHABLE_LIMIT`].
    pub fn unreachable_limit(mut self, limit: Duration) -> Self {
        self.unreachable_limit = limit;
        self
    }

    /// Connects: waits until one member has answered.
    ///
    /// # Errors
    /// [`BuildError`] for endpoints of the wrong form, when no member answered in time, or when another cluster did.
    pub async fn build(self) -> Result<Client, BuildError> {
        if self.endpoints.is_empty() {
            return Err(BuildError::NoEndpoint);
        }
        let endpoints: Result<Vec<_>, _> = self
            .endpoints
            .iter()
            .map(|text| checked_address(text))
            .collect();
        let (confirmations, confirmed) = mpsc::channel(limits::CONFIRMATION_QUEUE);
        let shared = Arc::new(Shared {
            settings: Settings {
                endpoints: endpoints?,
                smart_routing: self.smart_routing,
                confirm_retrieved: self.confirm_retrieved,
                submit_deadline: self.submit_deadline,
                unreachable_limit: self.unreachable_limit,
            },
            connections: Connections::default(),
            routing: RoutingCache::new(self.cluster),
            streams: std::sync::Mutex::default(),
            submits: Arc::new(Semaphore::new(self.submits_in_flight)),
            submit_bytes: Arc::new(Semaphore::new(limits::SUBMIT_BYTES_IN_FLIGHT)),
            confirmations,
        });
        connect(&shared, self.connect_deadline).await?;
        let mut background = Background::default();
        background.spawn(confirmation::send(shared.clone(), confirmed));
        let sources = Arc::new(Sources::default());
        let followers = if self.smart_routing {
            limits::ROUTING_SOURCES
        } else {
            0
        };
        for _ in 0..followers {
            background.spawn(follow::follow(shared.clone(), sources.clone()));
        }
        Ok(Client::new(shared, background))
    }
}

/// Asks one endpoint after the other for the routing table until one gives it.
async fn connect(shared: &Shared, within: Duration) -> Result<(), BuildError> {
    let deadline = Instant::now() + within;
    let mut pauses = crate::backoff::Backoff::default();
    loop {
        let mut last = String::new();
        for address in &shared.settings.endpoints {
            match first_table(shared, address, deadline).await {
                Ok(table) => {
                    let found = table.cluster;
                    let expected = shared.routing.cluster();
                    return shared
                        .routing
                        .offer(table)
                        .map_err(|_| BuildError::WrongCluster {
                            expected: expected.unwrap_or_default(),
                            found,
                        });
                }
                Err(miss) => last = miss.at(address).message().to_owned(),
            }
        }
        let pause = pauses.next(None);
        if Instant::now() + pause >= deadline {
            let endpoints = shared.settings.endpoints.clone();
            return Err(BuildError::Unreachable { endpoints, last });
        }
        tokio::time::sleep(pause).await;
    }
}

async fn first_table(
    shared: &Shared,
    address: &str,
    deadline: Instant,
) -> Result<RoutingTable, Miss> {
    let channel = shared.connections.channel(address, Lane::Calls);
    let channel = channel.ok_or_else(|| Miss::Unanswered("no address".to_owned()))?;
    // The cluster is compared here, so that the error can name both.
    let request = v1::GetRoutingTableRequest { cluster_id: None };
    let mut service = cluster_service(channel);
    let remaining = deadline
        .saturating_duration_since(Instant::now())
        .min(limits::TRY_TIMEOUT);
    match tokio::time::timeout(remaining, service.get_routing_table(request)).await {
        Ok(Ok(response)) => Ok(RoutingTable::from_wire(
            response.into_inner().table.unwrap_or_default(),
        )),
        Ok(Err(status)) => Err(status.into()),
        Err(_elapsed) => Err(Miss::Unanswered("no answer in time".to_owned())),
    }
}
