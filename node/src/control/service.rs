//! What other members may ask of this one's control plane.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use openraft::errors::{Fatal, RaftError};
use openraft::raft::{VoteRequest, VoteResponse};
use ringhold_control::Command;
use ringhold_proto::ConversionError;
use ringhold_proto::convert::{cluster_bytes, cluster_from_bytes};
use ringhold_proto::internal as wire;
use ringhold_proto::internal::raft_service_server::{RaftService, RaftServiceServer};
use ringhold_types::{MemberId, StartNonce};
use tonic::{Request, Response, Status, Streaming};

use super::codec;
use super::core::Core;
use super::peers::RAFT_MESSAGE_BYTES_MAX;
use super::propose::{self, Attempt};
use super::read_index::{self, Round};
use super::types::{RaftTypes, Snapshot, SnapshotMeta, Vote, member};
use super::{join, lease};

/// Longest that a forwarded proposal is worked on, whatever its sender asks.
const PROPOSE_MAX: Duration = Duration::from_secs(60);
/// Most bytes of a snapshot: about 200 for each of the million partitions that cluster state may have, and room to spare.
const SNAPSHOT_BYTES_MAX: u64 = 512 * 1024 * 1024;

type HeartbeatAnswers =
    Pin<Box<dyn Stream<Item = Result<wire::ControlHeartbeatResponse, Status>> + Send>>;
type Answer<T> = Result<Response<T>, Status>;

/// The service; mounted on the listener for peers.
pub struct ControlService {
    core: Arc<Core>,
}

impl ControlService {
    /// The service as tonic mounts it.
    pub(crate) fn server(core: Arc<Core>) -> RaftServiceServer<Self> {
        RaftServiceServer::new(Self { core })
            .max_decoding_message_size(RAFT_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(RAFT_MESSAGE_BYTES_MAX)
    }

    /// Refuses everything once this member stops: connections may outlive the listener, and an answer is a sign of life.
    fn check_running(&self) -> Result<(), Status> {
        if self.core.is_stopped() {
            return Err(Status::unavailable("this member has stopped"));
        }
        Ok(())
    }

    /// Refuses what is meant for another member or comes from another cluster, and says which.
    fn admit(&self, envelope: Option<wire::RaftEnvelope>) -> Result<MemberId, Status> {
        self.check_running()?;
        let envelope = envelope.ok_or_else(|| Status::invalid_argument("no envelope"))?;
        let own = self.core.own();
        if envelope.to != own.0 {
            return Err(Status::failed_precondition(format!(
                "this is member {own}, not {}",
                member(envelope.to)
            )));
        }
        if let Some(ours) = self.core.peers.cluster()
            && !envelope.cluster_id.is_empty()
        {
            let theirs = cluster_from_bytes(&envelope.cluster_id).map_err(|e| malformed(&e))?;
            if theirs != ours {
                return Err(Status::failed_precondition(format!(
                    "WRONG_CLUSTER: this member belongs to cluster {ours}, the request to {theirs}"
                )));
            }
        }
        Ok(member(envelope.from))
    }

    /// Both kinds of votes: the same messages around another call.
    async fn voted<F>(
        &self,
        request: Request<wire::VoteRequest>,
        call: impl FnOnce(VoteRequest<RaftTypes>) -> F,
    ) -> Answer<wire::VoteResponse>
    where
        F: Future<Output = Result<VoteResponse<RaftTypes>, RaftError<RaftTypes>>>,
    {
        let mut request = request.into_inner();
        self.admit(request.envelope.take())?;
        let answer = passed(codec::vote_request_from_wire(request), call).await?;
        Ok(Response::new(codec::vote_answer_to_wire(&answer)))
    }
}

/// Passes a request on to Raft, once it could be read.
async fn passed<Q, A, F>(
    request: Result<Q, ConversionError>,
    call: impl FnOnce(Q) -> F,
) -> Result<A, Status>
where
    F: Future<Output = Result<A, RaftError<RaftTypes>>>,
{
    let request = request.map_err(|error| malformed(&error))?;
    call(request).await.map_err(|error| refused(&error))
}

fn malformed(error: &ConversionError) -> Status {
    Status::invalid_argument(error.to_string())
}

fn refused(error: &RaftError<RaftTypes>) -> Status {
    Status::internal(error.to_string())
}

fn stopped(error: &Fatal<RaftTypes>) -> Status {
    Status::unavailable(error.to_string())
}

#[tonic::async_trait]
impl RaftService for ControlService {
    async fn append_entries(
        &self,
        request: Request<wire::AppendEntriesRequest>,
    ) -> Answer<wire::AppendEntriesResponse> {
        let mut request = request.into_inner();
        self.admit(request.envelope.take())?;
        let call = |append| self.core.raft.append_entries(append);
        let answer = passed(codec::append_from_wire(request), call).await?;
        Ok(Response::new(codec::append_answer_to_wire(&answer)))
    }

