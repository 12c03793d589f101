//! What goes wrong, and how it is put right again.

use ringhold_control::{Command, MemberState};
use ringhold_replica::Event;
use ringhold_types::{MemberId, PartitionKey, Persistence, ReplicaId, UnixMillis};

use super::World;
use super::host::Host;
use super::queue::Happening;
use crate::coverage::Mark;
use crate::plan::{FaultKind, MILLISECOND, SECOND};

/// Of so many millionths of the seeds a member does not come back.
const LAST_DEATH: u32 = 400_000;
/// How long before a drain its member gets long tasks, at most.
const BUSY_BEFORE_DRAIN: u64 = SECOND;
/// Of so many millionths of the drains the time is over twice.
const MORE_TIME: u32 = 300_000;

impl World {
    /// A fault is due.
    pub(crate) fn fault(&mut self) {
        if self.healed {
            return;
        }
        let next = self.random.faults.between(1, 2 * self.plan.faults.interval);
        self.queue.push(self.now + next, Happening::Fault);
        let kind = self.plan.faults.draw(&mut self.random.faults);
        self.trace.fold(kind as u64);
        let Some(slot) = self.any_running() else {
            return;
        };
        let span = self
            .random
            .faults
            .sloped(MILLISECOND, self.plan.faults.interruption);
        let until = self.now + span;
        self.tell(|| format!("fault {kind:?} at {} for {span}", self.hosts[slot].member.0));
        match kind {
            FaultKind::Crash => self.crash_and_return(slot),
            FaultKind::CrashSeveral => self.crash_several(),
            FaultKind::Pause => self.hosts[slot].paused_until = until,
            FaultKind::CutOneWay => {
                let other = self.random.faults.index(self.hosts.len());
                self.cuts.cut(slot, other, until);
            }
            FaultKind::Isolate => {
                for other in 0..self.hosts.len() {
                    self.cuts.cut(slot, other, until);
                    self.cuts.cut(other, slot, until);
                }
                if self.random.faults.chance(800_000) {
                    self.hosts[slot].control_cut_until = until;
                }
            }
            FaultKind::CutControl => self.hosts[slot].control_cut_until = until,
            FaultKind::Outage => self.control.away_until = until,
            FaultKind::Wipe => self.wipe(slot),
            FaultKind::Rot => self.rot(slot),
            FaultKind::Forget => self.lose_for_good(slot),
            FaultKind::Drain => self.plan_drain(slot, until),
            FaultKind::Suspect => self.suspect(slot),
            FaultKind::SlowDisk => self.hosts[slot].slow_until = until + 2 * SECOND,
            FaultKind::CopyForward => {
                if let Some(partition) = self.any_partition() {
                    self.put(slot, Event::CopyForward(partition));
                }
            }
            FaultKind::Learner => self.move_learner(),
            FaultKind::Depose => self.depose(false),
            FaultKind::DeposeAndRestart => self.depose(true),
        }
    }

    fn any_running(&mut self) -> Option<usize> {
        let running: Vec<usize> = (0..self.hosts.len())
            .filter(|slot| self.hosts[*slot].process.is_some())
            .collect();
        self.random.faults.pick(&running).copied()
    }

    fn any_partition(&mut self) -> Option<PartitionKey> {
        let partitions = &self.partitions;
        self.random.faults.pick(partitions).copied()
    }

    /// Ends a process.
    pub(crate) fn crash(&mut self, slot: usize) {
        let may_damage = self.plan.persistence == Persistence::Fsync && self.may_damage(slot);
        let host = &mut self.hosts[slot];
        let Some(process) = host.process.take() else {
            return;
        };
        self.met.crashes += 1;
        if !process.led.is_empty() {
            self.coverage.mark(Mark::PrimaryRestarted);
        }
        host.paused_until = 0;
        self.crash_disk(slot, may_damage);
    }

