//! What one seed explores. Swarm testing (Groce et al., 2012): every seed switches a random part of the faults on, at random
//! intensities, since a uniform mix of everything hides what needs much of one thing and nothing of another.

use ringhold_replica::Timing;
use ringhold_types::{Millis, Persistence, WhenFull};

use crate::random::{Concern, Stream};

/// Microseconds in a millisecond: true time of the simulation is in microseconds.
pub const MILLISECOND: u64 = 1_000;
/// Microseconds in a second.
pub const SECOND: u64 = 1_000_000;

/// Largest payload of a record in the simulated log: some fill a segment of 12 KiB with eight records, most with a hundred.
const PAYLOAD_MOST: u64 = 1_500;

/// Of so many millionths of the seeds whose tasks are on disk the disks hold the segmented log. The others lose more to damage,
/// so that losses which must be recorded are met five times as often there.
const SEGMENTED: u32 = 750_000;

/// In so many millionths of the seeds with a segmented log, flushes fail and disks fill up.
const DISK_FAULTS: u32 = 350_000;

/// Of so many millionths of the rot in a segmented log the place is an older segment.
const OLD_ROT: u32 = 800_000;

/// Everything that a seed decides before its run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// What it has much of.
    pub focus: Focus,
    /// Members at the beginning, 3 to 5.
    pub members: usize,
    /// Backups, 1 to 3.
    pub durability: u32,
    /// Copies without which nothing is admitted; `None` for the usual number.
    pub min_copies: Option<u32>,
    /// Where copies live.
    pub persistence: Persistence,
    /// Partitions, 1 or 2.
    pub partitions: u32,
    /// Undisposed entries per partition.
    pub capacity: u64,
    /// What a submit to a full partition gets.
    pub when_full: WhenFull,
    /// Slots per member.
    pub pool_size: u32,
    /// Deaths of members under a task after which it is poison.
    pub crash_limit: u32,
    /// Clients.
    pub clients: usize,
    /// How long faults happen, in microseconds of true time; then everything heals.
    pub storm: u64,
    /// The protocol's times.
    pub timing: Timing,
    /// Silence after which the control plane judges a member dead, in microseconds.
    pub failure_timeout: u64,
    /// Largest deviation of a member's clock rate, in millionths.
    pub drift: u64,
    /// Messages between members.
    pub network: NetworkPlan,
    /// Disks.
    pub disk: DiskPlan,
    /// The control plane.
    pub control: ControlPlan,
    /// Faults.
    pub faults: FaultPlan,
    /// Tasks.
    pub work: WorkPlan,
}

/// Messages between members, and between clients and members.
#[derive(Clone, Debug)]
pub struct NetworkPlan {
    /// Prepares that arrive as if batches were smaller, in millionths.
    pub split: u32,
    /// Most entries that a split prepare keeps.
    pub split_leaves: usize,
    /// Messages lost, in millionths.
    pub loss: u32,
    /// Messages delivered twice, in millionths.
    pub duplicate: u32,
    /// Usual delay at most, in microseconds.
    pub delay: u64,
    /// Messages that take very long, in millionths.
    pub straggle: u32,
    /// How long those take at most, in microseconds.
    pub straggle_delay: u64,
}

/// How disks are simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskModel {
    /// `storage`'s segmented log, in small segments on its simulated file system.
    Segmented {
        /// Bytes that a record's payload has at most, beside what it must have.
        payload: u64,
    },
    /// A list of records, each write flushed for itself, read by `storage`'s replay rules: what all seeds had once. More is
    /// above the last mark here than in a log that groups its flushes. The kept seeds of then show what they once showed under
    /// this one only.
    Records,
}

/// Disks.
#[derive(Clone, Debug)]
pub struct DiskPlan {
    /// How they are simulated.
    pub model: DiskModel,
    /// A flush takes at most this, in microseconds.
    pub flush: u64,
    /// Crashes that tear the last write, in millionths.
    pub torn: u32,
    /// Crashes that damage flushed writes above the last mark, in millionths.
    pub damaged: u32,
    /// Of so many millionths of the rot the place is an older segment than the newest, where there are such.
    pub old_rot: u32,
    /// Mean time between flushes that fail and disks that fill up, in microseconds; `None` where neither happens.
    pub faults: Option<u64>,
}

