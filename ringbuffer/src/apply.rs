//! The only way a ring changes: total, deterministic and clock-free (PROTOCOL I13).

use std::sync::Arc;

use bytes::Bytes;
use ringhold_types::limits::CHECKPOINT_BYTES_MAX;
use ringhold_types::{
    Attempt, AttemptNumber, Failure, FailureKind, Generation, MemberId, Outcome, RequestId,
    RingTime, Sequence, TaskSpec, Term, UnixMillis,
};

use crate::retention::LostRange;
use crate::ring::first_of;
use crate::{Absence, Applied, EntryState, LogEntry, Op, Refusal, Ring, RingLimits, TaskEntry};

/// Rules of apply that the explorer drops on purpose, to see that it notices. The default drops none; nothing but a
/// sabotaged replica passes another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quirks {
    /// An outcome may be replaced by a later one (drops G3 and I12).
    pub second_outcome_replaces: bool,
    /// After a loss the ring goes on with its old next sequence, so lost ids are given again (drops G5).
    pub sequences_restart_after_loss: bool,
    /// Ring time is read from this replica's own clock instead of the entry (drops I16).
    pub local_clock: Option<RingTime>,
}

impl Ring {
    /// Applies one committed entry. Total: what does not fit the ring is refused and changes nothing but ring time.
    pub fn apply(&mut self, entry: &LogEntry) -> Applied {
        self.apply_with(entry, Quirks::default())
    }

    /// [`Ring::apply`] with rules dropped, for the explorer's sabotages.
    pub fn apply_with(&mut self, entry: &LogEntry, quirks: Quirks) -> Applied {
        let time = quirks.local_clock.unwrap_or(entry.time);
        self.time = self.time.max(time);
        match &entry.op {
            Op::TermStart { generation, .. } => self.start_term(*generation, quirks),
            Op::Configure(limits) => self.configure(limits),
            Op::Accept {
                sequence,
                task,
                accepted_at,
            } => refused(
                *sequence,
                self.accept(*sequence, task, entry.term, *accepted_at),
            ),
            Op::MarkRetrieved { sequences } => {
                for sequence in sequences {
                    self.mark_retrieved(*sequence);
                }
                Applied::Nothing
            }
            Op::Dispose { sequence, request } => {
                refused(*sequence, self.apply_dispose(*sequence, request.as_ref()))
            }
            Op::Evict { sequences } => self.remove_ended(sequences, Absence::Overwritten),
            Op::Expire { sequences } => self.remove_ended(sequences, Absence::Expired),
            Op::ForgetKeys { removed_before } => {
                self.keys.forget_before(*removed_before);
                self.grace.forget_due(self.time);
                Applied::Nothing
            }
            Op::HandOver { .. } => Applied::Nothing,
            Op::Cancel { sequence } => refused(*sequence, self.cancel(*sequence, quirks)),
            // Named one by one: an operation without a rule must not compile, let alone change nothing.
            op @ (Op::Start { .. }
            | Op::Adopt { .. }
            | Op::Checkpoint { .. }
            | Op::Complete { .. }
            | Op::Fail { .. }
            | Op::RetryAt { .. }
            | Op::HandBack { .. }) => self.apply_to_attempt(entry.term, op, quirks),
        }
    }

    /// The operations on one attempt.
    fn apply_to_attempt(&mut self, term: Term, op: &Op, quirks: Quirks) -> Applied {
        match op {
            Op::Start {
                sequence,
                attempt,
                member,
            } => refused(*sequence, self.start(*sequence, *attempt, term, *member)),
            Op::Adopt {
                sequence,
                attempt_term,
                attempt,
                member,
            } => {
                let token = (*attempt_term, *attempt);
                refused(*sequence, self.adopt(*sequence, token, term, *member))
            }
            Op::Checkpoint {
                sequence,
                attempt_term,
                attempt,
                bytes,
            } => {
                let token = (*attempt_term, *attempt);
                refused(*sequence, self.checkpoint(*sequence, token, bytes))
            }
            Op::Complete {
                sequence,
                attempt_term,
                attempt,
                result,
            } => {
                let outcome = Outcome::Succeeded(result.as_ref().clone());
                let token = Some((*attempt_term, *attempt));
                refused(*sequence, self.finish(*sequence, token, outcome, quirks))
            }
            Op::Fail {
                sequence,
                attempt,
                failure,
                dead_letter,
            } => {
                let outcome = if *dead_letter {
                    Outcome::DeadLettered(failure.as_ref().clone())
                } else {
                    Outcome::Failed(failure.as_ref().clone())
                };
                refused(*sequence, self.finish(*sequence, *attempt, outcome, quirks))
            }
            Op::RetryAt {
                sequence,
                attempt_term,
                attempt,
                failure,
                due,
            } => {
                let token = (*attempt_term, *attempt);
                refused(*sequence, self.retry_at(*sequence, token, failure, *due))
            }
            Op::HandBack {
                sequence,
                attempt_term,
                attempt,
            } => refused(
                *sequence,
                self.hand_back(*sequence, (*attempt_term, *attempt)),
            ),
            // The caller hands over the operations above only.
            _ => Applied::Nothing,
        }
    }

