//! What a replica is in every role: its log, its ring, how far they are committed and on disk.

use ringhold_ringbuffer::{Applied, LogEntry, Op, Quirks, Ring, RingLimits};
use ringhold_types::{
    Configuration, ExecutorConfig, ExecutorName, Generation, Lsn, PartitionKey, ReplicaId,
    RingTime, StartNonce, Term, Tick,
};

use crate::context::Context;
use crate::cut_mark::CutMark;
use crate::effect::{Note, PersistToken, Record};
use crate::event::RecoveredReplica;
use crate::log::Log;
use crate::message::Fence;
use crate::persistence::Durability;
use crate::rules::{Rule, Rules};

/// What a replica is in every role.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Core {
    pub(crate) partition: PartitionKey,
    pub(crate) id: ReplicaId,
    /// The newest configuration observed.
    pub(crate) configuration: Configuration,
    /// The highest term adopted (I7).
    pub(crate) term: Term,
    pub(crate) log: Log,
    pub(crate) ring: Ring,
    pub(crate) applied: Lsn,
    /// What tasks take of the bound of this member's rings that are in the log and not applied.
    unapplied_bytes: u64,
    pub(crate) commit: Lsn,
    pub(crate) durability: Durability,
    /// Whether the tail was cut at start and may have held acknowledged entries (PROTOCOL §5).
    pub(crate) cut_mark: CutMark,
    /// When the last entry came: ring time goes on from there over a takeover (I16).
    pub(crate) last_append: Option<Tick>,
    /// The last grant that an earlier primary may still hold (I14).
    pub(crate) lease_floor: Option<Tick>,
}

/// The limits of every new ring, whatever the executor: the log's first `Configure` brings the real ones, so that a ring
/// built from the log is the same wherever and whenever it is built (I13).
fn first_limits() -> RingLimits {
    let name = ExecutorName::new("new").expect("a valid name");
    RingLimits::of(&ExecutorConfig::with_name(name))
}

/// The generation that an entry began, if it is a `TermStart`.
const fn began_generation(entry: &LogEntry) -> Option<Generation> {
    match entry.op {
        Op::TermStart { generation, .. } => Some(generation),
        _ => None,
    }
}

/// The life of the partition that a ring and the log after it belong to: the newest that they begin, applied or not. `None` if
/// there is nothing.
fn life_of<'a>(
    ring: Option<Generation>,
    log: impl Iterator<Item = &'a LogEntry>,
) -> Option<Generation> {
    log.filter_map(began_generation).max().max(ring)
}

/// The life that recovered data belongs to.
pub(crate) fn stamp_of(found: &RecoveredReplica) -> Option<Generation> {
    life_of(
        found.ring.as_ref().map(Ring::generation),
        found.entries.iter(),
    )
}

/// What an entry of the log takes of the bound of the member's rings until it is applied.
fn taken_by_entry(entry: &LogEntry) -> u64 {
    match &entry.op {
        Op::Accept { task, .. } => crate::ring_bytes::taken_by(task),
        _ => 0,
    }
}

/// An empty ring of a generation.
pub(crate) fn new_ring(generation: Generation) -> Ring {
    Ring::new(generation, first_limits())
}

/// The generation in which an empty replica begins.
pub(crate) fn first_generation<R: Rules>(
    context: &Context<'_, R>,
    configuration: &Configuration,
) -> Generation {
    if context.drops(Rule::SequencesContinue) {
        Generation::ZERO
    } else {
        configuration.generation
    }
}

impl Core {
    /// A new, empty replica.
    pub(crate) fn new<R: Rules>(
        context: &mut Context<'_, R>,
        id: ReplicaId,
        configuration: Configuration,
    ) -> Self {
        let partition = configuration.partition;
        let on_disk = context.shared.on_disk(partition.executor);
        if on_disk {
            let replica = id;
            context.persist(partition, Record::Reset { partition, replica });
        }
        let generation = first_generation(context, &configuration);
        Self {
            partition,
            id,
            term: configuration.term,
            log: Log::default(),
            ring: new_ring(generation),
            applied: Lsn::ZERO,
            unapplied_bytes: 0,
            commit: Lsn::ZERO,
            durability: Durability::new(on_disk, Lsn::ZERO),
            cut_mark: CutMark::None,
            last_append: None,
            lease_floor: None,
            configuration,
        }
    }

