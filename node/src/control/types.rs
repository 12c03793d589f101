//! The types that openraft is built from here. The only other files that name openraft are its neighbours in this folder.

use std::fmt;

use openraft::impls::{BasicNode, TokioRuntime};
use ringhold_control::{Command, Response};
use ringhold_types::MemberId;

use super::state_machine::StateMachine;

/// A command on its way through the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proposal(pub(crate) Command);

impl fmt::Display for Proposal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.0)
    }
}

openraft::declare_raft_types!(
    /// openraft's parameters: a command goes in, a response comes out, members are named by their number.
    pub(crate) RaftTypes:
        D = Proposal,
        R = Response,
        NodeId = u64,
        Node = BasicNode,
        AsyncRuntime = TokioRuntime,
);

/// The Raft node of a member.
pub(crate) type Raft = openraft::Raft<RaftTypes, StateMachine>;
/// Position and leader of a log entry.
pub(crate) type LogId = openraft::alias::LogIdOf<RaftTypes>;
/// The leader part of a [`LogId`].
pub(crate) type LeaderId = openraft::alias::LeaderIdOf<RaftTypes>;
/// A vote, for oneself or another.
pub(crate) type Vote = openraft::alias::VoteOf<RaftTypes>;
/// A log entry.
pub(crate) type Entry = openraft::alias::EntryOf<RaftTypes>;
/// Voters and learners.
pub(crate) type Membership = openraft::Membership<u64, BasicNode>;
/// Voters and learners, and the entry that made them so.
pub(crate) type StoredMembership = openraft::alias::StoredMembershipOf<RaftTypes>;
/// What a snapshot covers.
pub(crate) type SnapshotMeta = openraft::alias::SnapshotMetaOf<RaftTypes>;
/// A snapshot: what it covers, and the encoded cluster state.
pub(crate) type Snapshot = openraft::alias::SnapshotOf<RaftTypes, bytes::Bytes>;
/// What openraft tells about itself.
pub(crate) type Metrics = openraft::RaftMetrics<RaftTypes>;

/// The member behind one of openraft's numbers.
pub(crate) fn member(node: u64) -> MemberId {
    MemberId(node)
}
