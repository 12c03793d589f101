//! Which waiting task starts next (PROTOCOL §3, starts and poison).
//!
//! A start goes unawaited only in the term in which its task was accepted; in a later term it waits for its commit, because
//! an earlier primary may have started the task without our log knowing. Such tasks are left alone for the adopt window.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use ringhold_ringbuffer::{EntryState, LogEntry, Op, TaskEntry};
use ringhold_types::{
    AttemptNumber, AttemptToken, Failure, FailureKind, Lsn, MemberId, OnInterrupt, PartitionKey,
    RingTime, Sequence, TaskSpec, Term, Tick, limits,
};

use crate::context::Context;
use crate::core::Core;
use crate::effect::{Note, StartAttempt};
use crate::primary::Primary;
use crate::rules::{Rule, Rules};

/// Deaths of members under a task after which it runs only as the sole suspect on its member.
const SUSPECT_AFTER: u32 = 2;

/// An attempt that was started or adopted in this term and has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Current {
    /// Its token in this term.
    pub(crate) token: AttemptToken,
    /// The token that its executing member last named.
    pub(crate) known_as: AttemptToken,
    /// Who executes it.
    pub(crate) member: MemberId,
    /// The entry that started or adopted it.
    pub(crate) lsn: Lsn,
    /// Whether that is committed.
    pub(crate) committed: bool,
    /// Whether it was started here by us (an adopted one runs already).
    pub(crate) started: bool,
    /// The entry with its report, once there is one.
    pub(crate) ending: Option<Lsn>,
    /// Whether its executing member is known to have it, in the process start that we know: an attempt that was handed over,
    /// or whose member died before the adoption was committed, is left alone for the adopt window only.
    pub(crate) heard: bool,
}

/// What a turn of a pool brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// A slot was given.
    Started,
    /// Nothing waits.
    Empty,
    /// Something waits and may not start now.
    Blocked,
}

/// Everything that waits or runs in this term.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Schedule {
    /// Tasks that may start, in order of their sequences.
    ready: BTreeSet<Sequence>,
    /// Tasks whose time has not come.
    delayed: BTreeSet<(RingTime, Sequence)>,
    delayed_until: BTreeMap<Sequence, RingTime>,
    /// Waiting tasks of older terms, until `older_until`.
    older: BTreeSet<Sequence>,
    older_until: Tick,
    /// Attempts of older terms that nobody has offered yet, until `orphans_until`.
    pub(crate) orphans: BTreeSet<Sequence>,
    orphans_until: Tick,
    /// Attempts of this term.
    pub(crate) current: BTreeMap<Sequence, Current>,
    /// Attempts of this term that were in doubt: those of which [`Current::heard`] is not set are among them.
    doubted: BTreeSet<Sequence>,
    /// Committed starts that wait for a lease.
    unstarted: BTreeSet<Sequence>,
    /// Whether something ready waits for a lease.
    lease_missing: bool,
    /// Wait and total limits that have not run out.
    limits: BTreeSet<(RingTime, Sequence, bool)>,
    limits_of: BTreeMap<Sequence, Vec<(RingTime, bool)>>,
    /// Attempts that the primary before handed over, if it did.
    handed_over: Option<Vec<(Sequence, Term, AttemptNumber)>>,
}

impl Schedule {
    /// Notes what the primary before handed over, if its `HandOver` to us ends the log.
    pub(crate) fn take_hand_over(&mut self, core: &Core) {
        let last: Option<&LogEntry> = core.log.last_entry();
        if let Some(Op::HandOver { to, running }) = last.map(|entry| &entry.op)
            && *to == core.id
        {
            self.handed_over = Some(running.clone());
        }
    }

    /// Whether anything waits for a lease.
    pub(crate) fn waits_for_lease(&self) -> bool {
        self.lease_missing || !self.unstarted.is_empty()
    }

    /// Whether every committed start has begun.
    pub(crate) fn all_started(&self) -> bool {
        self.unstarted.is_empty()
    }

    /// The newest attempt of a task, as far as this term knows.
    pub(crate) fn attempts(&self, sequence: Sequence) -> u32 {
        let current = self.current.get(&sequence);
        current.map_or(0, |it| {
            u32::try_from(it.token.attempt.0).unwrap_or(u32::MAX)
        })
    }

    /// The task waits and runs no more.
    pub(crate) fn remove(&mut self, sequence: Sequence) {
        self.ready.remove(&sequence);
        self.older.remove(&sequence);
        self.orphans.remove(&sequence);
        self.unstarted.remove(&sequence);
        if let Some(due) = self.delayed_until.remove(&sequence) {
            self.delayed.remove(&(due, sequence));
        }
        for (time, total) in self.limits_of.remove(&sequence).unwrap_or_default() {
            self.limits.remove(&(time, sequence, total));
        }
    }

