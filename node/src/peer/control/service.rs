//! What other members may ask of this one's control plane, as gRPC.

use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use ringhold_proto::internal as wire;
use ringhold_proto::internal::raft_service_server::{RaftService, RaftServiceServer};
use tonic::{Request, Response, Status, Streaming};

use super::RAFT_MESSAGE_BYTES_MAX;
use super::error::CallError;
use crate::control::ControlService;

/// The service as tonic mounts it.
pub(in crate::peer) fn server(control: ControlService) -> RaftServiceServer<RaftServiceImpl> {
    RaftServiceServer::new(RaftServiceImpl { control })
        .max_decoding_message_size(RAFT_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(RAFT_MESSAGE_BYTES_MAX)
}

/// Serves `RaftService`.
pub(in crate::peer) struct RaftServiceImpl {
    control: ControlService,
}

type HeartbeatAnswers =
    Pin<Box<dyn Stream<Item = Result<wire::ControlHeartbeatResponse, Status>> + Send>>;
type Answer<T> = Result<Response<T>, Status>;

fn answer<T>(answer: Result<T, CallError>) -> Answer<T> {
    Ok(Response::new(answer?))
}

#[tonic::async_trait]
impl RaftService for RaftServiceImpl {
    async fn append_entries(
        &self,
        request: Request<wire::AppendEntriesRequest>,
    ) -> Answer<wire::AppendEntriesResponse> {
        answer(self.control.append_entries(request.into_inner()).await)
    }

    async fn vote(&self, request: Request<wire::VoteRequest>) -> Answer<wire::VoteResponse> {
        answer(self.control.vote(request.into_inner()).await)
    }

    async fn pre_vote(&self, request: Request<wire::VoteRequest>) -> Answer<wire::VoteResponse> {
        answer(self.control.pre_vote(request.into_inner()).await)
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<wire::InstallSnapshotRequest>>,
    ) -> Answer<wire::InstallSnapshotResponse> {
        let parts = request.into_inner().map(|part| Ok(part?));
        answer(self.control.install_snapshot(parts).await)
    }

    async fn transfer_leader(
        &self,
        request: Request<wire::TransferLeaderRequest>,
    ) -> Answer<wire::TransferLeaderResponse> {
        answer(self.control.transfer_leader(request.into_inner()).await)
    }

    async fn propose(
        &self,
        request: Request<wire::ProposeRequest>,
    ) -> Answer<wire::ProposeResponse> {
        answer(self.control.propose(request.into_inner()).await)
    }

    async fn read_index(
        &self,
        request: Request<wire::ReadIndexRequest>,
    ) -> Answer<wire::ReadIndexResponse> {
        answer(self.control.read_index(request.into_inner()).await)
    }

    type HeartbeatsStream = HeartbeatAnswers;

    async fn heartbeats(
        &self,
        request: Request<Streaming<wire::ControlHeartbeatRequest>>,
    ) -> Answer<HeartbeatAnswers> {
        let control = self.control.clone();
        let requests = request.into_inner();
        // The first refusal ends the stream.
        let answers = requests.map(move |request| Ok(control.heartbeat(request?)?));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn discover(
        &self,
        request: Request<wire::DiscoverRequest>,
    ) -> Answer<wire::DiscoverResponse> {
        answer(self.control.discover(request.into_inner()))
    }

    async fn join(&self, request: Request<wire::JoinRequest>) -> Answer<wire::JoinResponse> {
        answer(self.control.join(request.into_inner()).await)
    }
}
