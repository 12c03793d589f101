//! A replica that follows a primary, as a backup or as a learner: it takes what fits its log and says how far it matches.

use ringhold_types::{Lsn, ReplicaId};

use crate::context::Context;
use crate::core::Core;
use crate::learner::Assembly;
use crate::message::{Ack, PeerMessage, Prepare};
use crate::rules::{Rule, Rules};

/// What a follower knows of its primary in this term.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Follower {
    /// Who leads, once it was heard.
    pub(crate) leader: Option<ReplicaId>,
    /// The log is known to be the same as the primary's up to here.
    pub(crate) matched: Lsn,
    /// Whether an acknowledgement goes out at the end of this turn.
    pub(crate) ack_due: bool,
    /// Whether it says that the last prepare did not fit.
    pub(crate) mismatch: bool,
    /// The snapshot being received.
    pub(crate) assembly: Option<Assembly>,
}

impl Follower {
    /// A prepare of the term's primary.
    pub(crate) fn prepare<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        prepare: Prepare,
    ) {
        if !is_well_formed(&prepare) {
            return;
        }
        self.leader = Some(prepare.fence.from);
        self.ack_due = true;
        if !fits(core, &prepare) {
            self.mismatch = true;
            return;
        }
        let end = Lsn(prepare.previous.0 + prepare.entries.len() as u64);
        let for_this_start = prepare.fence.to_start == context.shared.start;
        if !take_entries(core, context, &prepare) {
            return;
        }
        self.matched = self.matched.max(end.min(core.log.last()));
        let complete = self.matched >= prepare.length && core.log.last() <= self.matched;
        if (for_this_start && complete) || context.drops(Rule::CutMarkKept) {
            core.clear_cut_mark(context);
        }
        core.commit = core.commit.max(prepare.commit.min(self.matched));
    }

    /// Sends the acknowledgement that is due: the durable part of what matches the primary's log (I8).
    pub(crate) fn flush<R: Rules>(&mut self, core: &Core, context: &mut Context<'_, R>) {
        let Some(leader) = self.leader.filter(|_| self.ack_due) else {
            return;
        };
        self.ack_due = false;
        let safe = core.safe();
        let matched = if context.drops(Rule::AckMatchedLength) {
            safe
        } else {
            self.matched.min(safe)
        };
        let mismatch = std::mem::take(&mut self.mismatch);
        let (snapshot, snapshot_parts) = self.assembly.as_ref().map_or((0, 0), Assembly::progress);
        let ack = Ack {
            fence: core.fence(context, leader),
            start: context.shared.start,
            matched,
            mismatch: mismatch.then(|| core.log.summary(core.commit)),
            needs_snapshot: core.log.last() == Lsn::ZERO,
            snapshot,
            snapshot_parts,
            version: core.configuration.version,
            cut_mark: core.cut_mark.is_carried(),
        };
        context.send(leader.member, PeerMessage::Ack(ack));
    }
}

/// Whether the entries follow each other and belong to no later term than the message.
fn is_well_formed(prepare: &Prepare) -> bool {
    let mut expected = prepare.previous.next();
    prepare.entries.iter().all(|entry| {
        let follows = entry.lsn == expected && entry.term <= prepare.fence.term;
        expected = expected.next();
        follows
    })
}

/// Whether our log holds the entry before the first one, of the same term. What is committed here is a prefix of every
/// primary's log, so it fits although its terms may be forgotten.
fn fits(core: &Core, prepare: &Prepare) -> bool {
    prepare.previous <= core.commit
        || core.log.term_at(prepare.previous) == Some(prepare.previous_term)
}

/// Takes entries that are new, and cuts ours where they part (I10). `false` if the member must stop.
fn take_entries<R: Rules>(
    core: &mut Core,
    context: &mut Context<'_, R>,
    prepare: &Prepare,
) -> bool {
    for entry in &prepare.entries {
        if entry.lsn <= core.log.base() {
            continue;
        }
        match core.log.term_at(entry.lsn) {
            Some(term) if term == entry.term => continue,
            Some(_) if !core.cut_after(context, entry.lsn.previous(), Some(entry.term)) => {
                return false;
            }
            _ => {}
        }
        core.append(context, entry.clone());
    }
    true
}
