//! Execution: attempts run for a while in the process that started them and end with a value that no other run has.

use std::sync::Arc;

use bytes::Bytes;
use ringhold_history::{Kind, Run as Ran};
use ringhold_replica::{AttemptEnd, Event, StartAttempt};
use ringhold_types::{AttemptToken, Failure, FailureKind, StartNonce, TaskResult};

use super::World;
use super::clients::id;
use super::host::{Process, Run};
use super::queue::Happening;
use crate::coverage::Mark;
use crate::plan::{MILLISECOND, SECOND};

/// Of so many millionths of the attempts the handler does not begin at once: no thread is free, or its program starts slowly.
const BEGINS_LATE: u32 = 100_000;
/// The same on a busy member.
const BUSY_BEGINS_LATE: u32 = 600_000;
/// How long attempts of a busy member take at most, beyond what others do.
const LONG_MAX: u64 = 3 * SECOND;
/// Of so many millionths of the attempts that are to be given back the handler does not listen.
const IS_DEAF: u32 = 500_000;
/// How long a deaf handler goes on at most after it was given up.
const DEAF_MAX: u64 = 2 * SECOND;
/// How long an attempt that is to be given back may take for it; a deaf one is given up then.
const HAND_BACK_GRACE: u64 = 50 * MILLISECOND;

impl World {
    /// An attempt begins to run in a process.
    pub(crate) fn begin_attempt(&mut self, slot: usize, start: StartNonce, attempt: StartAttempt) {
        self.next_execution += 1;
        let value = self.next_execution;
        let random = &mut self.random.execution;
        let takes = random.skewed(MILLISECOND, self.plan.work.run);
        let fails = random.chance(self.plan.work.fail);
        let end = if fails {
            AttemptEnd::Failed(Arc::new(Failure::new(
                FailureKind::Handler,
                value.to_string(),
            )))
        } else {
            AttemptEnd::Succeeded(Arc::new(TaskResult {
                payload: Bytes::copy_from_slice(&value.to_le_bytes()),
                ..TaskResult::default()
            }))
        };
        let token = attempt.token;
        let random = &mut self.random.handlers;
        let is_long = self.now < self.hosts[slot].busy_until;
        let takes = takes + if is_long { random.below(LONG_MAX) } else { 0 };
        let late = if is_long {
            BUSY_BEGINS_LATE
        } else {
            BEGINS_LATE
        };
        let late = random.chance(late).then(|| random.below(takes));
        if let Some(process) = self.hosts[slot].process.as_mut() {
            process.running.insert(token, Run::new(end, value));
        }
        self.check_slots(slot, token);
        match late {
            None => self.handler_begins(slot, start, token),
            Some(late) => {
                let begins = Happening::HandlerBegins { slot, start, token };
                self.queue.push(self.now + late, begins);
            }
        }
        let at = self.now + takes;
        self.queue
            .push(at, Happening::AttemptEnds { slot, start, token });
    }

    /// The handler of an attempt begins: from now on something of its task may be done.
    pub(crate) fn handler_begins(&mut self, slot: usize, start: StartNonce, token: AttemptToken) {
        let Some(run) = self
            .process_of(slot, start)
            .and_then(|process| process.running.get_mut(&token))
        else {
            return;
        };
        // One that was told to end before is not begun any more.
        if run.is_told {
            return;
        }
        run.has_begun = true;
        let ran = Ran {
            id: id(token.partition, token.sequence),
            term: token.term.0,
            attempt: token.attempt.0,
            value: run.value,
        };
        self.note(usize::MAX, ran.value, Kind::Ran(ran));
    }

    /// No more handlers of an executor run in a process than it has slots, those included that were given up.
    fn check_slots(&mut self, slot: usize, token: AttemptToken) {
        let executor = token.partition.executor;
        let Some(process) = self.hosts[slot].process.as_ref() else {
            return;
        };
        let used = process.slots_in_use(executor);
        if used > self.plan.pool_size {
            let member = self.hosts[slot].member;
            self.violate(
                "PoolSize",
                format!(
                    "{used} handlers at {member}, which has {} slots",
                    self.plan.pool_size
                ),
            );
        }
    }

