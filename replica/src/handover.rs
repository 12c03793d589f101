//! Planned hand-over (PROTOCOL §3, DESIGN G7): the partition moves, nothing runs twice, callers wait for a moment at most.
//!
//! The primary stops admitting and starting, waits until all it appended is committed, and appends `HandOver`. From that
//! append on it answers nothing more in this term: its lease is released, whatever becomes of the rest.

use ringhold_ringbuffer::Op;
use ringhold_types::{AttemptNumber, ChangeKind, Lsn, ReplicaId, Sequence, Term, Tick};

use crate::context::Context;
use crate::core::Core;
use crate::effect::Note;
use crate::primary::Primary;
use crate::rules::Rules;

/// A hand-over on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HandingOver {
    to: ReplicaId,
    since: Tick,
    /// Position of the `HandOver`, once it is appended.
    released: Option<Lsn>,
    /// Whether its commit was noted.
    committed: bool,
}

impl HandingOver {
    /// Whether the lease is released, and the others with a seat do not all hold that yet.
    pub(crate) fn waits_for_seats(&self, commit: Lsn) -> bool {
        self.released.is_some_and(|lsn| commit < lsn)
    }

    /// Whether the lease is released.
    pub(crate) const fn is_released(&self) -> bool {
        self.released.is_some()
    }
}

impl Primary {
    /// Begins to hand the partition over, unless something else is going on; then whoever asked asks again.
    pub(crate) fn begin_hand_over<R: Rules>(
        &mut self,
        core: &Core,
        context: &mut Context<'_, R>,
        to: ReplicaId,
    ) {
        let possible = self.is_working()
            && self.hand_over.is_none()
            && self.change.is_none()
            && self.may_receive(core, context, to);
        if possible {
            context.shared.pools.withdraw(core.partition);
            self.hand_over = Some(HandingOver {
                to,
                since: context.now,
                released: None,
                committed: false,
            });
        }
    }

    /// Whether a replica could lead next: it has a seat, lives, and has all but a moment's entries.
    fn may_receive<R: Rules>(&self, core: &Core, context: &Context<'_, R>, to: ReplicaId) -> bool {
        let close = self
            .peers
            .get(&to)
            .is_some_and(|it| it.is_close(core.log.last()));
        to != core.id
            && core.configuration.is_in_sync(to)
            && !context.shared.down.contains_key(&to.member)
            && !context.shared.draining.contains(&to.member)
            && close
    }

    /// The replica that a drained primary hands over to.
    fn successor<R: Rules>(&self, core: &Core, context: &Context<'_, R>) -> Option<ReplicaId> {
        let mut seats = core.configuration.in_sync.iter().copied();
        seats.find(|seat| self.may_receive(core, context, *seat))
    }

    /// Goes on with a hand-over as far as that is possible now, and begins one while this member is drained.
    pub(crate) fn proceed_hand_over<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
    ) {
        if context.shared.drains
            && self.hand_over.is_none()
            && let Some(to) = self.successor(core, context)
        {
            self.begin_hand_over(core, context, to);
        }
        let Some(hand_over) = self.hand_over.clone() else {
            return;
        };
        match hand_over.released {
            None => self.release_lease(core, context, &hand_over),
            Some(lsn) if core.commit >= lsn => self.propose_hand_over(core, context, &hand_over),
            Some(_) => {}
        }
    }

    fn release_lease<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        hand_over: &HandingOver,
    ) {
        let overdue = context.now >= hand_over.since.after(context.shared.timing.hand_over_hold);
        let possible = core.configuration.is_in_sync(hand_over.to);
        if overdue || !possible {
            self.hand_over = None;
            return;
        }
        let settled = core.commit == core.log.last() && core.applied == core.commit;
        if !settled || !self.schedule.all_started() || self.change.is_some() {
            return;
        }
        let running: Vec<(Sequence, Term, AttemptNumber)> = self
            .schedule
            .current
            .iter()
            .map(|(sequence, current)| (*sequence, current.token.term, current.token.attempt))
            .collect();
        let to = hand_over.to;
        let lsn = self.append(core, context, Op::HandOver { to, running });
        if let Some(hand_over) = self.hand_over.as_mut() {
            hand_over.released = Some(lsn);
        }
    }

    /// Asks the control plane for the next primary, again and again: this one leads no more in this term. If the chosen one
    /// has lost its seat since, another takes over, or this replica itself in a new term.
    fn propose_hand_over<R: Rules>(
        &mut self,
        core: &Core,
        context: &mut Context<'_, R>,
        hand_over: &HandingOver,
    ) {
        if !hand_over.committed {
            context.note(Note::HandedOver(core.partition));
            if let Some(hand_over) = self.hand_over.as_mut() {
                hand_over.committed = true;
            }
        }
        if self.change.is_some() {
            return;
        }
        let alive = |seat: &ReplicaId| {
            core.configuration.is_in_sync(*seat) && !context.shared.down.contains_key(&seat.member)
        };
        let to = if alive(&hand_over.to) {
            hand_over.to
        } else {
            core.id
        };
        self.propose(core, context, ChangeKind::HandOver { to });
    }

    /// When a hand-over that holds callers is given up.
    pub(crate) fn hand_over_deadline<R: Rules>(&self, context: &Context<'_, R>) -> Option<Tick> {
        let hand_over = self.hand_over.as_ref()?;
        let waiting = hand_over.released.is_none();
        waiting.then(|| hand_over.since.after(context.shared.timing.hand_over_hold))
    }
}
