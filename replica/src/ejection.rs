//! What follows when a replica is slow (PROTOCOL §3): a seat is removed or swapped, or the primary gives the lead away.

use ringhold_types::{ChangeKind, ReplicaId, Tick};

use crate::context::Context;
use crate::core::Core;
use crate::effect::Note;
use crate::primary::Primary;
use crate::rules::Rules;
use crate::slow::{Judged, Suspect, judge};

impl Primary {
    /// Looks at the latencies. Tells of a slow replica whose seat min-copies needs: it keeps it until a caught-up learner is
    /// swapped in. One that is not needed is removed here. A primary whose first entry or last one waits for a slow replica
    /// judges too: nothing else would ever end that wait, for the control plane hears the member.
    pub(crate) fn eject_slow<R: Rules>(
        &mut self,
        core: &Core,
        context: &mut Context<'_, R>,
    ) -> Option<ReplicaId> {
        let suspect = self.find_slow(core, context)?;
        let asked = self.slowness.asked.map(Suspect::Peer) == Some(suspect);
        if context.now < self.slowness.quiet_until && !asked {
            return None;
        }
        match suspect {
            Suspect::Itself { instead } => {
                self.give_lead_away(core, context, instead);
                None
            }
            Suspect::Peer(slow) if self.is_spare(core) && !asked => {
                if self.may_remove(core, context, slow) {
                    self.note_ejection(core, context);
                    self.propose(core, context, ChangeKind::Degrade { removed: slow });
                }
                None
            }
            Suspect::Peer(slow) => Some(slow),
        }
    }

    /// Asks for a learner for the seat of a slow replica: it counts as the ejection of this while. Who learns already may take
    /// the seat, and gets that while to catch up; one that never does keeps no other away.
    pub(crate) fn ask_for_stand_in<R: Rules>(
        &mut self,
        core: &Core,
        context: &mut Context<'_, R>,
        slow: ReplicaId,
    ) {
        if context.now < self.slowness.quiet_until {
            return;
        }
        let every = context.shared.timing.eject_every;
        self.slowness.ejected(context.now, every);
        let is_first = self.slowness.asked.replace(slow) != Some(slow);
        if is_first && !core.configuration.learners.is_empty() {
            return;
        }
        context.note(Note::StandInWanted(core.partition));
        self.propose(core, context, ChangeKind::ReplaceSlow { slow });
    }

    /// Notes that a slow replica loses its seat, so that the next one does not before long.
    pub(crate) fn note_ejection<R: Rules>(&mut self, core: &Core, context: &mut Context<'_, R>) {
        let every = context.shared.timing.eject_every;
        self.slowness.ejected(context.now, every);
        self.slowness.asked = None;
        context.note(Note::SlowEjected(core.partition));
    }

    /// Whether min-copies allows for one seat less.
    fn is_spare(&self, core: &Core) -> bool {
        let seats = u32::try_from(core.configuration.in_sync.len()).unwrap_or(u32::MAX);
        seats > core.configuration.min_copies && seats > 1
    }

    fn find_slow<R: Rules>(&mut self, core: &Core, context: &Context<'_, R>) -> Option<Suspect> {
        let shared = &context.shared;
        self.slowness.own.reached(core.safe(), context.now);
        let mut judged: Vec<Judged<'_>> = self
            .peers
            .iter_mut()
            .filter(|(peer, _)| {
                core.configuration.is_in_sync(**peer) && !shared.down.contains_key(&peer.member)
            })
            .map(|(peer, progress)| Judged {
                replica: *peer,
                latency: &mut progress.latency,
            })
            .collect();
        judge(
            &mut self.slowness.own,
            &mut judged,
            context.now,
            &shared.timing,
        )
    }

    /// This primary is the slow one: another leads, by a plain change that waits for the leases. A planned hand-over would
    /// wait for what cannot be committed here.
    fn give_lead_away<R: Rules>(
        &mut self,
        core: &Core,
        context: &mut Context<'_, R>,
        instead: ReplicaId,
    ) {
        let every = context.shared.timing.eject_every;
        self.slowness.ejected(context.now, every);
        context.note(Note::SlowPrimary(core.partition));
        self.propose(core, context, ChangeKind::HandOver { to: instead });
    }

    /// When somebody may turn out to be slow without any event.
    pub(crate) fn slow_deadline<R: Rules>(
        &self,
        core: &Core,
        context: &Context<'_, R>,
    ) -> Option<Tick> {
        let timing = &context.shared.timing;
        let seats = self.peers.iter();
        seats
            .filter(|(peer, _)| core.configuration.is_in_sync(**peer))
            .map(|(_, progress)| &progress.latency)
            .chain([&self.slowness.own])
            .filter_map(|latency| latency.deadline(context.now, timing))
            .min()
            .map(|at| {
                // Before the quiet time is over nothing would come of it.
                at.max(self.slowness.quiet_until)
            })
    }
}
