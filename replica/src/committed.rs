//! What follows a committed entry: answers, wakes, starts (I11). Nothing of it comes earlier.

use std::sync::Arc;

use ringhold_ringbuffer::{Applied, LogEntry, Op};
use ringhold_types::{ErrorCode, Outcome, Sequence};

use crate::admission::{Completion, cancel_ended, clash};
use crate::context::Context;
use crate::core::Core;
use crate::primary::Primary;
use crate::read::{Taken, absent, attempts_of, repeated};
use crate::request::Reply;
use crate::requests::refused;
use crate::rules::Rules;

impl Primary {
    /// An entry is committed and applied.
    pub(crate) fn committed<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        entry: &LogEntry,
        applied: Applied,
    ) {
        if entry.lsn == self.term_start {
            self.begin_leading(core, context);
            return;
        }
        if !self.is_leading() {
            return;
        }
        self.accepts.applied(&entry.op);
        if self.configuring.is_some_and(|lsn| entry.lsn >= lsn) {
            self.configuring = None;
        }
        if self.housekeeping.is_some_and(|lsn| entry.lsn >= lsn) {
            self.housekeeping = None;
        }
        self.follow(core, context, entry, &applied);
        for completion in self.completions.remove(&entry.lsn).unwrap_or_default() {
            self.complete(core, context, completion, &applied);
        }
    }

    fn follow<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        entry: &LogEntry,
        applied: &Applied,
    ) {
        match applied {
            Applied::Accepted { sequence } => self.enqueue(core, context, *sequence),
            Applied::Started { sequence, .. } | Applied::Adopted { sequence, .. } => {
                self.attempt_committed(core, context, *sequence, entry.lsn);
            }
            Applied::Waiting { sequence } => {
                self.attempt_over(core, context, *sequence, true);
                self.enqueue(core, context, *sequence);
            }
            Applied::Ended {
                sequence,
                outcome,
                disposed,
            } => {
                let reported = matches!(
                    entry.op,
                    Op::Complete { .. }
                        | Op::Fail {
                            attempt: Some(_),
                            ..
                        }
                );
                self.ended(core, context, *sequence, outcome, *disposed, reported);
            }
            Applied::Removed { sequences } => {
                for (sequence, why) in sequences {
                    self.retrieved.forget(*sequence);
                    self.schedule.remove(*sequence);
                    for token in self.waiters.take(*sequence).into_keys() {
                        self.reply(core, context, token, absent(*why), false);
                    }
                }
            }
            Applied::Refused { sequence, .. } => {
                self.operation_refused(core, context, *sequence, entry);
            }
            Applied::Nothing | Applied::TermStarted { .. } => {}
        }
    }

    /// A task has its one outcome: its attempt is over, and everybody who waits for it is answered.
    fn ended<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        sequence: Sequence,
        outcome: &Arc<Outcome>,
        disposed: bool,
        reported: bool,
    ) {
        let attempts = match core.ring.look_up(sequence) {
            Ok(entry) => attempts_of(entry),
            Err(_) => self.schedule.attempts(sequence),
        };
        self.attempt_over(core, context, sequence, reported);
        self.schedule.remove(sequence);
        for (token, dispose) in self.waiters.take(sequence) {
            if !context.shared.requests.is_open(token) {
                continue;
            }
            let outcome = Arc::clone(outcome);
            match dispose {
                Some(request) if !disposed && self.is_working() => {
                    let taken = Taken {
                        sequence,
                        outcome,
                        attempts,
                    };
                    self.take_outcome(core, context, token, request, taken);
                }
                _ => {
                    let reply = Reply::Outcome {
                        sequence,
                        outcome,
                        attempts,
                    };
                    self.reply(core, context, token, reply, false);
                }
            }
        }
    }

    fn complete<R: Rules>(
        &mut self,
        core: &mut Core,
        context: &mut Context<'_, R>,
        completion: Completion,
        applied: &Applied,
    ) {
        match completion {
            Completion::Submit { token, reused } => match applied {
                Applied::Accepted { sequence } => {
                    self.stored(core, context, token, *sequence, reused);
                }
                _ => {
                    let text = "the task was not stored: its accept did not apply";
                    context.answer(token, refused(ErrorCode::Internal, text));
                }
            },
            Completion::Clash { token } => self.reply(core, context, token, clash(), false),
            Completion::Cancel { token } => {
                let reply = match applied {
                    Applied::Refused { sequence, .. } => match core.ring.look_up(*sequence) {
                        Ok(entry) => cancel_ended(entry.outcome()),
                        Err(absence) => absent(absence),
                    },
                    _ => Reply::Done,
                };
                self.reply(core, context, token, reply, true);
            }
            Completion::Dispose { token } => {
                let reply = match applied {
                    Applied::Refused { sequence, .. } => match core.ring.look_up(*sequence) {
                        Ok(_) => refused(ErrorCode::FailedPrecondition, "the task has not ended"),
                        Err(absence) => absent(absence),
                    },
                    _ => Reply::Done,
                };
                self.reply(core, context, token, reply, true);
            }
            Completion::Take {
                token,
                request,
                outcome,
                attempts,
            } => {
                let reply = match applied {
                    Applied::Removed { sequences } => {
                        let sequence = sequences.first().map_or(Sequence::default(), |it| it.0);
                        Reply::Outcome {
                            sequence,
                            outcome,
                            attempts,
                        }
                    }
                    Applied::Refused { sequence, .. } => repeated(core, *sequence, Some(&request))
                        .unwrap_or_else(|| match core.ring.look_up(*sequence) {
                            Ok(_) => refused(ErrorCode::Internal, "the outcome was not taken"),
                            Err(absence) => absent(absence),
                        }),
                    _ => refused(ErrorCode::Internal, "the outcome was not taken"),
                };
                self.reply(core, context, token, reply, true);
            }
        }
    }
}
