//! How far one peer is, as its primary knows, and what is sent to it next.

use std::collections::VecDeque;

use ringhold_ringbuffer::RingPart;
use ringhold_types::{ConfigurationVersion, Lsn, Millis, ReplicaId, Term, Tick};

use crate::context::Context;
use crate::core::Core;
use crate::divergence::common_point;
use crate::effect::Note;
use crate::message::{Ack, PeerMessage, Prepare, SnapshotPart};
use crate::rules::{Rule, Rules};
use crate::slow::Latency;
use crate::timing::Timing;

/// Prepares sent to one peer and not acknowledged: while they are on the way, entries gather to larger ones.
pub(crate) const PREPARES_IN_FLIGHT_MAX: usize = 16;
/// Parts of a snapshot sent and not acknowledged: enough to keep a link busy, little beside the ring itself.
pub(crate) const SNAPSHOT_PARTS_IN_FLIGHT_MAX: u32 = 8;

/// A snapshot on its way to a learner.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Transfer {
    pub(crate) snapshot: u64,
    pub(crate) lsn: Lsn,
    pub(crate) lsn_term: Term,
    pub(crate) parts: Vec<RingPart>,
    /// Parts acknowledged, in order.
    pub(crate) acknowledged: usize,
    /// Parts sent.
    pub(crate) sent: usize,
}

/// How far one peer is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Progress {
    /// Acknowledged in this term, durably.
    pub(crate) matched: Lsn,
    /// The next entry to send.
    pub(crate) next: Lsn,
    /// Whether one prepare at a time finds out where the logs part.
    pub(crate) probing: bool,
    /// Ends of the prepares on the way.
    in_flight: VecDeque<Lsn>,
    /// The commit that it was told last.
    pub(crate) told_commit: Lsn,
    /// When it is sent to again without an acknowledgement.
    pub(crate) resend_at: Option<Tick>,
    backoff: Millis,
    /// Acknowledgements that saw an older configuration are of an earlier life of the replica and never count.
    since: ConfigurationVersion,
    /// Whether it carries the mark of a cut tail.
    pub(crate) cut_mark: bool,
    /// What earlier processes of the same replica acknowledged in this term. It is durable and matches this primary's log, so
    /// nothing may have cut it since: a cut at a divergence point needs another primary, and so another term.
    owed: Lsn,
    /// Whether it came back with less than it owes, and without the mark of a cut tail: its store lost what was durable
    /// (PROTOCOL §5).
    pub(crate) is_short: bool,
    /// Whether it was heard in this term.
    pub(crate) heard: bool,
    pub(crate) transfer: Option<Transfer>,
    /// How long it takes to make entries safe.
    pub(crate) latency: Latency,
}

impl Progress {
    /// A peer of which nothing is known in this term.
    pub(crate) fn unknown(
        next: Lsn,
        now: Tick,
        since: ConfigurationVersion,
        timing: &Timing,
    ) -> Self {
        Self {
            matched: Lsn::ZERO,
            next,
            probing: true,
            in_flight: VecDeque::new(),
            told_commit: Lsn::ZERO,
            resend_at: Some(now),
            backoff: timing.resend,
            since,
            cut_mark: false,
            owed: Lsn::ZERO,
            is_short: false,
            heard: false,
            transfer: None,
            latency: Latency::default(),
        }
    }

    /// The peer's process started anew: it is to say again what it has.
    pub(crate) fn restart(&mut self, next: Lsn, now: Tick, timing: &Timing) {
        let owed = self.owed.max(self.matched);
        *self = Self::unknown(next, now, self.since, timing);
        self.owed = owed;
    }

    /// Whether it has all but a few of the entries up to `last`.
    pub(crate) fn is_close(&self, last: Lsn) -> bool {
        /// A learner this close is counted: the primary waits a moment for it at most.
        const CLOSE: u64 = 256;
        self.heard && self.transfer.is_none() && !self.probing && self.matched.0 + CLOSE >= last.0
    }

    /// What the peer still needs of the log's tail: entries after this position.
    pub(crate) fn needs_after(&self) -> Lsn {
        self.transfer
            .as_ref()
            .map_or(self.matched, |transfer| transfer.lsn)
    }