    /// Whether a disk may lose flushed writes now: one at a time, and only while others hold the same. A second copy that is
    /// damaged before the first one is whole again is more than any protocol with so many copies bears.
    fn may_damage(&mut self, slot: usize) -> bool {
        if self.damaged.is_some_and(|member| !self.is_whole(member)) {
            return false;
        }
        self.damaged = None;
        let member = self.hosts[slot].member;
        self.partitions.iter().all(|partition| {
            let Some(configuration) = self.control.cluster.configuration(*partition) else {
                return true;
            };
            let mut others = configuration
                .in_sync
                .iter()
                .filter(|it| it.member != member);
            let alone = configuration.in_sync.iter().any(|it| it.member == member)
                && !others.any(|it| self.is_alive(it.member));
            !alone
        })
    }

    fn is_alive(&self, member: MemberId) -> bool {
        self.slot_of(member)
            .is_some_and(|slot| self.hosts[slot].process.is_some())
    }

    /// Whether a member with a damaged disk has what it lost again.
    fn is_whole(&self, member: MemberId) -> bool {
        let Some(slot) = self.slot_of(member) else {
            return true;
        };
        let Some(process) = self.hosts[slot].process.as_ref() else {
            return self.hosts[slot].is_gone;
        };
        process.machine.is_registered()
            && process
                .machine
                .replicas()
                .all(|replica| !replica.cut_mark())
    }

    fn crash_and_return(&mut self, slot: usize) {
        self.crash(slot);
        let away = self
            .random
            .faults
            .sloped(MILLISECOND, self.plan.faults.downtime);
        self.queue.push(self.now + away, Happening::Start { slot });
    }

    fn crash_several(&mut self) {
        let together = self.random.faults.chance(300_000);
        for slot in 0..self.hosts.len() {
            if together || self.random.faults.chance(500_000) {
                self.crash_and_return(slot);
            }
        }
    }

    /// The directory is emptied: a new member of the same name joins once the old one is known to be down.
    fn wipe(&mut self, slot: usize) {
        if !self.bears_a_loss(slot) {
            return;
        }
        self.crash(slot);
        self.hosts[slot].is_gone = true;
        let name = self.hosts[slot].name.clone();
        let new = self.add_host(Some(name));
        let away = self.random.faults.between(0, 2 * SECOND);
        self.queue
            .push(self.now + away, Happening::Start { slot: new });
    }

    fn rot(&mut self, slot: usize) {
        if !self.bears_a_loss(slot) {
            return;
        }
        self.crash_and_return(slot);
        let host = &mut self.hosts[slot];
        host.disk.rot(&self.plan.disk, &mut self.random.log);
        host.is_rotten = true;
        self.coverage.mark(Mark::Rot);
    }

    /// A member never comes back; an operator says so, and adds another machine.
    fn lose_for_good(&mut self, slot: usize) {
        if !self.bears_a_loss(slot) {
            return;
        }
        self.crash(slot);
        self.hosts[slot].is_gone = true;
        let member = self.hosts[slot].member;
        let later = self.random.faults.between(SECOND, 3 * SECOND);
        self.queue
            .push(self.now + later, Happening::Forget { member });
        let new = self.add_host(None);
        self.queue
            .push(self.now + later / 2, Happening::Start { slot: new });
    }

    /// Whether the loss of a store is bearable: while another's tail is cut, it is not.
    fn bears_a_loss(&self, slot: usize) -> bool {
        let member = self.hosts[slot].member;
        self.damaged
            .is_none_or(|it| it == member || self.is_whole(it))
    }

    /// An operator says that a member does not come back.
    pub(crate) fn forget(&mut self, member: MemberId) {
        if self.control.away_until > self.now {
            self.queue
                .push(self.control.away_until, Happening::Forget { member });
            return;
        }
        self.command(&Command::Forget {
            member,
            process_ended: true,
            at: UnixMillis(self.now / MILLISECOND),
        });
    }

