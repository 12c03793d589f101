//! Directed schedules in the whole simulated world: no random faults; a director looks at the world every tenth of a
//! millisecond and does what the schedule says. Dangers that random seeds meet too rarely.

mod damaged_backup;
mod deaf_primary;
mod deaths_beside_damage;
mod doubtful_removal;
mod two_damaged_backups;

use ringhold_types::{
    ChangeKind, ConfigurationChange, MemberId, PartitionKey, Persistence, ReplicaId, WhenFull,
};

use ringhold_control::Command;
use ringhold_replica::{Replica, RoleView, Timing};
use ringhold_types::{Lsn, Millis};

pub(crate) use damaged_backup::play as damaged_backup;
pub(crate) use deaf_primary::play as deaf_primary;
pub(crate) use deaths_beside_damage::play as deaths_beside_damage;
pub(crate) use doubtful_removal::play as doubtful_removal;
pub(crate) use two_damaged_backups::play as two_damaged_backups;

use super::queue::Happening;
use super::{RunReport, Violation, World};
use crate::coverage::{Coverage, Mark};
use crate::plan::{
    ControlPlan, DiskModel, DiskPlan, Focus, MILLISECOND, NetworkPlan, Plan, SECOND, WorkPlan,
};
use crate::sabotage::{Sabotage, Watch};

/// How often the director looks.
const LOOK_EVERY: u64 = MILLISECOND / 10;
/// When its schedule begins: everything is up by then, and tasks flow.
const BEGINS: u64 = 1_500 * MILLISECOND;

/// How a schedule is played.
#[derive(Clone, Copy, Debug, Default)]
pub struct Staging {
    /// What is broken on purpose.
    pub sabotage: Sabotage,
    /// Whether it is told on standard error what happens.
    pub narrates: bool,
}

/// What a schedule showed.
#[derive(Clone, Debug, Default)]
pub struct Played {
    /// The first broken invariant.
    pub violation: Option<Violation>,
    /// What was met.
    pub coverage: Coverage,
}

impl Played {
    /// For a schedule in which `holder` holds everything to the end: a loss that is recorded all the same is not honest.
    fn without_loss(mut self, holder: &str) -> Self {
        let lost = self.coverage.count(Mark::Lost) > 0;
        let given_up = lost.then(|| Violation {
            invariant: "LossHonest",
            detail: format!("a loss is recorded while {holder} holds everything"),
            at: 0,
        });
        self.violation = self.violation.or(given_up);
        self
    }
}

/// What a director is at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scene {
    /// Which step comes next.
    stage: u32,
    /// The number of steps.
    last: u32,
    /// When the last step was taken.
    at: u64,
    /// The three that play: a primary and two with seats.
    primary: usize,
    first: usize,
    second: usize,
    /// Where the first one's log began after its restart.
    recovered: Option<Lsn>,
}

/// Looks at the world and takes the next step once its time has come.
pub(crate) type Director = fn(&mut World);

impl World {
    /// Runs a plan under a director. A sound run that does not come to the last stage shows nothing, and says so.
    fn directed(plan: Plan, staging: Staging, director: Director, last: u32) -> Played {
        let mut world = Self::new(plan, staging.sabotage);
        world.director = Some(director);
        if staging.sabotage != Sabotage::None {
            world.watch = Watch::Outside;
        }
        world.narrates = staging.narrates;
        world.scene.last = last;
        world.queue.push(BEGINS, Happening::Look);
        let RunReport {
            violation,
            coverage,
            ..
        } = world.run_to_end();
        Played {
            violation,
            coverage,
        }
    }

    /// Whether a schedule was not played to its end although nothing was broken.
    pub(crate) fn check_played(&mut self) {
        let Scene { stage, last, .. } = self.scene;
        if self.sabotage == Sabotage::None && stage < last {
            let detail = format!("stage {stage} of {last} never came to its end");
            self.violate("Schedule", detail);
        }
    }

    /// The director looks.
    pub(crate) fn look(&mut self) {
        let Some(director) = self.director.filter(|_| !self.healed) else {
            return;
        };
        director(self);
        self.queue.push(self.now + LOOK_EVERY, Happening::Look);
    }

    /// Goes on to the next step.
    fn next_stage(&mut self) {
        self.scene.stage += 1;
        self.scene.at = self.now;
    }

    /// Whether so many milliseconds have passed since the last step.
    fn has_passed(&self, millis: u64) -> bool {
        self.now >= self.scene.at + millis * MILLISECOND
    }

    fn stage_partition(&self) -> PartitionKey {
        self.partitions[0]
    }

    fn replica_at(&self, slot: usize) -> Option<&Replica> {
        let process = self.hosts[slot].process.as_ref()?;
        process.machine.replica(self.stage_partition())
    }

