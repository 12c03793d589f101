//! What happens to one attempt.

use bytes::Bytes;
use ringhold_types::limits::CHECKPOINT_BYTES_MAX;
use ringhold_types::{
    Attempt, AttemptNumber, Failure, FailureKind, MemberId, Outcome, RingTime, Sequence, Term,
};

use crate::apply::{Quirks, refused};
use crate::{Applied, EntryState, Op, Refusal, Ring, TaskEntry};

impl Ring {
    /// The operations on one attempt.
    pub(crate) fn apply_to_attempt(&mut self, term: Term, op: &Op, quirks: Quirks) -> Applied {
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

    /// The entry, if `token` names its newest attempt and that runs (DESIGN G3).
    pub(crate) fn running(
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
}
