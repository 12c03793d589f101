//! openraft's words as the messages of `proto`, and back. What crosses the network and what is stored is the same.

use std::collections::{BTreeMap, BTreeSet};

use openraft::impls::BasicNode;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest, VoteResponse,
};
use openraft::{EntryPayload, RaftTypeConfig};
use ringhold_proto::ConversionError;
use ringhold_proto::internal as wire;

use super::types::{
    Entry, LeaderId, LogId, Membership, Proposal, RaftTypes, SnapshotMeta, StoredMembership, Vote,
};

type Decoded<T> = Result<T, ConversionError>;

/// openraft's answer to a hand-over of leadership.
pub(crate) type TransferAnswer = openraft::raft::TransferLeaderResponse<RaftTypes>;
type TransferError = openraft::raft::TransferLeaderError<RaftTypes>;

fn required<T>(field: &'static str, value: Option<T>) -> Decoded<T> {
    value.ok_or(ConversionError::Missing { field })
}

fn leader_to_wire(leader: &LeaderId) -> wire::RaftLeader {
    wire::RaftLeader {
        term: leader.term,
        member: leader.node_id,
    }
}

/// A vote as a message.
pub(crate) fn vote_to_wire(vote: &Vote) -> wire::RaftVote {
    wire::RaftVote {
        leader: Some(leader_to_wire(&vote.leader_id)),
        committed: vote.committed,
    }
}

/// A vote from a message.
pub(crate) fn vote_from_wire(vote: Option<wire::RaftVote>) -> Decoded<Vote> {
    let vote = required("vote", vote)?;
    let leader = required("vote.leader", vote.leader)?;
    Ok(Vote {
        leader_id: LeaderId {
            term: leader.term,
            node_id: leader.member,
        },
        committed: vote.committed,
    })
}

/// A log position as a message.
pub(crate) fn log_id_to_wire(log_id: &LogId) -> wire::RaftLogId {
    wire::RaftLogId {
        leader: Some(leader_to_wire(&log_id.leader_id)),
        index: log_id.index,
    }
}

/// A log position from a message.
pub(crate) fn log_id_from_wire(log_id: wire::RaftLogId) -> Decoded<LogId> {
    let leader = required("log_id.leader", log_id.leader)?;
    let leader_id = LeaderId {
        term: leader.term,
        node_id: leader.member,
    };
    Ok(LogId {
        leader_id,
        index: log_id.index,
    })
}

fn optional_log_id(log_id: Option<wire::RaftLogId>) -> Decoded<Option<LogId>> {
    log_id.map(log_id_from_wire).transpose()
}

fn membership_to_wire(membership: &Membership) -> wire::RaftMembership {
    let voter_sets = membership.get_joint_config().iter();
    let nodes = membership.nodes();
    wire::RaftMembership {
        voter_sets: voter_sets
            .map(|set| wire::RaftVoterSet {
                members: set.iter().copied().collect(),
            })
            .collect(),
        nodes: nodes
            .map(|(member, node)| wire::RaftNode {
                member: *member,
                address: node.addr.clone(),
            })
            .collect(),
    }
}

fn membership_from_wire(membership: wire::RaftMembership) -> Decoded<Membership> {
    let voter_sets: Vec<BTreeSet<u64>> = membership
        .voter_sets
        .into_iter()
        .map(|set| set.members.into_iter().collect())
        .collect();
    let nodes: BTreeMap<u64, BasicNode> = membership
        .nodes
        .into_iter()
        .map(|node| (node.member, BasicNode::new(node.address)))
        .collect();
    if voter_sets.is_empty() && nodes.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(voter_sets, nodes).map_err(|_| ConversionError::Missing {
        field: "membership.nodes",
    })
}

fn stored_membership_to_wire(stored: &StoredMembership) -> wire::RaftStoredMembership {
    wire::RaftStoredMembership {
        log_id: stored.log_id().as_ref().map(log_id_to_wire),
        membership: Some(membership_to_wire(stored.membership())),
    }
}

fn stored_membership_from_wire(stored: wire::RaftStoredMembership) -> Decoded<StoredMembership> {
    let membership = required("membership", stored.membership)?;
    Ok(StoredMembership::new(
        optional_log_id(stored.log_id)?,
        membership_from_wire(membership)?,
    ))
}

/// What a snapshot covers, as a message.
pub(crate) fn meta_to_wire(meta: &SnapshotMeta) -> wire::RaftSnapshotMeta {
    wire::RaftSnapshotMeta {
        last: meta.last_log_id.as_ref().map(log_id_to_wire),
        membership: Some(stored_membership_to_wire(&meta.last_membership)),
    }
}

