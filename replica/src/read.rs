//! Reads at the primary, under lease (I14, I15): retrieve, get, list. Only what is applied is visible (I11).

use std::sync::Arc;

use ringhold_ringbuffer::{Absence, Op, TaskEntry};
use ringhold_types::{
    AttemptNumber, ErrorCode, Millis, Outcome, RequestId, RingTime, Sequence, TaskStatus, limits,
};

use crate::admission::{Completion, RETRY_AFTER};
use crate::context::Context;
use crate::core::Core;
use crate::primary::Primary;
use crate::request::{Asked, Reply, Request, RequestToken, TaskPage, TaskView};
use crate::requests::{Waiting, refused, retry_later};
use crate::rules::Rules;

impl Primary {
    /// A request that reads.
    pub(crate) fn read<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        token: RequestToken,
        request: Request,
    ) {
        let now = self.time(core, context);
        let reply = match request {
            Request::Retrieve {
                sequence,
                dispose,
                wait,
                keep: _,
            } => {
                self.retrieve(core, context, token, sequence, dispose, wait);
                return;
            }
            Request::Get { sequence } => match core.ring.look_up(sequence) {
                Ok(entry) => Reply::Task(Box::new(view(entry, now))),
                Err(absence) => absent(absence),
            },
            Request::List {
                after,
                statuses,
                older_than,
                most,
            } => page(core, now, after, &statuses, older_than, most),
            // Requests that change something do not come here.
            _ => return,
        };
        self.reply(core, context, token, reply, false);
    }

    fn retrieve<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        token: RequestToken,
        sequence: Sequence,
        dispose: Option<RequestId>,
        wait: bool,
    ) {
        match core.ring.look_up(sequence) {
            Err(absence) => {
                let reply = repeated(core, sequence, dispose.as_ref()).unwrap_or(absent(absence));
                self.reply(core, context, token, reply, false);
            }
            Ok(entry) => match (entry.outcome().cloned(), dispose) {
                (Some(outcome), None) => {
                    let attempts = attempts_of(entry);
                    let reply = Reply::Outcome {
                        sequence,
                        outcome,
                        attempts,
                    };
                    self.reply(core, context, token, reply, false);
                }
                (Some(outcome), Some(request)) => {
                    let attempts = attempts_of(entry);
                    let taken = Taken {
                        sequence,
                        outcome,
                        attempts,
                    };
                    self.take_outcome(core, context, token, request, taken);
                }
                (None, dispose) if wait => self.park(core, context, token, sequence, dispose),
                (None, _) => {
                    let status = entry.status(self.time(core, context));
                    self.reply(core, context, token, Reply::NotYet { status }, false);
                }
            },
        }
    }

    fn park<R: Rules>(
        &mut self,
        core: &Core,
        context: &mut Context<'_, R>,
        token: RequestToken,
        sequence: Sequence,
        dispose: Option<RequestId>,
    ) {
        if !context.shared.requests.may_park(token) {
            let text = format!("too many requests wait at partition {}", core.partition);
            context.answer(
                token,
                retry_later(ErrorCode::TooManyWaiters, text, RETRY_AFTER),
            );
            return;
        }
        context
            .shared
            .requests
            .set_waiting(token, Waiting::Parked(sequence));
        self.waiters.park(sequence, token, dispose);
    }

    /// A destructive read: the outcome goes for everybody, and the reader gets it once that is committed.
    pub(crate) fn take_outcome<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        token: RequestToken,
        request: RequestId,
        taken: Taken,
    ) {
        let op = Op::Dispose {
            sequence: taken.sequence,
            request: Some(request.clone()),
        };
        let lsn = self.append(core, context, op);
        let completion = Completion::Take {
            token,
            request,
            outcome: taken.outcome,
            attempts: taken.attempts,
        };
        self.complete_at(context, lsn, token, completion);
    }

    /// The status that a parked retrieval is told at its deadline.
    pub(crate) fn status_of<R: Rules>(
        &self,
        core: &Core,
        context: &Context<'_, R>,
        sequence: Sequence,
    ) -> Option<TaskStatus> {
        let entry = core.ring.look_up(sequence).ok()?;
        Some(entry.status(self.time(core, context)))
    }
}

/// An outcome that a destructive read takes.
pub(crate) struct Taken {
    pub(crate) sequence: Sequence,
    pub(crate) outcome: Arc<Outcome>,
    pub(crate) attempts: u32,
}

/// The answer for an id without an entry.
pub(crate) fn absent(absence: Absence) -> Reply {
    refused(absence.code(), absence.to_string())
}

/// What a replica that does not lead would answer from what it has: the sabotage of I15.
pub(crate) fn read_here(core: &Core, asked: &Asked) -> Option<Reply> {
    let Request::Retrieve { sequence, .. } = asked.request else {
        return None;
    };
    match core.ring.look_up(sequence) {
        Ok(entry) => entry.outcome().map(|outcome| Reply::Outcome {
            sequence,
            outcome: Arc::clone(outcome),
            attempts: attempts_of(entry),
        }),
        Err(absence) => Some(absent(absence)),
    }
}

/// The answer to a repeated destructive read, while it is kept (PROTOCOL §4, dispose-grace).
pub(crate) fn repeated(
    core: &Core,
    sequence: Sequence,
    request: Option<&RequestId>,
) -> Option<Reply> {
    let kept = core.ring.disposed_outcome(sequence, request?)?;
    Some(Reply::Outcome {
        sequence,
        outcome: Arc::clone(&kept.outcome),
        attempts: count_of(kept.attempts),
    })
}

/// Attempts that a task took.
pub(crate) fn attempts_of(entry: &TaskEntry) -> u32 {
    count_of(entry.attempts)
}

fn count_of(attempts: AttemptNumber) -> u32 {
    u32::try_from(attempts.0).unwrap_or(u32::MAX)
}

fn view(entry: &TaskEntry, now: RingTime) -> TaskView {
    TaskView {
        status: entry.status(now),
        entry: entry.clone(),
        now,
    }
}

fn page(
    core: &Core,
    now: RingTime,
    after: Option<Sequence>,
    statuses: &[TaskStatus],
    older_than: Option<Millis>,
    most: usize,
) -> Reply {
    let most = most.clamp(1, limits::LIST_PAGE_MAX);
    let first = after.map_or(Sequence::from_bits(0), |it| {
        Sequence::from_bits(it.bits().saturating_add(1))
    });
    let wanted = |entry: &&TaskEntry| {
        let status = statuses.is_empty() || statuses.contains(&entry.status(now));
        status && older_than.is_none_or(|age| now.since(entry.accepted) >= age)
    };
    let mut found = core.ring.entries_from(first).filter(wanted);
    let tasks: Vec<TaskView> = found
        .by_ref()
        .take(most)
        .map(|entry| view(entry, now))
        .collect();
    let more = found.next().is_some();
    let next_after = tasks
        .last()
        .filter(|_| more)
        .map(|task| task.entry.sequence);
    Reply::Page(TaskPage { tasks, next_after })
}
