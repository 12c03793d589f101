//! The network between members, and between clients and members: it loses, repeats, delays and reorders, and is cut in one
//! direction or both.

use std::collections::BTreeMap;

use ringhold_replica::PeerMessage;
use ringhold_types::MemberId;

use super::World;
use super::queue::Happening;
use crate::plan::SECOND;

/// Which ways are cut, and until when.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cuts {
    until: BTreeMap<(usize, usize), u64>,
}

impl Cuts {
    /// Cuts one direction between two machines.
    pub(crate) fn cut(&mut self, from: usize, to: usize, until: u64) {
        let known = self.until.entry((from, to)).or_default();
        *known = (*known).max(until);
    }

    /// Whether messages of `from` reach `to`.
    pub(crate) fn is_open(&self, from: usize, to: usize, now: u64) -> bool {
        self.until
            .get(&(from, to))
            .is_none_or(|until| *until <= now)
    }

    /// Everything is connected again.
    pub(crate) fn heal(&mut self) {
        self.until.clear();
    }
}

impl World {
    /// Sends a message from a machine to a member.
    pub(crate) fn send(&mut self, slot: usize, to: MemberId, message: PeerMessage) {
        let from = self.hosts[slot].member;
        let Some(target) = self.slot_of(to) else {
            return;
        };
        if !self.cuts.is_open(slot, target, self.now) {
            return;
        }
        let message = self.split(message);
        let copies = 1 + usize::from(self.random.network.chance(self.plan.network.duplicate));
        for _ in 0..copies {
            if let Some(delay) = self.delay() {
                let message = Box::new(message.clone());
                let at = self.now + delay;
                self.queue
                    .push(at, Happening::Message { to, from, message });
            }
        }
    }

    /// Leaves the later entries of a prepare out, as if the sender's batches were smaller: they come again.
    fn split(&mut self, mut message: PeerMessage) -> PeerMessage {
        let plan = &self.plan.network;
        if plan.split > 0
            && let PeerMessage::Prepare(prepare) = &mut message
            && prepare.entries.len() > 1
            && self.random.network.chance(plan.split)
        {
            let most = (prepare.entries.len() - 1).min(plan.split_leaves);
            let keep = 1 + self.random.network.index(most);
            prepare.entries.truncate(keep);
        }
        message
    }

    /// How long a message takes; `None` if it is lost.
    pub(crate) fn delay(&mut self) -> Option<u64> {
        let plan = &self.plan.network;
        let random = &mut self.random.network;
        // Every seed loses a message.
        let late = self.now + SECOND > self.plan.storm;
        let first = plan.loss > 0 && self.met.losses == 0 && late;
        if random.chance(plan.loss) || first {
            self.met.losses += 1;
            return None;
        }
        let usual = random.skewed(100, plan.delay);
        let straggles = plan.straggle > 0 && random.chance(plan.straggle);
        Some(if straggles {
            usual + random.below(plan.straggle_delay)
        } else {
            usual
        })
    }

    /// A message has come.
    pub(crate) fn message_arrived(&mut self, to: MemberId, from: MemberId, message: PeerMessage) {
        if let Some(slot) = self.slot_of(to) {
            self.put(slot, ringhold_replica::Event::Message { from, message });
        }
    }
}