    /// Names the three once the partition is led and has all its seats.
    fn cast(&mut self) -> bool {
        let Some(configuration) = self.control.cluster.configuration(self.stage_partition()) else {
            return false;
        };
        let slot = |it: &ReplicaId| self.slot_of(it.member);
        let primary = configuration.primary.as_ref().and_then(slot);
        let others = configuration.in_sync.iter();
        let others: Vec<usize> = others
            .filter(|it| Some(**it) != configuration.primary)
            .filter_map(slot)
            .collect();
        let (Some(primary), [first, second, ..]) = (primary, others.as_slice()) else {
            return false;
        };
        let role = self.replica_at(primary).map(Replica::role);
        (self.scene.primary, self.scene.first, self.scene.second) = (primary, *first, *second);
        role == Some(RoleView::Leading)
    }

    fn cut_both(&mut self, one: usize, other: usize, until: u64) {
        self.cuts.cut(one, other, until);
        self.cuts.cut(other, one, until);
    }

    /// The first one's disk loses all that it may lose, and its process starts again. `false` until its disk has some
    /// acknowledged writes that are above the last mark.
    fn damage_first(&mut self) -> bool {
        let first = self.scene.first;
        if !self.may_lose(first) {
            return false;
        }
        self.damage_at(first);
        self.scene.recovered = None;
        true
    }

    /// Whether a disk has some acknowledged writes that are above the last mark.
    fn may_lose(&mut self, slot: usize) -> bool {
        const LOST_LEAST: usize = 3;
        let disk = self.hosts[slot].disk.as_records();
        disk.is_some_and(|disk| disk.exposed() >= LOST_LEAST)
    }

    /// A disk loses all that it may lose, and the process starts again.
    fn damage_at(&mut self, slot: usize) {
        if let Some(disk) = self.hosts[slot].disk.as_records() {
            disk.damage();
        }
        self.crash(slot);
        self.damaged = Some(self.hosts[slot].member);
        self.queue
            .push(self.now + MILLISECOND, Happening::Start { slot });
    }

    /// Whether the first one, after its restart, has got a part of what it lost and lacks committed entries still.
    fn first_has_a_part(&mut self) -> Option<bool> {
        let committed = self.replica_at(self.scene.primary)?.committed();
        let last = self.replica_at(self.scene.first)?.last();
        let recovered = *self.scene.recovered.get_or_insert(last);
        if last >= committed {
            return Some(false);
        }
        (last > recovered).then_some(true)
    }

    /// Names a replica primary, as its present primary might ask for.
    fn hand_to(&mut self, slot: usize) {
        let partition = self.stage_partition();
        let member = self.hosts[slot].member;
        let Some(configuration) = self.control.cluster.configuration(partition) else {
            return;
        };
        let to = configuration.in_sync.iter().find(|it| it.member == member);
        let (Some(proposer), Some(to)) = (configuration.primary, to.copied()) else {
            return;
        };
        self.command(&Command::Change(ConfigurationChange {
            partition,
            expected: configuration.version,
            term: configuration.term,
            proposer,
            kind: ChangeKind::HandOver { to },
        }));
    }

    /// Several members are judged dead in one command.
    fn judge_dead(&mut self, members: &[MemberId]) {
        let cluster = self.cluster();
        let start = |member: &MemberId| {
            let record = cluster.members().get(member);
            record.map(|record| (*member, record.start))
        };
        let members = members.iter().filter_map(start).collect();
        self.command(&Command::MembersDown { members });
    }
}

/// A world in which nothing goes wrong by itself.
fn quiet(members: usize, persistence: Persistence) -> Plan {
    let mut plan = Plan::of_seed(1);
    plan.focus = Focus::Mixed;
    plan.members = members;
    plan.durability = 2;
    plan.persistence = persistence;
    plan.partitions = 1;
    plan.capacity = 64;
    plan.min_copies = None;
    plan.when_full = WhenFull::Overwrite;
    plan.pool_size = 2;
    plan.clients = 4;
    plan.storm = 9 * SECOND;
    plan.drift = 1_000;
    plan.timing = Timing {
        degrade_after: Millis(1_000),
        ..Timing::default()
    };
    plan.network = NetworkPlan {
        split: 0,
        split_leaves: usize::MAX,
        loss: 0,
        duplicate: 0,
        delay: 500,
        straggle: 0,
        straggle_delay: 1,
    };
    plan.disk = DiskPlan {
        model: DiskModel::Records,
        flush: 2 * MILLISECOND,
        torn: 0,
        damaged: 0,
        old_rot: 0,
        faults: None,
    };
    plan.control = ControlPlan {
        notice: 2 * MILLISECOND,
        late: 0,
        late_delay: 1,
        loss: 0,
        skip: 0,
        rebalances: false,
    };
    plan.work = WorkPlan {
        run: 20 * MILLISECOND,
        fail: 0,
        think: 5 * MILLISECOND,
        delayed: 0,
        once: 0,
        operations: 4_000,
    };
    plan
}

/// A quiet world whose backups get their entries one by one, and whose disks are slow enough to have much above their marks.
fn piecemeal(members: usize) -> Plan {
    let mut plan = quiet(members, Persistence::Fsync);
    plan.network.split = 1_000_000;
    plan.network.split_leaves = 1;
    // The stages wait for moments that come by chance.
    plan.storm = 40 * SECOND;
    plan.disk.flush = 60 * MILLISECOND;
    plan
}
