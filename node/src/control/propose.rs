//! Proposals: to the leader, wherever it is.

use std::sync::Arc;
use std::time::Duration;

use openraft::errors::{ClientWriteError, RaftError};
use ringhold_control::{Cluster, Command, Response};
use ringhold_proto::internal as wire;
use ringhold_types::{ChangeKind, MemberId, Tick};

use super::core::Core;
use super::error::ProposeError;
use super::types::{Proposal, member};
use crate::peer::control::Lane;

/// Commands that withhold leases and whose fate is not known yet, at most; operators send few, and each is retried.
const FENCED_MAX: usize = 64;
/// Pause before the next attempt while there is no leader: a fraction of an election.
const RETRY_PAUSE: Duration = Duration::from_millis(25);

/// What came of an attempt.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// It is applied.
    Answered(Response),
    /// It was not stored, and will not be; perhaps that member leads.
    NotLeader(Option<MemberId>),
    /// It may or may not be applied.
    Unknown,
    /// Nothing will be, here.
    Fatal(String),
}

/// Proposes from any member, and tries again while there is no leader.
pub(crate) async fn propose(
    core: &Arc<Core>,
    command: Command,
    deadline: Duration,
) -> Result<Response, ProposeError> {
    let until = crate::clock::Clock.instant() + deadline;
    let mut in_doubt = false;
    loop {
        let left = until.saturating_duration_since(crate::clock::Clock.instant());
        let out_of_time = if in_doubt {
            ProposeError::Timeout
        } else {
            ProposeError::NoLeader
        };
        if left.is_zero() {
            return Err(out_of_time);
        }
        let attempt = match core.leader() {
            Some(leader) if leader == core.own() => here(core, command.clone(), left).await,
            Some(leader) => there(core, leader, &command, left).await,
            None => Attempt::NotLeader(None),
        };
        match attempt {
            Attempt::Answered(response) => return Ok(response),
            Attempt::Fatal(reason) => return Err(ProposeError::Fatal(reason)),
            Attempt::Unknown if !is_repeatable(&command) => return Err(ProposeError::Timeout),
            Attempt::Unknown => in_doubt = true,
            Attempt::NotLeader(_) => {}
        }
        if core.is_stopped() {
            return Err(ProposeError::Fatal("it was told to stop".to_owned()));
        }
        tokio::time::sleep(RETRY_PAUSE.min(left)).await;
    }
}

/// Whether a command that was applied answers the same when it comes again.
fn is_repeatable(command: &Command) -> bool {
    match command {
        Command::Initialise { .. }
        | Command::Start(_)
        | Command::MembersDown { .. }
        | Command::MemberUp { .. }
        | Command::MarksCleared { .. }
        | Command::Drain { .. }
        | Command::Leave { .. }
        | Command::CreateExecutor { .. }
        | Command::UpdateExecutor { .. }
        | Command::SetExecutorState { .. }
        | Command::Materialise { .. }
        | Command::RaiseFeatureLevel { .. } => true,
        Command::Forget { .. }
        | Command::DeleteExecutor { .. }
        | Command::Change(_)
        | Command::AddLearner { .. }
        | Command::RemoveLearner { .. }
        | Command::Nominate { .. } => false,
    }
}

/// Proposes on this member, which is thought to lead.
pub(crate) async fn here(core: &Arc<Core>, command: Command, within: Duration) -> Attempt {
    let members = ended_by(&command, &core.view().cluster);
    let attempt = async {
        if members.is_empty() {
            write(core, command).await
        } else {
            fenced(core, members, command, within).await
        }
    };
    let attempt = tokio::time::timeout(within, attempt).await;
    attempt.unwrap_or(Attempt::Unknown)
}

/// Writes a command that ends copies of these members, with their leases withheld.
async fn fenced(
    core: &Arc<Core>,
    members: Vec<MemberId>,
    command: Command,
    within: Duration,
) -> Attempt {
    let Some(fence) = Fence::raise(core, members) else {
        return Attempt::NotLeader(None);
    };
    let until = crate::clock::Clock.instant() + within;
    // A task of its own: whoever asked may go away, or run out of patience, and the leases stay withheld all the same
    // until it is known here whether the command is applied or never will be.
    let fenced = write_fenced(Arc::clone(core), fence, command, until);
    let written = crate::spawn::task("fenced-proposal", fenced).await;
    // An error is a panic, which has been reported.
    written.unwrap_or(Attempt::Unknown)
}

