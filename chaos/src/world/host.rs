//! A machine in the simulated rack: a disk that stays, and a process that comes and goes.

use std::collections::{BTreeMap, BTreeSet};

use ringhold_replica::{AttemptEnd, Event, Member};
use ringhold_types::{
    AttemptToken, ConfigurationVersion, ExecutorId, Generation, Lsn, MemberId, PartitionKey,
    ReplicaId, StartNonce, Term, Tick,
};

use super::disk::Disk;
use crate::sabotage::Sabotaged;

/// A process's own clock: it runs at its own rate, from its own start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: u64,
    base: u64,
    /// Millionths of true time that pass here per true microsecond.
    rate: u64,
}

const RATE: u64 = 1_000_000;

impl Clock {
    /// A clock that shows `base` at true time `started` and deviates by `deviation` millionths.
    pub(crate) fn new(started: u64, base: u64, deviation: i64) -> Self {
        let rate = RATE.saturating_add_signed(deviation);
        Self {
            started,
            base,
            rate,
        }
    }

    /// What it shows at a true time.
    pub(crate) fn tick(&self, now: u64) -> Tick {
        let passed = u128::from(now.saturating_sub(self.started)) * u128::from(self.rate);
        Tick(self.base + (passed / u128::from(RATE)) as u64)
    }

    /// The first true time at which it shows at least `tick`.
    pub(crate) fn true_time(&self, tick: Tick) -> u64 {
        let passed = u128::from(tick.0.saturating_sub(self.base)) * u128::from(RATE);
        self.started + passed.div_ceil(u128::from(self.rate)) as u64
    }
}

/// An attempt that runs in a process.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// How it will end.
    pub(crate) end: AttemptEnd,
    /// What tells this run from all others.
    pub(crate) value: u64,
    /// Whether its handler has begun.
    pub(crate) has_begun: bool,
    /// Whether it was told to end, and listens.
    pub(crate) is_told: bool,
    /// How long its handler goes on once it was given up, if it is to be.
    pub(crate) lingers: Option<u64>,
}

impl Run {
    /// A run whose handler has not begun.
    pub(crate) const fn new(end: AttemptEnd, value: u64) -> Self {
        Self {
            end,
            value,
            has_begun: false,
            is_told: false,
            lingers: None,
        }
    }
}

/// A process of a member.
pub(crate) struct Process {
    pub(crate) start: StartNonce,
    pub(crate) machine: Member<Sabotaged>,
    pub(crate) clock: Clock,
    pub(crate) inbox: Vec<Event>,
    /// True time of the turn that is due, if one is.
    pub(crate) turn_at: Option<u64>,
    /// True time of the timer that is set, if one is.
    pub(crate) timer_at: Option<u64>,
    pub(crate) running: BTreeMap<AttemptToken, Run>,
    /// Attempts whose handlers were given up and go on.
    pub(crate) lingering: BTreeSet<AttemptToken>,
    /// Control states applied: index into the control plane's history of what comes next.
    pub(crate) next_notice: usize,
    /// Whether nothing was applied yet.
    pub(crate) is_new: bool,
    pub(crate) notice_due: bool,
    /// Whether it was told that it drains.
    pub(crate) drains: bool,
    /// Whether it was told that its disk is nearly full.
    pub(crate) disk_full: bool,
    /// Per partition: generation and commit up to which this process's log was compared with what is committed.
    pub(crate) compared: BTreeMap<PartitionKey, (Generation, Lsn)>,
    /// Partitions that it led at the end of its last turn, with the term.
    pub(crate) led: BTreeMap<PartitionKey, Term>,
    /// Versions of the configurations that it acted on at the end of its last turn.
    pub(crate) versions: BTreeMap<PartitionKey, ConfigurationVersion>,
}

impl Process {
    /// Handlers of an executor that run here, or are about to; those included that were given up.
    pub(crate) fn slots_in_use(&self, executor: ExecutorId) -> u32 {
        let tokens = self.running.keys().chain(&self.lingering);
        let count = tokens.filter(|it| it.partition.executor == executor);
        u32::try_from(count.count()).unwrap_or(u32::MAX)
    }
}

/// A machine in the rack.
pub(crate) struct Host {
    pub(crate) member: MemberId,
    pub(crate) name: String,
    /// It never starts again, and the cluster is told so.
    pub(crate) is_gone: bool,
    /// It never starts again, and nobody says so.
    pub(crate) stays_dead: bool,
    pub(crate) disk: Disk,
    /// How often the disk was emptied.
    pub(crate) emptied: u64,
    /// The last nonce that the control plane accepted, as the directory remembers it.
    pub(crate) accepted: StartNonce,
    /// Nonces of starts, each synced before it was presented.
    pub(crate) presented_before: Vec<StartNonce>,
    /// Whether the directory has never been accepted.
    pub(crate) is_fresh: bool,
    /// Control states that the directory holds.
    pub(crate) applied: usize,
    /// Whether the store is to be found rotten at the next start.
    pub(crate) is_rotten: bool,
    /// Whether its log was refused because of rot in an older segment, and it is not registered anew yet.
    pub(crate) has_old_rot: bool,
    /// The replica that it is after such rot, until that has a seat.
    pub(crate) mends_as: Option<ReplicaId>,
    /// Whether its disk was too full for it to start.
    pub(crate) was_full: bool,
    /// Deviation of its clock, in millionths.
    pub(crate) deviation: i64,
    pub(crate) process: Option<Process>,
    pub(crate) paused_until: u64,
    /// Attempts that begin there until then take long.
    pub(crate) busy_until: u64,
    /// Its disk takes very long until then.
    pub(crate) slow_until: u64,
    /// Messages to the control plane and back are lost until then.
    pub(crate) control_cut_until: u64,
}

/// What a replica's life hangs on: a machine, and how often what it keeps was emptied, or which process it is that keeps it.
pub(crate) type StoreId = (usize, u64);

impl Host {
    /// The disk is emptied.
    pub(crate) fn empty_disk(&mut self) {
        self.disk.empty();
        self.emptied += 1;
    }

    /// A machine with an empty directory.
    pub(crate) fn new(member: MemberId, name: String, deviation: i64, disk: Disk) -> Self {
        Self {
            member,
            name,
            is_gone: false,
            stays_dead: false,
            disk,
            emptied: 0,
            accepted: StartNonce::ZERO,
            presented_before: Vec::new(),
            is_fresh: true,
            applied: 0,
            is_rotten: false,
            has_old_rot: false,
            mends_as: None,
            was_full: false,
            deviation,
            process: None,
            paused_until: 0,
            busy_until: 0,
            slow_until: 0,
            control_cut_until: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_never_fires_before_its_tick() {
        for deviation in [-45_000, -1, 0, 3, 45_000] {
            let clock = Clock::new(500, 1_000, deviation);
            for tick in [1_000, 1_001, 77_777, 5_000_000] {
                let at = clock.true_time(Tick(tick));
                assert!(clock.tick(at) >= Tick(tick));
                assert!(at == 500 || clock.tick(at - 1) < Tick(tick));
            }
        }
    }
}
