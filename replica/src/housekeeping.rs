//! What a leading primary logs by itself: expiry, forgotten keys, retrieved marks, changed limits (I16, PROTOCOL §4).

use std::collections::{BTreeMap, BTreeSet};

use ringhold_ringbuffer::Op;
use ringhold_types::{Millis, Sequence, Tick};

use crate::context::Context;
use crate::core::Core;
use crate::primary::Primary;
use crate::request::{Reply, RequestToken};
use crate::rules::Rules;

/// Sequences that one housekeeping operation names at most.
const BATCH_MAX: usize = 1024;
/// Confirmations that are logged at once, without waiting for more.
const MARK_AT_ONCE: usize = 256;
/// Otherwise they gather this long: one operation instead of many.
const MARK_AFTER: Millis = Millis(100);

/// Outcomes on their way to being counted as retrieved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Retrieved {
    /// Served and not confirmed: when the grace began.
    served: BTreeMap<Sequence, Tick>,
    by_time: BTreeSet<(Tick, Sequence)>,
    /// Confirmed, or out of grace, and not logged.
    confirmed: BTreeSet<Sequence>,
    /// When the oldest of these came.
    gathering_since: Option<Tick>,
}

impl Retrieved {
    fn serve(&mut self, sequence: Sequence, now: Tick) {
        if !self.served.contains_key(&sequence) && !self.confirmed.contains(&sequence) {
            self.served.insert(sequence, now);
            self.by_time.insert((now, sequence));
        }
    }

    fn confirm(&mut self, sequence: Sequence, now: Tick) {
        self.unserve(sequence);
        self.confirmed.insert(sequence);
        self.gathering_since.get_or_insert(now);
    }

    fn unserve(&mut self, sequence: Sequence) {
        if let Some(since) = self.served.remove(&sequence) {
            self.by_time.remove(&(since, sequence));
        }
    }

    /// How many were served and not confirmed.
    pub(crate) fn served(&self) -> usize {
        self.served.len()
    }

    /// The outcome is gone.
    pub(crate) fn forget(&mut self, sequence: Sequence) {
        self.unserve(sequence);
        self.confirmed.remove(&sequence);
    }
}

impl Primary {
    /// Notes that an outcome was served: it counts as retrieved after the grace, if its client does not confirm it before.
    /// One that is gone already, as after a destructive read, needs no mark; one that its reader keeps gets none.
    pub(crate) fn note_served<R: Rules>(
        &mut self,
        core: &Core,
        context: &Context<'_, R>,
        token: RequestToken,
        reply: &Reply,
    ) {
        if let Reply::Outcome { sequence, .. } = reply
            && !context.shared.requests.keeps(token)
            && is_unmarked(core, *sequence)
        {
            self.retrieved.serve(*sequence, context.now);
        }
    }

    /// A client confirms that outcomes reached it. Only outcomes that are there count, so the set stays small.
    pub(crate) fn confirm_retrieved(&mut self, core: &Core, now: Tick, sequences: &[Sequence]) {
        for sequence in sequences {
            if is_unmarked(core, *sequence) {
                self.retrieved.confirm(*sequence, now);
            }
        }
    }

    /// Logs what is due. Not during a hand-over: that waits until everything is committed.
    pub(crate) fn keep_house<R: Rules>(&mut self, core: &mut Core, context: &mut Context<'_, R>) {
        if self.hand_over.is_some() {
            return;
        }
        self.mark_retrieved(core, context);
        if self.housekeeping.is_some() {
            return;
        }
        let now = self.time(core, context);
        if core.ring.next_housekeeping().is_none_or(|due| due > now) {
            return;
        }
        for op in core.ring.due_housekeeping(now, BATCH_MAX) {
            let lsn = self.append(core, context, op);
            self.housekeeping = Some(lsn);
        }
    }

    fn mark_retrieved<R: Rules>(&mut self, core: &mut Core, context: &mut Context<'_, R>) {
        let grace = context.shared.timing.retrieved_grace;
        while let Some((since, sequence)) = self.retrieved.by_time.first().copied() {
            if since.after(grace) > context.now {
                break;
            }
            self.confirm_retrieved(core, context.now, &[sequence]);
            self.retrieved.unserve(sequence);
        }
        let gathered = self
            .retrieved
            .gathering_since
            .is_some_and(|since| since.after(MARK_AFTER) <= context.now);
        if !gathered && self.retrieved.confirmed.len() < MARK_AT_ONCE {
            return;
        }
        let mut sequences = Vec::new();
        while sequences.len() < BATCH_MAX
            && let Some(sequence) = self.retrieved.confirmed.pop_first()
        {
            sequences.push(sequence);
        }
        let rest = !self.retrieved.confirmed.is_empty();
        self.retrieved.gathering_since = rest.then_some(context.now);
        if !sequences.is_empty() {
            self.append(core, context, Op::MarkRetrieved { sequences });
        }
    }

    /// Logs the executor's limits when they differ from the ring's (I13).
    pub(crate) fn configure<R: Rules>(&mut self, core: &mut Core, context: &mut Context<'_, R>) {
        if self.configuring.is_some() || self.hand_over.is_some() {
            return;
        }
        let wanted = context.shared.ring_limits(core.partition.executor);
        if let Some(wanted) = wanted.filter(|wanted| wanted != core.ring.limits()) {
            let lsn = self.append(core, context, Op::Configure(wanted));
            self.configuring = Some(lsn);
        }
    }

    /// When something here is due.
    pub(crate) fn house_deadline<R: Rules>(
        &self,
        core: &Core,
        context: &Context<'_, R>,
    ) -> Option<Tick> {
        if self.hand_over.is_some() {
            return None;
        }
        let due = core
            .ring
            .next_housekeeping()
            .filter(|_| self.housekeeping.is_none());
        let due = due.map(|time| self.clock.tick(time));
        let grace = context.shared.timing.retrieved_grace;
        let served = self
            .retrieved
            .by_time
            .first()
            .map(|(since, _)| since.after(grace));
        let marks = self
            .retrieved
            .gathering_since
            .map(|since| since.after(MARK_AFTER));
        [due, served, marks].into_iter().flatten().min()
    }
}

/// Whether a task's outcome is there and not marked as retrieved.
fn is_unmarked(core: &Core, sequence: Sequence) -> bool {
    let entry = core.ring.look_up(sequence);
    entry.is_ok_and(|entry| !entry.is_unfinished() && !entry.retrieved)
}
