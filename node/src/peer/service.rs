//! The way in: takes other members' streams and hands their messages to the driver.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use ringhold_control::{Cluster, MemberState};
use ringhold_proto::convert::cluster_bytes;
use ringhold_proto::internal::PeerBatch;
use ringhold_proto::internal::peer_service_server::PeerService;
use ringhold_replica::PeerMessage;
use ringhold_types::{ClusterId, ErrorCode, MemberId, StartNonce};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use crate::partition::DriverHandle;
use crate::rpc::api_error;
use crate::spawn;

/// Who this member is to its peers.
#[derive(Clone, Debug)]
pub struct PeerIdentity {
    /// Its cluster; set once it has joined.
    pub cluster: OnceLock<ClusterId>,
    /// Itself.
    pub member: MemberId,
    /// This process start.
    pub start: StartNonce,
}

impl PeerIdentity {
    /// A batch without messages yet.
    pub(super) fn empty_batch(&self) -> PeerBatch {
        let cluster = self.cluster.get().copied().unwrap_or_default();
        PeerBatch {
            cluster_id: cluster_bytes(cluster),
            from_member: self.member.0,
            from_start: self.start.0,
            messages: Vec::new(),
        }
    }
}

/// Serves `PeerService`.
pub struct PeerServiceImpl {
    identity: Arc<PeerIdentity>,
    /// Set once the member has joined and its driver runs.
    driver: Arc<OnceLock<DriverHandle>>,
}

impl PeerServiceImpl {
    /// Hands what comes in to `driver`.
    #[must_use]
    pub fn new(identity: Arc<PeerIdentity>, driver: Arc<OnceLock<DriverHandle>>) -> Self {
        Self { identity, driver }
    }
}

#[tonic::async_trait]
impl PeerService for PeerServiceImpl {
    type ExchangeStream = Pin<Box<dyn Stream<Item = Result<PeerBatch, Status>> + Send>>;

    async fn exchange(
        &self,
        request: Request<Streaming<PeerBatch>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        let mut incoming = request.into_inner();
        let Some(driver) = self.driver.get().cloned() else {
            let message = "this member has not joined its cluster yet";
            return Err(api_error(ErrorCode::NotReady, message).into_status());
        };
        let identity = Arc::clone(&self.identity);
        // The answering half carries nothing but the reason why the stream ended.
        let (ended, answers) = mpsc::channel(1);
        spawn::task("peer-incoming", async move {
            while let Some(batch) = incoming.next().await {
                let taken = match batch {
                    Ok(batch) => take(&identity, &driver, batch).await,
                    Err(status) => Err(status),
                };
                if let Err(status) = taken {
                    let _gone = ended.send(Err(status)).await;
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}

async fn take(
    identity: &PeerIdentity,
    driver: &DriverHandle,
    batch: PeerBatch,
) -> Result<(), Status> {
    let Some(own) = identity.cluster.get() else {
        let message = "this member has not joined its cluster yet";
        return Err(api_error(ErrorCode::NotReady, message).into_status());
    };
    if *batch.cluster_id != own.0.to_be_bytes() {
        let message = format!("this member belongs to cluster {own}");
        return Err(api_error(ErrorCode::WrongCluster, message).into_status());
    }
    let (from, start) = (MemberId(batch.from_member), StartNonce(batch.from_start));
    if !judge(&driver.view().cluster, from, start)? {
        return Ok(());
    }
    let messages: Result<Vec<PeerMessage>, _> = batch
        .messages
        .into_iter()
        .map(PeerMessage::try_from)
        .collect();
    match messages {
        Ok(messages) => {
            driver.deliver(from, messages).await;
            Ok(())
        }
        // A message that this version does not know is never taken for something else.
        Err(error) => Err(api_error(ErrorCode::InvalidArgument, error.to_string()).into_status()),
    }
}

/// Whether a batch is to be heeded, as far as this member has applied the control plane's state.
///
/// # Errors
/// A member that was forgotten, or that the cluster never had, is told so and its stream ends: it may run on for long
/// after the operator said that it had ended.
fn judge(cluster: &Cluster, from: MemberId, start: StartNonce) -> Result<bool, Status> {
    let record = cluster.members().get(&from);
    match record.filter(|record| record.state != MemberState::Forgotten) {
        // A batch of another process start than the recorded one is old, or this member is behind; what matters is
        // repeated.
        Some(record) => Ok(record.start == start),
        None => {
            let message = format!("member {from} is not, or no longer, a member of this cluster");
            Err(api_error(ErrorCode::FailedPrecondition, message).into_status())
        }
    }
}