    /// A member is to be drained, soon: what begins there until then takes long, so that drains meet running attempts.
    fn plan_drain(&mut self, slot: usize, until: u64) {
        let at = self.now + self.random.handlers.below(BUSY_BEFORE_DRAIN);
        self.hosts[slot].busy_until = at;
        let until = until.max(at);
        self.queue.push(at, Happening::Drain { slot, until });
    }

    /// An operator drains a member and gives it some time: what still runs there for others then is handed back. Some give it
    /// more time after that.
    pub(crate) fn drain(&mut self, slot: usize, until: u64) {
        if self.healed {
            return;
        }
        let member = self.hosts[slot].member;
        self.command(&Command::Drain {
            member,
            draining: true,
        });
        let at = until + 2 * SECOND;
        self.queue.push(at, Happening::DrainEnds { member });
        let members = self.control.cluster.members();
        let Some(drain) = members.get(&member).and_then(|it| it.drain) else {
            return;
        };
        let random = &mut self.random.handlers;
        // Mostly so soon that what ran when the lead was handed over still does.
        let soon = random.sloped(0, until - self.now);
        let gives_more = random.chance(MORE_TIME);
        let mut over = |after: u64, over| {
            let over = Happening::DrainOver { slot, drain, over };
            self.queue.push(self.now + after, over);
        };
        over(soon, true);
        if gives_more {
            over(soon + SECOND / 2, false);
            over(soon + SECOND, true);
        }
    }

    /// The operator ends the drain: the member takes part again.
    pub(crate) fn drain_ends(&mut self, member: MemberId) {
        let drains = self
            .control
            .cluster
            .members()
            .get(&member)
            .is_some_and(|it| it.drain.is_some());
        if drains {
            self.command(&Command::Drain {
                member,
                draining: false,
            });
        }
    }

    /// The control plane is wrong about a member that lives.
    pub(crate) fn suspect(&mut self, slot: usize) {
        let member = self.hosts[slot].member;
        if let Some(record) = self.cluster().members().get(&member) {
            let members = vec![(member, record.start)];
            self.command(&Command::MembersDown { members });
        }
    }

    /// A primary is cut off from all but its callers and judged dead at once, so that its successor and its last lease meet.
    fn depose(&mut self, restart: bool) {
        let Some(partition) = self.any_partition() else {
            return;
        };
        let configuration = self.control.cluster.configuration(partition);
        let primary = configuration.as_ref().and_then(|it| it.primary);
        let Some(slot) = primary.and_then(|it| self.slot_of(it.member)) else {
            return;
        };
        let until = self.now + self.random.faults.between(SECOND, 2 * SECOND);
        for other in 0..self.hosts.len() {
            self.cuts.cut(slot, other, until);
            self.cuts.cut(other, slot, until);
        }
        self.hosts[slot].control_cut_until = until;
        if restart {
            let seats = configuration.map(|it| it.in_sync).unwrap_or_default();
            for seat in seats.iter().filter(|it| Some(**it) != primary) {
                if let Some(backup) = self.slot_of(seat.member) {
                    self.crash(backup);
                    let away = self.random.faults.between(500, 5 * MILLISECOND);
                    self.queue
                        .push(self.now + away, Happening::Start { slot: backup });
                }
            }
        }
        self.suspect(slot);
    }

    /// A learner comes or goes, unasked.
    fn move_learner(&mut self) {
        let Some(partition) = self.any_partition() else {
            return;
        };
        let Some(configuration) = self.control.cluster.configuration(partition) else {
            return;
        };
        let expected = configuration.version;
        let slot = self.random.faults.index(self.hosts.len());
        let member = self.hosts[slot].member;
        let command = match configuration.learners.first() {
            Some(learner) => Command::RemoveLearner {
                partition,
                expected,
                member: learner.member,
            },
            None => Command::AddLearner {
                partition,
                expected,
                member,
            },
        };
        self.command(&command);
    }

