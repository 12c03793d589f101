//! Applied cluster state: who this member is, what it holds, who leads.

use std::collections::BTreeSet;

use ringhold_types::{
    Configuration, ConfigurationVersion, Generation, MemberId, PartitionKey, ReplicaId, Tick,
};

use crate::adoption::stop;
use crate::context::Context;
use crate::core::{Core, stamp_of};
use crate::effect::{Effects, Record};
use crate::event::{ControlUpdate, RecoveredReplica, Registration};
use crate::member::Member;
use crate::replica::{Replica, Role};
use crate::requests::not_primary;
use crate::rules::{Rule, Rules};

impl<R: Rules> Member<R> {
    /// Cluster state was applied. The order matters: identity, then executors, then configurations, and the index last, so
    /// that a grant counts only once all that it presumes is in place (I14).
    pub(crate) fn control(&mut self, now: Tick, update: ControlUpdate, effects: &mut Effects) {
        if update.index < self.shared.control {
            return;
        }
        let concerns_all = !update.executors.is_empty()
            || update.down.is_some()
            || update.draining.is_some()
            || !update.starts.is_empty();
        for (executor, config) in update.executors {
            self.shared.executors.insert(executor, config);
        }
        let registered = self.register(update.registered);
        self.members_changed(now, update.starts, update.down, effects);
        if let Some(draining) = update.draining {
            self.shared.draining = draining.into_iter().collect();
            // Ended and begun again in one update, it is another one, with a time of its own.
            self.shared.drain_over &= self.shared.drain == update.drain;
            self.shared.drain = update.drain;
        }
        for executor in update.deleted {
            self.shared.executors.remove(&executor);
            let gone = |partition: &PartitionKey| partition.executor == executor;
            let partitions: Vec<_> = self.configurations.keys().copied().filter(gone).collect();
            for partition in partitions {
                self.configurations.remove(&partition);
                let dropped = self.drop_replica(now, partition, effects);
                self.forget_stored(now, partition, dropped, effects);
                self.stop_attempts(partition, effects);
            }
            self.shared.attempts.forget_finished(executor);
        }
        for configuration in update.configurations {
            self.configured(now, configuration, effects);
        }
        if registered {
            let all: Vec<Configuration> = self.configurations.values().cloned().collect();
            for configuration in all {
                self.take_up(now, None, &configuration, effects);
            }
            self.forget_deleted(now, effects);
        }
        self.hand_back(effects);
        self.find_neighbours(now);
        self.shared.control = update.index;
        self.shared.leases.applied(update.index);
        self.lease_renewed();
        if concerns_all {
            self.dirty.extend(self.replicas.keys().copied());
        }
    }

    /// Notes the record of this start (I18). Tells whether it is the first one. A later one gives a store that was found short
    /// a new incarnation: the configurations that come with it name no replica of the old one any more.
    fn register(&mut self, registered: Option<Registration>) -> bool {
        let new = registered.filter(|it| it.start == self.shared.start);
        let first = new.is_some() && self.shared.registered.is_none();
        self.shared.registered = new.or(self.shared.registered);
        first
    }

    /// Members started anew, or went down: what they ran is over, what they acknowledged they say again.
    fn members_changed(
        &mut self,
        now: Tick,
        starts: Vec<(MemberId, ringhold_types::StartNonce)>,
        down: Option<Vec<MemberId>>,
        effects: &mut Effects,
    ) {
        let mut restarted = Vec::new();
        for (member, start) in starts {
            let before = self.shared.starts.insert(member, start);
            if member != self.shared.id && before.is_some_and(|before| before != start) {
                restarted.push(member);
            }
        }
        let mut gone = restarted.clone();
        if let Some(down) = down {
            let before = std::mem::take(&mut self.shared.down);
            let since = |member: MemberId| before.get(&member).copied().unwrap_or(now);
            self.shared.down = down.into_iter().map(|it| (it, since(it))).collect();
            self.shared.down.remove(&self.shared.id);
            let new = self
                .shared
                .down
                .keys()
                .filter(|it| !before.contains_key(it));
            gone.extend(new.copied());
        }
        let shared = &mut self.shared;
        let context = Context {
            now,
            shared,
            effects,
        };
        for replica in self.replicas.values_mut() {
            if let Role::Primary(primary) = &mut replica.role {
                primary.executors_gone(&gone);
                for member in &restarted {
                    primary.peer_restarted(&replica.core, &context, *member);
                }
            }
        }
    }

