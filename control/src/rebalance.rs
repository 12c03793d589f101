//! The leader's next steps towards target placement: repair first, then balance, a bounded number at a time
//! (PROTOCOL §6 "Rebalancing").

use ringhold_types::{MemberId, PartitionKey, ReplicaId};

use crate::limits::MOVES_IN_FLIGHT_MAX;
use crate::record::copies_of;
use crate::view::View;
use crate::{Cluster, Command, ExecutorRecord, PartitionRecord};

impl Cluster {
    /// At most `most` commands that bring partitions closer to full and balanced. Pure: the same state names the same
    /// steps. Each names the version that it is for, so a step that comes late is refused.
    #[must_use]
    pub fn next_steps(&self, most: usize) -> Vec<Command> {
        let view = View::of(self);
        let planned = || self.keys().filter_map(|key| Plan::of(self, &view, key));
        let mut steps: Vec<Command> = planned()
            .filter_map(|plan| plan.repair())
            .take(most)
            .collect();
        let in_flight = planned()
            .filter(|plan| !plan.partition.learners.is_empty())
            .count();
        let room = (most - steps.len()).min(MOVES_IN_FLIGHT_MAX.saturating_sub(in_flight));
        if room > 0 && steps.is_empty() {
            steps.extend(planned().filter_map(|plan| plan.begin_move()).take(room));
        }
        steps
    }

    /// The seat that the plan wants to leave: of a dead member, of a draining one, or one that the target does not name.
    /// Nothing unless a learner can take it or there are more seats than copies; never the primary's, which is handed
    /// over first. The shell carries it to the partition's primary, which swaps or removes it.
    #[must_use]
    pub fn surplus_seat(&self, partition: PartitionKey) -> Option<ReplicaId> {
        Plan::of(self, &View::of(self), partition)?.surplus_seat()
    }

    /// [`Self::surplus_seat`] of all partitions that `primary` leads, in one pass over the cluster.
    #[must_use]
    pub fn surplus_seats(&self, primary: MemberId) -> Vec<(PartitionKey, ReplicaId)> {
        let view = View::of(self);
        let surplus = |key| {
            let plan = Plan::of(self, &view, key)?;
            plan.partition.primary.filter(|led| led.member == primary)?;
            Some((key, plan.surplus_seat()?))
        };
        self.keys().filter_map(surplus).collect()
    }

    /// At most `most` partitions whose primary should move, and to which in-sync replica: away from draining members
    /// first, then from members that the target does not name, then for balance.
    #[must_use]
    pub fn hand_overs(&self, most: usize) -> Vec<(PartitionKey, ReplicaId)> {
        let view = View::of(self);
        let planned = || self.keys().filter_map(|key| Plan::of(self, &view, key));
        let because = |reason| planned().filter_map(move |plan| plan.hand_over(reason));
        let urgent = because(Reason::Drain).chain(because(Reason::Leave));
        urgent.chain(because(Reason::Balance)).take(most).collect()
    }
}

/// Why a primary should move, most urgent first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// Its member drains.
    Drain,
    /// The target does not name its member.
    Leave,
    /// The target names another member first.
    Balance,
}

/// One materialised partition and what is aimed at for it.
struct Plan<'a> {
    key: PartitionKey,
    executor: &'a ExecutorRecord,
    partition: &'a PartitionRecord,
    target: &'a [MemberId],
    view: &'a View,
}

impl<'a> Plan<'a> {
    fn of(cluster: &'a Cluster, view: &'a View, key: PartitionKey) -> Option<Self> {
        let executor = cluster.executors.get(&key.executor)?;
        let partition = executor.partition(key.partition)?;
        partition.materialised.then(|| Self {
            key,
            executor,
            partition,
            target: cluster.target(&executor.config, key.partition),
            view,
        })
    }

    /// One step that restores what failures took: a primary, a wanted copy; or that ends an unwanted catch-up.
    fn repair(&self) -> Option<Command> {
        let partition = self.partition;
        if partition.primary.is_none() {
            let electable = |seat: &&ReplicaId| self.view.is_up(seat.member);
            let member = partition.in_sync.iter().find(electable)?.member;
            return Some(Command::Nominate {
                partition: self.key,
                expected: partition.version,
                member,
            });
        }
        if let Some(unwanted) = partition
            .learners
            .iter()
            .find(|learner| self.is_unwanted(learner))
        {
            return Some(Command::RemoveLearner {
                partition: self.key,
                expected: partition.version,
                member: unwanted.member,
            });
        }
        let living = partition
            .replicas()
            .filter(|replica| self.view.is_up(replica.member));
        if living.count() < copies_of(&self.executor.config) {
            return self.add_learner();
        }
        None
    }