/// Waits until the leases that the fence withholds have run out, then writes the command; not after `until`.
async fn write_fenced(
    core: Arc<Core>,
    fence: Fence,
    command: Command,
    until: tokio::time::Instant,
) -> Attempt {
    loop {
        // Looked at again after each wait: an election in between brings leases of another leader.
        if !core.leads() {
            return Attempt::NotLeader(core.leader().filter(|leader| *leader != core.own()));
        }
        let wait = core.clock.until(fence.over_at());
        if crate::clock::Clock.instant() + wait >= until {
            return Attempt::NotLeader(None);
        }
        if wait.is_zero() {
            break;
        }
        tokio::time::sleep(wait).await;
    }
    write(&core, command).await
}

/// Writes the command to Raft's log; returns once it is applied here, or cannot be any more.
async fn write(core: &Core, command: Command) -> Attempt {
    match core.raft.client_write(Proposal(command)).await {
        Ok(written) => Attempt::Answered(written.data),
        Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => {
            Attempt::NotLeader(forward.leader_id.map(member))
        }
        Err(RaftError::APIError(_)) => Attempt::Unknown,
        Err(RaftError::Fatal(fatal)) => Attempt::Fatal(fatal.to_string()),
    }
}

/// Sends the command to the leader.
async fn there(core: &Core, leader: MemberId, command: &Command, within: Duration) -> Attempt {
    let Ok(mut client) = core.peers.client(leader, Lane::Call) else {
        return Attempt::NotLeader(None);
    };
    let request = wire::ProposeRequest {
        envelope: Some(core.peers.envelope(leader)),
        command: Some(command.into()),
        deadline_millis: u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
    };
    let answer = match tokio::time::timeout(within, client.propose(request)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) if error.was_not_taken() => return Attempt::NotLeader(None),
        Ok(Err(_)) | Err(_) => return Attempt::Unknown,
    };
    match answer.result {
        Some(wire::propose_response::Result::Response(response)) => response
            .try_into()
            .map_or(Attempt::Unknown, Attempt::Answered),
        Some(wire::propose_response::Result::NotLeader(not_leader)) => {
            let leader = not_leader.leader.map(member);
            if let Some(leader) = leader {
                core.peers.suggest(leader, &not_leader.address);
            }
            Attempt::NotLeader(leader)
        }
        Some(wire::propose_response::Result::Unknown(_)) | None => Attempt::Unknown,
    }
}

/// A command that may end a partition's last copy takes effect only when no lease of the control plane can be left with its
/// holder (PROTOCOL §2, "A lone primary"): no new one is granted, and those that were granted run out first.
///
/// It stands until the command is applied here or has left this member's log. A leader that finds the command in its log
/// instead knows no fence of it; it grants nothing before it has applied what it found (`lease::grant`).
struct Fence {
    core: Arc<Core>,
    members: Vec<MemberId>,
}

impl Drop for Fence {
    fn drop(&mut self) {
        let mut grants = self.core.grants();
        for member in &self.members {
            grants.release(*member);
        }
    }
}

impl Fence {
    /// Withholds leases from `members`, unless too many do so already.
    fn raise(core: &Arc<Core>, members: Vec<MemberId>) -> Option<Self> {
        let mut grants = core.grants();
        if grants.reasons() >= FENCED_MAX {
            return None;
        }
        for member in &members {
            grants.withhold(*member);
        }
        drop(grants);
        Some(Self {
            core: Arc::clone(core),
            members,
        })
    }

    /// When no lease of its members can be left, as far as is known now.
    fn over_at(&self) -> Tick {
        let now = self.core.clock.now();
        let elected = self.core.detector().leading_since().unwrap_or(now);
        let grants = self.core.grants();
        let over = self.members.iter();
        over.map(|member| grants.over_at(*member, elected))
            .max()
            .unwrap_or(now)
    }
}

/// Members whose copies the command may end although their processes may be running.
fn ended_by(command: &Command, cluster: &Cluster) -> Vec<MemberId> {
    match command {
        Command::Forget { member, .. } => vec![*member],
        Command::Change(change) => match change.kind {
            ChangeKind::ShortLog { replica } => vec![replica.member],
            _ => Vec::new(),
        },
        Command::Start(start) => {
            // The start of an emptied directory under a dead member's name replaces that member.
            let namesake = cluster.member_by_name(&start.member.name);
            let namesake = namesake.map(|record| record.info.id);
            namesake
                .filter(|id| *id != start.member.id)
                .into_iter()
                .collect()
        }
        _ => Vec::new(),
    }
}
