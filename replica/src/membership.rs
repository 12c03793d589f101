//! Changes of the configuration that a primary asks for (PROTOCOL §3): a learner gets a seat, or the seat of a replica that is
//! gone; a seat that stays empty is given up.
//!
//! A learner is counted before its addition is proposed and stays counted until the outcome is known (I6). An outcome that does
//! not come is forced: any committed change of the version, a bump at worst, leaves the older proposal without effect.

use ringhold_types::{ChangeKind, ConfigurationChange, ReplicaId, Tick};

use crate::context::Context;
use crate::core::Core;
use crate::effect::Note;
use crate::primary::Primary;
use crate::progress::Progress;
use crate::rules::{Rule, Rules};

/// A proposal whose outcome is not observed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PendingChange {
    pub(crate) change: ConfigurationChange,
    /// When it is followed up.
    again_at: Tick,
    /// Whether the control plane refused it: a repeat of it on the way may still apply, so it stays until the version moves.
    refused: bool,
}

/// The learner that a change would add.
pub(crate) const fn added_by(kind: &ChangeKind) -> Option<ReplicaId> {
    match kind {
        ChangeKind::Promote { learner } | ChangeKind::Swap { learner, .. } => Some(*learner),
        _ => None,
    }
}

/// The replica that a change would remove.
pub(crate) const fn removed_by(kind: &ChangeKind) -> Option<ReplicaId> {
    match kind {
        ChangeKind::Swap { removed, .. } | ChangeKind::Degrade { removed } => Some(*removed),
        _ => None,
    }
}

/// What a primary would like to change.
enum Wish {
    /// A learner for the seat of this replica.
    Replace(ReplicaId),
    /// A learner for the seat of this replica, which is slow.
    ReplaceSlow(ReplicaId),
    /// A learner for a free seat.
    Fill,
    /// One seat less: there are more than copies.
    Remove(ReplicaId),
}

impl Primary {
    /// Asks for a change on the newest observed version.
    pub(crate) fn propose<R: Rules>(
        &mut self,
        core: &Core,
        context: &mut Context<'_, R>,
        kind: ChangeKind,
    ) {
        crate::invariant::check_proposal(self, core, context, &kind);
        let change = ConfigurationChange {
            partition: core.partition,
            expected: core.configuration.version,
            term: core.term,
            proposer: core.id,
            kind,
        };
        context.effects.proposals.push(change.clone());
        self.change = Some(PendingChange {
            change,
            again_at: context.now.after(context.shared.timing.propose_again),
            refused: false,
        });
    }

    /// A newer version was observed: whatever was proposed on an older one is settled.
    pub(crate) fn settle_change(&mut self, core: &Core) {
        let version = core.configuration.version;
        if self
            .change
            .as_ref()
            .is_some_and(|it| it.change.expected < version)
        {
            self.change = None;
        }
    }

    /// The control plane refused a proposal.
    pub(crate) fn proposal_refused<R: Rules>(
        &mut self,
        context: &Context<'_, R>,
        refused: &ConfigurationChange,
    ) {
        if let Some(pending) = self.change.as_mut()
            && pending.change == *refused
        {
            pending.refused = true;
            pending.again_at = pending
                .again_at
                .min(context.now.after(context.shared.timing.heartbeat));
        }
    }

