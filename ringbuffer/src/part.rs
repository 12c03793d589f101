//! The parts of a ring's snapshot: plain values that crate `proto` converts.

use ringhold_types::{Generation, RingTime, Sequence};

use crate::{DisposedOutcome, LostRange, RemovedKey, RemovedSequence, RingLimits, TaskEntry};

/// One part of a ring's snapshot. Parts stand in the order of these kinds, items of one
/// kind in the order that the kind says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RingPart {
    /// The scalars, and how many items of each kind follow.
    Header(RingHeader),
    /// Live entries in the order of their sequences.
    Entries(Vec<TaskEntry>),
    /// Idempotency keys of removed entries, in the order of removal (those of live entries are with the entries).
    Keys(Vec<RemovedKey>),
    /// Reasons of removed sequences, in the order of removal.
    History(Vec<RemovedSequence>),
    /// Outcomes kept for `dispose-grace`, in the order of disposal.
    Disposed(Vec<DisposedOutcome>),
}

impl RingPart {
    /// Where parts of this kind stand in a snapshot: a lower place comes first.
    pub(crate) const fn place(&self) -> u8 {
        match self {
            Self::Header(_) => 0,
            Self::Entries(_) => 1,
            Self::Keys(_) => 2,
            Self::History(_) => 3,
            Self::Disposed(_) => 4,
        }
    }
}

/// The scalars of a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingHeader {
    /// The partition's life.
    pub generation: Generation,
    /// The sequence of the next task.
    pub next_sequence: Sequence,
    /// Ring time.
    pub time: RingTime,
    /// The limits in force.
    pub limits: RingLimits,
    /// Ranges lost with every copy, oldest first.
    pub lost: Vec<LostRange>,
    /// Entries that follow.
    pub entries: u64,
    /// Keys that follow.
    pub keys: u64,
    /// Reasons that follow.
    pub history: u64,
    /// Outcomes kept for `dispose-grace` that follow.
    pub disposed: u64,
}