/// What a snapshot covers, from a message.
pub(crate) fn meta_from_wire(meta: Option<wire::RaftSnapshotMeta>) -> Decoded<SnapshotMeta> {
    let meta = required("snapshot.meta", meta)?;
    let membership = required("snapshot.membership", meta.membership)?;
    Ok(SnapshotMeta {
        last_log_id: optional_log_id(meta.last)?,
        last_membership: stored_membership_from_wire(membership)?,
    })
}

/// A log entry as a message.
pub(crate) fn entry_to_wire(entry: &Entry) -> wire::RaftEntry {
    use wire::raft_entry::Payload;
    let payload = match &entry.payload {
        EntryPayload::Blank => Payload::Blank(wire::RaftDone {}),
        EntryPayload::Normal(proposal) => Payload::Command((&proposal.0).into()),
        EntryPayload::Membership(membership) => Payload::Membership(membership_to_wire(membership)),
    };
    wire::RaftEntry {
        log_id: Some(log_id_to_wire(&entry.log_id)),
        payload: Some(payload),
    }
}

/// A log entry from a message. One of a kind that this version does not know is an error, never nothing (PROTOCOL §6).
pub(crate) fn entry_from_wire(entry: wire::RaftEntry) -> Decoded<Entry> {
    use wire::raft_entry::Payload;
    let log_id = log_id_from_wire(required("entry.log_id", entry.log_id)?)?;
    let payload = match entry.payload {
        None => return Err(ConversionError::UnknownOperation { what: "log entry" }),
        Some(Payload::Blank(_)) => EntryPayload::Blank,
        Some(Payload::Command(command)) => EntryPayload::Normal(Proposal(command.try_into()?)),
        Some(Payload::Membership(membership)) => {
            EntryPayload::Membership(membership_from_wire(membership)?)
        }
    };
    Ok(Entry { log_id, payload })
}

/// The body of an append as a message, without its envelope.
pub(crate) fn append_to_wire(
    envelope: wire::RaftEnvelope,
    request: &AppendEntriesRequest<RaftTypes>,
) -> wire::AppendEntriesRequest {
    wire::AppendEntriesRequest {
        envelope: Some(envelope),
        vote: Some(vote_to_wire(&request.vote)),
        previous: request.prev_log_id.as_ref().map(log_id_to_wire),
        entries: request.entries.iter().map(entry_to_wire).collect(),
        commit: request.leader_commit.as_ref().map(log_id_to_wire),
    }
}

/// An append from a message.
pub(crate) fn append_from_wire(
    request: wire::AppendEntriesRequest,
) -> Decoded<AppendEntriesRequest<RaftTypes>> {
    Ok(AppendEntriesRequest {
        vote: vote_from_wire(request.vote)?,
        prev_log_id: optional_log_id(request.previous)?,
        entries: request
            .entries
            .into_iter()
            .map(entry_from_wire)
            .collect::<Decoded<_>>()?,
        leader_commit: optional_log_id(request.commit)?,
    })
}

/// The answer to an append as a message.
pub(crate) fn append_answer_to_wire(
    answer: &AppendEntriesResponse<RaftTypes>,
) -> wire::AppendEntriesResponse {
    use wire::append_entries_response::Result as Answer;
    let result = match answer {
        AppendEntriesResponse::Success => Answer::Success(wire::RaftDone {}),
        AppendEntriesResponse::PartialSuccess(last) => Answer::Partial(wire::RaftPartialSuccess {
            last: last.as_ref().map(log_id_to_wire),
        }),
        AppendEntriesResponse::Conflict => Answer::Conflict(wire::RaftDone {}),
        AppendEntriesResponse::HigherVote(vote) => Answer::HigherVote(vote_to_wire(vote)),
    };
    wire::AppendEntriesResponse {
        result: Some(result),
    }
}

/// The answer to an append from a message.
pub(crate) fn append_answer_from_wire(
    answer: wire::AppendEntriesResponse,
) -> Decoded<AppendEntriesResponse<RaftTypes>> {
    use wire::append_entries_response::Result as Answer;
    Ok(match required("append.result", answer.result)? {
        Answer::Success(_) => AppendEntriesResponse::Success,
        Answer::Partial(partial) => {
            AppendEntriesResponse::PartialSuccess(optional_log_id(partial.last)?)
        }
        Answer::Conflict(_) => AppendEntriesResponse::Conflict,
        Answer::HigherVote(vote) => AppendEntriesResponse::HigherVote(vote_from_wire(Some(vote))?),
    })
}