    /// A replica as its log on disk tells it. After a start the adopted term is the higher one of log and control (I7).
    pub(crate) fn recovered<R: Rules>(
        context: &mut Context<'_, R>,
        found: RecoveredReplica,
        id: ReplicaId,
        configuration: Configuration,
    ) -> Self {
        let ring = found.ring.unwrap_or_else(|| {
            let first = found.entries.first().and_then(began_generation);
            new_ring(first.unwrap_or(configuration.generation))
        });
        let mut log = Log::after(found.ring_lsn, found.ring_term);
        for entry in found.entries {
            log.append(entry);
        }
        let last = log.last();
        let mut core = Self {
            partition: configuration.partition,
            id,
            term: configuration.term.max(log.last_term()),
            log,
            ring,
            applied: found.ring_lsn,
            unapplied_bytes: 0,
            commit: found.commit.min(last).max(found.ring_lsn),
            durability: Durability::new(true, last),
            cut_mark: CutMark::found(found.cut_mark),
            last_append: None,
            lease_floor: context.shared.leases.started(),
            configuration,
        };
        core.count_unapplied();
        while core.apply_next(context).is_some() {}
        core
    }

    /// A log that is read from its beginning is applied to the ring that it began with, whatever generation is current: what
    /// was kept over a recorded loss lies in an earlier one (I13).
    fn begin_ring<R: Rules>(&mut self, context: &Context<'_, R>, first: &LogEntry) {
        if let Some(generation) = began_generation(first)
            && !context.drops(Rule::SequencesContinue)
        {
            self.ring = new_ring(generation);
        }
    }

    /// How far the log is safe to be acknowledged: on disk, or in memory if that is all that is promised.
    pub(crate) fn safe(&self) -> Lsn {
        self.durability.safe(self.log.last())
    }

    /// The ring time of the last entry of the log.
    pub(crate) fn log_time(&self) -> RingTime {
        self.log
            .last_entry()
            .map_or(self.ring.time(), |entry| entry.time)
            .max(self.ring.time())
    }

    /// Appends the next entry and hands it to the disk.
    pub(crate) fn append<R: Rules>(&mut self, context: &mut Context<'_, R>, entry: LogEntry) {
        crate::invariant::check_append(self, context, &entry);
        self.last_append = Some(context.now);
        self.unapplied_bytes += taken_by_entry(&entry);
        if entry.lsn == Lsn(1) && self.applied == Lsn::ZERO {
            self.begin_ring(context, &entry);
        }
        if self.durability.on_disk() {
            let record = Record::Entry {
                partition: self.partition,
                replica: self.id,
                entry: entry.clone(),
                commit: self.commit,
            };
            let token = context.persist(self.partition, record);
            self.durability.handed_over(token, entry.lsn);
        }
        self.log.append(entry);
    }

    /// Cuts the tail after `lsn`, where this log parts from the primary's (I10). A cut below the own commit means that
    /// something promised would be lost: the member stops.
    ///
    /// `sender`: the term of the sender's entry after `lsn`, `None` if the sender has none there.
    pub(crate) fn cut_after<R: Rules>(
        &mut self,
        context: &mut Context<'_, R>,
        lsn: Lsn,
        sender: Option<Term>,
    ) -> bool {
        crate::invariant::check_cut(self, context, lsn, sender);
        if lsn < self.commit && !context.drops(Rule::CutAtDivergence) {
            context.fatal(format!(
                "I10: partition {} was told to cut its log after {lsn}, below its own commit {}",
                self.partition, self.commit
            ));
            return false;
        }
        if lsn < self.log.last() {
            self.log.cut_after(lsn);
            self.durability.cut_after(lsn);
            self.count_unapplied();
            context.note(Note::TailCut(self.partition));
        }
        true
    }

    /// What this replica takes of the bound of its member's rings.
    pub(crate) fn footprint(&self) -> u64 {
        self.ring.footprint() + self.unapplied_bytes
    }

    fn count_unapplied(&mut self) {
        let entries = self.log.entries().filter(|it| it.lsn > self.applied);
        self.unapplied_bytes = entries.map(taken_by_entry).sum();
    }

    /// Applies the next committed entry.
    pub(crate) fn apply_next<R: Rules>(
        &mut self,
        context: &mut Context<'_, R>,
    ) -> Option<(LogEntry, Applied)> {
        if self.applied >= self.commit {
            return None;
        }
        let entry = self.log.get(self.applied.next())?.clone();
        let local_clock = context
            .drops(Rule::ApplyIsClockFree)
            .then_some(RingTime(context.now.0 / 1000));
        let quirks = Quirks {
            second_outcome_replaces: context.drops(Rule::OutcomeOnce),
            sequences_restart_after_loss: context.drops(Rule::SequencesContinue),
            local_clock,
        };
        let before = self.ring.time();
        let applied = self.ring.apply_with(&entry, quirks);
        crate::invariant::check_time(self, context, before, &entry);
        self.applied = entry.lsn;
        self.unapplied_bytes = self.unapplied_bytes.saturating_sub(taken_by_entry(&entry));
        if let Applied::TermStarted { lost: Some(_) } = &applied {
            context.note(Note::Lost(self.partition));
        }
        Some((entry, applied))
    }