    /// An acknowledgement of this term. Tells whether it moved anything.
    pub(crate) fn acked<R: Rules>(
        &mut self,
        core: &Core,
        context: &Context<'_, R>,
        ack: &Ack,
    ) -> bool {
        if ack.version < self.since {
            return false;
        }
        // A process that has got back what the cut took never lacks it again: a late acknowledgement that says so is old news.
        self.cut_mark = ack.cut_mark && (self.cut_mark || !self.heard);
        self.heard = true;
        if let Some(transfer) = self.transfer.as_mut()
            && ack.snapshot == transfer.snapshot
        {
            let parts = usize::try_from(ack.snapshot_parts).unwrap_or(usize::MAX);
            let parts = parts.min(transfer.parts.len());
            if parts > transfer.acknowledged {
                transfer.acknowledged = parts;
                self.backoff = context.shared.timing.resend;
                self.resend_at = Some(context.now.after(self.backoff));
            }
        }
        if let Some(summary) = &ack.mismatch {
            let short = summary.last < self.owed && !ack.cut_mark;
            self.is_short |= short && !context.drops(Rule::NewIncarnation);
            let common = common_point(&core.log.summary(core.commit), summary).max(self.matched);
            let known = self.probing && self.next == common.next();
            if !known && self.transfer.is_none() {
                self.probing = true;
                self.next = common.next();
                self.in_flight.clear();
                self.resend_at = Some(context.now);
            }
        }
        self.matched_up_to(core, context, ack.matched.min(core.log.last()))
    }

    fn matched_up_to<R: Rules>(
        &mut self,
        core: &Core,
        context: &Context<'_, R>,
        matched: Lsn,
    ) -> bool {
        if let Some(transfer) = &self.transfer
            && matched >= transfer.lsn
        {
            self.transfer = None;
            self.next = matched.next();
            // Even if nothing follows the snapshot, one more prepare says so: it takes the mark of a cut tail away.
            self.told_commit = Lsn::ZERO;
            self.probing = false;
            self.in_flight.clear();
        }
        let covers = self.probing && self.transfer.is_none() && matched.next() >= self.next;
        if covers {
            self.probing = false;
            self.in_flight.clear();
        }
        let more = matched > self.matched;
        if more || covers {
            self.matched = self.matched.max(matched);
            self.next = self.next.max(self.matched.next());
            self.latency.reached(self.matched, context.now);
            while self.in_flight.front().is_some_and(|end| *end <= matched) {
                self.in_flight.pop_front();
            }
            self.backoff = context.shared.timing.resend;
            let waits = self.matched < core.log.last() || self.transfer.is_some();
            self.resend_at = waits.then(|| context.now.after(self.backoff));
        }
        more
    }

    /// Sends what is next to the peer, as far as its window allows.
    pub(crate) fn flush<R: Rules>(
        &mut self,
        core: &Core,
        context: &mut Context<'_, R>,
        peer: ReplicaId,
        tell_commit: bool,
    ) {
        let due = self.resend_at.is_some_and(|at| at <= context.now);
        if due {
            self.rewind(context);
        }
        if self.transfer.is_some() {
            self.send_parts(core, context, peer);
            return;
        }
        let mut sent = false;
        while self.may_send(core.log.last(), due && !sent) {
            let Some(batch_end) = self.send_batch(core, context, peer) else {
                return;
            };
            sent = true;
            self.in_flight.push_back(batch_end);
            self.next = batch_end.next();
            if self.resend_at.is_none() {
                self.resend_at = Some(context.now.after(self.backoff));
            }
        }
        if tell_commit && !sent && self.told_commit < core.commit && !self.probing {
            self.send_batch(core, context, peer);
        }
    }

    /// After a silence: everything unacknowledged goes again, one prepare first.
    fn rewind<R: Rules>(&mut self, context: &Context<'_, R>) {
        let timing = &context.shared.timing;
        if !self.probing {
            self.next = self.matched.next();
            self.probing = true;
        }
        if let Some(transfer) = &mut self.transfer {
            transfer.sent = transfer.acknowledged;
        }
        self.in_flight.clear();
        self.resend_at = Some(context.now.after(self.backoff));
        self.backoff = Millis(self.backoff.0.saturating_mul(2)).min(timing.resend_most);
    }

