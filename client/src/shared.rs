//! What all handles of one client share: connections, the routing table, the submit streams, the bounds.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringhold_proto::convert::cluster_bytes;
use ringhold_types::{ErrorCode, PartitionNumber, TaskId};
use tokio::sync::{Semaphore, mpsc};
use tonic::transport::Channel;

use crate::backoff::Backoff;
use crate::confirmation::Confirmation;
use crate::connections::{Connections, Lane};
use crate::error::RequestError;
use crate::limits;
use crate::random;
use crate::refusal::Miss;
use crate::routing::RoutingCache;
use crate::submit_stream::SubmitStream;

/// Settings of a client, from its builder.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) endpoints: Vec<String>,
    pub(crate) smart_routing: bool,
    pub(crate) confirm_retrieved: bool,
    pub(crate) submit_deadline: Duration,
    pub(crate) unreachable_limit: Duration,
}

/// What all handles of one client share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) connections: Connections,
    pub(crate) routing: RoutingCache,
    pub(crate) streams: Mutex<BTreeMap<String, Arc<SubmitStream>>>,
    pub(crate) submits: Arc<Semaphore>,
    pub(crate) submit_bytes: Arc<Semaphore>,
    pub(crate) confirmations: mpsc::Sender<Confirmation>,
}

/// Which partition a request is about, so that it can go straight to the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) executor: String,
    pub(crate) partition: PartitionNumber,
}

impl Place {
    /// The partition of a task.
    pub(crate) fn of(id: &TaskId) -> Self {
        Self {
            executor: id.executor.as_str().to_owned(),
            partition: id.partition,
        }
    }
}

/// One try of a request.
pub(crate) struct Try {
    /// The connection to use.
    pub(crate) channel: Channel,
    /// How long the member may take.
    pub(crate) budget: Duration,
}

/// How a request is asked.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    /// The partition it is about, if it is about one.
    pub(crate) place: Option<Place>,
    /// When to give up.
    pub(crate) deadline: Instant,
    /// How long one try may take a member.
    pub(crate) budget: Duration,
    /// How long to wait for the answer beyond that.
    pub(crate) margin: Duration,
    /// Over which connection.
    pub(crate) lane: Lane,
}

impl Asking {
    /// A request that is answered at once.
    pub(crate) fn call(place: Option<Place>, within: Duration) -> Self {
        Self {
            place,
            deadline: Instant::now() + within,
            budget: limits::TRY_TIMEOUT,
            margin: Duration::ZERO,
            lane: Lane::Calls,
        }
    }
}

/// A request whose tries brought no answer.
#[derive(Debug)]
pub(crate) struct NoAnswer {
    /// What the last try met.
    pub(crate) last: Miss,
    /// Whether an earlier try, unanswered or answered by a member that stepped down, may have done what was asked.
    pub(crate) unsure: bool,
}

impl NoAnswer {
    /// What the caller of a request other than submit and retrieve is told.
    pub(crate) fn into_request_error(self) -> RequestError {
        self.last.into()
    }
}

impl Shared {
    /// The cluster's identity for a request.
    pub(crate) fn cluster_id(&self) -> Option<Bytes> {
        self.routing.cluster().map(cluster_bytes)
    }

    /// The member to ask: the one hinted at, else the primary, else any other; suspected ones only if there is no other.
    pub(crate) fn target(&self, place: Option<&Place>, hint: Option<&str>) -> String {
        let trusted = |address: &str| !self.connections.is_suspected(address);
        if let Some(hinted) = hint.filter(|address| self.settings.smart_routing && trusted(address))
        {
            return hinted.to_owned();
        }
        let primary = place.and_then(|place| self.primary_of(place));
        if let Some(primary) = primary.filter(|address| trusted(address)) {
            return primary;
        }
        let all = self.addresses();
        let alive: Vec<&String> = all.iter().filter(|address| trusted(address)).collect();
        let chosen = draw(&alive).copied().or_else(|| draw(&all));
        chosen.cloned().unwrap_or_default()
    }

    /// Where the primary of a partition is, as far as this client knows.
    pub(crate) fn primary_of(&self, place: &Place) -> Option<String> {
        if !self.settings.smart_routing {
            return None;
        }
        let table = self.routing.current();
        let primary = table.primary(&place.executor, place.partition)?;
        Some(primary.client_address.clone())
    }

