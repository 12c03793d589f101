//! One task in the ring, with its outcome once it has ended.

use std::sync::Arc;

use bytes::Bytes;
use ringhold_types::limits::ATTEMPT_HISTORY_MAX;
use ringhold_types::{
    Attempt, AttemptNumber, FailureKind, MemberId, Outcome, RingTime, Sequence, TaskSpec,
    TaskStatus, Term, UnixMillis,
};

/// One task in the ring, with its outcome once it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskEntry {
    /// Its position.
    pub sequence: Sequence,
    /// What was submitted.
    pub task: Arc<TaskSpec>,
    /// The term in which it was accepted.
    pub accepted_term: Term,
    /// Ring time of its acceptance.
    pub accepted: RingTime,
    /// Wall clock of the primary at its acceptance, for people only.
    pub accepted_at: UnixMillis,
    /// Where it is in its life.
    pub state: EntryState,
    /// Attempts so far, which is also the newest one's number; zero before the first.
    pub attempts: AttemptNumber,
    /// Members that died under it.
    pub crashes: u32,
    /// The newest attempts, oldest first, at most [`ATTEMPT_HISTORY_MAX`]; a running one is the last.
    pub history: Vec<Attempt>,
    /// What the newest attempt left for the next one; dropped when the task ends.
    pub checkpoint: Option<Bytes>,
    /// Whether its outcome reached its caller (PROTOCOL §4). Only ever true after the end.
    pub retrieved: bool,
}

/// Where an entry is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryState {
    /// It waits for its next attempt.
    Waiting {
        /// Ring time before which that does not start.
        due: Option<RingTime>,
        /// Whether it waits because an attempt failed.
        retry: bool,
    },
    /// An attempt runs.
    Running {
        /// Which.
        attempt: AttemptNumber,
        /// The term under which it runs: that of its start or of its last adoption.
        term: Term,
        /// Who runs it.
        member: MemberId,
    },
    /// It ended.
    Ended {
        /// How; never different afterwards.
        outcome: Arc<Outcome>,
        /// Ring time of the end.
        at: RingTime,
    },
}

impl TaskEntry {
    /// The status at ring time `now`: a waiting task is Pending once its due time has come.
    #[must_use]
    pub fn status(&self, now: RingTime) -> TaskStatus {
        match &self.state {
            EntryState::Waiting {
                due: Some(due),
                retry,
            } if *due > now => {
                if *retry {
                    TaskStatus::RetryWait
                } else {
                    TaskStatus::Delayed
                }
            }
            EntryState::Waiting { .. } => TaskStatus::Pending,
            EntryState::Running { .. } => TaskStatus::Running,
            EntryState::Ended { outcome, .. } => outcome.status(),
        }
    }

    /// How it ended, if it has.
    #[must_use]
    pub const fn outcome(&self) -> Option<&Arc<Outcome>> {
        match &self.state {
            EntryState::Ended { outcome, .. } => Some(outcome),
            _ => None,
        }
    }

    /// Ring time of its end, if it has ended.
    #[must_use]
    pub const fn ended_at(&self) -> Option<RingTime> {
        match &self.state {
            EntryState::Ended { at, .. } => Some(*at),
            _ => None,
        }
    }

    /// Whether it has not ended.
    #[must_use]
    pub const fn is_unfinished(&self) -> bool {
        !matches!(self.state, EntryState::Ended { .. })
    }

    /// Bytes that count towards the partition's limit: task, checkpoint and outcome.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let outcome = self.outcome().map_or(0, |outcome| outcome.bytes());
        let checkpoint = self.checkpoint.as_ref().map_or(0, Bytes::len);
        (self.task.bytes() + checkpoint + outcome) as u64
    }

    /// Notes the start of the next attempt; the oldest ones leave the bounded history.
    pub(crate) fn begin_attempt(&mut self, attempt: Attempt) {
        self.state = EntryState::Running {
            attempt: attempt.number,
            term: attempt.term,
            member: attempt.member,
        };
        self.attempts = attempt.number;
        let surplus = (self.history.len() + 1).saturating_sub(ATTEMPT_HISTORY_MAX);
        self.history.drain(..surplus);
        self.history.push(attempt);
    }

    /// Closes the running attempt in the history, if one runs.
    pub(crate) fn close_attempt(&mut self, at: RingTime, failure: Option<FailureKind>) {
        if !matches!(self.state, EntryState::Running { .. }) {
            return;
        }
        if let Some(attempt) = self.history.last_mut() {
            attempt.ended = Some(at);
            attempt.failure = failure;
        }
    }
}