    fn may_send(&self, last: Lsn, due: bool) -> bool {
        if self.probing {
            return due && self.in_flight.is_empty();
        }
        self.next <= last && self.in_flight.len() < PREPARES_IN_FLIGHT_MAX
    }

    /// Sends one prepare from `next` on; `None` if the log does not reach back that far.
    fn send_batch<R: Rules>(
        &mut self,
        core: &Core,
        context: &mut Context<'_, R>,
        peer: ReplicaId,
    ) -> Option<Lsn> {
        let previous = self.next.previous();
        let previous_term = core.log.term_at(previous)?;
        let entries = core.log.batch_after(previous);
        let end = Lsn(previous.0 + entries.len() as u64);
        let prepare = Prepare {
            fence: core.fence(context, peer),
            version: core.configuration.version,
            previous,
            previous_term,
            entries,
            commit: core.commit,
            length: core.log.last(),
        };
        if end > self.matched {
            self.latency.begin(end, context.now);
        }
        self.told_commit = core.commit;
        context.send(peer.member, PeerMessage::Prepare(prepare));
        Some(end)
    }

    fn send_parts<R: Rules>(&mut self, core: &Core, context: &mut Context<'_, R>, peer: ReplicaId) {
        let fence = core.fence(context, peer);
        let Some(transfer) = self.transfer.as_mut() else {
            return;
        };
        let window = transfer.acknowledged + SNAPSHOT_PARTS_IN_FLIGHT_MAX as usize;
        let count = u32::try_from(transfer.parts.len()).unwrap_or(u32::MAX);
        while transfer.sent < transfer.parts.len().min(window) {
            let part = SnapshotPart {
                fence,
                snapshot: transfer.snapshot,
                lsn: transfer.lsn,
                lsn_term: transfer.lsn_term,
                index: u32::try_from(transfer.sent).unwrap_or(u32::MAX),
                count,
                part: transfer.parts[transfer.sent].clone(),
            };
            context.send(peer.member, PeerMessage::SnapshotPart(part));
            transfer.sent += 1;
        }
        if self.resend_at.is_none() {
            self.resend_at = Some(context.now.after(self.backoff));
        }
    }

    /// Begins a snapshot of the applied ring for a learner that the log alone cannot bring up.
    pub(crate) fn begin_transfer<R: Rules>(
        &mut self,
        core: &Core,
        context: &mut Context<'_, R>,
        snapshot: u64,
    ) {
        let restarted = self.transfer.is_some();
        self.transfer = Some(Transfer {
            snapshot,
            lsn: core.applied,
            lsn_term: core.log.term_at(core.applied).unwrap_or(Term::ZERO),
            parts: core.ring.snapshot(),
            acknowledged: 0,
            sent: 0,
        });
        self.in_flight.clear();
        self.backoff = context.shared.timing.resend;
        self.resend_at = Some(context.now.after(self.backoff));
        context.note(if restarted {
            Note::CatchUpRestarted(core.partition)
        } else {
            Note::SnapshotStarted(core.partition)
        });
    }

    /// Whether the log alone cannot bring this peer up: it does not reach back to what the peer has, or begins with
    /// another life of the partition than the peer's empty ring.
    pub(crate) fn needs_snapshot(&self, core: &Core) -> bool {
        let previous = self.next.previous();
        if core.log.term_at(previous).is_none() && previous < core.log.base() {
            return true;
        }
        let from_start = previous == Lsn::ZERO && core.log.last() > Lsn::ZERO && self.heard;
        from_start && !begins_with_this_life(core)
    }
}

/// Whether the log's first entry is kept and began the present generation.
fn begins_with_this_life(core: &Core) -> bool {
    use ringhold_ringbuffer::Op;
    core.log.get(Lsn(1)).is_some_and(|entry| {
        matches!(entry.op, Op::TermStart { generation, .. } if generation == core.configuration.generation)
    })
}
