//! The consequences of changed members for every partition, drawn in one pass: seats that are proven gone, seats of the
//! dead, primaries, replacement learners, and the placement of partitions that hold nothing yet.

use ringhold_types::{
    ExecutorConfig, ExecutorId, Generation, MemberId, PartitionKey, PartitionNumber, Persistence,
    ReplicaId, UnixMillis,
};

use crate::layout::LayoutKey;
use crate::record::{copies_of, note_loss, sequences_of};
use crate::view::View;
use crate::{Changes, Cluster, LossCause, LossRecord, PartitionRecord};

/// What happened to members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// Some were judged dead: suspicion, so seats may go only where others suffice.
    Suspicion,
    /// A process started: what its former incarnations held is proven gone.
    Start,
    /// An operator forgot one: proof.
    Forget,
    /// Nothing that could end a copy: a return, a drain, an executor's configuration.
    Harmless,
}

/// What happened, and when by the wall clock of who said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Happened {
    pub(crate) occasion: Occasion,
    pub(crate) time: Option<UnixMillis>,
}

impl From<Occasion> for Happened {
    fn from(occasion: Occasion) -> Self {
        Self {
            occasion,
            time: None,
        }
    }
}

/// What became of one partition.
enum Settled {
    Same,
    Changed,
    /// A new generation; these held the one before.
    Lost(Vec<ReplicaId>),
}

impl Cluster {
    /// Settles all partitions; answers those that lost their last copy, with their new generation.
    pub(crate) fn settle(
        &mut self,
        happened: impl Into<Happened>,
        changes: &mut Changes,
    ) -> Vec<(PartitionKey, Generation)> {
        let happened = happened.into();
        let executors = self.executors.keys().copied().collect::<Vec<_>>();
        let mut view = View::of(self);
        let mut lost = Vec::new();
        for executor in executors {
            self.settle_with(executor, happened, &mut view, changes, &mut lost);
        }
        lost
    }

    /// Settles the partitions of one executor after a change that cannot end a copy.
    pub(crate) fn settle_executor(&mut self, executor: ExecutorId, changes: &mut Changes) {
        let mut view = View::of(self);
        let happened = Occasion::Harmless.into();
        self.settle_with(executor, happened, &mut view, changes, &mut Vec::new());
    }

    fn settle_with(
        &mut self,
        id: ExecutorId,
        happened: Happened,
        view: &mut View,
        changes: &mut Changes,
        lost: &mut Vec<(PartitionKey, Generation)>,
    ) {
        let Some(executor) = self.executors.get_mut(&id) else {
            return;
        };
        let layout = self.layouts.get(&LayoutKey::of(&executor.config));
        for (position, partition) in executor.partitions.iter_mut().enumerate() {
            let mut settling = Settling {
                config: &executor.config,
                target: layout.map_or(&[], |layout| layout.target(position)),
                occasion: happened.occasion,
                view,
            };
            let settled = settling.settle(partition);
            if matches!(settled, Settled::Same) {
                continue;
            }
            let key = PartitionKey {
                executor: id,
                partition: PartitionNumber(u32::try_from(position).unwrap_or(u32::MAX)),
            };
            partition.version = partition.version.next();
            changes.configurations.push(key);
            if let Settled::Lost(last) = settled {
                lost.push((key, partition.generation));
                let generation = partition.generation.previous();
                let (from, to) = sequences_of(generation);
                let loss = LossRecord {
                    partition: key,
                    generation,
                    last,
                    cause: happened.occasion.loss_cause(executor.config.persistence),
                    at: self.index,
                    from,
                    to,
                    time: happened.time,
                };
                note_loss(&mut self.losses, loss);
            }
        }
    }
}

impl Occasion {
    fn loss_cause(self, persistence: Persistence) -> LossCause {
        match (self, persistence) {
            (Self::Start, Persistence::Memory) => LossCause::ProcessEnded,
            (Self::Forget, _) => LossCause::Forgotten,
            _ => LossCause::StoreGone,
        }
    }
}

/// One partition's settling.
struct Settling<'a> {
    config: &'a ExecutorConfig,
    target: &'a [MemberId],
    occasion: Occasion,
    view: &'a mut View,
}