    /// An attempt is told to stop: it does so, soon.
    pub(crate) fn abort_attempt(&mut self, slot: usize, start: StartNonce, token: AttemptToken) {
        let ignores = self.random.execution.chance(300_000);
        let after = self.random.execution.below(50 * MILLISECOND);
        let Some(process) = self.hosts[slot].process.as_mut() else {
            return;
        };
        if let Some(run) = process.running.get_mut(&token)
            && !ignores
        {
            run.end = AttemptEnd::Aborted;
            run.is_told = true;
            let at = self.now + after;
            self.queue
                .push(at, Happening::AttemptEnds { slot, start, token });
        }
    }

    /// An attempt is told to end so that its task can run elsewhere: the time of its member's drain is over.
    pub(crate) fn hand_back(&mut self, slot: usize, start: StartNonce, token: AttemptToken) {
        let random = &mut self.random.handlers;
        let is_deaf = random.chance(IS_DEAF);
        let after = random.below(HAND_BACK_GRACE);
        let deaf_for = random.below(DEAF_MAX);
        let Some(run) = self
            .process_of(slot, start)
            .and_then(|process| process.running.get_mut(&token))
            .filter(|run| !run.is_told)
        else {
            return;
        };
        run.is_told = true;
        let within = match run.has_begun {
            false => {
                run.end = AttemptEnd::NotBegun;
                0
            }
            true if is_deaf => {
                run.end = AttemptEnd::HandedBack;
                run.lingers = Some(deaf_for);
                HAND_BACK_GRACE
            }
            true => {
                run.end = AttemptEnd::HandedBack;
                after
            }
        };
        let at = self.now + within;
        self.queue
            .push(at, Happening::AttemptEnds { slot, start, token });
    }

    /// An attempt ends.
    pub(crate) fn attempt_ends(&mut self, slot: usize, start: StartNonce, token: AttemptToken) {
        let ends = Happening::AttemptEnds { slot, start, token };
        if self.waits_for_pause(slot, ends) {
            return;
        }
        let Some(run) = self
            .process_of(slot, start)
            .and_then(|process| process.running.remove(&token))
        else {
            return;
        };
        match run.end {
            AttemptEnd::HandedBack => self.coverage.mark(Mark::AttemptHandedBack),
            AttemptEnd::NotBegun => {
                self.coverage.mark(Mark::HandedBackUnbegun);
                let attempt = (token.partition, token.sequence, token.attempt);
                self.unbegun.insert(attempt);
            }
            _ => {}
        }
        if let Some(deaf_for) = run.lingers {
            self.coverage.mark(Mark::HandlerGivenUp);
            if let Some(process) = self.process_of(slot, start) {
                process.lingering.insert(token);
            }
            self.put(slot, Event::GivenUp(token));
            let returns = Happening::HandlerReturns { slot, start, token };
            self.queue.push(self.now + deaf_for, returns);
        }
        let end = run.end;
        self.put(slot, Event::Attempt { token, end });
    }

    /// A handler that was given up returns.
    pub(crate) fn handler_returns(&mut self, slot: usize, start: StartNonce, token: AttemptToken) {
        let returns = Happening::HandlerReturns { slot, start, token };
        if self.waits_for_pause(slot, returns) {
            return;
        }
        if let Some(process) = self.process_of(slot, start)
            && process.lingering.remove(&token)
        {
            self.put(slot, Event::Returned(token));
        }
    }

    /// Puts off what happens in a process until its pause is over; returns whether it did.
    fn waits_for_pause(&mut self, slot: usize, happening: Happening) -> bool {
        let paused_until = self.hosts[slot].paused_until;
        let waits = paused_until > self.now;
        if waits {
            self.queue.push(paused_until, happening);
        }
        waits
    }

    fn process_of(&mut self, slot: usize, start: StartNonce) -> Option<&mut Process> {
        let process = self.hosts[slot].process.as_mut();
        process.filter(|it| it.start == start)
    }
}