    /// The task does not wait any more: an attempt of it runs.
    pub(crate) fn runs(&mut self, sequence: Sequence, current: Current) {
        self.ready.remove(&sequence);
        self.older.remove(&sequence);
        self.orphans.remove(&sequence);
        if let Some(due) = self.delayed_until.remove(&sequence) {
            self.delayed.remove(&(due, sequence));
        }
        self.current.insert(sequence, current);
    }

    /// The member under a running attempt is dead: its task may run again.
    pub(crate) fn died(&mut self, sequence: Sequence) {
        self.current.remove(&sequence);
        self.ready.insert(sequence);
    }

    /// The ready task after this one.
    fn ready_after(&self, sequence: Sequence) -> Option<Sequence> {
        let after = (Bound::Excluded(sequence), Bound::Unbounded);
        self.ready.range(after).next().copied()
    }

    /// Nobody is known to have the attempt of a task until its member names it again.
    pub(crate) fn doubt(&mut self, sequence: Sequence) {
        if let Some(current) = self.current.get_mut(&sequence) {
            current.heard = false;
            self.doubted.insert(sequence);
        }
    }

    /// Adopted attempts that nobody is known to have.
    fn unheard(&self) -> impl Iterator<Item = Sequence> {
        let is_unheard = |sequence: &&Sequence| {
            let current = self.current.get(*sequence);
            current.is_some_and(|it| it.committed && !it.heard && it.ending.is_none())
        };
        self.doubted.iter().filter(is_unheard).copied()
    }

    /// Forgets doubts that are settled.
    fn settle_doubts(&mut self) {
        let current = &self.current;
        self.doubted
            .retain(|sequence| current.get(sequence).is_some_and(|it| !it.heard));
    }

    /// At step-down: slots of starts that never began are freed. What runs goes on, for the next primary.
    pub(crate) fn release<R: Rules>(&self, context: &mut Context<'_, R>, partition: PartitionKey) {
        use crate::attempts::LocalState;
        let reserved: Vec<AttemptToken> = context
            .shared
            .attempts
            .of(partition)
            .filter(|(_, attempt)| attempt.state == LocalState::Reserved)
            .map(|(token, _)| *token)
            .collect();
        for token in reserved {
            context.shared.attempts.forget(token);
        }
    }

    fn wait(&mut self, entry: &TaskEntry, now: RingTime) {
        let sequence = entry.sequence;
        let EntryState::Waiting { due, .. } = entry.state else {
            return;
        };
        match due {
            Some(due) if due > now => {
                self.delayed.insert((due, sequence));
                self.delayed_until.insert(sequence, due);
            }
            _ => {
                self.ready.insert(sequence);
            }
        }
    }

    fn watch_limits(&mut self, entry: &TaskEntry) {
        let limits = &entry.task.limits;
        let times = [(limits.wait, false), (limits.total, true)];
        let watched = self.limits_of.entry(entry.sequence).or_default();
        if !watched.is_empty() {
            return;
        }
        for (span, total) in times {
            if let Some(span) = span {
                let time = entry.accepted.after(span);
                watched.push((time, total));
                self.limits.insert((time, entry.sequence, total));
            }
        }
        if watched.is_empty() {
            self.limits_of.remove(&entry.sequence);
        }
    }
}