    fn start_term(&mut self, generation: Generation, quirks: Quirks) -> Applied {
        if generation <= self.generation {
            return Applied::TermStarted { lost: None };
        }
        self.generation = generation;
        if quirks.sequences_restart_after_loss {
            return Applied::TermStarted { lost: None };
        }
        let lost = LostRange {
            first: self.next,
            end: first_of(generation),
        };
        self.next = lost.end;
        self.retention.record_loss(lost);
        Applied::TermStarted { lost: Some(lost) }
    }

    fn configure(&mut self, limits: &RingLimits) -> Applied {
        self.limits = limits.clone();
        self.keys.trim(limits.dedup_keys);
        self.retention.trim(limits.history);
        Applied::Nothing
    }

    fn accept(
        &mut self,
        sequence: Sequence,
        task: &Arc<TaskSpec>,
        term: Term,
        accepted_at: UnixMillis,
    ) -> Result<Applied, Refusal> {
        if sequence != self.next {
            return Err(Refusal::NotNextSequence { next: self.next });
        }
        self.next = sequence.next().map_err(|_| Refusal::SequencesExhausted)?;
        self.insert(TaskEntry {
            sequence,
            task: Arc::clone(task),
            accepted_term: term,
            accepted: self.time,
            accepted_at,
            state: EntryState::Waiting {
                due: task.not_before,
                retry: false,
            },
            attempts: AttemptNumber::ZERO,
            crashes: 0,
            history: Vec::new(),
            checkpoint: None,
            retrieved: false,
        });
        Ok(Applied::Accepted { sequence })
    }

    fn start(
        &mut self,
        sequence: Sequence,
        attempt: AttemptNumber,
        term: Term,
        member: MemberId,
    ) -> Result<Applied, Refusal> {
        let now = self.time;
        let entry = self.unfinished(sequence)?;
        let expected = entry.attempts.next();
        if attempt != expected || attempt == entry.attempts {
            return Err(Refusal::NotNextAttempt { expected });
        }
        if matches!(entry.state, EntryState::Running { .. }) {
            entry.crashes = entry.crashes.saturating_add(1);
            entry.close_attempt(now, Some(FailureKind::Interrupted));
        }
        entry.begin_attempt(Attempt {
            number: attempt,
            term,
            member,
            started: now,
            ..Attempt::default()
        });
        Ok(Applied::Started { sequence, attempt })
    }

    fn adopt(
        &mut self,
        sequence: Sequence,
        token: (Term, AttemptNumber),
        term: Term,
        member: MemberId,
    ) -> Result<Applied, Refusal> {
        let entry = self.running(sequence, token)?;
        let attempt = token.1;
        entry.state = EntryState::Running {
            attempt,
            term,
            member,
        };
        if let Some(newest) = entry.history.last_mut() {
            newest.term = term;
            newest.member = member;
        }
        Ok(Applied::Adopted { sequence, attempt })
    }

    fn checkpoint(
        &mut self,
        sequence: Sequence,
        token: (Term, AttemptNumber),
        bytes: &Bytes,
    ) -> Result<Applied, Refusal> {
        let entry = self.running(sequence, token)?;
        if bytes.len() > CHECKPOINT_BYTES_MAX {
            return Err(Refusal::CheckpointTooLarge);
        }
        let earlier = entry.checkpoint.replace(bytes.clone());
        let earlier = earlier.map_or(0, |bytes| bytes.len());
        self.bytes = self.bytes - earlier as u64 + bytes.len() as u64;
        Ok(Applied::Nothing)
    }

