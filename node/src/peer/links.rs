//! The ways out: one queue and one stream per other member.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ringhold_control::Cluster;
use ringhold_control::MemberState;
use ringhold_proto::internal::PeerBatch;
use ringhold_proto::internal::peer_service_client::PeerServiceClient;
use ringhold_replica::PeerMessage;
use ringhold_types::{MemberId, limits};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use super::service::PeerIdentity;
use crate::spawn;

/// Turns whose messages may wait for one peer. A peer that far behind gets them again by the protocol's own repeats.
const TURNS_QUEUED_MAX: usize = 256;
/// Batches inside the stream that HTTP/2 flow control holds back.
const STREAM_QUEUED: usize = 16;
/// A connection that cannot be made in this time is tried again; shorter than the failure timeout.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(400);
/// Pause before the next try: a member that is down costs a few packets a second.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
/// Silence on the wire after which a ping is sent, and the time it has to be answered.
const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// The ways to all other members. Owned by the driver's thread.
pub struct Links {
    identity: Arc<PeerIdentity>,
    peers: BTreeMap<MemberId, Link>,
}

/// The way to one member.
struct Link {
    address: watch::Sender<String>,
    queue: mpsc::Sender<Vec<PeerMessage>>,
    task: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Links {
    /// No ways yet; [`Self::update_members`] makes them.
    #[must_use]
    pub fn new(identity: Arc<PeerIdentity>) -> Self {
        Self {
            identity,
            peers: BTreeMap::new(),
        }
    }

    /// Makes a way to each member of the cluster, and drops those to members that were forgotten.
    pub fn update_members(&mut self, cluster: &Cluster, own: MemberId) {
        let members = cluster.members();
        self.peers.retain(|id, _| {
            members
                .get(id)
                .is_some_and(|record| record.state != MemberState::Forgotten)
        });
        for (id, record) in members {
            if *id == own || record.state == MemberState::Forgotten || record.info.witness {
                continue;
            }
            let address = &record.info.peer_address;
            let link = self
                .peers
                .entry(*id)
                .or_insert_with(|| Link::open(Arc::clone(&self.identity), *id, address.clone()));
            link.address.send_if_modified(|known| {
                let moved = known != address;
                if moved {
                    known.clone_from(address);
                }
                moved
            });
        }
    }

    /// Queues the messages of one turn, those of one receiver together. Returns how many were dropped.
    pub fn send(&mut self, messages: Vec<(MemberId, PeerMessage)>) -> u64 {
        let mut by_receiver: BTreeMap<MemberId, Vec<PeerMessage>> = BTreeMap::new();
        for (to, message) in messages {
            by_receiver.entry(to).or_default().push(message);
        }
        let mut dropped = 0;
        for (to, messages) in by_receiver {
            let count = messages.len() as u64;
            let queued = self
                .peers
                .get(&to)
                .is_some_and(|link| link.queue.try_send(messages).is_ok());
            dropped += if queued { 0 } else { count };
        }
        dropped
    }
}

impl Link {
    fn open(identity: Arc<PeerIdentity>, to: MemberId, address: String) -> Self {
        let (address, addresses) = watch::channel(address);
        let (queue, messages) = mpsc::channel(TURNS_QUEUED_MAX);
        let task = spawn::task(
            "peer-link",
            keep_streaming(identity, to, addresses, messages),
        );
        Self {
            address,
            queue,
            task,
        }
    }
}

/// Connects, streams until the stream breaks, and starts over.
async fn keep_streaming(
    identity: Arc<PeerIdentity>,
    to: MemberId,
    mut addresses: watch::Receiver<String>,
    mut messages: mpsc::Receiver<Vec<PeerMessage>>,
) {
    loop {
        let address = addresses.borrow_and_update().clone();
        match connect(&address).await {
            Ok(channel) => {
                tracing::debug!(%to, %address, "connected");
                stream(&identity, to, channel, &mut addresses, &mut messages).await;
                tracing::debug!(%to, %address, "stream ended");
            }
            Err(error) => tracing::debug!(%to, %address, %error, "cannot connect"),
        }
        // What queued up meanwhile is old by now; the protocol repeats what still matters.
        while messages.try_recv().is_ok() {}
        if messages.is_closed() {
            return;
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

async fn connect(address: &str) -> Result<Channel, tonic::transport::Error> {
    Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .connect()
        .await
}

/// Streams until either side ends, or the member has moved to another address.
async fn stream(
    identity: &PeerIdentity,
    to: MemberId,
    channel: Channel,
    addresses: &mut watch::Receiver<String>,
    messages: &mut mpsc::Receiver<Vec<PeerMessage>>,
) {
    let (batches, outgoing) = mpsc::channel::<PeerBatch>(STREAM_QUEUED);
    let mut client =
        PeerServiceClient::new(channel).max_decoding_message_size(limits::MESSAGE_BYTES_MAX * 4);
    let mut answers = match client.exchange(ReceiverStream::new(outgoing)).await {
        Ok(response) => response.into_inner(),
        Err(status) => {
            tracing::warn!(%to, %status, "the peer refuses this member's stream");
            return;
        }
    };
    loop {
        tokio::select! {
            turn = messages.recv() => {
                let Some(turn) = turn else { return };
                if send_turn(identity, turn, &batches).await.is_err() {
                    return;
                }
            }
            answer = answers.next() => match answer {
                Some(Ok(_)) => {}
                Some(Err(status)) => {
                    tracing::debug!(%to, %status, "the peer ended this member's stream");
                    return;
                }
                None => return,
            },
            changed = addresses.changed() => if changed.is_ok() { return },
        }
    }
}

/// Cuts a turn's messages into batches within the message limit.
async fn send_turn(
    identity: &PeerIdentity,
    turn: Vec<PeerMessage>,
    batches: &mpsc::Sender<PeerBatch>,
) -> Result<(), mpsc::error::SendError<PeerBatch>> {
    let mut batch = identity.empty_batch();
    let mut bytes = 0;
    for message in turn {
        let message = ringhold_proto::internal::PeerMessage::from(message);
        let size = ringhold_proto::encoded_length(&message);
        if bytes + size > limits::MESSAGE_BYTES_MAX && !batch.messages.is_empty() {
            batches
                .send(std::mem::replace(&mut batch, identity.empty_batch()))
                .await?;
            bytes = 0;
        }
        bytes += size;
        batch.messages.push(message);
    }
    batches.send(batch).await
}