    /// Replaces everything by a ring that holds all up to `lsn`.
    pub(crate) fn install<R: Rules>(
        &mut self,
        context: &mut Context<'_, R>,
        ring: Ring,
        lsn: Lsn,
        term: Term,
    ) {
        self.ring = ring;
        self.log = Log::after(lsn, term);
        self.applied = lsn;
        self.unapplied_bytes = 0;
        self.commit = lsn;
        self.last_append = Some(context.now);
        self.durability = Durability::new(self.durability.on_disk(), Lsn::ZERO);
        self.write_state(context, true);
        context.note(Note::SnapshotInstalled(self.partition));
    }

    /// Writes the applied ring into the shared log: after a snapshot, or so that an old segment can go.
    pub(crate) fn write_state<R: Rules>(&mut self, context: &mut Context<'_, R>, installed: bool) {
        if !self.durability.on_disk() {
            return;
        }
        let parts = self.ring.snapshot();
        let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        let term = self.log.term_at(self.applied).unwrap_or(Term::ZERO);
        for (index, part) in parts.into_iter().enumerate() {
            let record = Record::State {
                partition: self.partition,
                replica: self.id,
                lsn: self.applied,
                term,
                index: u32::try_from(index).unwrap_or(u32::MAX),
                count,
                part,
                installed,
            };
            let token = context.persist(self.partition, record);
            if installed {
                self.durability.handed_over(token, self.applied);
            }
        }
    }

    /// Writes the applied ring and every entry after it again, so that no old segment is needed any more. The
    /// write may be torn anywhere: what of it is not on disk is still where it was.
    pub(crate) fn copy_forward<R: Rules>(&mut self, context: &mut Context<'_, R>) {
        if !self.durability.on_disk() {
            return;
        }
        self.write_state(context, false);
        let copied = |entry: &LogEntry| Record::Copied {
            partition: self.partition,
            replica: self.id,
            entry: entry.clone(),
            commit: self.commit,
            end: self.log.last(),
        };
        for entry in self.log.entries().filter(|it| it.lsn > self.applied) {
            context.persist(self.partition, copied(entry));
        }
    }

    /// Marks an empty replica whose log may have been cut from the disk whole.
    pub(crate) fn mark_cut<R: Rules>(&mut self, context: &mut Context<'_, R>) {
        self.cut_mark = CutMark::Carried;
        let (partition, replica) = (self.partition, self.id);
        context.persist(partition, Record::CutMark { partition, replica });
    }

    /// Takes the mark of a cut tail away, as soon as that is on disk.
    pub(crate) fn clear_cut_mark<R: Rules>(&mut self, context: &mut Context<'_, R>) {
        if self.cut_mark != CutMark::Carried {
            return;
        }
        self.cut_mark = if self.durability.on_disk() {
            let record = Record::CutMarkCleared {
                partition: self.partition,
                replica: self.id,
            };
            CutMark::Going(context.persist(self.partition, record))
        } else {
            CutMark::None
        };
    }

    /// The disk has everything up to `token`. Tells whether that changes what the primary must hear.
    pub(crate) fn persisted(&mut self, token: PersistToken) -> bool {
        let longer = self.durability.confirmed(token);
        self.cut_mark.confirmed(token) || longer
    }

    /// Fences a message to a replica.
    pub(crate) fn fence<R: Rules>(&self, context: &Context<'_, R>, to: ReplicaId) -> Fence {
        Fence {
            partition: self.partition,
            generation: self.configuration.generation,
            term: self.term,
            from: self.id,
            to,
            to_start: self.start_of(context, to),
        }
    }

    fn start_of<R: Rules>(&self, context: &Context<'_, R>, to: ReplicaId) -> StartNonce {
        context
            .shared
            .starts
            .get(&to.member)
            .copied()
            .unwrap_or(StartNonce::ZERO)
    }

    /// Notes that a new generation began: the old one's primary may live on under leases that ended processes granted, of
    /// which nobody is left to tell. A full lease runs from now on, since the proof of the loss came before (PROTOCOL §2,
    /// "a new generation takes effect one full lease after the last proof").
    pub(crate) fn outlast_old_life<R: Rules>(&mut self, context: &Context<'_, R>) {
        self.lease_floor = self.lease_floor.max(Some(context.now));
    }

    /// Notes that `leader` no longer leads: what we granted it until now it may hold on to (I14).
    pub(crate) fn note_deposed<R: Rules>(
        &mut self,
        context: &Context<'_, R>,
        leader: Option<ReplicaId>,
    ) {
        if let Some(leader) = leader
            && leader.member != self.id.member
        {
            let granted = context.shared.leases.last_granted(leader.member);
            self.lease_floor = self.lease_floor.max(granted);
        }
    }
}
