//! The only way a ring changes: total, deterministic and clock-free (PROTOCOL I13).

use std::sync::Arc;

use ringhold_types::{AttemptNumber, Generation, RingTime, Sequence, TaskSpec, Term, UnixMillis};

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

    /// The entry, if it has not ended: the first outcome wins (PROTOCOL I12).
    pub(crate) fn unfinished(&mut self, sequence: Sequence) -> Result<&mut TaskEntry, Refusal> {
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
}

pub(crate) fn refused(sequence: Sequence, result: Result<Applied, Refusal>) -> Applied {
    result.unwrap_or_else(|why| Applied::Refused { sequence, why })
}
