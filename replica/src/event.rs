//! Everything that can happen to a member's machine.

use std::sync::Arc;

use ringhold_ringbuffer::{LogEntry, Ring};
use ringhold_types::{
    AttemptToken, Configuration, ConfigurationChange, ControlIndex, ExecutorConfig, ExecutorId,
    Failure, Incarnation, Lsn, MemberId, PartitionKey, ReplicaId, StartNonce, TaskResult, Term,
    Tick,
};

use crate::effect::PersistToken;
use crate::message::PeerMessage;
use crate::request::{Asked, RequestToken};

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Cluster state was applied here, in order.
    Control(ControlUpdate),
    /// A message arrived.
    Message {
        /// The sender.
        from: MemberId,
        /// What it says.
        message: PeerMessage,
    },
    /// Everything handed over for persistence up to this token is on disk.
    Persisted(PersistToken),
    /// A caller asks.
    Asked(Box<Asked>),
    /// A caller went away; its request is forgotten without an answer.
    Gone(RequestToken),
    /// An attempt that runs or ran here reports.
    Attempt {
        /// Which.
        token: AttemptToken,
        /// How it ended.
        end: AttemptEnd,
    },
    /// The handler of an attempt that runs here ignores that it must end, and is given up: the attempt's end follows at once,
    /// and its slot stays in use until [`Event::Returned`].
    GivenUp(AttemptToken),
    /// The handler of an attempt that was given up has returned.
    Returned(AttemptToken),
    /// The control plane's lease (PROTOCOL §2), counted from `sent`, our own clock: what a lone primary answers under, and
    /// the proof of a live control plane without which no learner is newly counted. One for every answered heartbeat.
    ControlLease {
        /// When the heartbeat that it answers was sent.
        sent: Tick,
        /// Control state the granting leader had applied.
        applied: ControlIndex,
    },
    /// A proposal was refused by the control plane (its version was stale or a rule forbade it).
    ProposalRefused(ConfigurationChange),
    /// The storage needs this partition's ring written again so that an old segment can go (straggler copy-forward).
    CopyForward(PartitionKey),
    /// Hand over all primaries: `true` begins a drain, `false` ends it.
    Drain(bool),
    /// Whether this member's disk is nearly full from now on: what keeps tasks there takes no new ones.
    DiskFull(bool),
    /// Whether the time that a drain of this member leaves to its attempts is over. From then on what runs here for others is
    /// handed back, until the drain ends or is given time again. Of any drain but the present one nothing follows.
    DrainOver {
        /// The drain, by the command that began it.
        drain: ControlIndex,
        /// Whether its time is over.
        over: bool,
    },
    /// The process ends in good order: nothing more is started here.
    Ending,
    /// Rebalancing asks this primary to hand the partition over to an in-sync replica.
    HandOver {
        /// The partition.
        partition: PartitionKey,
        /// The next primary.
        to: ReplicaId,
    },
    /// Seats that the placement wants to leave, of all partitions led here; replaces what was said before. The primary swaps
    /// such a seat against a learner, or gives it up where there are more seats than copies.
    SurplusSeats(Vec<(PartitionKey, ReplicaId)>),
    /// [`crate::Member::deadline`] has come.
    Timer,
}

/// Applied cluster state, as far as it concerns this member's replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlUpdate {
    /// Position in the control log that this update brings the member to.
    pub index: ControlIndex,
    /// The member's identity and process start as recorded by the control plane, once it is (I18).
    pub registered: Option<Registration>,
    /// Executors that exist, new or changed since the last update.
    pub executors: Vec<(ExecutorId, Arc<ExecutorConfig>)>,
    /// Configurations that changed since the last update (of partitions this member holds, held, or may route to).
    pub configurations: Vec<Configuration>,
    /// Executors deleted since the last update.
    pub deleted: Vec<ExecutorId>,
    /// Process starts of other members that changed.
    pub starts: Vec<(MemberId, StartNonce)>,
    /// Members that the control plane considers down; the primary replaces their seats.
    pub down: Option<Vec<MemberId>>,
    /// Members that are being drained; a primary gives their seats to caught-up learners. `None`: unchanged.
    pub draining: Option<Vec<MemberId>>,
    /// The operator's drain of this member, by the command that began it; unchanged where `draining` is.
    pub drain: Option<ControlIndex>,
}

/// What the control plane recorded for a process start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The start it is for.
    pub start: StartNonce,
    /// Incarnation of this member's replicas with persistence `fsync`: one per intact store.
    pub store: Incarnation,
    /// Incarnation of its replicas with persistence `memory`: one per process start.
    pub memory: Incarnation,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    /// With a result.
    Succeeded(Arc<TaskResult>),
    /// With a failure.
    Failed(Arc<Failure>),
    /// Because it was told to stop ([`crate::Effects::aborts`]).
    Aborted,
    /// Unfinished, given back (drain deadline).
    HandedBack,
    /// Given back, and it is certain that its handler or program was never started: nothing of the task was done.
    NotBegun,
}

/// A replica found on disk at start.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveredReplica {
    /// The partition.
    pub partition: PartitionKey,
    /// The replica that wrote it; of another incarnation it is discarded.
    pub replica: ReplicaId,
    /// The last state found, applied up to `ring_lsn`; absent when the log holds everything from position 1.
    pub ring: Option<Ring>,
    /// Position of `ring`.
    pub ring_lsn: Lsn,
    /// Term of the entry at `ring_lsn`.
    pub ring_term: Term,
    /// Entries after `ring_lsn`, consecutive.
    pub entries: Vec<LogEntry>,
    /// Highest commit seen.
    pub commit: Lsn,
    /// Whether the tail was cut and may have held acknowledged entries (PROTOCOL §5).
    pub cut_mark: bool,
}

impl RecoveredReplica {
    /// A replica of which nothing was found yet.
    #[must_use]
    pub const fn empty(partition: PartitionKey, replica: ReplicaId) -> Self {
        Self {
            partition,
            replica,
            ring: None,
            ring_lsn: Lsn::ZERO,
            ring_term: Term::ZERO,
            entries: Vec::new(),
            commit: Lsn::ZERO,
            cut_mark: false,
        }
    }

    /// A replica of which a cut tail left nothing: it may have held anything (PROTOCOL §5).
    #[must_use]
    pub const fn empty_and_marked(partition: PartitionKey, replica: ReplicaId) -> Self {
        let mut empty = Self::empty(partition, replica);
        empty.cut_mark = true;
        empty
    }

    /// The last position found.
    #[must_use]
    pub fn last(&self) -> Lsn {
        self.entries.last().map_or(self.ring_lsn, |entry| entry.lsn)
    }
}
