//! A partition's configuration, decided by the control plane and obeyed by its replicas.
//!
//! `control` and `replica` never import each other; this type is what the shell carries from one to the other.

use crate::{
    ConfigurationVersion, Generation, PartitionKey, ReplicaId, Sequence, StartNonce, Term,
    UnixMillis,
};

/// Who holds a partition, and who leads it (PROTOCOL §1). Configurations of a partition form one chain (I1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// The partition.
    pub partition: PartitionKey,
    /// Grows by one with every change.
    pub version: ConfigurationVersion,
    /// The primary's reign.
    pub term: Term,
    /// The partition's life.
    pub generation: Generation,
    /// The replica that went on from the generation before with what it held, its own tail's loss being recorded (PROTOCOL
    /// §5); `None` when nothing was left to go on with.
    pub kept_by: Option<ReplicaId>,
    /// The primary; `None` while every replica that could lead is away.
    pub primary: Option<ReplicaId>,
    /// The process start of the primary's member that this nomination is for (I18).
    pub primary_start: StartNonce,
    /// Replicas without which nothing commits, in order; includes the primary.
    pub in_sync: Vec<ReplicaId>,
    /// Replicas that catch up.
    pub learners: Vec<ReplicaId>,
    /// Copies without which no submit is admitted (I17).
    pub min_copies: u32,
    /// Whether the partition may hold anything yet; set before its first accept.
    pub materialised: bool,
}

impl Configuration {
    /// Whether `replica` has a seat in the in-sync set.
    #[must_use]
    pub fn is_in_sync(&self, replica: ReplicaId) -> bool {
        self.in_sync.contains(&replica)
    }

    /// Whether `replica` is a learner.
    #[must_use]
    pub fn is_learner(&self, replica: ReplicaId) -> bool {
        self.learners.contains(&replica)
    }

    /// Whether the partition lives on `replica` in any role.
    #[must_use]
    pub fn holds(&self, replica: ReplicaId) -> bool {
        self.is_in_sync(replica) || self.is_learner(replica)
    }
}

/// A change that a partition's primary asks the control plane for. It applies only on the version it expects (I1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationChange {
    /// The partition.
    pub partition: PartitionKey,
    /// The version that must be current.
    pub expected: ConfigurationVersion,
    /// The term in which the proposer leads; it must be current.
    pub term: Term,
    /// The proposer.
    pub proposer: ReplicaId,
    /// What is asked.
    pub kind: ChangeKind,
}

/// What a primary may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// Give a caught-up, counted learner a seat (I6).
    Promote {
        /// The learner.
        learner: ReplicaId,
    },
    /// Give a caught-up, counted learner the seat of a silent, slow or leaving replica, in one step.
    Swap {
        /// The learner that gets the seat.
        learner: ReplicaId,
        /// The replica that loses it.
        removed: ReplicaId,
    },
    /// Remove a seat that has been empty longer than `degrade-after`, with no replacement (PROTOCOL §3).
    Degrade {
        /// The replica that loses its seat.
        removed: ReplicaId,
    },
    /// Change nothing but the version: settles an addition whose outcome is unknown (I6).
    Bump,
    /// Name an in-sync replica primary, with term + 1, after a committed hand-over. The proposer itself, if the one that it
    /// handed over to is gone: it leads again in a new term only.
    HandOver {
        /// The next primary.
        to: ReplicaId,
    },
    /// A replica came back with less than it acknowledged to the proposer in this term, and without the mark of a cut tail: its
    /// store lost what was durable, so it becomes a new incarnation (PROTOCOL §5).
    ShortLog {
        /// The replica.
        replica: ReplicaId,
    },
    /// Name a learner for the seat of a living replica that is slow and that min-copies needs (PROTOCOL §3): the placement
    /// decides which, and leaves the slow one alone until its process starts anew.
    ReplaceSlow {
        /// The replica, which keeps its seat until the learner takes it.
        slow: ReplicaId,
    },
    /// Record that what the proposer's cut tail may have held is lost (PROTOCOL §5): it has the only seat, so nobody is left to
    /// ask. A new generation begins, in which it leads with what it holds.
    RecordLoss {
        /// The first sequence that it does not hold: what was lost begins there.
        from: Sequence,
        /// Wall clock, for people; absent until the shell of the proposer fills it in.
        at: Option<UnixMillis>,
    },
}
