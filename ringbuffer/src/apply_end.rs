//! How a task ends, and how its outcome goes.

use std::sync::Arc;

use ringhold_types::{AttemptNumber, FailureKind, Outcome, RequestId, Sequence, Term};

use crate::apply::Quirks;
use crate::{Absence, Applied, EntryState, Refusal, Ring};

impl Ring {
    /// Ends a task with the report of its newest attempt, or without one (`token` absent).
    pub(crate) fn finish(
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

    pub(crate) fn cancel(
        &mut self,
        sequence: Sequence,
        quirks: Quirks,
    ) -> Result<Applied, Refusal> {
        self.finish(sequence, None, Outcome::Cancelled, quirks)
    }

    pub(crate) fn apply_dispose(
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
    pub(crate) fn remove_ended(&mut self, sequences: &[Sequence], why: Absence) -> Applied {
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

    fn may_replace(&self, sequence: Sequence, quirks: Quirks) -> bool {
        quirks.second_outcome_replaces
            && self
                .entries
                .get(&sequence)
                .is_some_and(|entry| !entry.is_unfinished())
    }
}