    /// All addresses worth asking: the members of the table, and the endpoints while there is no table.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let table = self.routing.current();
        if !self.settings.smart_routing || table.members.is_empty() {
            return self.settings.endpoints.clone();
        }
        table
            .members
            .iter()
            .map(|member| member.client_address.clone())
            .collect()
    }

    /// Resolves when the partition has a primary other than `asked`, as a takeover makes it: a request on its way to a
    /// member that froze would otherwise wait for its timeout.
    pub(crate) async fn moved_away(&self, place: Option<&Place>, asked: &str) {
        let Some(place) = place.filter(|place| self.primary_of(place).as_deref() == Some(asked))
        else {
            return std::future::pending().await;
        };
        let mut tables = self.routing.subscribe();
        let moved = |table: &Arc<crate::RoutingTable>| {
            let primary = table.primary(&place.executor, place.partition);
            primary.is_some_and(|member| member.client_address != asked)
        };
        if tables.wait_for(moved).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Asks until there is an answer, a refusal that no repeat changes, or the deadline.
    ///
    /// # Errors
    /// [`NoAnswer`] with what the last try met.
    pub(crate) async fn ask<R, F, T>(&self, asking: &Asking, send: F) -> Result<R, NoAnswer>
    where
        F: Fn(Try) -> T,
        T: Future<Output = Result<tonic::Response<R>, tonic::Status>>,
    {
        let mut backoff = Backoff::default();
        let mut hint: Option<String> = None;
        let mut unsure = false;
        loop {
            let address = self.target(asking.place.as_ref(), hint.take().as_deref());
            let last = match self.ask_once(asking, &address, &send).await {
                Ok(answer) => return Ok(answer),
                Err(miss) => miss,
            };
            let pause = backoff.next(last.retry_after());
            let executor = asking.place.as_ref().map(|place| place.executor.as_str());
            let again = last.is_worth_another_try() || self.is_behind(&last, executor);
            if !again || Instant::now() + pause >= asking.deadline {
                return Err(NoAnswer { last, unsure });
            }
            unsure |= last.may_be_done();
            hint = last.primary_address();
            if !backoff.follows_hint(hint.is_some()) {
                tokio::time::sleep(pause).await;
            }
        }
    }

    async fn ask_once<R, F, T>(&self, asking: &Asking, address: &str, send: &F) -> Result<R, Miss>
    where
        F: Fn(Try) -> T,
        T: Future<Output = Result<tonic::Response<R>, tonic::Status>>,
    {
        let Some(channel) = self.connections.channel(address, asking.lane) else {
            return Err(Miss::Unanswered(format!("{address:?} is no address")));
        };
        let remaining = asking.deadline.saturating_duration_since(Instant::now());
        let budget = asking.budget.min(remaining);
        let answer = tokio::time::timeout(budget + asking.margin, send(Try { channel, budget }));
        tokio::select! {
            answer = answer => self.judge(address, budget + asking.margin, answer),
            () = self.moved_away(asking.place.as_ref(), address) => {
                Err(Miss::Unanswered(format!("{address} is no longer the primary")))
            }
        }
    }

    /// Whether a member that knows no such executor is merely behind: the routing table has one.
    pub(crate) fn is_behind(&self, miss: &Miss, executor: Option<&str>) -> bool {
        let known = |name| self.routing.current().executors.contains_key(name);
        miss.code() == Some(ErrorCode::ExecutorNotFound) && executor.is_some_and(known)
    }

    /// Notes what an answer, or its absence, says about the member.
    fn judge<R>(
        &self,
        address: &str,
        waited: Duration,
        answer: Result<Result<tonic::Response<R>, tonic::Status>, tokio::time::error::Elapsed>,
    ) -> Result<R, Miss> {
        let miss = match answer {
            Ok(Ok(response)) => {
                self.connections.heard(address);
                return Ok(response.into_inner());
            }
            Ok(Err(status)) => Miss::from(status),
            Err(_elapsed) => {
                self.connections.unanswered(address, waited);
                return Err(Miss::Unanswered(format!(
                    "{address} did not answer within {waited:?}"
                )));
            }
        };
        match &miss {
            Miss::Refused(_) => self.connections.heard(address),
            Miss::Unanswered(_) => self.connections.broken(address),
        }
        Err(miss.at(address))
    }

    /// The stream of submits to a member; opened anew after it broke.
    pub(crate) fn stream(&self, address: &str) -> Option<Arc<SubmitStream>> {
        let mut streams = self.streams.lock().expect("no panic while held");
        if let Some(stream) = streams.get(address).filter(|stream| stream.is_open()) {
            return Some(stream.clone());
        }
        streams.retain(|_, stream| stream.is_open());
        let channel = self.connections.channel(address, Lane::Calls)?;
        let stream = Arc::new(SubmitStream::open(channel));
        streams.insert(address.to_owned(), stream.clone());
        Some(stream)
    }
}

/// One of several, evenly drawn.
fn draw<T>(from: &[T]) -> Option<&T> {
    let place = random::below(u64::try_from(from.len()).unwrap_or(0));
    from.get(usize::try_from(place).unwrap_or(0))
}