    async fn vote(&self, request: Request<wire::VoteRequest>) -> Answer<wire::VoteResponse> {
        self.voted(request, |vote| self.core.raft.vote(vote)).await
    }

    async fn pre_vote(&self, request: Request<wire::VoteRequest>) -> Answer<wire::VoteResponse> {
        let call = |vote| self.core.raft.pre_vote(vote);
        self.voted(request, call).await
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<wire::InstallSnapshotRequest>>,
    ) -> Answer<wire::InstallSnapshotResponse> {
        let mut parts = request.into_inner();
        let first = parts.message().await?;
        let header = first.and_then(|first| first.header);
        let mut header = header.ok_or_else(|| Status::invalid_argument("no header"))?;
        self.admit(header.envelope.take())?;
        let (vote, meta, bytes) = snapshot_header(header)?;
        let state = collect(&mut parts, bytes).await?;
        let snapshot = Snapshot {
            meta,
            snapshot: state,
        };
        let installed = self.core.raft.install_full_snapshot(vote, snapshot).await;
        let answer = installed.map_err(|error| stopped(&error))?;
        Ok(Response::new(wire::InstallSnapshotResponse {
            vote: Some(codec::vote_to_wire(&answer.vote)),
        }))
    }

    async fn transfer_leader(
        &self,
        request: Request<wire::TransferLeaderRequest>,
    ) -> Answer<wire::TransferLeaderResponse> {
        let mut request = request.into_inner();
        self.admit(request.envelope.take())?;
        let transfer = codec::transfer_from_wire(request).map_err(|error| malformed(&error))?;
        let handled = self.core.raft.handle_transfer_leader(transfer).await;
        let answer = handled.map_err(|error| stopped(&error))?;
        Ok(Response::new(codec::transfer_answer_to_wire(&answer)))
    }

    async fn propose(
        &self,
        request: Request<wire::ProposeRequest>,
    ) -> Answer<wire::ProposeResponse> {
        use wire::propose_response::Result as Outcome;
        let request = request.into_inner();
        self.admit(request.envelope)?;
        let command = request
            .command
            .ok_or_else(|| Status::invalid_argument("no command"))?;
        let command = Command::try_from(command).map_err(|error| malformed(&error))?;
        let within = Duration::from_millis(request.deadline_millis).min(PROPOSE_MAX);
        let result = match propose::here(&self.core, command, within).await {
            Attempt::Answered(response) => Outcome::Response((&response).into()),
            Attempt::NotLeader(leader) => Outcome::NotLeader(self.hint(leader)),
            Attempt::Unknown => Outcome::Unknown(wire::RaftDone {}),
            Attempt::Fatal(reason) => return Err(Status::unavailable(reason)),
        };
        Ok(Response::new(wire::ProposeResponse {
            result: Some(result),
        }))
    }

    async fn read_index(
        &self,
        request: Request<wire::ReadIndexRequest>,
    ) -> Answer<wire::ReadIndexResponse> {
        use wire::read_index_response::Result as Outcome;
        let request = request.into_inner();
        self.admit(request.envelope)?;
        let within = Duration::from_millis(request.deadline_millis).min(PROPOSE_MAX);
        let result = match read_index::here(&self.core, within).await {
            Round::Index(index) => Outcome::Index(index.0),
            Round::NotLeader(leader) => Outcome::NotLeader(self.hint(leader)),
        };
        Ok(Response::new(wire::ReadIndexResponse {
            result: Some(result),
        }))
    }

    type HeartbeatsStream = HeartbeatAnswers;