    /// Some seeds end with a death for good, of which only silence tells: nothing may wait for that member for ever. It comes as
    /// soon as every partition is fully replicated, while clients go on: what durability promises holds between two such states
    /// (G4).
    pub(crate) fn last_death(&mut self) {
        let Some(slot) = self.last_to_die else {
            return;
        };
        let copies = self.plan.durability as usize + 1;
        let left = self.hosts.iter().filter(|host| !host.is_gone).count() - 1;
        let can_die = left >= copies && self.hosts[slot].process.is_some();
        if can_die && !self.is_dispensable(slot) {
            // Later, when every partition is whole.
            return;
        }
        self.last_to_die = None;
        if !can_die {
            return;
        }
        self.tell(|| format!("{} dies for good", self.hosts[slot].member));
        self.crash(slot);
        self.hosts[slot].stays_dead = true;
        self.coverage.mark(Mark::StayedDead);
    }

    fn draw_last_death(&mut self) -> Option<usize> {
        let random = &mut self.random.last_death;
        if !random.chance(LAST_DEATH) {
            return None;
        }
        let running: Vec<usize> = (0..self.hosts.len())
            .filter(|slot| self.hosts[*slot].process.is_some())
            .collect();
        random.pick(&running).copied()
    }

    /// Whether each partition has all its seats, and they run with whole logs.
    fn is_dispensable(&self, slot: usize) -> bool {
        let members = self.control.cluster.members();
        let is_up = |host: &Host| {
            let record = members.get(&host.member);
            host.is_gone || record.is_some_and(|it| it.state == MemberState::Up)
        };
        let calm = self.hosts.iter().all(is_up) && self.hosts[slot].process.is_some();
        calm && self.partitions.iter().all(|partition| {
            let Some(configuration) = self.control.cluster.configuration(*partition) else {
                return true;
            };
            let whole = |seat: &ReplicaId| {
                let host = self.slot_of(seat.member).map(|slot| &self.hosts[slot]);
                let process = host.and_then(|host| host.process.as_ref());
                let machine = process.map(|it| &it.machine);
                let replica = machine
                    .filter(|it| it.is_registered())
                    .and_then(|it| it.replica(*partition));
                replica.is_some_and(|it| it.id() == *seat && !it.cut_mark())
            };
            let copies = self.plan.durability as usize + 1;
            configuration.in_sync.len() >= copies && configuration.in_sync.iter().all(whole)
        })
    }

    /// All faults end, and everybody comes back who can.
    pub(crate) fn heal(&mut self) {
        // Every seed has a crash and a change of the configuration.
        if self.met.crashes == 0
            && let Some(slot) = self.any_running()
        {
            self.crash(slot);
        }
        if self.met.changes == 0 {
            let configuration = self.control.cluster.configuration(self.partitions[0]);
            let primary = configuration.and_then(|it| it.primary);
            if let Some(slot) = primary.and_then(|it| self.slot_of(it.member)) {
                self.suspect(slot);
            }
        }
        self.healed = true;
        self.tell(|| "all faults end".to_owned());
        self.last_to_die = self.draw_last_death();
        self.cuts.heal();
        self.control.away_until = 0;
        self.plan.network.loss = 0;
        self.plan.network.straggle = 0;
        self.plan.control.loss = 0;
        self.plan.control.late = 0;
        for slot in 0..self.hosts.len() {
            let host = &mut self.hosts[slot];
            host.control_cut_until = 0;
            host.paused_until = 0;
            host.slow_until = 0;
            host.disk.end_faults();
            let member = host.member;
            let was_lost = host.is_gone;
            if let Some(process) = host.process.as_mut() {
                process.turn_at = None;
            }
            if was_lost {
                self.forget(member);
            } else {
                self.drain_ends(member);
                self.queue.push(self.now, Happening::Start { slot });
                self.put(slot, Event::Timer);
            }
            if self.hosts[slot]
                .process
                .as_ref()
                .is_some_and(|it| it.notice_due)
            {
                if let Some(process) = self.hosts[slot].process.as_mut() {
                    process.notice_due = false;
                }
                self.expect_notice(slot);
            }
        }
        self.queue.push(self.now + SECOND, Happening::Check);
    }
}
