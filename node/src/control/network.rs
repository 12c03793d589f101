//! Raft's messages on their way to other members.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::impls::BasicNode;
use openraft::network::{Backoff, RPCOption, RPCTypes};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RaftNetworkFactory, RaftNetworkV2};
use ringhold_proto::ConversionError;
use ringhold_proto::internal as wire;

use super::codec::{self, TransferAnswer};
use super::types::{RaftTypes, Snapshot, Vote, member};
use crate::peer::control::{CallError, ControlClient, Lane, Peers};

/// How long an append with entries may take. openraft's own limit is one heartbeat, which a disk flush on a busy machine
/// exceeds; liveness does not hang on it, since heartbeats go their own way.
const APPEND_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes of one part of a snapshot: small beside the message limit, large beside its overhead.
const SNAPSHOT_PART_BYTES: usize = 512 * 1024;
/// Pauses between attempts to reach a member that does not answer; short, since a restarted member should be found at once.
const BACKOFF: [Duration; 3] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
];

type Failed = RPCError<RaftTypes>;

/// Makes the connections that openraft asks for.
#[derive(Clone)]
pub(crate) struct Network {
    peers: Arc<Peers>,
}

impl Network {
    /// A network over these peers.
    pub(crate) fn new(peers: Arc<Peers>) -> Self {
        Self { peers }
    }

    fn connection(&self, target: u64, node: &BasicNode, lane: Lane) -> Connection {
        self.peers.suggest(member(target), &node.addr);
        Connection {
            peers: Arc::clone(&self.peers),
            target,
            lane,
        }
    }
}

impl RaftNetworkFactory<RaftTypes> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Connection {
        self.connection(target, node, Lane::Log)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &BasicNode) -> Connection {
        self.connection(target, node, Lane::Beat)
    }

    async fn new_snapshot_client(&mut self, target: u64, node: &BasicNode) -> Connection {
        self.connection(target, node, Lane::Snapshot)
    }
}

/// The way to one member.
pub(crate) struct Connection {
    peers: Arc<Peers>,
    target: u64,
    lane: Lane,
}

impl Connection {
    fn client(&self, lane: Lane) -> Result<ControlClient, Failed> {
        let client = self.peers.client(member(self.target), lane);
        client.map_err(|error| RPCError::Unreachable(Unreachable::new(&error)))
    }

    fn envelope(&self) -> wire::RaftEnvelope {
        self.peers.envelope(member(self.target))
    }

    /// Waits for an answer, but not for ever.
    async fn within<T>(
        &self,
        action: RPCTypes,
        timeout: Duration,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, Failed> {
        match tokio::time::timeout(timeout, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(failed(&error)),
            Err(_) => Err(RPCError::Timeout(openraft::errors::Timeout {
                action,
                id: self.peers.own().0,
                target: self.target,
                timeout,
            })),
        }
    }
}

/// A member that cannot be reached, or is another one by now, is asked again after a pause; anything else at once.
fn failed(error: &CallError) -> Failed {
    if error.is_unreachable() {
        RPCError::Unreachable(Unreachable::new(error))
    } else {
        RPCError::Network(NetworkError::new(error))
    }
}

fn malformed(error: &ConversionError) -> Failed {
    RPCError::Network(NetworkError::new(error))
}

impl RaftNetworkV2<RaftTypes> for Connection {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<RaftTypes>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<RaftTypes>, Failed> {
        let timeout = match self.lane {
            Lane::Log => APPEND_TIMEOUT,
            Lane::Beat | Lane::Snapshot | Lane::Call => option.soft_ttl(),
        };
        let mut client = self.client(self.lane)?;
        let request = codec::append_to_wire(self.envelope(), &rpc);
        let answer = self
            .within(
                RPCTypes::AppendEntries,
                timeout,
                client.append_entries(request),
            )
            .await?;
        codec::append_answer_from_wire(answer).map_err(|error| malformed(&error))
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<RaftTypes>,
        option: RPCOption,
    ) -> Result<VoteResponse<RaftTypes>, Failed> {
        let mut client = self.client(Lane::Beat)?;
        let request = codec::vote_request_to_wire(self.envelope(), &rpc);
        let call = client.vote(request);
        let answer = self.within(RPCTypes::Vote, option.soft_ttl(), call).await?;
        codec::vote_answer_from_wire(answer).map_err(|error| malformed(&error))
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<RaftTypes>,
        option: RPCOption,
    ) -> Result<VoteResponse<RaftTypes>, Failed> {
        let mut client = self.client(Lane::Beat)?;
        let request = codec::vote_request_to_wire(self.envelope(), &rpc);
        let call = client.pre_vote(request);
        let answer = self.within(RPCTypes::Vote, option.soft_ttl(), call).await?;
        codec::vote_answer_from_wire(answer).map_err(|error| malformed(&error))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<RaftTypes>, StreamingError<RaftTypes>> {
        let mut client = self.client(Lane::Snapshot).map_err(streaming)?;
        let parts = snapshot_parts(self.envelope(), &vote, &snapshot);
        let call = client.install_snapshot(parts);
        let answer = tokio::select! {
            closed = cancel => return Err(StreamingError::Closed(closed)),
            answer = self.within(RPCTypes::InstallSnapshot, option.soft_ttl(), call) => answer,
        };
        let vote = codec::vote_from_wire(answer.map_err(streaming)?.vote)
            .map_err(|error| streaming(malformed(&error)))?;
        Ok(SnapshotResponse::new(vote))
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<RaftTypes>,
        option: RPCOption,
    ) -> Result<TransferAnswer, Failed> {
        let mut client = self.client(Lane::Beat)?;
        let request = codec::transfer_to_wire(self.envelope(), &rpc);
        let call = client.transfer_leader(request);
        let answer = self
            .within(RPCTypes::TransferLeader, option.soft_ttl(), call)
            .await?;
        codec::transfer_answer_from_wire(answer).map_err(|error| malformed(&error))
    }

    fn backoff(&self) -> Option<Backoff> {
        let last = BACKOFF[BACKOFF.len() - 1];
        Some(Backoff::new(
            BACKOFF.into_iter().chain(std::iter::repeat(last)),
        ))
    }
}

fn streaming(failed: Failed) -> StreamingError<RaftTypes> {
    match failed {
        RPCError::Timeout(timeout) => StreamingError::Timeout(timeout),
        RPCError::Unreachable(unreachable) => StreamingError::Unreachable(unreachable),
        RPCError::Network(network) => StreamingError::Network(network),
        RPCError::RemoteError(remote) => StreamingError::Network(NetworkError::new(&remote)),
    }
}

/// A snapshot in messages: a header, then parts.
fn snapshot_parts(
    envelope: wire::RaftEnvelope,
    vote: &Vote,
    snapshot: &Snapshot,
) -> Vec<wire::InstallSnapshotRequest> {
    let state = &snapshot.snapshot;
    let header = wire::InstallSnapshotHeader {
        envelope: Some(envelope),
        vote: Some(codec::vote_to_wire(vote)),
        meta: Some(codec::meta_to_wire(&snapshot.meta)),
        bytes: state.len() as u64,
    };
    let mut parts = vec![wire::InstallSnapshotRequest {
        header: Some(header),
        part: Bytes::new(),
    }];
    let starts = (0..state.len()).step_by(SNAPSHOT_PART_BYTES);
    parts.extend(starts.map(|start| {
        let end = state.len().min(start + SNAPSHOT_PART_BYTES);
        wire::InstallSnapshotRequest {
            header: None,
            part: state.slice(start..end),
        }
    }));
    parts
}