    /// A configuration, newer than the one known or not.
    fn configured(&mut self, now: Tick, configuration: Configuration, effects: &mut Effects) {
        let partition = configuration.partition;
        let known = self.configurations.get(&partition).cloned();
        if known
            .as_ref()
            .is_some_and(|known| known.version >= configuration.version)
        {
            return;
        }
        self.configurations.insert(partition, configuration.clone());
        self.take_up(now, known.as_ref(), &configuration, effects);
    }

    /// Creates, changes or drops the replica that a configuration speaks of.
    fn take_up(
        &mut self,
        now: Tick,
        known: Option<&Configuration>,
        configuration: &Configuration,
        effects: &mut Effects,
    ) {
        let partition = configuration.partition;
        let own = self.own_replica(configuration);
        let held = self.replicas.get(&partition).map(Replica::id);
        let named = own.filter(|own| configuration.holds(*own) && configuration.materialised);
        let mut dropped = None;
        if held.is_some() && held != named {
            dropped = self.drop_replica(now, partition, effects);
        }
        let Some(own) = named else {
            if own.is_some() {
                self.forget_stored(now, partition, dropped, effects);
            }
            return;
        };
        if held == named && self.begins_anew(configuration) {
            self.drop_replica(now, partition, effects);
            self.create(now, own, known, configuration, effects);
        } else if held == named {
            let configuration = configuration.clone();
            self.with_replica(now, partition, effects, |replica, context| {
                replica.observe(context, configuration);
            });
        } else {
            self.create(now, own, known, configuration, effects);
        }
        self.dirty.insert(partition);
    }

    /// Whether a new generation makes what is held here void: it belongs to a life that ended.
    fn begins_anew(&self, configuration: &Configuration) -> bool {
        let Some(replica) = self.replicas.get(&configuration.partition) else {
            return false;
        };
        let known = replica.configuration();
        configuration.generation > known.generation
            && !keeps(configuration, replica.id(), known.generation)
    }

    /// Which replica this member would be under a configuration.
    fn own_replica(&self, configuration: &Configuration) -> Option<ReplicaId> {
        let registered = self.shared.own_replica(configuration.partition.executor);
        if registered.is_none() && self.shared.may_take_part() {
            return named_member(configuration, self.shared.id);
        }
        let own = registered?;
        if !self.shared.drops(Rule::NewIncarnation) {
            return Some(own);
        }
        named_member(configuration, own.member).or(Some(own))
    }

    fn create(
        &mut self,
        now: Tick,
        own: ReplicaId,
        known: Option<&Configuration>,
        configuration: &Configuration,
        effects: &mut Effects,
    ) {
        let partition = configuration.partition;
        let found = self.recovered.remove(&partition);
        let shared = &mut self.shared;
        let mut context = Context {
            now,
            shared,
            effects,
        };
        let life = configuration.generation;
        let ours = |found: &RecoveredReplica| {
            let of_this_life = |stamp| stamp >= life || keeps(configuration, own, stamp);
            found.replica == own && stamp_of(found).is_none_or(of_this_life)
        };
        let core = match found.filter(ours) {
            Some(found) => Core::recovered(&mut context, found, own, configuration.clone()),
            None => {
                let mut core = Core::new(&mut context, own, configuration.clone());
                if !is_first(known, configuration) {
                    core.lease_floor = context.shared.leases.last_granted_to_any();
                }
                // A log that is not on disk: if the tail of that disk was cut, the log may have been in it. So for a
                // learner too: its seat may be on the way.
                let new_life = known.is_some_and(|known| known.generation < life);
                if new_life || known.is_none() && life > Generation::default() {
                    core.outlast_old_life(&context);
                }
                let doubtful = self.tail_cut && core.durability.on_disk();
                if doubtful && !new_life && !is_first(known, configuration) {
                    core.mark_cut(&mut context);
                }
                core
            }
        };
        let mut replica = Replica::following(core);
        replica.take_nomination(&mut context);
        self.replicas.insert(partition, replica);
    }

    /// Forgets what the disk holds of executors that were deleted while this process was down.
    fn forget_deleted(&mut self, now: Tick, effects: &mut Effects) {
        let executors = &self.shared.executors;
        let gone = |partition: &PartitionKey| !executors.contains_key(&partition.executor);
        let partitions: Vec<_> = self.recovered.keys().copied().filter(gone).collect();
        for partition in partitions {
            self.forget_stored(now, partition, None, effects);
        }
    }

