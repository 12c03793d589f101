//! Leases between members (PROTOCOL I14): one table for all partitions, kept per pair of members.

use std::collections::BTreeMap;

use ringhold_types::{ControlIndex, MemberId, Tick};

use crate::message::HeartbeatReply;
use crate::timing::Timing;

/// Grants that wait for our control state to catch up, per grantor: a lease outlives six heartbeats, so older ones have
/// run out.
const WAITING_GRANTS_MAX: usize = 16;

/// What was granted to us by one member, or by the control plane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Held {
    /// When the request of the newest usable grant was sent.
    usable: Option<Tick>,
    /// Grants of a grantor that had applied more than we have.
    waiting: Vec<(ControlIndex, Tick)>,
}

impl Held {
    fn grant(&mut self, sent: Tick, index: ControlIndex, applied: ControlIndex) {
        if index <= applied {
            self.usable = self.usable.max(Some(sent));
        } else {
            self.waiting.push((index, sent));
            if self.waiting.len() > WAITING_GRANTS_MAX {
                self.waiting.remove(0);
            }
        }
    }

    fn applied(&mut self, applied: ControlIndex) {
        let newest = self
            .waiting
            .iter()
            .filter(|(index, _)| *index <= applied)
            .map(|(_, sent)| *sent)
            .max();
        self.usable = self.usable.max(newest);
        self.waiting.retain(|(index, _)| *index > applied);
    }

    fn end(&self, timing: &Timing) -> Option<Tick> {
        self.usable.map(|sent| timing.lease_end(sent))
    }
}

/// All leases of a member: those it holds, and those it granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leases {
    held: BTreeMap<MemberId, Held>,
    control: Held,
    /// When each member was last granted a lease, by our clock.
    granted: BTreeMap<MemberId, Tick>,
    /// When this process started: until one lease later, grants of the process before it may still be held.
    started: Option<Tick>,
}

impl Leases {
    /// The table of a process that started at `started`; `None` forgets the grants of the process before it (a sabotage).
    #[must_use]
    pub(crate) fn new(started: Option<Tick>) -> Self {
        Self {
            held: BTreeMap::new(),
            control: Held::default(),
            granted: BTreeMap::new(),
            started,
        }
    }

    /// Notes a grant that a member gave us. `applied` is what we have applied of the control log: a grant counts only once
    /// we have applied what its grantor had.
    pub(crate) fn grant_received(
        &mut self,
        from: MemberId,
        reply: &HeartbeatReply,
        applied: ControlIndex,
    ) {
        let held = self.held.entry(from).or_default();
        held.grant(reply.sent, reply.applied, applied);
    }

    /// Notes the control plane's lease.
    pub(crate) fn control_received(
        &mut self,
        sent: Tick,
        index: ControlIndex,
        applied: ControlIndex,
    ) {
        self.control.grant(sent, index, applied);
    }

    /// Our control state has come to `applied`: grants that waited for it count.
    pub(crate) fn applied(&mut self, applied: ControlIndex) {
        self.control.applied(applied);
        for held in self.held.values_mut() {
            held.applied(applied);
        }
    }

    /// Notes that `to` was granted a lease now.
    pub(crate) fn granted(&mut self, to: MemberId, now: Tick) {
        self.granted.insert(to, now);
    }

    /// When `to` was last granted a lease, as far as it may still matter.
    #[must_use]
    pub(crate) fn last_granted(&self, to: MemberId) -> Option<Tick> {
        self.granted.get(&to).copied().max(self.started)
    }

    /// When any member was last granted a lease.
    #[must_use]
    pub(crate) fn last_granted_to_any(&self) -> Option<Tick> {
        self.granted.values().copied().max().max(self.started)
    }

    /// When this process started, unless that is to be forgotten.
    #[must_use]
    pub(crate) const fn started(&self) -> Option<Tick> {
        self.started
    }

    /// When the lease from `from` ends; `None` if there never was one.
    #[must_use]
    pub(crate) fn end(&self, from: MemberId, timing: &Timing) -> Option<Tick> {
        self.held.get(&from)?.end(timing)
    }

    /// When the control plane's lease ends.
    #[must_use]
    pub(crate) fn control_end(&self, timing: &Timing) -> Option<Tick> {
        self.control.end(timing)
    }
}

#[cfg(test)]
mod tests {
    use ringhold_types::{Millis, StartNonce};

    use super::*;

    const GRANTOR: MemberId = MemberId(7);

    fn reply(sent: u64, applied: u64) -> HeartbeatReply {
        HeartbeatReply {
            start: StartNonce(1),
            to_start: StartNonce(2),
            sent: Tick(sent),
            applied: ControlIndex(applied),
        }
    }

    #[test]
    fn a_grant_counts_only_once_its_grantors_control_state_is_applied() {
        let timing = Timing::default();
        let mut leases = Leases::new(None);
        leases.grant_received(GRANTOR, &reply(1_000, 5), ControlIndex(4));
        assert_eq!(leases.end(GRANTOR, &timing), None);
        leases.applied(ControlIndex(5));
        let end = Tick(1_000).after(timing.lease);
        assert_eq!(leases.end(GRANTOR, &timing), Some(end));
    }

    #[test]
    fn an_older_grant_never_shortens_a_newer_one() {
        let timing = Timing::default();
        let mut leases = Leases::new(None);
        leases.grant_received(GRANTOR, &reply(9_000, 1), ControlIndex(1));
        leases.grant_received(GRANTOR, &reply(1_000, 1), ControlIndex(1));
        assert_eq!(
            leases.end(GRANTOR, &timing),
            Some(Tick(9_000).after(timing.lease))
        );
    }

    #[test]
    fn the_grantor_waits_longer_than_the_holder_trusts() {
        let timing = Timing::default();
        let at = Tick(0);
        assert_eq!(timing.lease_end(at), at.after(Millis(600)));
        assert_eq!(timing.grant_end(at), at.after(Millis(660)));
    }
}
