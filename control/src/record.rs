//! What the cluster remembers of executors, their partitions and its losses.

use std::sync::Arc;

use ringhold_types::{
    Configuration, ConfigurationVersion, ControlIndex, ExecutorConfig, ExecutorState, Generation,
    PartitionKey, PartitionNumber, ReplicaId, Sequence, StartNonce, Term, UnixMillis,
};

use crate::limits::LOSSES_MAX;

/// An executor and its partition map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorRecord {
    /// Its configuration.
    pub config: Arc<ExecutorConfig>,
    /// Whether it takes and starts tasks.
    pub state: ExecutorState,
    /// Its partitions by number; as many as its partition-count.
    pub partitions: Vec<PartitionRecord>,
}

impl ExecutorRecord {
    /// One of its partitions.
    #[must_use]
    pub fn partition(&self, number: PartitionNumber) -> Option<&PartitionRecord> {
        self.partitions.get(usize::try_from(number.0).ok()?)
    }
}

/// A partition: PROTOCOL §1's `{version, term, generation, primary, in_sync, learners, materialised}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionRecord {
    /// Grows by one with every change.
    pub version: ConfigurationVersion,
    /// The newest reign.
    pub term: Term,
    /// The partition's life.
    pub generation: Generation,
    /// The replica that went on from the generation before with what it held (PROTOCOL §5).
    pub kept_by: Option<ReplicaId>,
    /// Who leads; `None` while no in-sync replica's member is up.
    pub primary: Option<ReplicaId>,
    /// The process start that the nomination is for; zero without a primary.
    pub primary_start: StartNonce,
    /// Replicas without which nothing commits. Empty only while no member can hold the partition.
    pub in_sync: Vec<ReplicaId>,
    /// Replicas that catch up.
    pub learners: Vec<ReplicaId>,
    /// Copies without which no submit is admitted; follows the executor's configuration, upwards only once full.
    pub min_copies: u32,
    /// Whether it may hold anything yet.
    pub materialised: bool,
    /// The replica that its primary found slow last, and the process start in which it was: a learner may take its seat, and
    /// the placement does not bring it back before its process starts anew.
    pub slow: Option<(ReplicaId, StartNonce)>,
}

impl PartitionRecord {
    /// The record in the form that replicas obey.
    #[must_use]
    pub fn configuration(&self, partition: PartitionKey) -> Configuration {
        Configuration {
            partition,
            version: self.version,
            term: self.term,
            generation: self.generation,
            kept_by: self.kept_by,
            primary: self.primary,
            primary_start: self.primary_start,
            in_sync: self.in_sync.clone(),
            learners: self.learners.clone(),
            min_copies: self.min_copies,
            materialised: self.materialised,
        }
    }

    /// Every replica, in sync or learning.
    pub fn replicas(&self) -> impl Iterator<Item = &ReplicaId> {
        self.in_sync.iter().chain(&self.learners)
    }

    /// Begins a new reign.
    pub(crate) fn lead(&mut self, primary: ReplicaId, start: StartNonce) {
        self.term = self.term.next();
        self.primary = Some(primary);
        self.primary_start = start;
        if self.slow.is_some_and(|(slow, _)| slow == primary) {
            // It leads now, whether it is slow or not: nobody is left who would give its seat away.
            self.slow = None;
        }
    }

    /// Ends a reign without a successor; the term grows with the next one.
    pub(crate) fn leave_without_primary(&mut self) {
        self.primary = None;
        self.primary_start = StartNonce::ZERO;
    }

    /// Follows the configured min-copies: down at once, up only once every copy is there (PROTOCOL §6).
    pub(crate) fn follow_min_copies(&mut self, config: &ExecutorConfig) -> bool {
        let wanted = config.effective_min_copies();
        let full = self.in_sync.len() >= copies_of(config);
        let follows = wanted != self.min_copies && (full || wanted < self.min_copies);
        if follows {
            self.min_copies = wanted;
        }
        follows
    }
}

/// Copies of each partition as a length.
pub(crate) fn copies_of(config: &ExecutorConfig) -> usize {
    usize::try_from(config.copies()).unwrap_or(usize::MAX)
}

/// A partition's generation that ended because every copy was proven gone (DESIGN G5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LossRecord {
    /// The partition.
    pub partition: PartitionKey,
    /// The generation that was lost: all of its sequences that nobody holds.
    pub generation: Generation,
    /// Who held it last.
    pub last: Vec<ReplicaId>,
    /// Why.
    pub cause: LossCause,
    /// The command that recorded it.
    pub at: ControlIndex,
    /// The first sequence that was lost. Which was the last one given out nobody is left to tell: all of the generation from
    /// here to [`LossRecord::to`] answer DATA_LOSS.
    pub from: Sequence,
    /// The last sequence of the generation.
    pub to: Sequence,
    /// Wall clock of the command, for people; absent if it carried none.
    pub time: Option<UnixMillis>,
}

/// Remembers a loss; beyond [`LOSSES_MAX`] the oldest go.
pub(crate) fn note_loss(losses: &mut Vec<LossRecord>, loss: LossRecord) {
    losses.push(loss);
    let surplus = losses.len().saturating_sub(LOSSES_MAX);
    losses.drain(..surplus);
}

/// The sequences of a generation, first and last.
pub(crate) fn sequences_of(generation: Generation) -> (Sequence, Sequence) {
    let end = |exhausted: ringhold_types::SequenceExhausted| exhausted.at;
    (
        Sequence::first_of(generation).unwrap_or_else(end),
        Sequence::last_of(generation).unwrap_or_else(end),
    )
}

/// What proved that a partition's last copy is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LossCause {
    /// The process that held it in memory ended.
    ProcessEnded,
    /// The store that held it is empty, doubtful or replaced.
    StoreGone,
    /// An operator said that its last member will not come back.
    Forgotten,
}
