//! What other members may ask of this one's control plane.

use std::collections::BTreeSet;
use std::future::Future;
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
use ringhold_types::{MemberId, StartNonce};

use super::codec;
use super::core::Core;
use super::propose::{self, Attempt};
use super::read_index::{self, Round};
use super::types::{RaftTypes, Snapshot, SnapshotMeta, Vote, member};
use super::{join, lease};
use crate::peer::control::CallError;

/// Longest that a forwarded proposal is worked on, whatever its sender asks.
const PROPOSE_MAX: Duration = Duration::from_secs(60);
/// Most bytes of a snapshot: about 200 for each of the million partitions that cluster state may have, and room to spare.
const SNAPSHOT_BYTES_MAX: u64 = 512 * 1024 * 1024;

type Answer<T> = Result<T, CallError>;

/// Answers other members. Cheap to clone; `peer` serves it on the listener for peers.
#[derive(Clone)]
pub struct ControlService {
    core: Arc<Core>,
}

impl ControlService {
    /// Answers for this control plane.
    pub(super) const fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Refuses everything once this member stops: connections may outlive the listener, and an answer is a sign of life.
    fn check_running(&self) -> Result<(), CallError> {
        if self.core.is_stopped() {
            return Err(CallError::Unavailable("this member has stopped".to_owned()));
        }
        Ok(())
    }

    /// Refuses what is meant for another member or comes from another cluster, and says which.
    fn admit(&self, envelope: Option<wire::RaftEnvelope>) -> Result<MemberId, CallError> {
        self.check_running()?;
        let envelope = envelope.ok_or_else(|| malformed("no envelope"))?;
        let own = self.core.own();
        if envelope.to != own.0 {
            return Err(CallError::Refused(format!(
                "this is member {own}, not {}",
                member(envelope.to)
            )));
        }
        if let Some(ours) = self.core.peers.cluster()
            && !envelope.cluster_id.is_empty()
        {
            let theirs = cluster_from_bytes(&envelope.cluster_id)?;
            if theirs != ours {
                return Err(CallError::Refused(format!(
                    "WRONG_CLUSTER: this member belongs to cluster {ours}, the request to {theirs}"
                )));
            }
        }
        Ok(member(envelope.from))
    }

    /// Both kinds of votes: the same messages around another call.
    async fn voted<F>(
        &self,
        mut request: wire::VoteRequest,
        call: impl FnOnce(VoteRequest<RaftTypes>) -> F,
    ) -> Answer<wire::VoteResponse>
    where
        F: Future<Output = Result<VoteResponse<RaftTypes>, RaftError<RaftTypes>>>,
    {
        self.admit(request.envelope.take())?;
        let answer = passed(codec::vote_request_from_wire(request), call).await?;
        Ok(codec::vote_answer_to_wire(&answer))
    }
}

/// Passes a request on to Raft, once it could be read.
async fn passed<Q, A, F>(
    request: Result<Q, ConversionError>,
    call: impl FnOnce(Q) -> F,
) -> Result<A, CallError>
where
    F: Future<Output = Result<A, RaftError<RaftTypes>>>,
{
    call(request?).await.map_err(|error| failed(&error))
}

fn malformed(reason: impl Into<String>) -> CallError {
    CallError::Malformed(reason.into())
}

fn failed(error: &RaftError<RaftTypes>) -> CallError {
    CallError::Failed(error.to_string())
}

fn stopped(error: &Fatal<RaftTypes>) -> CallError {
    CallError::Unavailable(error.to_string())
}

/// One function for each call; what each asks and answers, `internal.proto` says.
impl ControlService {
    pub(crate) async fn append_entries(
        &self,
        mut request: wire::AppendEntriesRequest,
    ) -> Answer<wire::AppendEntriesResponse> {
        self.admit(request.envelope.take())?;
        let call = |append| self.core.raft.append_entries(append);
        let answer = passed(codec::append_from_wire(request), call).await?;
        Ok(codec::append_answer_to_wire(&answer))
    }

    pub(crate) async fn vote(&self, request: wire::VoteRequest) -> Answer<wire::VoteResponse> {
        self.voted(request, |vote| self.core.raft.vote(vote)).await
    }

    pub(crate) async fn pre_vote(&self, request: wire::VoteRequest) -> Answer<wire::VoteResponse> {
        let call = |vote| self.core.raft.pre_vote(vote);
        self.voted(request, call).await
    }

    pub(crate) async fn install_snapshot(
        &self,
        parts: impl Stream<Item = Answer<wire::InstallSnapshotRequest>> + Send,
    ) -> Answer<wire::InstallSnapshotResponse> {
        let mut parts = std::pin::pin!(parts);
        let first = parts.next().await.transpose()?;
        let header = first.and_then(|first| first.header);
        let mut header = header.ok_or_else(|| malformed("no header"))?;
        self.admit(header.envelope.take())?;
        let (vote, meta, bytes) = snapshot_header(header)?;
        let state = collect(&mut parts, bytes).await?;
        let snapshot = Snapshot {
            meta,
            snapshot: state,
        };
        let installed = self.core.raft.install_full_snapshot(vote, snapshot).await;
        let answer = installed.map_err(|error| stopped(&error))?;
        Ok(wire::InstallSnapshotResponse {
            vote: Some(codec::vote_to_wire(&answer.vote)),
        })
    }