    /// Follows up what was proposed, and proposes what is due.
    pub(crate) fn change_members<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
    ) {
        if self.change.is_some() {
            self.follow_up(core, context);
            return;
        }
        let mut peers = self.peers.iter();
        if let Some((replica, _)) = peers.find(|(_, progress)| progress.is_short) {
            let replica = *replica;
            self.propose(core, context, ChangeKind::ShortLog { replica });
            return;
        }
        let leaves = self.hand_over.is_some();
        if leaves && !self.hand_over_waits_for_seats(core) {
            return;
        }
        self.drop_stuck_learners(core, context);
        let slow = self.eject_slow(core, context);
        if self.change.is_some() {
            return;
        }
        let wish = if leaves {
            self.dead_seat(core, context).map(Wish::Replace)
        } else {
            self.wish(core, context)
        };
        let wish = wish.or(slow.map(Wish::ReplaceSlow));
        let Some(wish) = wish else {
            return;
        };
        if let Wish::Remove(removed) = wish {
            self.remove(core, context, removed);
            return;
        }
        if let Some(learner) = self.ready_learner(core, context) {
            let kind = match wish {
                Wish::Replace(removed) | Wish::ReplaceSlow(removed) => {
                    ChangeKind::Swap { learner, removed }
                }
                _ => ChangeKind::Promote { learner },
            };
            if matches!(wish, Wish::ReplaceSlow(_)) {
                self.note_ejection(core, context);
            }
            self.propose(core, context, kind);
        } else if let Wish::ReplaceSlow(slow) = wish {
            self.ask_for_stand_in(core, context, slow);
        } else if let Wish::Replace(removed) = wish
            && self.is_given_up(core, context, removed)
        {
            self.remove(core, context, removed);
        }
    }

    /// Proposes that a seat goes without a replacement, if that is possible now.
    fn remove<R: Rules>(&mut self, core: &Core, context: &mut Context<'_, R>, removed: ReplicaId) {
        if self.may_remove(core, context, removed) || context.drops(Rule::RemovalWaitsForMark) {
            self.propose(core, context, ChangeKind::Degrade { removed });
        } else {
            context.note(Note::RemovalWaitsForMark(core.partition));
        }
    }

    /// Follows up a proposal whose outcome does not come.
    pub(crate) fn follow_up<R: Rules>(&mut self, core: &Core, context: &mut Context<'_, R>) {
        let Some(pending) = self.change.clone() else {
            return;
        };
        if pending.again_at > context.now {
            return;
        }
        let adds = added_by(&pending.change.kind).is_some();
        let bumps = pending.change.kind == ChangeKind::Bump;
        if adds || bumps {
            self.propose(core, context, ChangeKind::Bump);
        } else if pending.refused || matches!(pending.change.kind, ChangeKind::HandOver { .. }) {
            // Decided anew: what was asked for may not be possible any more.
            self.change = None;
        } else {
            self.propose(core, context, pending.change.kind);
        }
    }

    /// Whether a hand-over waits for those with a seat. For a dead one, or one that stores nothing, it would wait for ever, so
    /// that one is replaced; then it ends in a new term.
    fn hand_over_waits_for_seats(&self, core: &Core) -> bool {
        let hand_over = self.hand_over.as_ref();
        hand_over.is_some_and(|it| it.waits_for_seats(core.commit))
    }

    /// A seat of a member that counts as dead.
    fn dead_seat<R: Rules>(&self, core: &Core, context: &Context<'_, R>) -> Option<ReplicaId> {
        let mut others = core
            .configuration
            .in_sync
            .iter()
            .filter(|it| **it != core.id);
        let dead = others.find(|seat| context.shared.down.contains_key(&seat.member));
        dead.copied()
    }

    /// What is wrong with the seats: one of a dead member, one that is free, one of a drained member, one that the placement
    /// wants to leave. The only seat of a partition without backups moves by one seat more for a while.
    fn wish<R: Rules>(&self, core: &Core, context: &Context<'_, R>) -> Option<Wish> {
        let shared = &context.shared;
        let configuration = &core.configuration;
        let seats = &configuration.in_sync;
        let others = || seats.iter().filter(|seat| **seat != core.id);
        if let Some(seat) = self.dead_seat(core, context) {
            return Some(Wish::Replace(seat));
        }
        let config = shared.executors.get(&core.partition.executor)?;
        let copies = config.copies() as usize;
        let moves_alone = copies == 1 && seats.len() == 1 && !configuration.learners.is_empty();
        if seats.len() < copies || moves_alone {
            return Some(Wish::Fill);
        }
        let surplus = shared.surplus.get(&core.partition).copied();
        let surplus = surplus.filter(|seat| others().any(|other| other == seat));
        if let Some(seat) = surplus.filter(|_| seats.len() > copies) {
            return Some(Wish::Remove(seat));
        }
        let drained = others().find(|seat| shared.draining.contains(&seat.member));
        surplus.or(drained.copied()).map(Wish::Replace)
    }

    /// A live learner that has everything and is counted. One that is close gets counted, if the control plane is alive: it
    /// could not be settled otherwise. Not before the leases of earlier primaries have run out: the new seat never granted
    /// them anything, so it would wait for nothing if it were named primary next (I14).
    fn ready_learner<R: Rules>(
        &mut self,
        core: &Core,
        context: &mut Context<'_, R>,
    ) -> Option<ReplicaId> {
        if context.now < self.may_commit_at {
            return None;
        }
        let learner = self.best_learner(core, context)?;
        if context.drops(Rule::LearnerCounted) {
            return Some(learner);
        }
        if let Some((length, _)) = self.counted_at.get(&learner) {
            let known = self.peers.get(&learner);
            let has_all = known.is_some_and(|it| it.matched >= *length && !it.cut_mark);
            return has_all.then_some(learner);
        }
        let end = context.shared.leases.control_end(&context.shared.timing);
        if end.is_some_and(|end| context.now < end) {
            self.counted.insert(learner);
            self.counted_at
                .insert(learner, (core.log.last(), context.now));
            context.note(Note::LearnerCounted(core.partition));
        }
        None
    }

    /// The counted learner, or else the one that has the most.
    fn best_learner<R: Rules>(&self, core: &Core, context: &Context<'_, R>) -> Option<ReplicaId> {
        let last = core.log.last();
        let usable = |learner: &&ReplicaId| {
            let shared = &context.shared;
            let known = self.peers.get(learner);
            let fit = |it: &&Progress| it.is_close(last) && !it.cut_mark;
            (known.as_ref().is_some_and(fit) || self.counted.contains(learner))
                && !shared.down.contains_key(&learner.member)
                && !shared.draining.contains(&learner.member)
        };
        let learners = core.configuration.learners.iter().filter(usable);
        learners.copied().max_by_key(|learner| {
            let matched = self.peers.get(learner).map(|it| it.matched);
            (self.counted.contains(learner), matched)
        })
    }

    /// A counted learner that died before it was proposed, or does not get what it lacks, holds up nothing: its addition is
    /// not on the way.
    fn drop_stuck_learners<R: Rules>(&mut self, core: &Core, context: &mut Context<'_, R>) {
        let shared = &context.shared;
        let learners = &core.configuration.learners;
        let before = self.counted.len();
        let counted_at = &self.counted_at;
        self.counted.retain(|it| {
            let since = counted_at.get(it).map(|(_, at)| *at);
            let late = since.is_some_and(|at| at.after(shared.timing.degrade_after) <= context.now);
            learners.contains(it) && !shared.down.contains_key(&it.member) && !late
        });
        let counted = &self.counted;
        self.counted_at.retain(|it, _| counted.contains(it));
        if self.counted.len() < before {
            context.note(Note::LearnerGivenUp(core.partition));
        }
    }

    /// Whether a seat has been empty for long enough, with nobody to take it (PROTOCOL §3). Nothing commits meanwhile, so a
    /// living learner has as long again to become somebody, and no longer.
    fn is_given_up<R: Rules>(
        &self,
        core: &Core,
        context: &Context<'_, R>,
        removed: ReplicaId,
    ) -> bool {
        let shared = &context.shared;
        let Some(since) = shared.down.get(&removed.member) else {
            return false;
        };
        let after = shared.timing.degrade_after;
        let mut learners = core.configuration.learners.iter();
        let hope = learners.any(|it| !shared.down.contains_key(&it.member));
        let first = since.after(after);
        let at = if hope { first.after(after) } else { first };
        at <= context.now
    }

    /// Whether a seat can go without a loss: another remains, and none of those that remain carries the mark of a cut tail
    /// (PROTOCOL §5), for only the one that goes might hold what the cut took. Of one that lives and has said nothing yet, in
    /// this term or since it started anew, nobody knows.
    pub(crate) fn may_remove<R: Rules>(
        &self,
        core: &Core,
        context: &Context<'_, R>,
        removed: ReplicaId,
    ) -> bool {
        let down = &context.shared.down;
        let marked = core.cut_mark.is_carried()
            || self.peers.iter().any(|(peer, progress)| {
                let unknown = !progress.heard && !down.contains_key(&peer.member);
                let remains = *peer != removed && core.configuration.is_in_sync(*peer);
                remains && (progress.cut_mark || unknown)
            });
        !marked && core.configuration.in_sync.len() >= 2
    }

    /// When a change is followed up, or a seat has been empty for long enough.
    pub(crate) fn change_deadline<R: Rules>(
        &self,
        core: &Core,
        context: &Context<'_, R>,
    ) -> Option<Tick> {
        if let Some(pending) = &self.change {
            return Some(pending.again_at);
        }
        let shared = &context.shared;
        let after = shared.timing.degrade_after;
        let seats = core.configuration.in_sync.iter();
        seats
            .filter_map(|seat| shared.down.get(&seat.member))
            .flat_map(|since| [since.after(after), since.after(after).after(after)])
            .chain(self.counted_at.values().map(|(_, at)| at.after(after)))
            .chain(self.slow_deadline(core, context))
            .filter(|at| *at > context.now)
            .min()
    }
}