    /// Ends a task with the report of its newest attempt, or without one (`token` absent).
    fn finish(
        &mut self,
        sequence: Sequence,
        token: Option<(Term, AttemptNumber)>,
        outcome: Outcome,
        quirks: Quirks,
    ) -> Result<Applied, Refusal> {
        let now = self.time;
        let kind = match &outcome {
            Outcome::Failed(failure) | Outcome::DeadLettered(failure) => Some(failure.kind),
            _ => None,
        };
        if !self.may_replace(sequence, quirks) {
            let entry = match token {
                Some(token) => self.running(sequence, token)?,
                None => self.unfinished(sequence)?,
            };
            let died = matches!(kind, Some(FailureKind::Poison | FailureKind::Interrupted));
            if token.is_none() && died && matches!(entry.state, EntryState::Running { .. }) {
                // Nobody starts it again, so the death that ended it is counted here.
                entry.crashes = entry.crashes.saturating_add(1);
            }
            entry.close_attempt(now, kind);
        }
        let outcome = Arc::new(outcome);
        self.end(sequence, Arc::clone(&outcome));
        let disposed = matches!(*outcome, Outcome::Succeeded(_))
            && self
                .entries
                .get(&sequence)
                .is_some_and(|entry| entry.task.dispose_on_success);
        if disposed {
            self.dispose(sequence, None);
        }
        Ok(Applied::Ended {
            sequence,
            outcome,
            disposed,
        })
    }

    fn cancel(&mut self, sequence: Sequence, quirks: Quirks) -> Result<Applied, Refusal> {
        self.finish(sequence, None, Outcome::Cancelled, quirks)
    }

    fn retry_at(
        &mut self,
        sequence: Sequence,
        token: (Term, AttemptNumber),
        failure: &Failure,
        due: RingTime,
    ) -> Result<Applied, Refusal> {
        let now = self.time;
        let entry = self.running(sequence, token)?;
        entry.close_attempt(now, Some(failure.kind));
        entry.state = EntryState::Waiting {
            due: Some(due),
            retry: true,
        };
        Ok(Applied::Waiting { sequence })
    }

    fn hand_back(
        &mut self,
        sequence: Sequence,
        token: (Term, AttemptNumber),
    ) -> Result<Applied, Refusal> {
        let now = self.time;
        let entry = self.running(sequence, token)?;
        entry.close_attempt(now, None);
        entry.state = EntryState::Waiting {
            due: None,
            retry: false,
        };
        Ok(Applied::Waiting { sequence })
    }

    fn apply_dispose(
        &mut self,
        sequence: Sequence,
        request: Option<&RequestId>,
    ) -> Result<Applied, Refusal> {
        let entry = self.look_up(sequence).map_err(Refusal::Absent)?;
        if entry.is_unfinished() {
            return Err(Refusal::Unfinished);
        }
        self.dispose(sequence, request);
        Ok(Applied::Removed {
            sequences: vec![(sequence, Absence::Disposed)],
        })
    }

    /// Removes those of `sequences` that have ended; unfinished and absent ones are passed over.
    fn remove_ended(&mut self, sequences: &[Sequence], why: Absence) -> Applied {
        let mut removed = Vec::new();
        for sequence in sequences {
            let ended = self
                .entries
                .get(sequence)
                .is_some_and(|entry| !entry.is_unfinished());
            if ended && self.remove(*sequence, why).is_some() {
                removed.push((*sequence, why));
            }
        }
        if removed.is_empty() {
            Applied::Nothing
        } else {
            Applied::Removed { sequences: removed }
        }
    }

    /// The entry, if it has not ended: the first outcome wins (PROTOCOL I12).
    fn unfinished(&mut self, sequence: Sequence) -> Result<&mut TaskEntry, Refusal> {
        let absence = self.absence(sequence);
        let entry = self
            .entries
            .get_mut(&sequence)
            .ok_or(Refusal::Absent(absence))?;
        if entry.is_unfinished() {
            Ok(entry)
        } else {
            Err(Refusal::AlreadyEnded)
        }
    }

    /// The entry, if `token` names its newest attempt and that runs (DESIGN G3).
    fn running(
        &mut self,
        sequence: Sequence,
        token: (Term, AttemptNumber),
    ) -> Result<&mut TaskEntry, Refusal> {
        let entry = self.unfinished(sequence)?;
        let EntryState::Running {
            attempt: newest,
            term: current,
            ..
        } = entry.state
        else {
            return Err(Refusal::NotRunning);
        };
        if token.1 != newest {
            Err(Refusal::OtherAttempt { newest })
        } else if token.0 != current {
            Err(Refusal::OtherTerm { current })
        } else {
            Ok(entry)
        }
    }

    fn may_replace(&self, sequence: Sequence, quirks: Quirks) -> bool {
        quirks.second_outcome_replaces
            && self
                .entries
                .get(&sequence)
                .is_some_and(|entry| !entry.is_unfinished())
    }
}

fn refused(sequence: Sequence, result: Result<Applied, Refusal>) -> Applied {
    result.unwrap_or_else(|why| Applied::Refused { sequence, why })
}