/// The control plane.
#[derive(Clone, Debug)]
pub struct ControlPlan {
    /// A member applies new control state after at most this, in microseconds.
    pub notice: u64,
    /// Notices that take much longer, in millionths.
    pub late: u32,
    /// How long those take at most, in microseconds.
    pub late_delay: u64,
    /// Mail to and from the control plane lost, in millionths.
    pub loss: u32,
    /// Updates that skip intermediate states, as after a snapshot, in millionths.
    pub skip: u32,
    /// Whether partitions are moved for balance.
    pub rebalances: bool,
}

/// How often each fault is drawn, relative to the others, and how often one is drawn at all.
#[derive(Clone, Debug)]
pub struct FaultPlan {
    /// Mean time between faults, in microseconds.
    pub interval: u64,
    /// Weights by fault.
    pub weights: Vec<(FaultKind, u32)>,
    /// How long a crashed member stays away at most, in microseconds.
    pub downtime: u64,
    /// How long pauses and cuts last at most, in microseconds.
    pub interruption: u64,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// A process ends and starts again later.
    Crash,
    /// Several processes end at one instant.
    CrashSeveral,
    /// A process stands still and goes on: a zombie.
    Pause,
    /// Messages in one direction between two members are lost.
    CutOneWay,
    /// A member is cut off from all others.
    Isolate,
    /// A member is cut off from the control plane.
    CutControl,
    /// The control plane is away.
    Outage,
    /// A directory is emptied; a new member of the same name joins.
    Wipe,
    /// A store is found rotten at the next start.
    Rot,
    /// A member never comes back, an operator says so, and a new one joins.
    Forget,
    /// A member is drained for a while.
    Drain,
    /// The control plane judges a living member dead.
    Suspect,
    /// A disk takes very long for a while.
    SlowDisk,
    /// The storage asks for a ring to be written again.
    CopyForward,
    /// An operator's or the balancer's step: a learner comes or goes.
    Learner,
    /// A primary is cut off from everybody but its callers, and judged dead at once.
    Depose,
    /// The same, and its backups restart at that moment.
    DeposeAndRestart,
}

/// What a seed has much of: rare dangers need much of one thing and nothing of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Focus {
    /// Everything, as drawn.
    Mixed,
    /// Long isolation of single members, under many questions.
    Isolation,
    /// Primaries that do not hear the control plane, and everybody else.
    Unaware,
    /// Messages that come very late, over many changes of the primary.
    Stragglers,
    /// Primaries deposed at once, while leases run.
    Leases,
    /// The same, with backups that restart within a lease.
    Restarts,
    /// Primaries deposed at the moment when a learner gets its seat.
    NewSeats,
}

impl Focus {
    const ALL: [Self; 6] = [
        Self::Isolation,
        Self::Unaware,
        Self::Stragglers,
        Self::Leases,
        Self::Restarts,
        Self::NewSeats,
    ];
}

impl FaultKind {
    /// The kinds that are drawn for a seed in this order.
    const DRAWN: [Self; 16] = [
        Self::Crash,
        Self::CrashSeveral,
        Self::Pause,
        Self::CutOneWay,
        Self::Isolate,
        Self::CutControl,
        Self::Outage,
        Self::Wipe,
        Self::Rot,
        Self::Forget,
        Self::Drain,
        Self::Suspect,
        Self::CopyForward,
        Self::Learner,
        Self::Depose,
        Self::DeposeAndRestart,
    ];
}

