//! After the storm: everything that was promised is there, everybody is answered, all copies are whole and equal.

use ringhold_history::Expectation;
use ringhold_replica::RoleView;
use ringhold_ringbuffer::Absence;
use ringhold_types::PartitionKey;

use super::queue::Happening;
use super::{HEALING, World, shown};
use crate::plan::MILLISECOND;

/// How often it is looked at whether all is well.
const CHECK_EVERY: u64 = 200 * MILLISECOND;

impl World {
    /// Is everything well? Looks again until it is, for a bounded time.
    pub(crate) fn check(&mut self) {
        self.last_death();
        match self.what_is_missing() {
            None => {
                self.audit();
                self.check_played();
                self.check_history();
                self.finished = true;
            }
            Some(missing) if self.now > self.plan.storm + HEALING => {
                self.violate("Liveness", missing);
            }
            Some(_) => self.queue.push(self.now + CHECK_EVERY, Happening::Check),
        }
    }

    fn what_is_missing(&self) -> Option<String> {
        let busy = self.clients.iter().position(|client| !client.is_idle());
        if let Some(client) = busy {
            return Some(format!("client {client} still waits"));
        }
        let of_partitions = &mut self.partitions.iter();
        of_partitions
            .find_map(|partition| self.what_is_missing_of(*partition))
            .or_else(|| self.slot_that_leaks())
    }

    /// Where the machine believes in other slots than are in use.
    fn slot_that_leaks(&self) -> Option<String> {
        let executor = self.partitions.first()?.executor;
        self.hosts.iter().find_map(|host| {
            let process = host.process.as_ref()?;
            let believed = process.machine.busy_slots(executor);
            let used = process.slots_in_use(executor);
            let member = host.member;
            (believed != used).then(|| format!("{member} uses {used} slots, not {believed}"))
        })
    }

    fn what_is_missing_of(&self, partition: PartitionKey) -> Option<String> {
        let configuration = self.control.cluster.configuration(partition)?;
        let missing = |what: &str| Some(format!("{partition} {what}: {}", shown(&configuration)));
        let Some(primary) = configuration.primary else {
            return missing("has no primary");
        };
        let copies = self.plan.durability as usize + 1;
        if configuration.in_sync.len() != copies {
            return missing("is not fully replicated");
        }
        let slot = self.slot_of(primary.member)?;
        let Some(process) = self.hosts[slot].process.as_ref() else {
            return missing("is led by nobody");
        };
        let now = process.clock.tick(self.now);
        if !process.machine.is_answering(partition, now) {
            return missing("does not answer");
        }
        let leader = process.machine.replica(partition)?;
        if leader.ring().entries().any(|entry| entry.is_unfinished()) {
            return missing("has unfinished tasks");
        }
        for seat in &configuration.in_sync {
            let slot = self.slot_of(seat.member)?;
            let held = self.hosts[slot].process.as_ref();
            let held = held.and_then(|it| it.machine.replica(partition));
            let equal =
                held.is_some_and(|held| held.id() == *seat && held.last() == leader.committed());
            if !equal {
                return missing("has backups that lag");
            }
        }
        None
    }

    /// Nothing acknowledged is missing, and all copies are equal.
    fn audit(&mut self) {
        for partition in self.partitions.clone() {
            self.audit_copies(partition);
        }
        for index in 0..self.oracle.acknowledged.len() {
            let id = self.oracle.acknowledged[index].clone();
            let Some(life) = self.oracle.newest(id.partition) else {
                continue;
            };
            let fate = life.ring.look_up(id.sequence).map(|_| ());
            let lost = id.sequence.generation() < life.ring.generation();
            let bad = match fate {
                Ok(()) => false,
                Err(Absence::NeverExisted) => true,
                Err(Absence::DataLoss) => !lost,
                Err(_) => false,
            };
            if bad {
                self.violate(
                    "NoAckLost",
                    format!("{}/{}: {fate:?}", id.partition, id.sequence),
                );
            }
        }
    }

    /// What the clients saw fits together, but for what recorded losses took.
    fn check_history(&mut self) {
        let report = ringhold_history::check(&self.history, Expectation::default());
        if let Some(breach) = report.breaches.into_iter().next() {
            self.violate(breach.checker, breach.detail);
        }
    }

    fn audit_copies(&mut self, partition: PartitionKey) {
        let truth = self
            .oracle
            .newest(partition)
            .map(|life| (life.end(), life.ring.digest()));
        let Some((end, digest)) = truth else {
            return;
        };
        for slot in 0..self.hosts.len() {
            let Some(process) = self.hosts[slot].process.as_ref() else {
                continue;
            };
            let Some(replica) = process.machine.replica(partition) else {
                continue;
            };
            let seated = matches!(replica.role(), RoleView::Leading | RoleView::Backup);
            if seated && replica.applied() == end && replica.ring().digest() != digest {
                let member = self.hosts[slot].member;
                self.violate(
                    "I13",
                    format!("the ring of {partition} at {member} differs from what is committed"),
                );
                return;
            }
        }
    }
}
