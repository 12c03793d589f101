//! One replica of one partition, in whatever role.

use ringhold_ringbuffer::{LogEntry, Ring};
use ringhold_types::{Configuration, Lsn, MemberId, PartitionKey, ReplicaId, Sequence, Term, Tick};

use crate::backup::Follower;
use crate::context::Context;
use crate::core::Core;
use crate::effect::{Note, PersistToken};
use crate::message::{Fence, PeerMessage};
use crate::primary::Primary;
use crate::requests::not_primary;
use crate::rules::{Rule, Rules};

/// What a replica does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Role {
    /// Follows a primary: as a backup with a seat, or as a learner.
    Follower(Follower),
    /// Leads, or is on the way to it.
    Primary(Box<Primary>),
}

/// The role of a replica, as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoleView {
    /// Named primary, its `TermStart` not committed yet: it asks for a cut tail, or brings the logs together.
    TakingOver,
    /// Its `TermStart` is committed.
    Leading,
    /// It has given the partition away and does nothing more in its term (PROTOCOL §3, planned hand-over).
    Passive,
    /// Holds a full copy.
    Backup,
    /// Catches up.
    Learner,
}

/// One replica of one partition.
#[derive(Clone, Debug, PartialEq)]
pub struct Replica {
    pub(crate) core: Core,
    pub(crate) role: Role,
}

/// Read-only views, for metrics, status and the explorer's invariants.
impl Replica {
    /// The partition.
    #[must_use]
    pub const fn partition(&self) -> PartitionKey {
        self.core.partition
    }

    /// Which replica it is.
    #[must_use]
    pub const fn id(&self) -> ReplicaId {
        self.core.id
    }

    /// Its role.
    #[must_use]
    pub fn role(&self) -> RoleView {
        match &self.role {
            Role::Primary(primary) if primary.is_passive() => RoleView::Passive,
            Role::Primary(primary) if primary.is_leading() => RoleView::Leading,
            Role::Primary(_) => RoleView::TakingOver,
            Role::Follower(_) if self.core.configuration.is_learner(self.core.id) => {
                RoleView::Learner
            }
            Role::Follower(_) => RoleView::Backup,
        }
    }

    /// The newest configuration observed.
    #[must_use]
    pub const fn configuration(&self) -> &Configuration {
        &self.core.configuration
    }

    /// The adopted term.
    #[must_use]
    pub const fn term(&self) -> Term {
        self.core.term
    }

    /// What is committed, as known here.
    #[must_use]
    pub const fn committed(&self) -> Lsn {
        self.core.commit
    }

    /// What the ring holds.
    #[must_use]
    pub const fn applied(&self) -> Lsn {
        self.core.applied
    }

    /// The last position of the log.
    #[must_use]
    pub fn last(&self) -> Lsn {
        self.core.log.last()
    }

    /// How far the log is safe to be acknowledged.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        self.core.safe()
    }

    /// The log entries that are kept in memory.
    pub fn log(&self) -> impl ExactSizeIterator<Item = &LogEntry> {
        self.core.log.entries()
    }

    /// Position before the first entry of [`Replica::log`].
    #[must_use]
    pub const fn log_base(&self) -> Lsn {
        self.core.log.base()
    }

    /// The applied ring.
    #[must_use]
    pub const fn ring(&self) -> &Ring {
        &self.core.ring
    }

    /// Whether the tail was cut at start and may have held acknowledged entries.
    #[must_use]
    pub const fn cut_mark(&self) -> bool {
        self.core.cut_mark.is_carried()
    }

    /// The replicas without whose acknowledgement nothing commits, as this primary counts; empty in other roles.
    #[must_use]
    pub fn required(&self) -> Vec<ReplicaId> {
        match &self.role {
            Role::Primary(primary) => primary.required(&self.core),
            Role::Follower(_) => Vec::new(),
        }
    }

    /// Learners counted by this primary.
    #[must_use]
    pub fn counted(&self) -> Vec<ReplicaId> {
        match &self.role {
            Role::Primary(primary) => primary.counted.iter().copied().collect(),
            Role::Follower(_) => Vec::new(),
        }
    }

    /// Outcomes that were served and are not known to have reached their client yet.
    #[must_use]
    pub fn served_outcomes(&self) -> usize {
        match &self.role {
            Role::Primary(primary) => primary.retrieved.served(),
            Role::Follower(_) => 0,
        }
    }

    /// How far each peer acknowledged in this term, as this primary knows.
    #[must_use]
    pub fn matched(&self) -> Vec<(ReplicaId, Lsn)> {
        match &self.role {
            Role::Primary(primary) => primary
                .peers
                .iter()
                .map(|(replica, progress)| (*replica, progress.matched))
                .collect(),
            Role::Follower(_) => Vec::new(),
        }
    }

    /// Until when a new primary commits nothing, because an older one may still hold a lease.
    #[must_use]
    pub fn waits_until(&self) -> Option<Tick> {
        match &self.role {
            Role::Primary(primary) => Some(primary.may_commit_at),
            Role::Follower(_) => None,
        }
    }

    /// Tasks whose newest attempt was started or adopted in this term and has not ended.
    #[must_use]
    pub fn attempts_in_flight(&self) -> Vec<Sequence> {
        match &self.role {
            Role::Primary(primary) => primary.schedule.current.keys().copied().collect(),
            Role::Follower(_) => Vec::new(),
        }
    }

    /// Requests held until they can be worked on.
    #[must_use]
    pub fn held(&self) -> usize {
        match &self.role {
            Role::Primary(primary) => primary.held.len(),
            Role::Follower(_) => 0,
        }
    }
}

