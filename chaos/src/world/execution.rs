//! Execution: attempts run for a while in the process that started them and end with a value that no other run has.

use std::sync::Arc;

use bytes::Bytes;
use ringhold_history::{Kind, Run as Ran};
use ringhold_replica::{AttemptEnd, Event, StartAttempt};
use ringhold_types::{AttemptToken, Failure, FailureKind, StartNonce, TaskResult};

use super::World;
use super::clients::id;
use super::host::Run;
use super::queue::Happening;
use crate::plan::MILLISECOND;

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
        self.note(
            usize::MAX,
            value,
            Kind::Ran(Ran {
                id: id(token.partition, token.sequence),
                term: token.term.0,
                attempt: token.attempt.0,
                value,
            }),
        );
        let at = self.now + takes;
        self.queue
            .push(at, Happening::AttemptEnds { slot, start, token });
        if let Some(process) = self.hosts[slot].process.as_mut() {
            process.running.insert(token, Run { end });
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
            let at = self.now + after;
            self.queue
                .push(at, Happening::AttemptEnds { slot, start, token });
        }
    }

    /// Attempts of a draining process are given back.
    pub(crate) fn hand_back(&mut self, slot: usize) {
        let Some(process) = self.hosts[slot].process.as_mut() else {
            return;
        };
        let start = process.start;
        for (token, run) in &mut process.running {
            run.end = AttemptEnd::HandedBack;
            let token = *token;
            self.queue
                .push(self.now, Happening::AttemptEnds { slot, start, token });
        }
    }

    /// An attempt ends.
    pub(crate) fn attempt_ends(&mut self, slot: usize, start: StartNonce, token: AttemptToken) {
        let paused_until = self.hosts[slot].paused_until;
        let Some(process) = self.hosts[slot]
            .process
            .as_mut()
            .filter(|it| it.start == start)
        else {
            return;
        };
        if paused_until > self.now {
            self.queue
                .push(paused_until, Happening::AttemptEnds { slot, start, token });
            return;
        }
        if let Some(run) = process.running.remove(&token) {
            self.put(
                slot,
                Event::Attempt {
                    token,
                    end: run.end,
                },
            );
        }
    }
}