    pub(crate) async fn transfer_leader(
        &self,
        mut request: wire::TransferLeaderRequest,
    ) -> Answer<wire::TransferLeaderResponse> {
        self.admit(request.envelope.take())?;
        let transfer = codec::transfer_from_wire(request)?;
        let handled = self.core.raft.handle_transfer_leader(transfer).await;
        let answer = handled.map_err(|error| stopped(&error))?;
        Ok(codec::transfer_answer_to_wire(&answer))
    }

    pub(crate) async fn propose(
        &self,
        request: wire::ProposeRequest,
    ) -> Answer<wire::ProposeResponse> {
        use wire::propose_response::Result as Outcome;
        self.admit(request.envelope)?;
        let command = request.command.ok_or_else(|| malformed("no command"))?;
        let command = Command::try_from(command)?;
        let within = Duration::from_millis(request.deadline_millis).min(PROPOSE_MAX);
        let result = match propose::here(&self.core, command, within).await {
            Attempt::Answered(response) => Outcome::Response((&response).into()),
            Attempt::NotLeader(leader) => Outcome::NotLeader(self.hint(leader)),
            Attempt::Unknown => Outcome::Unknown(wire::RaftDone {}),
            Attempt::Fatal(reason) => return Err(CallError::Unavailable(reason)),
        };
        Ok(wire::ProposeResponse {
            result: Some(result),
        })
    }

    pub(crate) async fn read_index(
        &self,
        request: wire::ReadIndexRequest,
    ) -> Answer<wire::ReadIndexResponse> {
        use wire::read_index_response::Result as Outcome;
        self.admit(request.envelope)?;
        let within = Duration::from_millis(request.deadline_millis).min(PROPOSE_MAX);
        let result = match read_index::here(&self.core, within).await {
            Round::Index(index) => Outcome::Index(index.0),
            Round::NotLeader(leader) => Outcome::NotLeader(self.hint(leader)),
        };
        Ok(wire::ReadIndexResponse {
            result: Some(result),
        })
    }

    pub(crate) fn discover(
        &self,
        request: wire::DiscoverRequest,
    ) -> Answer<wire::DiscoverResponse> {
        self.check_running()?;
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
        Ok(wire::DiscoverResponse {
            member: own.id.0,
            name: own.name.clone(),
            address: own.peer_address.clone(),
            cluster_name: self.core.cluster_name.clone(),
            standing: standing.into(),
            cluster_id: cluster.map(cluster_bytes).unwrap_or_default(),
            leader: Some(self.hint(self.core.leader())),
            recorded_start: record.map_or(0, |record| record.start.0),
        })
    }

    pub(crate) async fn join(&self, request: wire::JoinRequest) -> Answer<wire::JoinResponse> {
        use wire::join_response::Result as Outcome;
        self.check_running()?;
        let result = match join::admit(&self.core, &request).await {
            Ok(join::Admitted::Cluster(cluster)) => Outcome::ClusterId(cluster_bytes(cluster)),
            Ok(join::Admitted::NotLeader(leader)) => Outcome::NotLeader(self.hint(leader)),
            Err(reason) => Outcome::Refused(reason),
        };
        Ok(wire::JoinResponse {
            result: Some(result),
        })
    }
}

impl ControlService {
    /// A sign of life, and its answer.
    pub(crate) fn heartbeat(
        &self,
        mut request: wire::ControlHeartbeatRequest,
    ) -> Result<wire::ControlHeartbeatResponse, CallError> {
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
) -> Result<(Vote, SnapshotMeta, u64), CallError> {
    let vote = codec::vote_from_wire(header.vote)?;
    let meta = codec::meta_from_wire(header.meta)?;
    if header.bytes > SNAPSHOT_BYTES_MAX {
        return Err(malformed("the snapshot is too large"));
    }
    Ok((vote, meta, header.bytes))
}

/// All parts as one; exactly as many bytes as announced.
async fn collect(
    parts: &mut (impl Stream<Item = Answer<wire::InstallSnapshotRequest>> + Unpin),
    bytes: u64,
) -> Result<Bytes, CallError> {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut state = BytesMut::new();
    while let Some(next) = parts.next().await.transpose()? {
        state.extend_from_slice(&next.part);
        if state.len() > bytes {
            break;
        }
    }
    if state.len() != bytes {
        return Err(malformed(format!(
            "{} bytes of a snapshot of {bytes} arrived",
            state.len()
        )));
    }
    Ok(state.freeze())
}
