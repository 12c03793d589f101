//! How a member makes sure that it is not merely behind before it says that something does not exist (DESIGN G9).
//!
//! It asks the leader up to which position the log was committed when the question came, and waits until that is applied
//! here: whatever anybody was told before the question is then known here. Questions that come while one is under way share
//! the next, so that many callers cost the leader no more than one.

use std::sync::Arc;
use std::time::Duration;

use openraft::ReadPolicy;
use openraft::errors::{LinearizableReadError, RaftError};
use ringhold_proto::internal as wire;
use ringhold_types::{ControlIndex, MemberId};
use tokio::sync::{mpsc, oneshot};

use super::core::Core;
use super::types::member;
use crate::peer::control::Lane;

/// Questions that may wait for the next round; more wait to be queued, each no longer than its caller does.
const QUESTIONS_QUEUED_MAX: usize = 4096;
/// How long the leader may take before it is asked again: a few rounds between voters.
const ROUND_PATIENCE: Duration = Duration::from_millis(500);
/// Pause before the next round while there is no leader: a fraction of an election.
const ROUND_PAUSE: Duration = Duration::from_millis(25);

/// Where the position goes.
type Question = oneshot::Sender<ControlIndex>;

/// The asking end; any number of callers share it.
#[derive(Clone, Debug)]
pub(crate) struct ReadIndex {
    questions: mpsc::Sender<Question>,
}

/// What the rounds work on.
pub(crate) type Questions = mpsc::Receiver<Question>;

impl ReadIndex {
    /// Both ends; [`run`] works on the second.
    pub(crate) fn new() -> (Self, Questions) {
        let (questions, receiver) = mpsc::channel(QUESTIONS_QUEUED_MAX);
        (Self { questions }, receiver)
    }

    /// The position that holds everything committed before this call; `None` once the control plane has stopped. Waits as
    /// long as there is no leader: the caller bounds it.
    pub(crate) async fn ask(&self) -> Option<ControlIndex> {
        let (question, answer) = oneshot::channel();
        self.questions.send(question).await.ok()?;
        answer.await.ok()
    }
}

/// What came of a round.
pub(crate) enum Round {
    /// Everything committed before the round is at or before this position.
    Index(ControlIndex),
    /// The asked one cannot say; perhaps that member leads.
    NotLeader(Option<MemberId>),
}

/// Asks in rounds until the control plane stops.
pub(crate) async fn run(core: Arc<Core>, mut questions: Questions) {
    let mut waiting = Vec::new();
    loop {
        tokio::select! {
            () = core.until_stopped() => return,
            received = questions.recv_many(&mut waiting, QUESTIONS_QUEUED_MAX) => if received == 0 { return },
        }
        tokio::select! {
            () = core.until_stopped() => return,
            () = answer(&core, &mut waiting) => {}
        }
    }
}

/// Asks until the leader has answered or every caller has gone.
async fn answer(core: &Core, waiting: &mut Vec<Question>) {
    while !waiting.is_empty() {
        let round = match core.leader() {
            Some(leader) if leader == core.own() => here(core, ROUND_PATIENCE).await,
            Some(leader) => there(core, leader).await,
            None => Round::NotLeader(None),
        };
        if let Round::Index(index) = round {
            for question in waiting.drain(..) {
                // A caller that has gone needs no answer.
                let _gone = question.send(index);
            }
            return;
        }
        tokio::time::sleep(ROUND_PAUSE).await;
        waiting.retain(|question| !question.is_closed());
    }
}

/// Asks this member's Raft, which must be the leader and confirm it with a quorum.
pub(crate) async fn here(core: &Core, within: Duration) -> Round {
    let asking = core.raft.get_read_log_id(ReadPolicy::ReadIndex);
    match tokio::time::timeout(within, asking).await {
        Ok(Ok((read, _))) => Round::Index(ControlIndex(read.index())),
        Ok(Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)))) => {
            Round::NotLeader(forward.leader_id.map(member))
        }
        Ok(Err(_)) | Err(_) => Round::NotLeader(None),
    }
}

async fn there(core: &Core, leader: MemberId) -> Round {
    let Ok(mut client) = core.peers.client(leader, Lane::Call) else {
        return Round::NotLeader(None);
    };
    let request = wire::ReadIndexRequest {
        envelope: Some(core.peers.envelope(leader)),
        deadline_millis: u64::try_from(ROUND_PATIENCE.as_millis()).unwrap_or(u64::MAX),
    };
    let answer = tokio::time::timeout(ROUND_PATIENCE, client.read_index(request)).await;
    match answer.map(|answer| answer.map(|answer| answer.result)) {
        Ok(Ok(Some(wire::read_index_response::Result::Index(index)))) => {
            Round::Index(ControlIndex(index))
        }
        Ok(Ok(Some(wire::read_index_response::Result::NotLeader(hint)))) => {
            Round::NotLeader(hint.leader.map(member))
        }
        Ok(_) | Err(_) => Round::NotLeader(None),
    }
}
