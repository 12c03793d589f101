//! What members say to each other about the partitions they share. Plain values; `proto` turns them into bytes.
//!
//! The transport may lose, repeat and reorder messages; the protocol repeats what matters.

use ringhold_ringbuffer::{LogEntry, RingPart};
use ringhold_types::{
    AttemptToken, ConfigurationVersion, ControlIndex, Generation, Lsn, PartitionKey, ReplicaId,
    StartNonce, Term, Tick,
};

use crate::event::AttemptEnd;

/// A message from one member to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerMessage {
    /// Asks for a lease; sent every [`ringhold_types::limits::LEASE_RENEWAL`] to each member that shares a partition, and after
    /// [`ringhold_types::limits::HEARTBEAT`] again if one has not answered.
    Heartbeat(Heartbeat),
    /// The answer; grants the lease.
    HeartbeatReply(HeartbeatReply),
    /// Entries of a partition from its primary.
    Prepare(Prepare),
    /// How far a replica's log matches its primary's, durably.
    Ack(Ack),
    /// A part of a partition's applied ring, from its primary to a learner.
    SnapshotPart(SnapshotPart),
    /// A new primary with a cut tail asks an in-sync peer for its tail (PROTOCOL §5).
    TailRequest(TailRequest),
    /// The peer's tail.
    TailReply(TailReply),
    /// An executing member offers what it runs, or ran, of a partition to the partition's primary.
    AttemptOffer(AttemptOffer),
    /// The primary's word on offered attempts.
    AttemptAnswer(AttemptAnswer),
}

/// "I am here; grant me a lease", per pair of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The sender's process start.
    pub start: StartNonce,
    /// Sender's clock when it was sent; comes back in the reply and the lease counts from it.
    pub sent: Tick,
    /// Control state that the sender has applied.
    pub applied: ControlIndex,
    /// The sender's disk is nearly full: it takes no new tasks.
    pub disk_full: bool,
    /// The sender's rings hold nearly as many bytes as they may together: it takes no new tasks.
    pub rings_full: bool,
}

/// "You have my lease, counted from `sent`".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatReply {
    /// The grantor's process start.
    pub start: StartNonce,
    /// The process start that the grant is for.
    pub to_start: StartNonce,
    /// Echo of [`Heartbeat::sent`].
    pub sent: Tick,
    /// Control state that the grantor had applied; the holder uses the grant only once it has applied that (I14).
    pub applied: ControlIndex,
}

/// The fields that fence every message about a partition (I7, I9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The partition.
    pub partition: PartitionKey,
    /// The partition's life.
    pub generation: Generation,
    /// The sender's term.
    pub term: Term,
    /// The sender.
    pub from: ReplicaId,
    /// The receiver.
    pub to: ReplicaId,
    /// The process start of the receiver that the message is for, zero if the sender does not know it yet.
    pub to_start: StartNonce,
}

/// Entries that follow `(previous_term, previous)` in the primary's log; an empty list only carries the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepare {
    /// Who, to whom, in which term.
    pub fence: Fence,
    /// Configuration that the primary acts on.
    pub version: ConfigurationVersion,
    /// Position before the first entry.
    pub previous: Lsn,
    /// Term of the entry at `previous`; zero at position zero.
    pub previous_term: Term,
    /// The entries, consecutive.
    pub entries: Vec<LogEntry>,
    /// What the primary has committed.
    pub commit: Lsn,
    /// Length of the primary's log when it was sent.
    pub length: Lsn,
}

/// How far a replica's log matches its primary's, durably (I8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Who, to whom, in which term.
    pub fence: Fence,
    /// The sender's process start.
    pub start: StartNonce,
    /// Last position known to match the primary's log and to be persisted.
    pub matched: Lsn,
    /// Set when the prepare did not fit: the replica's term history, so that the primary finds the divergence point.
    pub mismatch: Option<LogSummary>,
    /// A learner without a ring yet asks for the snapshot.
    pub needs_snapshot: bool,
    /// The snapshot being received, zero if none.
    pub snapshot: u64,
    /// Parts of that snapshot received so far, in order.
    pub snapshot_parts: u32,
    /// The configuration that this replica has applied. A replica that lost its place and got it back is a new, empty one;
    /// before it has applied the configuration that gave it back it may still be the old one, so an acknowledgement with an
    /// earlier version never counts for it.
    pub version: ConfigurationVersion,
    /// Whether the replica carries the mark of a cut tail (PROTOCOL §5).
    pub cut_mark: bool,
}

/// Where the terms of a log begin: enough to find the point at which two logs part (I10).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSummary {
    /// First position of each term, ascending; older ones than the replica's snapshot are left out.
    pub starts: Vec<(Term, Lsn)>,
    /// The last entry.
    pub last: Lsn,
    /// What is committed here; never above the divergence point.
    pub commit: Lsn,
}

impl LogSummary {
    /// The term of the entry at a position; `None` if there is none, or it is left out.
    pub(crate) fn term_at(&self, lsn: Lsn) -> Option<Term> {
        let mut starts = self.starts.iter().rev();
        let (term, _) = starts.find(|(_, start)| *start <= lsn)?;
        (lsn <= self.last).then_some(*term)
    }
}

/// A part of a partition's applied ring as of `lsn`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotPart {
    /// Who, to whom, in which term.
    pub fence: Fence,
    /// Names this snapshot; a newer one replaces a half-received older one.
    pub snapshot: u64,
    /// The ring holds everything up to here.
    pub lsn: Lsn,
    /// Term of the entry at `lsn`.
    pub lsn_term: Term,
    /// Which part, from 0.
    pub index: u32,
    /// How many parts there are.
    pub count: u32,
    /// The part.
    pub part: RingPart,
}

/// "Send me what you hold beyond `from_lsn`" — and whether it is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailRequest {
    /// Who, to whom, in which term.
    pub fence: Fence,
    /// The asker's last position.
    pub from_lsn: Lsn,
    /// Term of the entry there.
    pub from_term: Term,
}

/// The tail of an in-sync peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailReply {
    /// Who, to whom, in which term.
    pub fence: Fence,
    /// The peer's process start: after another one it may hold less.
    pub start: StartNonce,
    /// Whether this peer's own tail was cut.
    pub cut_mark: bool,
    /// Where the peer's terms begin.
    pub summary: LogSummary,
    /// Term of the peer's last entry.
    pub last_term: Term,
    /// Its entries after the common point.
    pub entries: Vec<LogEntry>,
    /// Position before the first entry that its log still holds.
    pub base: Lsn,
}

/// What an executing member runs, or ran, of a partition that another member leads (PROTOCOL §3, adoption).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptOffer {
    /// The partition.
    pub partition: PartitionKey,
    /// The sender's process start: an offer of an earlier one is void.
    pub start: StartNonce,
    /// Attempts that run.
    pub running: Vec<AttemptToken>,
    /// Attempts that ended and whose report no primary has taken yet.
    pub finished: Vec<(AttemptToken, AttemptEnd)>,
}

/// The primary's word on offered attempts; each of them is final for the term in which it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptAnswer {
    /// The partition.
    pub partition: PartitionKey,
    /// The process start that the answer is for.
    pub to_start: StartNonce,
    /// Token by token, as offered.
    pub verdicts: Vec<(AttemptToken, AttemptVerdict)>,
}

/// What a primary says of one offered attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttemptVerdict {
    /// It goes on under this term: a committed `Adopt` raised its token.
    Adopted(Term),
    /// Its report is committed.
    Taken,
    /// A newer attempt started or an outcome exists: stop it, forget it.
    Refused,
}
