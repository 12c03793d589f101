//! What others may see of a member's machine.

use ringhold_ringbuffer::Ring;
use ringhold_types::{
    AttemptToken, Configuration, ControlIndex, ExecutorId, MemberId, PartitionKey, StartNonce,
    Term, Tick,
};

use crate::attempts::LocalState;
use crate::member::Member;
use crate::replica::{Replica, Role, RoleView};
use crate::rules::Rules;

/// Read-only views, for metrics, status and the explorer's invariants.
impl<R: Rules> Member<R> {
    /// Who it is.
    #[must_use]
    pub const fn id(&self) -> MemberId {
        self.shared.id
    }

    /// This process start.
    #[must_use]
    pub const fn start(&self) -> StartNonce {
        self.shared.start
    }

    /// What is applied of the control log.
    #[must_use]
    pub const fn control_index(&self) -> ControlIndex {
        self.shared.control
    }

    /// Whether the record of this start is applied (I18).
    #[must_use]
    pub const fn is_registered(&self) -> bool {
        self.shared.registered.is_some()
    }

    /// Whether a broken invariant stopped the machine.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// The replicas here.
    pub fn replicas(&self) -> impl Iterator<Item = &Replica> {
        self.replicas.values()
    }

    /// The replica of a partition.
    #[must_use]
    pub fn replica(&self, partition: PartitionKey) -> Option<&Replica> {
        self.replicas.get(&partition)
    }

    /// Its role.
    #[must_use]
    pub fn role(&self, partition: PartitionKey) -> Option<RoleView> {
        self.replica(partition).map(Replica::role)
    }

    /// Its applied ring.
    #[must_use]
    pub fn ring(&self, partition: PartitionKey) -> Option<&Ring> {
        self.replica(partition).map(Replica::ring)
    }

    /// The newest configuration observed of a partition, held here or not.
    #[must_use]
    pub fn configuration(&self, partition: PartitionKey) -> Option<&Configuration> {
        self.configurations.get(&partition)
    }

    /// Whether this member would answer for the partition now: it leads, under an unexpired lease.
    #[must_use]
    pub fn is_answering(&self, partition: PartitionKey, now: Tick) -> bool {
        self.lease_end(partition).is_some_and(|end| now < end)
            && self.role(partition) == Some(RoleView::Leading)
    }

    /// When the leases of a primary end; `None` if one is missing or it does not lead.
    #[must_use]
    pub fn lease_end(&self, partition: PartitionKey) -> Option<Tick> {
        let replica = self.replicas.get(&partition)?;
        let Role::Primary(primary) = &replica.role else {
            return None;
        };
        primary.lease_end(&replica.core, &self.shared)
    }

    /// Whether any replica here carries the mark of a cut tail, or may when it is taken up (PROTOCOL §5).
    #[must_use]
    pub fn carries_marks(&self) -> bool {
        let marked = |replica: &Replica| replica.core.cut_mark.is_carried();
        self.replicas.values().any(marked) || self.recovered.values().any(|it| it.cut_mark)
    }

    /// Bytes of all rings here, and how many they may be.
    #[must_use]
    pub const fn ring_bytes(&self) -> (u64, u64) {
        (self.shared.ring_bytes.held(), self.shared.ring_bytes.most())
    }

    /// How many requests are open.
    #[must_use]
    pub fn open_requests(&self) -> usize {
        self.shared.requests.len()
    }

    /// How many retrievals are parked.
    #[must_use]
    pub const fn waiters(&self) -> usize {
        self.shared.requests.parked()
    }

    /// Slots in use by an executor's attempts.
    #[must_use]
    pub fn busy_slots(&self, executor: ExecutorId) -> u32 {
        self.shared.attempts.busy(executor)
    }

    /// Attempts that run here, by the token of their start, with the term of their present token.
    pub fn running(&self) -> impl Iterator<Item = (AttemptToken, Term)> {
        self.shared
            .attempts
            .iter()
            .filter(|(_, attempt)| attempt.state == LocalState::Running)
            .map(|(token, attempt)| (*token, attempt.term))
    }

    /// Reports that no primary has taken yet.
    #[must_use]
    pub fn finished_reports(&self) -> usize {
        let attempts = self.shared.attempts.iter();
        attempts
            .filter(|(_, attempt)| matches!(attempt.state, LocalState::Finished(..)))
            .count()
    }
}
