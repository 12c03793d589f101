//! Proposals: to the leader, wherever it is.

use std::time::Duration;

use openraft::errors::{ClientWriteError, RaftError};
use ringhold_control::{Cluster, Command, Response};
use ringhold_proto::internal as wire;
use ringhold_types::{ChangeKind, MemberId};
use tonic::{Code, Status};

use super::core::Core;
use super::error::ProposeError;
use super::peers::Lane;
use super::types::{Proposal, member};

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
    core: &Core,
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
        | Command::CreateExecutor { .. }
        | Command::UpdateExecutor { .. }
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
pub(crate) async fn here(core: &Core, command: Command, within: Duration) -> Attempt {
    let until = crate::clock::Clock.instant() + within;
    let _fence = fence(core, &command).await;
    let left = until.saturating_duration_since(crate::clock::Clock.instant());
    if left.is_zero() {
        return Attempt::NotLeader(None);
    }
    let written = tokio::time::timeout(left, core.raft.client_write(Proposal(command))).await;
    match written {
        Ok(Ok(written)) => Attempt::Answered(written.data),
        Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward)))) => {
            Attempt::NotLeader(forward.leader_id.map(member))
        }
        Ok(Err(RaftError::APIError(_))) | Err(_) => Attempt::Unknown,
        Ok(Err(RaftError::Fatal(fatal))) => Attempt::Fatal(fatal.to_string()),
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
        Ok(Ok(answer)) => answer.into_inner(),
        Ok(Err(status)) if was_not_taken(&status) => return Attempt::NotLeader(None),
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

/// Whether the receiver certainly did not take the request: no connection, or refused at the door.
fn was_not_taken(status: &Status) -> bool {
    if matches!(
        status.code(),
        Code::FailedPrecondition | Code::InvalidArgument
    ) {
        return true;
    }
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// Withholds leases from members while a command about them is on its way.
pub(crate) struct Fence<'a> {
    core: &'a Core,
    members: Vec<MemberId>,
}

impl Drop for Fence<'_> {
    fn drop(&mut self) {
        let mut grants = self.core.grants();
        for member in &self.members {
            grants.release(*member);
        }
    }
}

/// A command that may end a partition's last copy takes effect only when no lease of the control plane can be left with its
/// holder (PROTOCOL §2, "A lone primary"): no new one is granted, and those that were granted run out first.
async fn fence<'a>(core: &'a Core, command: &Command) -> Fence<'a> {
    let members = ended_by(command, &core.view().cluster);
    let elected = core
        .detector()
        .leading_since()
        .unwrap_or_else(|| core.clock.now());
    let over = {
        let mut grants = core.grants();
        for member in &members {
            grants.withhold(*member);
        }
        members
            .iter()
            .map(|member| grants.over_at(*member, elected))
            .max()
    };
    let fence = Fence { core, members };
    if let Some(over) = over {
        tokio::time::sleep(core.clock.until(over)).await;
    }
    fence
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
