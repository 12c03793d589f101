//! How the rest of the member talks to the driver's thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ringhold_replica::request::Asked;
use ringhold_replica::{Event, PeerMessage, Reply, Request, RequestToken};
use ringhold_types::{MemberId, PartitionKey, Tick};
use tokio::sync::{mpsc, oneshot, watch};

use super::view::MemberView;

/// Requests that may queue for the driver; beyond it callers wait, which is the backpressure they should feel.
pub(super) const REQUESTS_QUEUED_MAX: usize = 16_384;
/// Batches of peer messages that may queue for the driver; beyond it the peer's stream is not read.
pub(super) const PEER_BATCHES_QUEUED_MAX: usize = 1024;
/// Internal notices (refused proposals, copy-forward, drain) that may queue.
pub(super) const NOTICES_QUEUED_MAX: usize = 4096;

/// Callers that went away and of whom the driver has not been told yet.
pub(super) const GONE_QUEUED_MAX: usize = 65_536;

/// A request on its way to the driver.
pub(super) struct Question {
    pub(super) asked: Box<Asked>,
    pub(super) answer: oneshot::Sender<Reply>,
}

/// What the peers' streams deliver.
pub(super) struct PeerBatch {
    pub(super) from: MemberId,
    pub(super) messages: Vec<PeerMessage>,
}

/// Why a question got no reply at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The driver has stopped: the member shuts down or has failed.
    #[error("the member is shutting down or has failed; ask another member")]
    Stopped,
}

/// Talks to the driver. Cheap to clone.
#[derive(Clone)]
pub struct DriverHandle {
    pub(super) questions: mpsc::Sender<Question>,
    pub(super) peers: mpsc::Sender<PeerBatch>,
    pub(super) notices: mpsc::Sender<Event>,
    pub(super) gone: mpsc::Sender<RequestToken>,
    pub(super) view: watch::Receiver<Arc<MemberView>>,
    pub(super) tokens: Arc<AtomicU64>,
}

impl DriverHandle {
    /// Asks one partition of this member and waits for its one answer. If the caller drops the future the machine
    /// forgets the request.
    ///
    /// # Errors
    /// [`AskError::Stopped`] when the driver ended before it answered.
    pub async fn ask(
        &self,
        connection: u64,
        partition: PartitionKey,
        deadline: Tick,
        request: Request,
    ) -> Result<Reply, AskError> {
        let token = RequestToken(self.tokens.fetch_add(1, Ordering::Relaxed));
        let (answer, receiver) = oneshot::channel();
        let asked = Box::new(Asked {
            token,
            connection,
            partition,
            deadline,
            request,
        });
        let guard = GoneGuard {
            token,
            gone: &self.gone,
            armed: true,
        };
        self.questions
            .send(Question { asked, answer })
            .await
            .map_err(|_| AskError::Stopped)?;
        let reply = receiver.await.map_err(|_| AskError::Stopped);
        guard.disarm();
        reply
    }

    /// Hands over what a peer sent. Waits while the driver is behind.
    pub async fn deliver(&self, from: MemberId, messages: Vec<PeerMessage>) {
        // A closed channel means that the member stops; the peer repeats what matters to whoever takes over.
        let _closed = self.peers.send(PeerBatch { from, messages }).await;
    }

    /// Hands over an internal notice.
    pub async fn notify(&self, event: Event) {
        let _closed = self.notices.send(event).await;
    }

    /// What the driver has applied and leads, as of its last turn.
    #[must_use]
    pub fn view(&self) -> Arc<MemberView> {
        Arc::clone(&self.view.borrow())
    }

    /// Follows [`Self::view`].
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<MemberView>> {
        self.view.clone()
    }
}

/// Tells the driver about a caller that went away before its answer.
struct GoneGuard<'a> {
    token: RequestToken,
    gone: &'a mpsc::Sender<RequestToken>,
    armed: bool,
}

impl GoneGuard<'_> {
    fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for GoneGuard<'_> {
    fn drop(&mut self) {
        if self.armed {
            // If the queue is full the machine keeps the request until its deadline, which bounds the cost.
            let _full_or_closed = self.gone.try_send(self.token);
        }
    }
}