impl Settling<'_> {
    fn settle(&mut self, partition: &mut PartitionRecord) -> Settled {
        if !partition.materialised {
            return self.place_idle(partition);
        }
        if self.is_settled(partition) {
            return Settled::Same;
        }
        let had_seats = !partition.in_sync.is_empty();
        let last = self.remove_proven(partition);
        let mut changed = last.is_some();
        let lost = had_seats && partition.in_sync.is_empty();
        if lost {
            partition.generation = partition.generation.next();
            partition.kept_by = None;
            partition.learners.clear();
            partition.leave_without_primary();
        }
        if partition.in_sync.is_empty() {
            changed |= self.place_anew(partition);
        }
        if self.occasion == Occasion::Suspicion {
            changed |= self.remove_suspects(partition);
        }
        changed |= self.settle_primary(partition);
        changed |= self.trim(partition);
        changed |= self.add_learners(partition);
        changed |= partition.follow_min_copies(self.config);
        match last {
            Some(last) if lost => Settled::Lost(last),
            _ if changed => Settled::Changed,
            _ => Settled::Same,
        }
    }

    /// Whether nothing is to be done, at one look-up per replica: so it is with most partitions most of the time.
    fn is_settled(&self, partition: &PartitionRecord) -> bool {
        let persistence = self.config.persistence;
        let copies = copies_of(self.config);
        let stands = |replica: &ReplicaId| {
            let start = self.view.start_if_up(*replica, persistence);
            let leads = partition.primary == Some(*replica);
            start.is_some_and(|start| !leads || start == partition.primary_start)
        };
        partition
            .primary
            .is_some_and(|primary| partition.in_sync.contains(&primary))
            && partition.in_sync.len() == copies
            && partition.learners.len() <= copies
            && partition.min_copies == self.config.effective_min_copies()
            && partition.replicas().all(stands)
    }

    /// A partition that holds nothing follows its target freely.
    fn place_idle(&mut self, partition: &mut PartitionRecord) -> Settled {
        let mut changed = self.remove_proven(partition).is_some();
        let wanted: Vec<ReplicaId> = self.target_replicas().collect();
        let placed = partition.in_sync == wanted && partition.learners.is_empty();
        let follows = placed && self.is_led_by(partition, wanted.first());
        if !wanted.is_empty() && !follows {
            partition.in_sync = wanted;
            partition.learners.clear();
            self.lead_first(partition);
            changed = true;
        } else {
            changed |= self.settle_primary(partition);
            changed |= self.trim(partition);
        }
        let min_copies = self.config.effective_min_copies();
        changed |= min_copies != partition.min_copies;
        partition.min_copies = min_copies;
        if changed {
            Settled::Changed
        } else {
            Settled::Same
        }
    }

    fn target_replicas(&self) -> impl Iterator<Item = ReplicaId> {
        let of = |&member: &MemberId| self.view.replica(member, self.config.persistence);
        self.target.iter().filter_map(of)
    }

    /// Removes replicas that do not exist any more (I9); answers the seats there were before, if any replica went.
    fn remove_proven(&self, partition: &mut PartitionRecord) -> Option<Vec<ReplicaId>> {
        let exists = |replica: &ReplicaId| self.view.exists(*replica, self.config.persistence);
        if partition.replicas().all(exists) {
            return None;
        }
        let before = partition.in_sync.clone();
        partition.in_sync.retain(exists);
        partition.learners.retain(exists);
        Some(before)
    }

    /// Gives a partition without any copy new replicas, if any member can hold one.
    fn place_anew(&mut self, partition: &mut PartitionRecord) -> bool {
        partition.in_sync = self.target_replicas().collect();
        partition.learners.clear();
        self.lead_first(partition)
    }

    fn lead_first(&mut self, partition: &mut PartitionRecord) -> bool {
        let Some(&first) = partition.in_sync.first() else {
            return false;
        };
        partition.lead(first, self.view.start(first.member));
        self.view.count_primary(first.member);
        true
    }

    /// Removes seats of the dead that neither min-copies nor the hope for their return needs. One stays if only replicas with
    /// a cut tail would be left: it may hold what the cut took (PROTOCOL §5).
    fn remove_suspects(&self, partition: &mut PartitionRecord) -> bool {
        let replicas = partition.replicas().count();
        partition
            .learners
            .retain(|learner| self.view.is_up(learner.member));
        let min_copies = usize::try_from(partition.min_copies).unwrap_or(usize::MAX);
        let is_dead = |seat: &ReplicaId| !self.view.is_up(seat.member);
        while partition.in_sync.len() > min_copies.max(1)
            && !partition.in_sync.iter().all(is_dead)
            && let Some(dead) = partition
                .in_sync
                .iter()
                .position(|seat| is_dead(seat) && self.leaves_a_whole_one(partition, *seat))
        {
            partition.in_sync.remove(dead);
        }
        partition.replicas().count() != replicas
    }

    /// Whether a seat that is known to hold all that it acknowledged is left without `leaving`.
    fn leaves_a_whole_one(&self, partition: &PartitionRecord, leaving: ReplicaId) -> bool {
        let mut left = partition.in_sync.iter().filter(|seat| **seat != leaving);
        left.any(|seat| self.view.is_whole(*seat, self.config.persistence))
    }

    /// Keeps the primary if it still leads by right; otherwise an in-sync replica on a member that is up follows it (I2),
    /// rather on another member than the one that restarted, rather where the target wants it.
    fn settle_primary(&mut self, partition: &mut PartitionRecord) -> bool {
        if self.is_led_by(partition, partition.primary.as_ref()) {
            return false;
        }
        let former = partition.primary.map(|primary| primary.member);
        let candidates = partition
            .in_sync
            .iter()
            .filter(|seat| self.view.is_up(seat.member));
        let next = candidates.min_by_key(|seat| {
            let rank = self.target.iter().position(|&member| member == seat.member);
            (
                Some(seat.member) == former,
                self.view.is_draining(seat.member),
                rank.unwrap_or(usize::MAX),
                self.view.primaries(seat.member),
                seat.member,
            )
        });
        match next.copied() {
            Some(next) => {
                partition.lead(next, self.view.start(next.member));
                self.view.count_primary(next.member);
                true
            }
            None => {
                partition.leave_without_primary();
                former.is_some()
            }
        }
    }

    fn is_led_by(&self, partition: &PartitionRecord, primary: Option<&ReplicaId>) -> bool {
        primary.is_some_and(|primary| {
            partition.primary == Some(*primary)
                && partition.in_sync.contains(primary)
                && self.view.is_up(primary.member)
                && self.view.start(primary.member) == partition.primary_start
        })
    }

    /// Gives up seats and learners above the number of copies, as after a lower durability.
    fn trim(&self, partition: &mut PartitionRecord) -> bool {
        let replicas = partition.replicas().count();
        partition.learners.truncate(copies_of(self.config));
        let most = copies_of(self.config) + usize::from(self.moves_lone_primary(partition));
        while partition.in_sync.len() > most
            && let Some(leaving) = self.first_to_leave(partition)
        {
            partition.in_sync.retain(|&seat| seat != leaving);
        }
        partition.replicas().count() != replicas
    }

    /// The only seat of a partition without backups moves by one seat more for a while: its primary cannot be swapped.
    fn moves_lone_primary(&self, partition: &PartitionRecord) -> bool {
        let stays = |primary: ReplicaId| self.target.contains(&primary.member);
        copies_of(self.config) == 1 && !partition.primary.is_some_and(stays)
    }

    fn first_to_leave(&self, partition: &PartitionRecord) -> Option<ReplicaId> {
        let seats = partition.in_sync.iter().copied();
        seats
            .filter(|&seat| partition.primary != Some(seat))
            .max_by_key(|seat| {
                (
                    !self.view.is_up(seat.member),
                    self.view.is_draining(seat.member),
                    !self.target.contains(&seat.member),
                    seat.member,
                )
            })
    }

    /// Names a replacement learner for each copy that is missing, while there is a primary to copy from.
    fn add_learners(&self, partition: &mut PartitionRecord) -> bool {
        if partition.primary.is_none() {
            return false;
        }
        let living = partition
            .replicas()
            .filter(|replica| self.view.is_up(replica.member));
        let missing = copies_of(self.config).saturating_sub(living.count());
        if missing == 0 {
            return false;
        }
        let holds = |replica: &ReplicaId| {
            partition
                .replicas()
                .any(|present| present.member == replica.member)
        };
        let spare = self.target_replicas().filter(|replica| !holds(replica));
        let added: Vec<ReplicaId> = spare.take(missing).collect();
        partition.learners.extend_from_slice(&added);
        !added.is_empty()
    }
}
