//! Tasks in a ring.

use std::sync::Arc;

use ringhold_ringbuffer::{EntryState, TaskEntry};
use ringhold_types::{Attempt, AttemptNumber, MemberId, RingTime, Sequence, Term, UnixMillis};

use super::all;
use crate::convert::origin::slot_from_number;
use crate::convert::outcome::failure_kind;
use crate::convert::{ConversionError, owned, required};
use crate::internal as wire;
use wire::task_entry::State;

impl From<&TaskEntry> for wire::TaskEntry {
    fn from(entry: &TaskEntry) -> Self {
        Self {
            sequence: entry.sequence.bits(),
            task: Some(entry.task.as_ref().into()),
            accepted_term: entry.accepted_term.get(),
            accepted: entry.accepted.0,
            accepted_at: entry.accepted_at.0,
            state: Some((&entry.state).into()),
            attempts: entry.attempts.get(),
            crashes: entry.crashes,
            history: entry.history.iter().map(Into::into).collect(),
            checkpoint: entry.checkpoint.clone(),
            retrieved: entry.retrieved,
        }
    }
}

impl TryFrom<wire::TaskEntry> for TaskEntry {
    type Error = ConversionError;

    fn try_from(message: wire::TaskEntry) -> Result<Self, Self::Error> {
        Ok(Self {
            sequence: Sequence::from_bits(message.sequence),
            task: Arc::new(required("entry.task", message.task)?.try_into()?),
            accepted_term: Term(message.accepted_term),
            accepted: RingTime(message.accepted),
            accepted_at: UnixMillis(message.accepted_at),
            state: required("entry.state", message.state)?.try_into()?,
            attempts: AttemptNumber(message.attempts),
            crashes: message.crashes,
            history: all(message.history)?,
            checkpoint: message.checkpoint.as_ref().map(owned),
            retrieved: message.retrieved,
        })
    }
}

impl From<&EntryState> for State {
    fn from(state: &EntryState) -> Self {
        match state {
            EntryState::Waiting { due, retry } => Self::Waiting(wire::EntryWaiting {
                due: due.map(|due| due.0),
                retry: *retry,
            }),
            EntryState::Running {
                attempt,
                term,
                member,
            } => Self::Running(wire::EntryRunning {
                attempt: attempt.get(),
                term: term.get(),
                member: member.0,
            }),
            EntryState::Ended { outcome, at } => Self::Ended(wire::EntryEnded {
                outcome: Some(outcome.as_ref().into()),
                at: at.0,
            }),
        }
    }
}

impl TryFrom<State> for EntryState {
    type Error = ConversionError;

    fn try_from(state: State) -> Result<Self, Self::Error> {
        Ok(match state {
            State::Waiting(waiting) => Self::Waiting {
                due: waiting.due.map(RingTime),
                retry: waiting.retry,
            },
            State::Running(running) => Self::Running {
                attempt: AttemptNumber(running.attempt),
                term: Term(running.term),
                member: MemberId(running.member),
            },
            State::Ended(ended) => Self::Ended {
                outcome: Arc::new(required("entry.outcome", ended.outcome)?.try_into()?),
                at: RingTime(ended.at),
            },
        })
    }
}

impl From<&Attempt> for wire::Attempt {
    fn from(attempt: &Attempt) -> Self {
        Self {
            number: attempt.number.get(),
            term: attempt.term.get(),
            member: attempt.member.0,
            started: attempt.started.0,
            ended: attempt.ended.map(|at| at.0),
            failure: attempt.failure.map(|kind| kind.as_str().to_owned()),
            worker: attempt.worker.as_deref().map(Into::into),
            slot: attempt.slot.map(|slot| slot.0.into()),
            process_id: attempt.process_id,
            message: attempt.message.as_deref().map(str::to_owned),
            tail: attempt.tail.clone(),
        }
    }
}

impl TryFrom<wire::Attempt> for Attempt {
    type Error = ConversionError;

    fn try_from(message: wire::Attempt) -> Result<Self, Self::Error> {
        Ok(Self {
            number: AttemptNumber(message.number),
            term: Term(message.term),
            member: MemberId(message.member),
            started: RingTime(message.started),
            ended: message.ended.map(RingTime),
            failure: message.failure.map(failure_kind).transpose()?,
            worker: message.worker.map(Into::into),
            slot: message
                .slot
                .map(|number| slot_from_number("attempt.slot", number))
                .transpose()?,
            process_id: message.process_id,
            message: message.message.map(Into::into),
            tail: owned(&message.tail),
        })
    }
}
