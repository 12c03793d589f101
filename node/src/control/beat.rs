//! The stream on which a member's heartbeats go to one voter, and its answers come back. A call for each of them made up
//! most of what an idle member cost (`ringhold-bench idle`).

use ringhold_proto::internal::{ControlHeartbeatRequest, ControlHeartbeatResponse};
use ringhold_types::MemberId;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::core::Core;
use super::peers::{Answers, Lane};

/// One heartbeat is under way at a time.
const QUEUED_MAX: usize = 1;

/// An open stream; dropping it ends it.
pub(super) struct BeatStream {
    requests: mpsc::Sender<ControlHeartbeatRequest>,
    answers: Answers<ControlHeartbeatResponse>,
}

/// Sends a heartbeat on the stream that is open, or on a new one, and waits for its answer. `None` if that came to nothing:
/// the next one begins anew.
pub(super) async fn exchange(
    core: &Core,
    voter: MemberId,
    open: Option<BeatStream>,
    request: ControlHeartbeatRequest,
) -> Option<(BeatStream, ControlHeartbeatResponse)> {
    let mut stream = match open {
        Some(stream) => stream,
        None => BeatStream::open(core, voter).await?,
    };
    stream.requests.send(request).await.ok()?;
    let answer = stream.answers.message().await.ok()??;
    Some((stream, answer))
}

impl BeatStream {
    async fn open(core: &Core, voter: MemberId) -> Option<Self> {
        let mut client = core.peers.client(voter, Lane::Beat).ok()?;
        let (requests, outgoing) = mpsc::channel(QUEUED_MAX);
        let answers = client
            .heartbeats(ReceiverStream::new(outgoing))
            .await
            .ok()?;
        Some(Self {
            requests,
            answers: answers.into_inner(),
        })
    }
}