    /// A learner that can never get a seat, or whose seat is no longer missing nor aimed at.
    fn is_unwanted(&self, learner: &ReplicaId) -> bool {
        let up = |seat: &&ReplicaId| self.view.is_up(seat.member);
        let living_seats = self.partition.in_sync.iter().filter(up).count();
        let full = living_seats >= copies_of(&self.executor.config);
        let awaited = self.partition.in_sync.iter().any(|seat| self.is_slow(seat));
        !self.view.is_up(learner.member)
            || self.view.is_draining(learner.member)
            || (full && !awaited && !self.target.contains(&learner.member))
    }

    /// Begins to move a seat to where the target wants it.
    fn begin_move(&self) -> Option<Command> {
        let partition = self.partition;
        let settled = partition.primary.is_some() && partition.learners.is_empty();
        if !settled || !Cluster::is_full(self.executor, partition) {
            return None;
        }
        let lone_primary_leaves =
            partition.in_sync.len() == 1 && self.leaves(&partition.in_sync[0]);
        if self.leaving_seat().is_none() && !lone_primary_leaves {
            return None;
        }
        self.add_learner()
    }

    fn add_learner(&self) -> Option<Command> {
        let held = |member: MemberId| {
            self.partition
                .replicas()
                .any(|replica| replica.member == member)
        };
        let slow = self.slow().map(|replica| replica.member);
        let free = |member: &&MemberId| !held(**member) && Some(**member) != slow;
        let member = *self.target.iter().find(free)?;
        Some(Command::AddLearner {
            partition: self.key,
            expected: self.partition.version,
            member,
        })
    }

    fn surplus_seat(&self) -> Option<ReplicaId> {
        let seats = self.partition.in_sync.len();
        let overfull = seats > copies_of(&self.executor.config);
        if self.partition.learners.is_empty() && !overfull {
            return None;
        }
        let leaving = self.leaving_seat()?;
        let is_dead = !self.view.is_up(leaving.member);
        (is_dead || Cluster::is_full(self.executor, self.partition)).then_some(leaving)
    }

    /// The first seat to leave, not the primary's.
    fn leaving_seat(&self) -> Option<ReplicaId> {
        let seats = self.partition.in_sync.iter();
        let leaving = seats.filter(|&seat| {
            self.partition.primary != Some(*seat) && (self.leaves(seat) || self.is_slow(seat))
        });
        let urgency = |seat: &&ReplicaId| {
            let is_dead = !self.view.is_up(seat.member);
            let drains = self.view.is_draining(seat.member);
            (is_dead, self.is_slow(seat), drains, seat.member)
        };
        leaving.max_by_key(urgency).copied()
    }

    /// The replica that was found slow, as long as the process lives in which it was.
    fn slow(&self) -> Option<ReplicaId> {
        let (replica, start) = self.partition.slow?;
        (self.view.start(replica.member) == start).then_some(replica)
    }

    fn is_slow(&self, seat: &ReplicaId) -> bool {
        self.slow() == Some(*seat)
    }

    fn leaves(&self, seat: &ReplicaId) -> bool {
        !self.target.is_empty() && !self.target.contains(&seat.member)
    }

    fn hand_over(&self, reason: Reason) -> Option<(PartitionKey, ReplicaId)> {
        if self.reason_to_move(self.partition.primary?)? != reason {
            return None;
        }
        let best = self.target.iter().find_map(|&member| {
            let seat = self
                .view
                .replica(member, self.executor.config.persistence)?;
            let leads_well = self.partition.in_sync.contains(&seat) && !self.is_slow(&seat);
            leads_well.then_some(seat)
        })?;
        let is_aim = reason != Reason::Balance || self.target.first() == Some(&best.member);
        (is_aim && self.partition.primary != Some(best)).then_some((self.key, best))
    }

    fn reason_to_move(&self, primary: ReplicaId) -> Option<Reason> {
        if self.leaves(&primary) {
            let drains = self.view.is_draining(primary.member);
            return Some(if drains { Reason::Drain } else { Reason::Leave });
        }
        // A learner's catch-up would start over under another primary.
        self.partition
            .learners
            .is_empty()
            .then_some(Reason::Balance)
    }
}
