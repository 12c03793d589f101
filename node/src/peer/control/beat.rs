//! The stream on which a member's heartbeats go to one voter, and its answers come back. A call for each of them made up
//! most of what an idle member cost (`ringhold-bench idle`).

use ringhold_proto::internal::{ControlHeartbeatRequest, ControlHeartbeatResponse};
use ringhold_types::MemberId;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::peers::{Lane, Peers};

/// One heartbeat is under way at a time.
const QUEUED_MAX: usize = 1;

/// An open stream; dropping it ends it.
pub(crate) struct BeatStream {
    requests: mpsc::Sender<ControlHeartbeatRequest>,
    answers: Streaming<ControlHeartbeatResponse>,
}

/// Sends a heartbeat on the stream that is open, or on a new one, and waits for its answer. `None` if that came to nothing:
/// the next one begins anew.
pub(crate) async fn exchange(
    peers: &Peers,
    voter: MemberId,
    open: Option<BeatStream>,
    request: ControlHeartbeatRequest,
) -> Option<(BeatStream, ControlHeartbeatResponse)> {
    let mut stream = match open {
        Some(stream) => stream,
        None => BeatStream::open(peers, voter).await?,
    };
    stream.requests.send(request).await.ok()?;
    let answer = stream.answers.message().await.ok()??;
    Some((stream, answer))
}

impl BeatStream {
    async fn open(peers: &Peers, voter: MemberId) -> Option<Self> {
        let mut client = peers.client(voter, Lane::Beat).ok()?;
        let (requests, outgoing) = mpsc::channel(QUEUED_MAX);
        let answers = client.heartbeats(ReceiverStream::new(outgoing)).await;
        let answers = answers.ok()?;
        Some(Self { requests, answers })
    }
}
