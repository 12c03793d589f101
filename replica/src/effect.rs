//! Everything that a member's machine can ask its shell for.

use std::sync::Arc;

use bytes::Bytes;
use ringhold_ringbuffer::{LogEntry, RingPart};
use ringhold_types::{
    AttemptToken, ConfigurationChange, Lsn, MemberId, PartitionKey, ReplicaId, TaskSpec, Term,
};

use crate::message::PeerMessage;
use crate::request::{Reply, RequestToken};

/// Names a hand-over to the disk; tokens grow, and [`crate::Event::Persisted`] covers all up to its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersistToken(pub u64);

/// What one step, or one turn of several, asks for. Performed in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// Records for the shared log, in order, covered by `persist_token`. A crash before that token is confirmed keeps
    /// some prefix of them, and may leave no sign of it.
    pub persist: Vec<Record>,
    /// Answered by [`crate::Event::Persisted`] once everything so far is on disk; present if `persist` is not empty.
    pub persist_token: Option<PersistToken>,
    /// Messages, in order per receiver; the shell sends those of a turn together.
    pub send: Vec<(MemberId, PeerMessage)>,
    /// Answers.
    pub replies: Vec<(RequestToken, Reply)>,
    /// Attempts to start.
    pub starts: Vec<StartAttempt>,
    /// Attempts to stop: cancelled, timed out by total limit, or fenced.
    pub aborts: Vec<AttemptToken>,
    /// Attempts to stop and to report as [`crate::AttemptEnd::HandedBack`]: the time of this member's drain is over.
    pub hand_backs: Vec<AttemptToken>,
    /// Changes to ask the control plane for.
    pub proposals: Vec<ConfigurationChange>,
    /// The member must stop: an invariant that guards data is broken here (I10). The process ends; nothing is half done.
    pub fatal: Option<String>,
    /// What happened, for metrics, log, coverage of the explorer.
    pub notes: Vec<Note>,
}

/// A record for the shared log (PROTOCOL §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A log entry. Replay drops that replica's entries at or above its position read before it: that is the cut.
    Entry {
        /// The partition.
        partition: PartitionKey,
        /// The replica.
        replica: ReplicaId,
        /// The entry.
        entry: LogEntry,
        /// Commit known when it was written.
        commit: Lsn,
    },
    /// An entry of the log written again, so that an old segment can go: it takes its own position and cuts nothing, so that
    /// a crash between two of them leaves the rest where it was.
    Copied {
        /// The partition.
        partition: PartitionKey,
        /// The replica.
        replica: ReplicaId,
        /// The entry.
        entry: LogEntry,
        /// Commit known when it was written.
        commit: Lsn,
        /// Last position of the log when it was written.
        end: Lsn,
    },
    /// A part of the applied ring; never cuts.
    State {
        /// The partition.
        partition: PartitionKey,
        /// The replica.
        replica: ReplicaId,
        /// The ring holds everything up to here.
        lsn: Lsn,
        /// Term of the entry at `lsn`.
        term: Term,
        /// Which part, from 0.
        index: u32,
        /// How many parts.
        count: u32,
        /// The part.
        part: RingPart,
        /// Whether this state was installed from a snapshot: what the log held before it is void.
        installed: bool,
    },
    /// A new replica begins, empty; whatever was stored of the partition before is void.
    Reset {
        /// The partition.
        partition: PartitionKey,
        /// The new replica.
        replica: ReplicaId,
    },
    /// The tail of the disk was cut, and the replica's log may have been in it whole: the mark outlives further starts.
    CutMark {
        /// The partition.
        partition: PartitionKey,
        /// The replica.
        replica: ReplicaId,
    },
    /// The partition no longer lives here: everything stored of it is void, and no old segment is kept for it.
    Forgotten {
        /// The partition.
        partition: PartitionKey,
        /// The replica that was here; any, if none is known.
        replica: ReplicaId,
    },
    /// The mark of a cut tail is no longer needed.
    CutMarkCleared {
        /// The partition.
        partition: PartitionKey,
        /// The replica.
        replica: ReplicaId,
    },
}

/// An attempt to start; it holds one slot of its executor's pool until it reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartAttempt {
    /// Its fencing token.
    pub token: AttemptToken,
    /// The task.
    pub task: Arc<TaskSpec>,
    /// What the last attempt left.
    pub checkpoint: Option<Bytes>,
}

/// Something that happened, for metrics, log and the explorer's coverage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Note {
    /// A replica became primary and committed its `TermStart`.
    TookOver(PartitionKey),
    /// A primary stepped down.
    SteppedDown(PartitionKey),
    /// A tail was cut at the divergence point.
    TailCut(PartitionKey),
    /// A message of another term, generation or incarnation was refused.
    Fenced(PartitionKey),
    /// A report of an older attempt, or for an ended task, was refused.
    ReportRefused(PartitionKey),
    /// A learner was counted.
    LearnerCounted(PartitionKey),
    /// A snapshot was installed.
    SnapshotInstalled(PartitionKey),
    /// A snapshot was sent from its beginning.
    SnapshotStarted(PartitionKey),
    /// Catch-up started over because its buffer overflowed.
    CatchUpRestarted(PartitionKey),
    /// An answer waits for a lease.
    WaitedForLease(PartitionKey),
    /// A submit was refused for too few copies.
    TooFewCopies(PartitionKey),
    /// A submit was refused because a member's rings hold as many bytes as they may together.
    RingsFull(PartitionKey),
    /// A submit found its task already stored.
    DuplicateFound(PartitionKey),
    /// A task ran again because a member died under it.
    Rerun(PartitionKey),
    /// An attempt of an older term was adopted.
    Adopted(PartitionKey),
    /// A hand-over was committed.
    HandedOver(PartitionKey),
    /// A tail was taken from a peer after a cut.
    TailTaken(PartitionKey),
    /// No peer's log reaches back to what a cut left here: the peer is to lead.
    TailOutOfReach(PartitionKey),
    /// A slow replica loses its seat.
    SlowEjected(PartitionKey),
    /// A learner is asked for, to take the seat of a slow replica.
    StandInWanted(PartitionKey),
    /// A primary is itself the slow one, and gives the lead away.
    SlowPrimary(PartitionKey),
    /// A learner that was counted and did not catch up in time is not waited for any more.
    LearnerGivenUp(PartitionKey),
    /// A seat could not be removed, since one that stays carries the mark of a cut tail.
    RemovalWaitsForMark(PartitionKey),
    /// A generation ended in loss.
    Lost(PartitionKey),
    /// A task failed as poison.
    Poisoned(PartitionKey),
}
