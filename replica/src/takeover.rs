//! Taking over (PROTOCOL §3): from the nomination to the committed `TermStart`.
//!
//! The log is kept whole and pushed; the others cut theirs where they part from it. Once `TermStart` is committed, everything
//! before it is, and only then is anybody answered.

use std::collections::{BTreeMap, BTreeSet};

use ringhold_ringbuffer::Op;
use ringhold_types::{ConfigurationVersion, Lsn, Millis, RingTime};

use crate::admission::{Accepts, Held};
use crate::context::Context;
use crate::core::Core;
use crate::cut_tail::Asking;
use crate::effect::Note;
use crate::housekeeping::Retrieved;
use crate::primary::{Phase, Primary, RingClock};
use crate::progress::Progress;
use crate::rules::{Rule, Rules};
use crate::schedule::Schedule;
use crate::slow::Slowness;
use crate::waiters::Waiters;

impl Primary {
    /// The control plane named this replica primary for a term that this process has not led. `goes_on` is the sabotage of a
    /// process that continues an older process's term.
    pub(crate) fn nominated<R: Rules>(
        core: &mut Core,
        context: &mut Context<'_, R>,
        goes_on: bool,
    ) -> Self {
        let timing = context.shared.timing;
        let may_commit_at = match core.lease_floor {
            Some(floor) if context.drops(Rule::DriftMargin) => timing.lease_end(floor),
            Some(floor) => timing.grant_end(floor),
            None => context.now,
        };
        let mut primary = Self {
            phase: Phase::Reconciling,
            term_start: Lsn(u64::MAX),
            may_commit_at,
            clock: ring_clock(core, context),
            peers: BTreeMap::new(),
            counted: BTreeSet::new(),
            counted_at: BTreeMap::new(),
            change: None,
            hand_over: None,
            held: Held::default(),
            accepts: Accepts::default(),
            completions: BTreeMap::new(),
            waiters: Waiters::default(),
            unanswered: BTreeMap::new(),
            short: BTreeMap::new(),
            schedule: Schedule::default(),
            retrieved: Retrieved::default(),
            housekeeping: None,
            configuring: None,
            slowness: Slowness::new(context.now, &timing),
            tell_commit_at: None,
            snapshots: 0,
        };
        if goes_on && core.log.last_term() == core.term {
            primary.term_start = Lsn::ZERO;
            primary.update_peers(core, context, true);
            primary.begin_leading(core, context);
        } else if must_ask(core, context) {
            primary.phase = Phase::Asking(Asking::new(context.now));
        } else {
            primary.begin_term(core, context);
        }
        primary
    }

    /// Appends `TermStart`: the first entry of the term (I8).
    pub(crate) fn begin_term<R: Rules>(&mut self, core: &mut Core, context: &mut Context<'_, R>) {
        self.schedule.take_hand_over(core);
        self.clock = ring_clock(core, context);
        self.phase = Phase::Reconciling;
        self.peers.clear();
        self.update_peers(core, context, true);
        let generation = core.configuration.generation;
        let primary = core.id;
        self.term_start = self.append(
            core,
            context,
            Op::TermStart {
                primary,
                generation,
            },
        );
    }

    /// `TermStart` is applied: the log holds nothing that is not committed, and callers are answered from here on.
    pub(crate) fn begin_leading<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
    ) {
        self.phase = Phase::Leading;
        context.note(Note::TookOver(core.partition));
        core.clear_cut_mark(context);
        self.accepts.next = core.ring.next_sequence();
        self.build_schedule(core, context);
        self.adopt_own(core, context);
    }

    /// Keeps the table of peers in step with the configuration. A learner that may have begun a new life while a version
    /// was skipped starts over: what it acknowledged in the old one means nothing.
    pub(crate) fn update_peers<R: Rules>(
        &mut self,
        core: &Core,
        context: &Context<'_, R>,
        follows: bool,
    ) {
        let configuration = &core.configuration;
        let seats = configuration.in_sync.iter();
        let wanted: BTreeSet<_> = seats
            .chain(&configuration.learners)
            .copied()
            .filter(|peer| *peer != core.id)
            .collect();
        self.peers.retain(|peer, _| wanted.contains(peer));
        let next = core.log.last().next();
        for peer in wanted {
            let doubtful = configuration.is_learner(peer) && !follows;
            let since = if configuration.is_learner(peer) {
                configuration.version
            } else {
                ConfigurationVersion::ZERO
            };
            if doubtful || !self.peers.contains_key(&peer) {
                let timing = &context.shared.timing;
                let unknown = Progress::unknown(next, context.now, since, timing);
                self.peers.insert(peer, unknown);
            }
        }
        let learners = &configuration.learners;
        self.counted.retain(|learner| learners.contains(learner));
        self.counted_at
            .retain(|learner, _| learners.contains(learner));
    }

    /// A peer's process started anew: what it acknowledged before, it says again.
    pub(crate) fn peer_restarted<R: Rules>(
        &mut self,
        core: &Core,
        context: &Context<'_, R>,
        member: ringhold_types::MemberId,
    ) {
        if let Phase::Asking(asking) = &mut self.phase {
            asking.restarted(member, context.now);
        }
        let next = core.log.last().next();
        for (peer, progress) in &mut self.peers {
            if peer.member == member {
                progress.restart(next, context.now, &context.shared.timing);
            }
        }
    }
}

/// Ring time goes on from the log's, by what has passed here since its last entry came, and by a bounded step at most (I16).
fn ring_clock<R: Rules>(core: &Core, context: &Context<'_, R>) -> RingClock {
    let passed = core
        .last_append
        .map_or(Millis(0), |at| context.now.since(at));
    let step = passed.min(context.shared.timing.max_clock_step);
    let base: RingTime = core.log_time().after(step);
    RingClock::new(base, context.now)
}

/// Whether a new primary has to ask its peers for the tail that was cut from its own log (PROTOCOL §5).
///
/// The process that hears of a recorded loss is answered by it. A later one cannot tell whether the new generation was begun
/// before the cut: it asks, and records another loss, of nothing perhaps, if nobody is there.
fn must_ask<R: Rules>(core: &Core, context: &Context<'_, R>) -> bool {
    core.cut_mark.is_unanswered() && !context.drops(Rule::CutTailAsksPeers)
}
