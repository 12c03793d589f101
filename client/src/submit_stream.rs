//! One bidirectional stream of submits per member, shared by all concurrent submits: many tasks travel in few packets
//! and are committed together, without any timer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ringhold_proto::v1;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::connections::executor_service;
use crate::limits;
use crate::refusal::Miss;

/// The answer to one submit.
pub(crate) type Answer = Result<v1::Receipt, Miss>;

/// A stream of submits to one member.
#[derive(Debug)]
pub(crate) struct SubmitStream {
    /// Numbers of submits to send, in order; what is to be sent lies with the pending ones.
    outbound: mpsc::Sender<u64>,
    pending: Arc<Pending>,
}

/// Submits on their way; `None` once the stream has ended. Bounded, since each has a permit of the client, by number and by
/// bytes, for as long as it is among them.
#[derive(Debug)]
struct Pending(Mutex<Option<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    last: u64,
    answers: BTreeMap<u64, oneshot::Sender<Answer>>,
    /// What the connection has not taken yet: a member that does not read takes nothing.
    requests: BTreeMap<u64, v1::SubmitStreamRequest>,
}

/// A place among the pending submits, given up when dropped: a caller that no longer waits leaves nothing behind, neither its
/// place nor its task, whether the member reads or not. (What the connection has taken is bounded by its own buffer.)
struct Ticket<'a> {
    pending: &'a Pending,
    number: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = &mut *self.pending.lock() {
            waiting.answers.remove(&self.number);
            waiting.requests.remove(&self.number);
        }
    }
}

impl SubmitStream {
    /// Opens a stream. It ends by itself when the connection breaks, and every submit on it then goes unanswered.
    pub(crate) fn open(channel: Channel) -> Self {
        let (outbound, requests) = mpsc::channel(limits::STREAM_QUEUE);
        let pending = Arc::new(Pending(Mutex::new(Some(Waiting::default()))));
        let requests = ReceiverStream::new(requests);
        tokio::spawn(read_answers(channel, requests, pending.clone()));
        Self { outbound, pending }
    }

    /// Whether submits can still be sent on it.
    pub(crate) fn is_open(&self) -> bool {
        self.pending.lock().is_some()
    }

    /// Sends one submit and waits for its answer. Dropping the future takes nothing back.
    pub(crate) async fn submit(&self, request: v1::SubmitStreamRequest) -> Answer {
        let ended = || Err(Miss::Unanswered("the stream has ended".to_owned()));
        let Some((ticket, answer)) = self.pending.enter(request) else {
            return ended();
        };
        if self.outbound.send(ticket.number).await.is_err() {
            return ended();
        }
        answer.await.unwrap_or_else(|_| ended())
    }
}

impl Pending {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Waiting>> {
        self.0.lock().expect("no panic while held")
    }

    fn enter(
        &self,
        mut request: v1::SubmitStreamRequest,
    ) -> Option<(Ticket<'_>, oneshot::Receiver<Answer>)> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.lock();
        let waiting = waiting.as_mut()?;
        waiting.last += 1;
        let number = waiting.last;
        request.correlation_id = number;
        waiting.answers.insert(number, sender);
        waiting.requests.insert(number, request);
        let pending = self;
        Some((Ticket { pending, number }, receiver))
    }

    /// What the connection is to send next under a number; nothing if its caller has given up.
    fn take(&self, number: u64) -> Option<v1::SubmitStreamRequest> {
        self.lock().as_mut()?.requests.remove(&number)
    }

    fn answer(&self, response: v1::SubmitStreamResponse) {
        let answer = read_answer(response.answer);
        let mut waiting = self.lock();
        let sender = waiting
            .as_mut()
            .and_then(|w| w.answers.remove(&response.correlation_id));
        drop(waiting);
        if let Some(sender) = sender {
            // The caller may have given up meanwhile; its next try finds the task under the same key.
            let _ = sender.send(answer);
        }
    }

    fn end(&self, why: &Miss) {
        let waiting = self.lock().take();
        for (_, sender) in waiting.into_iter().flat_map(|waiting| waiting.answers) {
            let _ = sender.send(Err(why.clone()));
        }
    }
}

/// Ends the stream also when its task is dropped with the runtime.
struct EndOnDrop(Arc<Pending>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0
            .end(&Miss::Unanswered("the client was closed".to_owned()));
    }
}

async fn read_answers(channel: Channel, numbers: ReceiverStream<u64>, pending: Arc<Pending>) {
    let source = pending.clone();
    let requests = numbers.filter_map(move |number| source.take(number));
    let pending = EndOnDrop(pending);
    let mut service = executor_service(channel);
    let mut answers = match service.submit_stream(requests).await {
        Ok(response) => response.into_inner(),
        Err(status) => return pending.0.end(&Miss::from(status)),
    };
    loop {
        match answers.message().await {
            Ok(Some(response)) => pending.0.answer(response),
            Ok(None) => {
                return pending
                    .0
                    .end(&Miss::Unanswered("the member ended the stream".to_owned()));
            }
            Err(status) => return pending.0.end(&Miss::from(status)),
        }
    }
}

fn read_answer(answer: Option<v1::SubmitAnswer>) -> Answer {
    match answer.and_then(|answer| answer.answer) {
        Some(v1::submit_answer::Answer::Receipt(receipt)) => Ok(receipt),
        Some(v1::submit_answer::Answer::Error(error)) => Err(error.into()),
        None => Err(Miss::Unanswered("the answer was empty".to_owned())),
    }
}
