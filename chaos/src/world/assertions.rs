//! The named assertions that no single machine can make of itself (PROTOCOL §2): over the shoulders of several machines, of the
//! control plane and of the disks. Those inside the machines are in `replica/src/invariant.rs`; `docs/protocol.md` has the table.

use std::collections::BTreeMap;

use ringhold_control::{Cluster, Command, Response};
use ringhold_replica::{Ack, Effects, PeerMessage, Replica, Reply};
use ringhold_types::{ChangeKind, PartitionKey, Persistence, Term};

use super::World;
use super::host::StoreId;
use super::observe::{Broken, entry_at, leads};

/// The rules of PROTOCOL §2.
pub(crate) const RULES: [&str; 18] = [
    "I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I12", "I13", "I14", "I15",
    "I16", "I17", "I18",
];

/// The rule that the text of a broken assertion names: before a colon, or in brackets.
pub(crate) fn named(text: &str) -> Option<&'static str> {
    let names =
        |rule: &&str| text.starts_with(&format!("{rule}:")) || text.contains(&format!("({rule})"));
    RULES.into_iter().find(names)
}

impl World {
    /// I2, I6: after a command of the control plane.
    pub(crate) fn check_command(
        &mut self,
        before: &Cluster,
        after: &Cluster,
        command: &Command,
        response: &Response,
    ) {
        for partition in self.partitions.clone() {
            if let Some((rule, detail)) = unfit_primary(before, after, partition) {
                self.refute(rule, detail);
            }
        }
        let (Command::Change(change), Response::Changed { .. }) = (command, response) else {
            return;
        };
        let (ChangeKind::Promote { learner } | ChangeKind::Swap { learner, .. }) = change.kind
        else {
            return;
        };
        let slot = self.slot_of(change.proposer.member);
        let process = slot.and_then(|slot| self.hosts[slot].process.as_ref());
        let proposer = process.and_then(|it| it.machine.replica(change.partition));
        let proposer = proposer.filter(|it| {
            let known = it.configuration();
            it.term() == change.term && known.version == change.expected && leads(it)
        });
        if proposer.is_some_and(|it| !it.required().contains(&learner)) {
            let detail = format!("{learner} gets a seat of {} unrequired", change.partition);
            self.refute("I6", detail);
        }
    }

    /// I8, I9, I11, I15, I18: after a turn.
    pub(crate) fn check_assertions(
        &mut self,
        slot: usize,
        effects: &Effects,
        led: &BTreeMap<PartitionKey, Term>,
    ) {
        for (_, message) in &effects.send {
            if let PeerMessage::Ack(ack) = message
                && let Some(detail) = self.find_false_ack(slot, ack)
            {
                self.refute("I8", detail);
            }
        }
        self.check_stores(slot);
        self.check_terms(slot);
        for (token, reply) in &effects.replies {
            let Some(partition) = self.open.get(token).map(|open| open.partition) else {
                continue;
            };
            if let Reply::Submitted { sequence, .. } = reply
                && self.oracle.accepted(partition, *sequence).is_none()
            {
                let detail = format!("{partition}/{sequence} is acknowledged and not committed");
                self.refute("I11", detail);
            }
            let reads = matches!(
                reply,
                Reply::Outcome { .. } | Reply::Task(_) | Reply::NotYet { .. }
            );
            if !reads {
                continue;
            }
            let process = self.hosts[slot].process.as_ref();
            let led_before = process.is_some_and(|it| it.led.contains_key(&partition));
            if !led.contains_key(&partition) && !led_before {
                let member = self.hosts[slot].member;
                let detail = format!("{member} answers a read of {partition} and does not lead it");
                self.refute("I15", detail);
            }
        }
    }

    /// I8: an acknowledgement reports what is durable here and matches the log of the primary that it is for.
    fn find_false_ack(&self, slot: usize, ack: &Ack) -> Option<String> {
        let fence = &ack.fence;
        let own = self.hosts[slot].process.as_ref()?;
        let own = own.machine.replica(fence.partition)?;
        let lie = |what: &str| {
            Some(format!(
                "{} acknowledges {} of {} to {}, {what}",
                fence.from, ack.matched, fence.partition, fence.to
            ))
        };
        if ack.matched > own.durable() {
            return lie("which is not durable");
        }
        let primary = self.slot_of(fence.to.member)?;
        let primary = self.hosts[primary].process.as_ref()?;
        let primary = primary.machine.replica(fence.partition)?;
        let same_life = primary.configuration().generation == fence.generation;
        if primary.id() != fence.to || primary.term() != fence.term || !same_life || !leads(primary)
        {
            return None;
        }
        if ack.matched > primary.last() {
            return lie("which has less");
        }
        let term = |replica: &Replica| entry_at(replica, ack.matched).map(|entry| entry.term);
        match (term(own), term(primary)) {
            (Some(own), Some(primary)) if own != primary => lie("which has another entry there"),
            _ => None,
        }
    }

    /// I9: a replica lives in one store; whatever lives in an emptied one, or in another process's memory, is another replica.
    fn check_stores(&mut self, slot: usize) {
        let Some(process) = self.hosts[slot].process.as_ref() else {
            return;
        };
        let store: StoreId = match self.plan.persistence {
            Persistence::Fsync => (slot, self.hosts[slot].emptied),
            Persistence::Memory => (slot, process.start.0),
        };
        let mut moved = None;
        for replica in process.machine.replicas().map(Replica::id) {
            if *self.stores.entry(replica).or_insert(store) != store {
                moved = Some(replica);
            }
        }
        if let Some(replica) = moved {
            self.refute("I9", format!("{replica} lives on in another store"));
        }
    }
}

impl World {
    /// I18: every process start of a primary raises the term, so one process leads in a term, and no other.
    fn check_terms(&mut self, slot: usize) {
        let process = (slot, self.hosts[slot].presented_before.len());
        let Some(running) = self.hosts[slot].process.as_ref() else {
            return;
        };
        let mut shared = None;
        for replica in running.machine.replicas().filter(|it| leads(it)) {
            let reign = (replica.partition(), replica.term());
            if *self.reigns.entry(reign).or_insert(process) != process {
                shared = Some(reign);
            }
        }
        if let Some((partition, term)) = shared {
            let detail = format!("two processes lead {partition} in term {term}");
            self.refute("I18", detail);
        }
    }
}

/// I2: a new primary had a seat before, or a loss is recorded with a new generation.
fn unfit_primary(before: &Cluster, after: &Cluster, partition: PartitionKey) -> Option<Broken> {
    let old = before.configuration(partition)?;
    let new = after.configuration(partition)?;
    let primary = new.primary.filter(|it| old.primary != Some(*it))?;
    let from_nothing = !old.materialised || old.in_sync.is_empty();
    let unfit = !from_nothing && new.generation == old.generation && !old.is_in_sync(primary);
    unfit.then(|| {
        let detail = format!("{primary} is named primary of {partition} and had no seat");
        ("I2", detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_assertion_is_filed_under_the_rule_that_it_names() {
        assert_eq!(named("I1: a change"), Some("I1"));
        assert_eq!(named("I10: a cut"), Some("I10"));
        assert_eq!(named("partition 0/1: no seat before (I2)"), Some("I2"));
        assert_eq!(named("an I2 of sorts"), None);
    }
}