impl Replica {
    /// A replica that follows whoever leads.
    pub(crate) fn following(core: Core) -> Self {
        Self {
            core,
            role: Role::Follower(Follower::default()),
        }
    }

    /// A newer configuration of the partition was applied.
    pub(crate) fn observe<R: Rules>(
        &mut self,
        context: &mut Context<'_, R>,
        configuration: Configuration,
    ) {
        let known = &self.core.configuration;
        let follows = configuration.version == known.version.next();
        let handed_over = follows && self.was_handed_over(&configuration);
        let deposed = known.term != configuration.term || known.primary != configuration.primary;
        let leader = known.primary;
        let generation = known.generation;
        if !follows {
            let any = context.shared.leases.last_granted_to_any();
            self.core.lease_floor = self.core.lease_floor.max(any);
        } else if deposed && !handed_over {
            self.core.note_deposed(context, leader);
        }
        self.core.configuration = configuration;
        if self.core.configuration.generation != generation && self.core.log.last() == Lsn::ZERO {
            let first = crate::core::first_generation(context, &self.core.configuration);
            self.core.ring = crate::core::new_ring(first);
        }
        if self.core.configuration.generation > generation {
            self.core.outlast_old_life(context);
            // A loss is recorded: what a cut tail may have held is no longer asked for.
            self.core.clear_cut_mark(context);
        }
        let term = self.core.configuration.term;
        if term > self.core.term {
            self.adopt_term(context, term);
        }
        if let Role::Primary(primary) = &mut self.role {
            let still_leads = self.core.configuration.primary == Some(self.core.id)
                && self.core.configuration.term == self.core.term;
            if still_leads {
                primary.configuration_changed(&mut self.core, context, follows);
            } else {
                self.step_down(context);
            }
        }
        if let Role::Follower(follower) = &mut self.role {
            // A primary that waited for this configuration to be applied here hears it at once.
            follower.ack_due = true;
        }
        self.take_nomination(context);
    }

    /// Whether the primary before gave us the partition and released its lease: its `HandOver` is our last entry.
    fn was_handed_over(&self, configuration: &Configuration) -> bool {
        let known = &self.core.configuration;
        let ours = configuration.primary == Some(self.core.id);
        let last = self.core.log.last_entry();
        ours && last.is_some_and(|entry| {
            entry.term == known.term
                && matches!(entry.op, ringhold_ringbuffer::Op::HandOver { to, .. } if to == self.core.id)
        })
    }

    /// Leads if the configuration names this replica in this process start, for a term it has not led yet (I18).
    pub(crate) fn take_nomination<R: Rules>(&mut self, context: &mut Context<'_, R>) {
        let configuration = &self.core.configuration;
        let named = configuration.primary == Some(self.core.id)
            && configuration.materialised
            && configuration.term == self.core.term;
        if !named || matches!(self.role, Role::Primary(_)) || !context.shared.may_take_part() {
            return;
        }
        let this_start = configuration.primary_start == context.shared.start;
        let goes_on = !this_start && context.drops(Rule::RestartRaisesTerm);
        if !this_start && !goes_on && !context.drops(Rule::NominationNamesStart) {
            return;
        }
        if self.core.log.last_term() == self.core.term && !goes_on {
            // A process of this member wrote in this term before; nobody goes on in a term that it did not begin.
            return;
        }
        let primary = Primary::nominated(&mut self.core, context, goes_on);
        self.role = Role::Primary(Box::new(primary));
    }

    /// Takes a higher term: from here on nothing of a lower one is accepted, and no lower one is led (I7).
    pub(crate) fn adopt_term<R: Rules>(&mut self, context: &mut Context<'_, R>, term: Term) {
        if matches!(self.role, Role::Primary(_)) {
            self.step_down(context);
        }
        self.core.term = term;
        self.role = Role::Follower(Follower::default());
        if context.drops(Rule::CutAtDivergence) {
            let commit = self.core.commit;
            self.core.cut_after(context, commit, None);
        }
    }

    /// Gives up leading: everybody who waits here is sent to the next primary, attempts go on for it.
    pub(crate) fn step_down<R: Rules>(&mut self, context: &mut Context<'_, R>) {
        let Role::Primary(primary) = &mut self.role else {
            return;
        };
        primary.schedule.release(context, self.core.partition);
        self.role = Role::Follower(Follower::default());
        context.shared.pools.withdraw(self.core.partition);
        context.note(Note::SteppedDown(self.core.partition));
        let hint = self.hint();
        self.refuse_all(context, hint);
    }

