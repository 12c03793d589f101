//! What one member's control plane asks of another's.

use std::future::Future;

use ringhold_proto::internal as wire;
use ringhold_proto::internal::raft_service_client::RaftServiceClient;
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};

use super::RAFT_MESSAGE_BYTES_MAX;
use super::error::CallError;

/// Calls to one member's control plane.
pub(crate) struct ControlClient(RaftServiceClient<Channel>);

type Answer<T> = Result<T, CallError>;

async fn answer<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Answer<T> {
    Ok(call.await?.into_inner())
}

impl ControlClient {
    /// Calls on a channel.
    pub(super) fn new(channel: Channel) -> Self {
        let client = RaftServiceClient::new(channel)
            .max_decoding_message_size(RAFT_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(RAFT_MESSAGE_BYTES_MAX);
        Self(client)
    }

    /// Sends log entries, or Raft's heartbeat.
    pub(crate) async fn append_entries(
        &mut self,
        request: wire::AppendEntriesRequest,
    ) -> Answer<wire::AppendEntriesResponse> {
        answer(self.0.append_entries(request)).await
    }

    /// Asks for a vote.
    pub(crate) async fn vote(&mut self, request: wire::VoteRequest) -> Answer<wire::VoteResponse> {
        answer(self.0.vote(request)).await
    }

    /// Asks whether there would be a vote.
    pub(crate) async fn pre_vote(
        &mut self,
        request: wire::VoteRequest,
    ) -> Answer<wire::VoteResponse> {
        answer(self.0.pre_vote(request)).await
    }

    /// Sends a snapshot: its header, then its parts.
    pub(crate) async fn install_snapshot(
        &mut self,
        parts: Vec<wire::InstallSnapshotRequest>,
    ) -> Answer<wire::InstallSnapshotResponse> {
        answer(self.0.install_snapshot(tokio_stream::iter(parts))).await
    }

    /// Asks the member to lead.
    pub(crate) async fn transfer_leader(
        &mut self,
        request: wire::TransferLeaderRequest,
    ) -> Answer<wire::TransferLeaderResponse> {
        answer(self.0.transfer_leader(request)).await
    }

    /// Forwards a proposal.
    pub(crate) async fn propose(
        &mut self,
        request: wire::ProposeRequest,
    ) -> Answer<wire::ProposeResponse> {
        answer(self.0.propose(request)).await
    }

    /// Asks up to where the log is committed.
    pub(crate) async fn read_index(
        &mut self,
        request: wire::ReadIndexRequest,
    ) -> Answer<wire::ReadIndexResponse> {
        answer(self.0.read_index(request)).await
    }

    /// Asks who the member is and whether it has a cluster.
    pub(crate) async fn discover(
        &mut self,
        request: wire::DiscoverRequest,
    ) -> Answer<wire::DiscoverResponse> {
        answer(self.0.discover(request)).await
    }

    /// Asks to be added to the cluster.
    pub(crate) async fn join(&mut self, request: wire::JoinRequest) -> Answer<wire::JoinResponse> {
        answer(self.0.join(request)).await
    }

    /// Opens the stream of signs of life.
    pub(super) async fn heartbeats(
        &mut self,
        requests: impl tokio_stream::Stream<Item = wire::ControlHeartbeatRequest> + Send + 'static,
    ) -> Answer<Streaming<wire::ControlHeartbeatResponse>> {
        answer(self.0.heartbeats(requests)).await
    }
}
