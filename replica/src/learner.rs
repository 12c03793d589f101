//! A learner's side of catching up: the parts of the primary's applied ring, put together in order.

use ringhold_ringbuffer::{Ring, RingPart};
use ringhold_types::{Lsn, Term};

use crate::backup::Follower;
use crate::context::Context;
use crate::core::Core;
use crate::message::SnapshotPart;
use crate::rules::Rules;

/// A snapshot that is being received.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Assembly {
    snapshot: u64,
    lsn: Lsn,
    lsn_term: Term,
    count: u32,
    parts: Vec<RingPart>,
}

impl Assembly {
    fn begin(part: &SnapshotPart) -> Self {
        Self {
            snapshot: part.snapshot,
            lsn: part.lsn,
            lsn_term: part.lsn_term,
            count: part.count,
            parts: Vec::new(),
        }
    }

    /// Which snapshot, and how many parts of it are in.
    pub(crate) fn progress(&self) -> (u64, u32) {
        (self.snapshot, self.received())
    }

    fn received(&self) -> u32 {
        u32::try_from(self.parts.len()).unwrap_or(u32::MAX)
    }
}

impl Follower {
    /// A part of the primary's applied ring. A snapshot that would shorten what is committed here is never installed: it
    /// is a late one.
    pub(crate) fn snapshot_part<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        part: SnapshotPart,
    ) {
        self.leader = Some(part.fence.from);
        self.ack_due = true;
        let has_it = part.lsn <= core.commit || core.log.term_at(part.lsn) == Some(part.lsn_term);
        if has_it && core.log.last() > Lsn::ZERO {
            self.matched = self.matched.max(part.lsn);
            self.assembly = None;
            return;
        }
        let current = self.assembly.as_ref().map_or(0, |it| it.snapshot);
        if part.snapshot > current {
            self.assembly = Some(Assembly::begin(&part));
        }
        let Some(assembly) = self.assembly.as_mut() else {
            return;
        };
        let next = part.snapshot == assembly.snapshot
            && part.index == assembly.received()
            && part.count == assembly.count;
        if !next {
            return;
        }
        assembly.parts.push(part.part);
        if assembly.received() == assembly.count {
            self.install(core, context);
        }
    }

    fn install<R: Rules>(&mut self, core: &mut Core, context: &mut Context<'_, R>) {
        let Some(assembly) = self.assembly.take() else {
            return;
        };
        match Ring::restore(assembly.parts) {
            Ok(ring) => {
                core.install(context, ring, assembly.lsn, assembly.lsn_term);
                self.matched = assembly.lsn;
            }
            Err(error) => {
                // The parts came in order from one primary, so they fit together unless the software is broken.
                context.fatal(format!(
                    "the snapshot of partition {} at {} does not fit together: {error}",
                    core.partition, assembly.lsn
                ));
            }
        }
    }
}