    /// Whom callers should ask instead.
    fn hint(&self) -> Option<MemberId> {
        self.core
            .configuration
            .primary
            .filter(|primary| *primary != self.core.id)
            .map(|primary| primary.member)
    }

    fn refuse_all<R: Rules>(&self, context: &mut Context<'_, R>, hint: Option<MemberId>) {
        for token in context.shared.requests.of(self.core.partition) {
            context.answer(token, not_primary(hint));
        }
    }

    /// A fenced message about this partition arrived.
    pub(crate) fn message<R: Rules>(
        &mut self,
        context: &mut Context<'_, R>,
        from: MemberId,
        message: PeerMessage,
    ) {
        let Some(fence) = fence_of(&message) else {
            self.attempt_message(context, from, message);
            return;
        };
        if !self.admits(context, from, &fence) {
            context.note(Note::Fenced(self.core.partition));
            return;
        }
        if fence.term > self.core.term {
            self.adopt_term(context, fence.term);
        }
        crate::invariant::check_taken(&self.core, context, &fence);
        match (&mut self.role, message) {
            (Role::Follower(follower), PeerMessage::Prepare(prepare)) => {
                follower.prepare(&mut self.core, context, prepare);
            }
            (Role::Follower(follower), PeerMessage::SnapshotPart(part)) => {
                follower.snapshot_part(&mut self.core, context, part);
            }
            (Role::Primary(primary), PeerMessage::Ack(ack)) => {
                primary.acked(&mut self.core, context, ack);
            }
            (Role::Primary(primary), PeerMessage::TailReply(reply)) => {
                primary.tail_reply(&mut self.core, context, reply);
            }
            (Role::Follower(_), PeerMessage::TailRequest(request)) => {
                crate::cut_tail::answer_request(&self.core, context, &request);
            }
            _ => {}
        }
    }

    fn attempt_message<R: Rules>(
        &mut self,
        context: &mut Context<'_, R>,
        from: MemberId,
        message: PeerMessage,
    ) {
        if let (Role::Primary(primary), PeerMessage::AttemptOffer(offer)) =
            (&mut self.role, message)
        {
            primary.offered(&mut self.core, context, from, offer);
        }
    }

    /// The fence: term, generation, incarnation and process start must be ours (I7, I9, I18).
    fn admits<R: Rules>(&self, context: &Context<'_, R>, from: MemberId, fence: &Fence) -> bool {
        let generation = fence.generation == self.core.configuration.generation
            || context.drops(Rule::GenerationFence);
        let term = fence.term >= self.core.term || context.drops(Rule::TermFence);
        let start = fence.to_start == ringhold_types::StartNonce::ZERO
            || fence.to_start == context.shared.start;
        context.shared.may_take_part()
            && from == fence.from.member
            && fence.to == self.core.id
            && generation
            && term
            && start
    }

    /// The disk has everything up to `token`.
    pub(crate) fn persisted(&mut self, token: PersistToken) {
        if self.core.persisted(token)
            && let Role::Follower(follower) = &mut self.role
        {
            follower.ack_due = true;
        }
    }

    /// One round of a turn: commits, applies, and does what is due. Tells whether another round may find more.
    pub(crate) fn work<R: Rules>(&mut self, context: &mut Context<'_, R>) -> bool {
        match &mut self.role {
            Role::Primary(primary) => primary.work(&mut self.core, context),
            Role::Follower(_) => {
                while self.core.apply_next(context).is_some() {}
                let applied = self.core.applied;
                self.core.log.trim(applied, applied);
                false
            }
        }
    }

    /// The end of a turn: what the peers must hear goes out.
    pub(crate) fn flush<R: Rules>(&mut self, context: &mut Context<'_, R>) {
        match &mut self.role {
            Role::Primary(primary) => primary.flush(&mut self.core, context),
            Role::Follower(follower) => follower.flush(&self.core, context),
        }
    }

    /// When this replica wants to work without an event.
    pub(crate) fn deadline<R: Rules>(&self, context: &Context<'_, R>) -> Option<Tick> {
        match &self.role {
            Role::Primary(primary) => primary.deadline(&self.core, context),
            Role::Follower(_) => None,
        }
    }
}

/// The fence of a message about a partition; messages about attempts have none, their tokens fence them.
pub(crate) fn fence_of(message: &PeerMessage) -> Option<Fence> {
    match message {
        PeerMessage::Prepare(it) => Some(it.fence),
        PeerMessage::Ack(it) => Some(it.fence),
        PeerMessage::SnapshotPart(it) => Some(it.fence),
        PeerMessage::TailRequest(it) => Some(it.fence),
        PeerMessage::TailReply(it) => Some(it.fence),
        _ => None,
    }
}