/// A candidate's request as a message.
pub(crate) fn vote_request_to_wire(
    envelope: wire::RaftEnvelope,
    request: &VoteRequest<RaftTypes>,
) -> wire::VoteRequest {
    wire::VoteRequest {
        envelope: Some(envelope),
        vote: Some(vote_to_wire(&request.vote)),
        last: request.last_log_id.as_ref().map(log_id_to_wire),
        leadership_transfer: request.leadership_transfer,
    }
}

/// A candidate's request from a message.
pub(crate) fn vote_request_from_wire(
    request: wire::VoteRequest,
) -> Decoded<VoteRequest<RaftTypes>> {
    let mut decoded = VoteRequest::new(
        vote_from_wire(request.vote)?,
        optional_log_id(request.last)?,
    );
    decoded.leadership_transfer = request.leadership_transfer;
    Ok(decoded)
}

/// The answer to a candidate as a message.
pub(crate) fn vote_answer_to_wire(answer: &VoteResponse<RaftTypes>) -> wire::VoteResponse {
    wire::VoteResponse {
        vote: Some(vote_to_wire(&answer.vote)),
        granted: answer.vote_granted,
        last: answer.last_log_id.as_ref().map(log_id_to_wire),
    }
}

/// The answer to a candidate from a message.
pub(crate) fn vote_answer_from_wire(
    answer: wire::VoteResponse,
) -> Decoded<VoteResponse<RaftTypes>> {
    Ok(VoteResponse {
        vote: vote_from_wire(answer.vote)?,
        vote_granted: answer.granted,
        last_log_id: optional_log_id(answer.last)?,
    })
}

/// A hand-over of leadership as a message.
pub(crate) fn transfer_to_wire(
    envelope: wire::RaftEnvelope,
    request: &TransferLeaderRequest<RaftTypes>,
) -> wire::TransferLeaderRequest {
    wire::TransferLeaderRequest {
        envelope: Some(envelope),
        from_leader: Some(vote_to_wire(request.from_leader())),
        to: *request.to_node_id(),
        last: request.last_log_id().map(log_id_to_wire),
    }
}

/// A hand-over of leadership from a message.
pub(crate) fn transfer_from_wire(
    request: wire::TransferLeaderRequest,
) -> Decoded<TransferLeaderRequest<RaftTypes>> {
    let to: <RaftTypes as RaftTypeConfig>::NodeId = request.to;
    let last = optional_log_id(request.last)?;
    Ok(TransferLeaderRequest::new(
        vote_from_wire(request.from_leader)?,
        to,
        last,
    ))
}

/// The answer to a hand-over of leadership as a message.
pub(crate) fn transfer_answer_to_wire(answer: &TransferAnswer) -> wire::TransferLeaderResponse {
    use wire::transfer_leader_response::Result as Answer;
    let result = match answer {
        Ok(()) => Answer::Accepted(wire::RaftDone {}),
        Err(TransferError::VoteChanged { expected, actual }) => {
            Answer::VoteChanged(wire::RaftVoteChanged {
                expected: Some(vote_to_wire(expected)),
                actual: Some(vote_to_wire(actual)),
            })
        }
        Err(TransferError::LogNotFlushed { expected, actual }) => {
            Answer::LogNotFlushed(wire::RaftLogNotFlushed {
                expected: expected.as_ref().map(log_id_to_wire),
                actual: actual.as_ref().map(log_id_to_wire),
            })
        }
    };
    wire::TransferLeaderResponse {
        result: Some(result),
    }
}

/// The answer to a hand-over of leadership from a message.
pub(crate) fn transfer_answer_from_wire(
    answer: wire::TransferLeaderResponse,
) -> Decoded<TransferAnswer> {
    use wire::transfer_leader_response::Result as Answer;
    Ok(match required("transfer.result", answer.result)? {
        Answer::Accepted(_) => Ok(()),
        Answer::VoteChanged(changed) => Err(TransferError::VoteChanged {
            expected: vote_from_wire(changed.expected)?,
            actual: vote_from_wire(changed.actual)?,
        }),
        Answer::LogNotFlushed(short) => Err(TransferError::LogNotFlushed {
            expected: optional_log_id(short.expected)?,
            actual: optional_log_id(short.actual)?,
        }),
    })
}