/// Tasks and their callers.
#[derive(Clone, Debug)]
pub struct WorkPlan {
    /// Tasks run at most this long, in microseconds.
    pub run: u64,
    /// Tasks that fail, in millionths.
    pub fail: u32,
    /// A client waits at most this between operations, in microseconds.
    pub think: u64,
    /// Tasks with a delay, in millionths.
    pub delayed: u32,
    /// Tasks that must not run twice, in millionths.
    pub once: u32,
    /// Operations of a client, at most.
    pub operations: usize,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let random = &mut Stream::new(seed, Concern::Plan);
        let focused = random.chance(400_000);
        let focus = random.pick(&Focus::ALL).copied().filter(|_| focused);
        let mut plan = Self::drawn(seed, random);
        plan.turn_to(focus.unwrap_or(Focus::Mixed), random);
        plan.grow(&mut Stream::new(seed, Concern::PlanGrown));
        if plan.persistence == Persistence::Fsync {
            let random = &mut Stream::new(seed, Concern::PlanDisk);
            let payload = random.skewed(16, PAYLOAD_MOST);
            if random.chance(SEGMENTED) {
                plan.disk.model = DiskModel::Segmented { payload };
                plan.disk.old_rot = OLD_ROT;
                plan.disk.faults = disk_faults(&mut Stream::new(seed, Concern::PlanDiskFaults));
            }
        }
        plan
    }

    /// The plan of a seed that was explored before there was another model of disks.
    #[must_use]
    pub fn with_records(seed: u64) -> Self {
        let mut plan = Self::of_seed(seed);
        plan.disk.model = DiskModel::Records;
        plan.disk.old_rot = 0;
        plan.disk.faults = None;
        plan
    }

    /// The plan of a seed that was explored before flushes failed, disks filled up and older segments rotted.
    #[must_use]
    pub fn with_sound_disks(seed: u64) -> Self {
        let mut plan = Self::of_seed(seed);
        plan.disk.old_rot = 0;
        plan.disk.faults = None;
        plan
    }

    /// What plans gained later, from a stream of its own.
    fn grow(&mut self, random: &mut Stream) {
        if random.chance(300_000) {
            self.min_copies = Some(random.between(1, u64::from(self.durability) + 1) as u32);
        }
        self.timing.slow_latency = Millis(random.between(200, 500));
        self.timing.slow_after = Millis(random.between(500, 4_000));
        self.timing.eject_every = Millis(random.between(1_500, 30_000));
        if self.persistence == Persistence::Fsync && random.chance(400_000) {
            let weight = random.between(1, 10) as u32;
            self.faults.weights.push((FaultKind::SlowDisk, weight));
        }
    }

    fn drawn(seed: u64, random: &mut Stream) -> Self {
        let members = random.between(3, 5) as usize;
        let durability = random.between(1, 3.min(members as u64 - 1)) as u32;
        let fsync = random.chance(500_000);
        Self {
            seed,
            focus: Focus::Mixed,
            members,
            durability,
            persistence: if fsync {
                Persistence::Fsync
            } else {
                Persistence::Memory
            },
            // At least three replicas in every seed.
            partitions: if durability == 1 {
                2
            } else {
                random.between(1, 2) as u32
            },
            min_copies: None,
            capacity: random.skewed(4, 64),
            when_full: *random
                .pick(&[WhenFull::Reject, WhenFull::Wait, WhenFull::Overwrite])
                .unwrap_or(&WhenFull::Reject),
            pool_size: random.between(1, 4) as u32,
            crash_limit: random.between(1, 5) as u32,
            clients: random.between(2, 4) as usize,
            storm: random.between(6, 16) * SECOND,
            timing: timing(random),
            failure_timeout: 900 * MILLISECOND,
            drift: if random.chance(500_000) {
                45_000
            } else {
                1_000
            },
            network: network(random),
            disk: DiskPlan {
                model: DiskModel::Records,
                flush: random.sloped(200, 100 * MILLISECOND),
                torn: some(random, 900_000),
                damaged: some(random, 300_000),
                old_rot: 0,
                faults: None,
            },
            control: control(random),
            faults: faults(random, fsync),
            work: WorkPlan {
                run: random.skewed(5 * MILLISECOND, 2 * SECOND),
                fail: some(random, 200_000),
                think: random.skewed(10 * MILLISECOND, 400 * MILLISECOND),
                delayed: some(random, 100_000),
                once: some(random, 150_000),
                operations: 400,
            },
        }
    }
}

impl Plan {
    /// Gives a seed much of one thing.
    fn turn_to(&mut self, focus: Focus, random: &mut Stream) {
        use FaultKind::{
            Crash, CutControl, CutOneWay, Depose, DeposeAndRestart, Isolate, Learner, Pause,
            Suspect,
        };
        self.focus = focus;
        let faults = &mut self.faults;
        match focus {
            Focus::Mixed => return,
            Focus::Isolation => {
                faults.weights = vec![(Isolate, 10), (Pause, 5), (Crash, 1)];
                faults.interval = 1_200 * MILLISECOND;
                faults.interruption = random.between(2, 5) * SECOND;
            }
            Focus::Unaware => {
                faults.weights = vec![(CutControl, 10), (Crash, 1)];
                faults.interval = 1_200 * MILLISECOND;
                faults.interruption = random.between(2, 5) * SECOND;
            }
            Focus::Stragglers => {
                faults.weights = vec![(Suspect, 10), (CutOneWay, 3), (Learner, 3), (Crash, 3)];
                faults.interval = random.between(200, 800) * MILLISECOND;
                self.network.straggle = 60_000;
                self.network.straggle_delay = random.between(500, 4_000) * MILLISECOND;
                self.network.duplicate = 100_000;
            }
            Focus::Leases | Focus::Restarts | Focus::NewSeats => {
                let kind = match focus {
                    Focus::Leases => Depose,
                    Focus::Restarts => DeposeAndRestart,
                    _ => Learner,
                };
                faults.weights = vec![(kind, 8), (Crash, 1)];
                faults.interval = random.between(800, 1_600) * MILLISECOND;
                faults.interruption = 1_500 * MILLISECOND;
                self.drift = 45_000;
                self.control.notice = 2 * MILLISECOND;
                self.control.late = 0;
                self.durability = 2;
                self.members = self.members.max(4);
            }
        }
        if focus == Focus::Restarts {
            self.persistence = Persistence::Fsync;
            self.disk.flush = 500;
        }
        self.clients = 4;
        self.work.think = random.between(2, 20) * MILLISECOND;
        self.work.operations = 2_000;
        if focus != Focus::Stragglers {
            self.network.delay = 1_500;
            self.network.loss = 2_000;
        }
    }
}

