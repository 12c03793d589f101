//! The commit rule (PROTOCOL I3, I5, I6, I8), alone in its file because everything rests on it.
//!
//! An entry is committed once every member of the *required set* has acknowledged it in the primary's current term. The
//! required set is the in-sync set of the newest observed configuration, and every counted learner:
//!
//! - a replica that is being removed stays required until the configuration without it is observed (I5), for until then it
//!   may be named primary and must have everything;
//! - a learner is counted before its addition is proposed (I6), for from the moment the control plane adds it it may be
//!   named primary, whether we know yet or not.
//!
//! Only entries of the primary's own term are counted: its `TermStart` commits everything before it (I8). What the primary
//! has itself counts once it is on disk, like everybody's.

use std::collections::BTreeSet;

use ringhold_types::{Lsn, ReplicaId};

use crate::context::Context;
use crate::core::Core;
use crate::membership::removed_by;
use crate::primary::{Phase, Primary};
use crate::rules::{Rule, Rules};

impl Primary {
    /// The replicas without whose acknowledgement nothing commits, this one included.
    pub(crate) fn required(&self, core: &Core) -> Vec<ReplicaId> {
        let seats = core.configuration.in_sync.iter().copied();
        let all: BTreeSet<ReplicaId> = seats.chain(self.counted.iter().copied()).collect();
        all.into_iter().collect()
    }

    /// Commits what the rule allows. Tells whether that is more than before.
    pub(crate) fn advance_commit<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
    ) -> bool {
        if matches!(self.phase, Phase::Asking(_)) || context.now < self.may_commit_at {
            return false;
        }
        let candidate = self.acknowledged_by_all(core, context);
        if candidate < self.term_start || candidate <= core.commit {
            return false;
        }
        crate::invariant::check_commit(self, core, context, candidate);
        core.commit = candidate;
        true
    }

    /// The last position that every required replica has acknowledged in this term.
    fn acknowledged_by_all<R: Rules>(&self, core: &Core, context: &Context<'_, R>) -> Lsn {
        let own = core.safe();
        if context.drops(Rule::CommitNeedsAllAcks) {
            return own;
        }
        let leaving = if context.drops(Rule::RemovedStaysRequired) {
            self.change
                .as_ref()
                .and_then(|change| removed_by(&change.change.kind))
        } else {
            None
        };
        self.required(core)
            .into_iter()
            .filter(|replica| *replica != core.id && Some(*replica) != leaving)
            .map(|replica| self.peers.get(&replica).map_or(Lsn::ZERO, |it| it.matched))
            .fold(own, Lsn::min)
    }
}