    /// Forgets what the disk holds of a partition that no longer lives here, whether `dropped` just now or found at start:
    /// it would keep its segments for ever.
    fn forget_stored(
        &mut self,
        now: Tick,
        partition: PartitionKey,
        dropped: Option<ReplicaId>,
        effects: &mut Effects,
    ) {
        let found = self.recovered.remove(&partition).map(|it| it.replica);
        if let Some(replica) = dropped.or(found) {
            self.forget(now, partition, replica, effects);
        }
    }

    fn forget(
        &mut self,
        now: Tick,
        partition: PartitionKey,
        replica: ReplicaId,
        effects: &mut Effects,
    ) {
        let shared = &mut self.shared;
        let mut context = Context {
            now,
            shared,
            effects,
        };
        context.persist(partition, Record::Forgotten { partition, replica });
    }

    /// The log asks for a copy of what a partition needs, so that an old segment can go.
    pub(crate) fn copy_forward(
        &mut self,
        now: Tick,
        partition: PartitionKey,
        effects: &mut Effects,
    ) {
        if self.replicas.contains_key(&partition) {
            self.with_replica(now, partition, effects, |replica, context| {
                replica.core.copy_forward(context);
            });
        } else if self.shared.registered.is_some() && !self.recovered.contains_key(&partition) {
            // Nothing of it will ever be read here.
            let own = self.shared.own_replica(partition.executor);
            self.forget(now, partition, own.unwrap_or_default(), effects);
        }
    }

    /// Ends a replica's work here; tells which it was if it lives on disk.
    fn drop_replica(
        &mut self,
        now: Tick,
        partition: PartitionKey,
        effects: &mut Effects,
    ) -> Option<ReplicaId> {
        let mut replica = self.replicas.remove(&partition)?;
        self.shared.ring_bytes.drop_partition(partition);
        let primary = self
            .configurations
            .get(&partition)
            .and_then(|it| it.primary);
        let shared = &mut self.shared;
        let mut context = Context {
            now,
            shared,
            effects,
        };
        let hint = primary
            .map(|it| it.member)
            .filter(|it| *it != context.shared.id);
        for token in context.shared.requests.of(partition) {
            context.answer(token, not_primary(hint));
        }
        replica.step_down(&mut context);
        let on_disk = replica.core.durability.on_disk();
        on_disk.then_some(replica.core.id)
    }

    /// The executor is gone, and nobody takes a report any more.
    fn stop_attempts(&mut self, partition: PartitionKey, effects: &mut Effects) {
        let tokens: Vec<_> = self
            .shared
            .attempts
            .of(partition)
            .map(|(token, _)| *token)
            .collect();
        for token in tokens {
            stop(effects, &mut self.shared.attempts, token);
        }
    }

    /// Members with which this one exchanges leases: those that hold a copy of something held here.
    fn find_neighbours(&mut self, now: Tick) {
        let replicas = self.replicas.values();
        let neighbours: BTreeSet<MemberId> = replicas
            .flat_map(|replica| {
                let configuration = replica.configuration();
                configuration.in_sync.iter().chain(&configuration.learners)
            })
            .map(|replica| replica.member)
            .filter(|member| *member != self.shared.id)
            .collect();
        if !neighbours.is_subset(&self.neighbours) {
            self.renewals.hasten(now);
        }
        self.neighbours = neighbours;
    }
}

/// The replica on a member that a configuration names.
fn named_member(configuration: &Configuration, member: MemberId) -> Option<ReplicaId> {
    let mut all = configuration.in_sync.iter().chain(&configuration.learners);
    all.find(|it| it.member == member).copied()
}

/// Whether nobody can have led the partition before this configuration: it has just been materialised.
fn is_first(known: Option<&Configuration>, configuration: &Configuration) -> bool {
    match known {
        Some(known) => !known.materialised && known.version.next() == configuration.version,
        None => configuration.version <= ConfigurationVersion(1),
    }
}

/// Whether a replica goes on with what it holds of an earlier generation, as the record of the loss says (PROTOCOL §5, a cut
/// tail that nobody can complete): also when its process ends before it has begun the new one, and when a later cut takes all
/// of the generations after it.
fn keeps(configuration: &Configuration, replica: ReplicaId, held: Generation) -> bool {
    configuration.kept_by == Some(replica) && held < configuration.generation
}