/// How often flushes fail and disks fill up, in a part of the seeds.
fn disk_faults(random: &mut Stream) -> Option<u64> {
    let happen = random.chance(DISK_FAULTS);
    happen.then(|| random.sloped(400 * MILLISECOND, 6 * SECOND))
}

/// A probability up to `most`, or none at all in half of the seeds.
fn some(random: &mut Stream, most: u64) -> u32 {
    if random.chance(500_000) {
        0
    } else {
        random.between(1, most) as u32
    }
}

fn timing(random: &mut Stream) -> Timing {
    let quick = random.chance(700_000);
    Timing {
        degrade_after: Millis(if quick { 1_000 } else { 5_000 }),
        adopt_window: Millis(random.between(300, 3_000)),
        retrieved_grace: Millis(random.between(500, 60_000)),
        ..Timing::default()
    }
}

fn network(random: &mut Stream) -> NetworkPlan {
    NetworkPlan {
        split: some(random, 500_000),
        split_leaves: usize::MAX,
        // Every seed loses some messages.
        loss: random.skewed(2_000, 150_000) as u32,
        duplicate: some(random, 100_000),
        delay: random.skewed(500, 60 * MILLISECOND),
        straggle: some(random, 20_000),
        straggle_delay: random.skewed(300 * MILLISECOND, 6 * SECOND),
    }
}

fn control(random: &mut Stream) -> ControlPlan {
    ControlPlan {
        notice: random.skewed(2 * MILLISECOND, 150 * MILLISECOND),
        late: some(random, 200_000),
        late_delay: random.skewed(300 * MILLISECOND, 5 * SECOND),
        loss: random.skewed(1_000, 100_000) as u32,
        skip: some(random, 100_000),
        rebalances: random.chance(500_000),
    }
}

fn faults(random: &mut Stream, fsync: bool) -> FaultPlan {
    let mut weights = Vec::new();
    for kind in FaultKind::DRAWN {
        let usual: u64 = match kind {
            FaultKind::Crash => 30,
            FaultKind::Pause | FaultKind::CutOneWay | FaultKind::Isolate => 20,
            FaultKind::CutControl | FaultKind::Suspect => 12,
            FaultKind::CrashSeveral | FaultKind::Outage | FaultKind::Drain => 6,
            FaultKind::CopyForward if fsync => 10,
            FaultKind::Wipe | FaultKind::Forget | FaultKind::Learner => 4,
            FaultKind::Rot if fsync => 4,
            FaultKind::Depose | FaultKind::DeposeAndRestart => 3,
            // A slow disk is drawn apart.
            FaultKind::CopyForward | FaultKind::Rot | FaultKind::SlowDisk => 0,
        };
        let always = kind == FaultKind::Crash;
        if usual > 0 && (always || random.chance(500_000)) {
            weights.push((kind, random.between(1, usual) as u32));
        }
    }
    FaultPlan {
        interval: random.sloped(150 * MILLISECOND, 3 * SECOND),
        weights,
        downtime: random.sloped(50 * MILLISECOND, 8 * SECOND),
        interruption: random.sloped(300 * MILLISECOND, 6 * SECOND),
    }
}

impl FaultPlan {
    /// Draws a kind of fault.
    pub fn draw(&self, random: &mut Stream) -> FaultKind {
        let total: u32 = self.weights.iter().map(|(_, weight)| *weight).sum();
        let mut left = random.below(u64::from(total)) as u32;
        for (kind, weight) in &self.weights {
            if left < *weight {
                return *kind;
            }
            left -= weight;
        }
        FaultKind::Crash
    }
}