impl Primary {
    /// Builds the schedule from the ring, when the term's `TermStart` is applied.
    pub(crate) fn build_schedule<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
    ) {
        let now = self.time(core, context);
        let window = context.now.after(context.shared.timing.adopt_window);
        let handed_over = self.schedule.handed_over.take();
        self.schedule.orphans_until = window;
        self.schedule.older_until = if handed_over.is_some() {
            context.now
        } else {
            window
        };
        for entry in core.ring.entries().filter(|entry| entry.is_unfinished()) {
            self.schedule.watch_limits(entry);
            if matches!(entry.state, EntryState::Running { .. }) {
                self.schedule.orphans.insert(entry.sequence);
            } else if entry.accepted_term < core.term {
                self.schedule.older.insert(entry.sequence);
            } else {
                self.schedule.wait(entry, now);
            }
        }
        for (sequence, term, attempt) in handed_over.unwrap_or_default() {
            self.adopt_handed_over(core, context, sequence, term, attempt);
        }
    }

    /// A task waits for its next attempt.
    pub(crate) fn enqueue<R: Rules>(
        &mut self,
        core: &Core,
        context: &mut Context<'_, R>,
        sequence: Sequence,
    ) {
        let now = self.time(core, context);
        if let Ok(entry) = core.ring.look_up(sequence) {
            self.schedule.watch_limits(entry);
            self.schedule.wait(entry, now);
        }
    }

    /// Does what is due: windows that ended, delays and limits that ran out, starts that waited for a lease.
    pub(crate) fn look_at_attempts<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
    ) {
        let now = self.time(core, context);
        if context.now >= self.schedule.older_until {
            for sequence in std::mem::take(&mut self.schedule.older) {
                if let Ok(entry) = core.ring.look_up(sequence) {
                    self.schedule.wait(entry, now);
                }
            }
        }
        if context.now >= self.schedule.orphans_until {
            let orphans = std::mem::take(&mut self.schedule.orphans);
            self.schedule.ready.extend(orphans);
            let unheard: Vec<Sequence> = self.schedule.unheard().collect();
            for sequence in unheard {
                self.schedule.died(sequence);
            }
            self.schedule.settle_doubts();
        }
        while let Some((due, sequence)) = self.schedule.delayed.first().copied() {
            if due > now {
                break;
            }
            self.schedule.delayed.pop_first();
            self.schedule.delayed_until.remove(&sequence);
            self.schedule.ready.insert(sequence);
        }
        self.enforce_limits(core, context, now);
        self.begin_unstarted(core, context);
        if self.schedule.ready.is_empty() || self.hand_over.is_some() {
            context.shared.pools.withdraw(core.partition);
        } else {
            context.shared.pools.offer(core.partition);
        }
    }

    fn enforce_limits<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        now: RingTime,
    ) {
        if self.hand_over.is_some() {
            return;
        }
        while let Some((time, sequence, total)) = self.schedule.limits.first().copied() {
            if time > now {
                break;
            }
            self.schedule.limits.pop_first();
            if let Some(rest) = self.schedule.limits_of.get_mut(&sequence) {
                rest.retain(|it| *it != (time, total));
            }
            let Ok(entry) = core.ring.look_up(sequence) else {
                continue;
            };
            let begun = entry.attempts > AttemptNumber::ZERO
                || self.schedule.current.contains_key(&sequence);
            if !entry.is_unfinished() || (!total && begun) {
                continue;
            }
            let text = if total {
                "the task's total time limit ran out"
            } else {
                "no attempt started within the task's wait limit"
            };
            self.fail(core, context, sequence, FailureKind::TimedOut, text);
        }
    }

    /// Ends a task with a failure that no attempt reported.
    fn fail<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        sequence: Sequence,
        kind: FailureKind,
        text: &str,
    ) {
        let op = Op::Fail {
            sequence,
            attempt: None,
            failure: std::sync::Arc::new(Failure::new(kind, text)),
            dead_letter: false,
        };
        self.append(core, context, op);
    }

    /// Gives one slot to the next task in order.
    pub(crate) fn start_next<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
    ) -> Turn {
        if self.schedule.ready.is_empty() {
            return Turn::Empty;
        }
        let uncommitted = core.log.last().0.saturating_sub(core.commit.0);
        let crowded = uncommitted >= limits::UNCOMMITTED_ENTRIES_MAX as u64;
        if self.hand_over.is_some() || crowded || !self.may_answer(core, context) {
            self.schedule.lease_missing = self.hand_over.is_none() && !crowded;
            return Turn::Blocked;
        }
        self.schedule.lease_missing = false;
        // One that may not start now stays where it is, and the next one has its turn.
        let mut next = self.schedule.ready.first().copied();
        while let Some(sequence) = next {
            if self.start(core, context, sequence) {
                return Turn::Started;
            }
            next = self.schedule.ready_after(sequence);
        }
        if self.schedule.ready.is_empty() {
            Turn::Empty
        } else {
            Turn::Blocked
        }
    }

    /// Starts the next attempt of a task. `false` if it took no slot: it ended, it is poison, or it is a suspect that must
    /// run alone.
    fn start<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        sequence: Sequence,
    ) -> bool {
        let waiting = core
            .ring
            .look_up(sequence)
            .ok()
            .filter(|it| it.is_unfinished());
        let Some(entry) = waiting.filter(|_| !self.schedule.current.contains_key(&sequence)) else {
            self.schedule.ready.remove(&sequence);
            return false;
        };
        let died = matches!(entry.state, EntryState::Running { .. });
        let deaths = entry.crashes + u32::from(died);
        let once = entry.task.on_interrupt == OnInterrupt::Fail;
        if died && (once || deaths >= core.ring.limits().crash_limit) {
            self.schedule.ready.remove(&sequence);
            let poison = (!once).then_some(deaths);
            self.end_by_death(core, context, sequence, poison);
            return false;
        }
        let suspect = deaths >= SUSPECT_AFTER;
        if suspect && context.shared.attempts.runs_suspect() {
            return false;
        }
        let attempt = entry.attempts.next();
        let again = suspect || died || once || entry.accepted_term != core.term;
        let awaited = again && !context.drops(Rule::StartAwaited);
        let token = AttemptToken {
            partition: core.partition,
            sequence,
            term: core.term,
            attempt,
        };
        let member = core.id.member;
        let lsn = self.append(
            core,
            context,
            Op::Start {
                sequence,
                attempt,
                member,
            },
        );
        context.shared.attempts.reserve(token, suspect);
        let current = Current {
            token,
            known_as: token,
            member,
            lsn,
            committed: false,
            started: false,
            ending: None,
            heard: true,
        };
        self.schedule.runs(sequence, current);
        if died {
            context.note(Note::Rerun(core.partition));
        }
        if !awaited {
            self.begin(core, context, sequence);
        }
        true
    }

    /// Ends a task whose member died: as poison after this many deaths, or as one that must not run twice.
    fn end_by_death<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        sequence: Sequence,
        poison: Option<u32>,
    ) {
        if let Some(deaths) = poison {
            context.note(Note::Poisoned(core.partition));
            let limit = core.ring.limits().crash_limit;
            let text = format!(
                "{deaths} members died while they ran the task, and crash-limit is {limit}; find out what it does to \
                them before it is submitted again"
            );
            self.fail(core, context, sequence, FailureKind::Poison, &text);
        } else {
            let text = "the member that ran the task is gone, and the task must not run twice";
            self.fail(core, context, sequence, FailureKind::Interrupted, text);
        }
    }

    /// Hands a started attempt to its executor.
    pub(crate) fn begin<R: Rules>(
        &mut self,
        core: &Core,
        context: &mut Context<'_, R>,
        sequence: Sequence,
    ) {
        let Ok(entry) = core.ring.look_up(sequence) else {
            return;
        };
        let Some(current) = self.schedule.current.get_mut(&sequence) else {
            return;
        };
        current.started = true;
        context.shared.attempts.started(current.token);
        context.effects.starts.push(StartAttempt {
            token: current.token,
            task: std::sync::Arc::clone(&entry.task),
            checkpoint: entry.checkpoint.clone(),
        });
    }

    /// The sabotage of G2: a task's first attempt begins while its accept is only appended.
    pub(crate) fn begin_unstored<R: Rules>(
        &self,
        core: &Core,
        context: &mut Context<'_, R>,
        sequence: Sequence,
        task: &std::sync::Arc<TaskSpec>,
    ) {
        if !self.may_answer(core, context) {
            return;
        }
        context.effects.starts.push(StartAttempt {
            token: AttemptToken {
                partition: core.partition,
                sequence,
                term: core.term,
                attempt: AttemptNumber::ZERO.next(),
            },
            task: std::sync::Arc::clone(task),
            checkpoint: None,
        });
    }

    /// A committed start begins, under a lease (I14); without one it waits.
    pub(crate) fn begin_committed<R: Rules>(
        &mut self,
        core: &Core,
        context: &mut Context<'_, R>,
        sequence: Sequence,
    ) {
        if self.may_answer(core, context) {
            self.begin(core, context, sequence);
        } else {
            self.schedule.unstarted.insert(sequence);
        }
    }

    fn begin_unstarted<R: Rules>(&mut self, core: &Core, context: &mut Context<'_, R>) {
        if self.schedule.unstarted.is_empty() || !self.may_answer(core, context) {
            return;
        }
        for sequence in std::mem::take(&mut self.schedule.unstarted) {
            self.begin(core, context, sequence);
        }
    }

    /// When something here is due.
    pub(crate) fn attempts_deadline(&self) -> Option<Tick> {
        let schedule = &self.schedule;
        let older = (!schedule.older.is_empty()).then_some(schedule.older_until);
        let waits = !schedule.orphans.is_empty() || schedule.unheard().next().is_some();
        let orphans = waits.then_some(schedule.orphans_until);
        let delayed = schedule
            .delayed
            .first()
            .map(|(due, _)| self.clock.tick(*due));
        let limit = schedule
            .limits
            .first()
            .map(|(due, ..)| self.clock.tick(*due));
        [older, orphans, delayed, limit].into_iter().flatten().min()
    }
}