    async fn heartbeats(
        &self,
        request: Request<Streaming<wire::ControlHeartbeatRequest>>,
    ) -> Answer<HeartbeatAnswers> {
        let service = Self {
            core: Arc::clone(&self.core),
        };
        let requests = request.into_inner();
        // The first refusal ends the stream.
        let answers = requests.map(move |request| service.heartbeat(request?));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn discover(
        &self,
        request: Request<wire::DiscoverRequest>,
    ) -> Answer<wire::DiscoverResponse> {
        self.check_running()?;
        let request = request.into_inner();
        let own = &self.core.info;
        let cluster = self.core.peers.cluster();
        let view = self.core.view();
        let record = view.cluster.members().get(&member(request.from));
        if record.is_some() {
            // A member of this cluster that moved is found again before it is heard.
            self.core
                .peers
                .suggest(member(request.from), &request.address);
        }
        let standing = match cluster {
            Some(_) => wire::DiscoverStanding::Member,
            None if self.core.is_forming() => wire::DiscoverStanding::Forming,
            None => wire::DiscoverStanding::NoCluster,
        };
        Ok(Response::new(wire::DiscoverResponse {
            member: own.id.0,
            name: own.name.clone(),
            address: own.peer_address.clone(),
            cluster_name: self.core.cluster_name.clone(),
            standing: standing.into(),
            cluster_id: cluster.map(cluster_bytes).unwrap_or_default(),
            leader: Some(self.hint(self.core.leader())),
            recorded_start: record.map_or(0, |record| record.start.0),
        }))
    }

    async fn join(&self, request: Request<wire::JoinRequest>) -> Answer<wire::JoinResponse> {
        use wire::join_response::Result as Outcome;
        self.check_running()?;
        let request = request.into_inner();
        let result = match join::admit(&self.core, &request).await {
            Ok(join::Admitted::Cluster(cluster)) => Outcome::ClusterId(cluster_bytes(cluster)),
            Ok(join::Admitted::NotLeader(leader)) => Outcome::NotLeader(self.hint(leader)),
            Err(reason) => Outcome::Refused(reason),
        };
        Ok(Response::new(wire::JoinResponse {
            result: Some(result),
        }))
    }
}

impl ControlService {
    /// A sign of life, and its answer.
    fn heartbeat(
        &self,
        mut request: wire::ControlHeartbeatRequest,
    ) -> Result<wire::ControlHeartbeatResponse, Status> {
        let from = self.admit(request.envelope.take())?;
        let start = StartNonce(request.start);
        let now = self.core.clock.now();
        self.core.detector().hear(from, start, now);
        self.core.exchanges().asked_by(from, now);
        self.core.peers.learn(from, &request.address);
        let lease = lease::grant(&self.core, from, start);
        let starting = if self.core.leads() {
            self.core.starting()
        } else {
            BTreeSet::new()
        };
        Ok(wire::ControlHeartbeatResponse {
            lease: lease.map(|applied| wire::ControlLease { applied: applied.0 }),
            leader: self.core.leader().map(|leader| leader.0),
            start: self.core.fresh.0,
            starting: starting.into_iter().map(|it| it.0).collect(),
        })
    }

    fn hint(&self, leader: Option<MemberId>) -> wire::NotLeader {
        let address = match leader {
            Some(leader) if leader == self.core.own() => Some(self.core.info.peer_address.clone()),
            Some(leader) => self.core.peers.address(leader),
            None => None,
        };
        wire::NotLeader {
            leader: leader.map(|leader| leader.0),
            address: address.unwrap_or_default(),
        }
    }
}

fn snapshot_header(
    header: wire::InstallSnapshotHeader,
) -> Result<(Vote, SnapshotMeta, u64), Status> {
    let vote = codec::vote_from_wire(header.vote).map_err(|error| malformed(&error))?;
    let meta = codec::meta_from_wire(header.meta).map_err(|error| malformed(&error))?;
    if header.bytes > SNAPSHOT_BYTES_MAX {
        return Err(Status::invalid_argument("the snapshot is too large"));
    }
    Ok((vote, meta, header.bytes))
}

/// All parts as one; exactly as many bytes as announced.
async fn collect(
    parts: &mut Streaming<wire::InstallSnapshotRequest>,
    bytes: u64,
) -> Result<Bytes, Status> {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut state = BytesMut::new();
    while let Some(next) = parts.message().await? {
        state.extend_from_slice(&next.part);
        if state.len() > bytes {
            break;
        }
    }
    if state.len() != bytes {
        return Err(Status::invalid_argument(format!(
            "{} bytes of a snapshot of {bytes} arrived",
            state.len()
        )));
    }
    Ok(state.freeze())
}
