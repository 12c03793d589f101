//! Entries of a partition's log.

use std::sync::Arc;

use ringhold_ringbuffer::{LogEntry, Op, RingLimits};
use ringhold_types::{
    AttemptNumber, Generation, Lsn, MemberId, Millis, ReplicaId, RequestId, RingTime, Sequence,
    Term, UnixMillis, WhenFull,
};

use super::{bits_of, replica, sequences_of};
use crate::convert::executor::{when_full_from_number, when_full_number};
use crate::convert::{ConversionError, owned, required};
use crate::internal as wire;
use wire::log_entry::Op as WireOp;

impl From<&LogEntry> for wire::LogEntry {
    fn from(entry: &LogEntry) -> Self {
        Self {
            term: entry.term.get(),
            lsn: entry.lsn.get(),
            time: entry.time.0,
            op: encode_ring_op(&entry.op)
                .or_else(|| encode_task_op(&entry.op))
                .or_else(|| encode_report(&entry.op)),
        }
    }
}

impl TryFrom<wire::LogEntry> for LogEntry {
    type Error = ConversionError;

    fn try_from(message: wire::LogEntry) -> Result<Self, Self::Error> {
        let op = message
            .op
            .ok_or(ConversionError::UnknownOperation { what: "operation" })?;
        Ok(Self {
            term: Term(message.term),
            lsn: Lsn(message.lsn),
            time: RingTime(message.time),
            op: decode_op(op)?,
        })
    }
}

/// The operations on the ring as a whole, or on ended tasks; nothing for those of [`encode_task_op`]
/// and [`encode_report`]. An operation that none of the three encodes could not be read again: the round-trip tests go
/// through all of them, and this match lists all, so that a new one is noticed.
fn encode_ring_op(op: &Op) -> Option<WireOp> {
    Some(match op {
        Op::TermStart {
            primary,
            generation,
        } => WireOp::TermStart(wire::TermStart {
            primary: Some((*primary).into()),
            generation: generation.get(),
        }),
        Op::Configure(limits) => WireOp::Configure(limits.into()),
        Op::MarkRetrieved { sequences } => WireOp::MarkRetrieved(list(sequences)),
        Op::Dispose { sequence, request } => WireOp::Dispose(wire::Dispose {
            sequence: sequence.bits(),
            request: request.as_ref().map(|request| request.as_bytes().clone()),
        }),
        Op::Evict { sequences } => WireOp::Evict(list(sequences)),
        Op::Expire { sequences } => WireOp::Expire(list(sequences)),
        Op::ForgetKeys { removed_before } => WireOp::ForgetKeys(wire::ForgetKeys {
            removed_before: removed_before.0,
        }),
        Op::HandOver { to, running } => WireOp::HandOver(encode_hand_over(*to, running)),
        Op::Accept { .. }
        | Op::Start { .. }
        | Op::Adopt { .. }
        | Op::Checkpoint { .. }
        | Op::Complete { .. }
        | Op::Fail { .. }
        | Op::RetryAt { .. }
        | Op::Cancel { .. }
        | Op::HandBack { .. } => return None,
    })
}

/// The operations on one unfinished task; nothing for those of [`encode_ring_op`] and [`encode_report`].
fn encode_task_op(op: &Op) -> Option<WireOp> {
    Some(match op {
        Op::Accept {
            sequence,
            task,
            accepted_at,
        } => WireOp::Accept(wire::Accept {
            sequence: sequence.bits(),
            task: Some(task.as_ref().into()),
            accepted_at: accepted_at.0,
        }),
        Op::Start {
            sequence,
            attempt,
            member,
        } => WireOp::Start(wire::Start {
            sequence: sequence.bits(),
            attempt: attempt.get(),
            member: member.0,
        }),
        Op::Adopt {
            sequence,
            attempt_term,
            attempt,
            member,
        } => WireOp::Adopt(wire::Adopt {
            attempt: Some(reference(*sequence, *attempt_term, *attempt)),
            member: member.0,
        }),
        Op::Cancel { sequence } => WireOp::Cancel(wire::Cancel {
            sequence: sequence.bits(),
        }),
        _ => return None,
    })
}

/// What an attempt reports; nothing for every other operation.
fn encode_report(op: &Op) -> Option<WireOp> {
    Some(match op {
        Op::Checkpoint {
            sequence,
            attempt_term,
            attempt,
            bytes,
        } => {
            let attempt = Some(reference(*sequence, *attempt_term, *attempt));
            WireOp::Checkpoint(wire::Checkpoint {
                attempt,
                bytes: bytes.clone(),
            })
        }
        Op::Complete {
            sequence,
            attempt_term,
            attempt,
            result,
        } => {
            let attempt = Some(reference(*sequence, *attempt_term, *attempt));
            WireOp::Complete(wire::Complete {
                attempt,
                result: Some(result.as_ref().into()),
            })
        }
        Op::Fail {
            sequence,
            attempt,
            failure,
            dead_letter,
        } => WireOp::Fail(wire::Fail {
            sequence: sequence.bits(),
            attempt: attempt.map(|(term, attempt)| reference(*sequence, term, attempt)),
            failure: Some(failure.as_ref().into()),
            dead_letter: *dead_letter,
        }),
        Op::RetryAt {
            sequence,
            attempt_term,
            attempt,
            failure,
            due,
        } => {
            let attempt = Some(reference(*sequence, *attempt_term, *attempt));
            let failure = Some(failure.as_ref().into());
            WireOp::RetryAt(wire::RetryAt {
                attempt,
                failure,
                due: due.0,
            })
        }
        Op::HandBack {
            sequence,
            attempt_term,
            attempt,
        } => {
            let attempt = Some(reference(*sequence, *attempt_term, *attempt));
            WireOp::HandBack(wire::HandBack { attempt })
        }
        _ => return None,
    })
}

fn decode_op(op: WireOp) -> Result<Op, ConversionError> {
    Ok(match op {
        WireOp::TermStart(start) => Op::TermStart {
            primary: replica("term_start.primary", start.primary)?,
            generation: Generation(start.generation),
        },
        WireOp::Configure(limits) => Op::Configure(limits.try_into()?),
        WireOp::Accept(accept) => Op::Accept {
            sequence: Sequence::from_bits(accept.sequence),
            task: Arc::new(required("accept.task", accept.task)?.try_into()?),
            accepted_at: UnixMillis(accept.accepted_at),
        },
        WireOp::Start(start) => Op::Start {
            sequence: Sequence::from_bits(start.sequence),
            attempt: AttemptNumber(start.attempt),
            member: MemberId(start.member),
        },
        WireOp::Adopt(adopt) => decode_adopt(adopt)?,
        WireOp::Checkpoint(checkpoint) => decode_checkpoint(checkpoint)?,
        WireOp::Complete(complete) => decode_complete(complete)?,
        WireOp::Fail(fail) => decode_fail(fail)?,
        WireOp::RetryAt(retry) => decode_retry(retry)?,
        WireOp::Cancel(cancel) => Op::Cancel {
            sequence: Sequence::from_bits(cancel.sequence),
        },
        WireOp::HandBack(hand_back) => decode_hand_back(hand_back)?,
        WireOp::MarkRetrieved(list) => Op::MarkRetrieved {
            sequences: sequences_of(list.sequences),
        },
        WireOp::Dispose(dispose) => Op::Dispose {
            sequence: Sequence::from_bits(dispose.sequence),
            request: dispose.request.map(request_id).transpose()?,
        },
        WireOp::Evict(list) => Op::Evict {
            sequences: sequences_of(list.sequences),
        },
        WireOp::Expire(list) => Op::Expire {
            sequences: sequences_of(list.sequences),
        },
        WireOp::ForgetKeys(forget) => Op::ForgetKeys {
            removed_before: RingTime(forget.removed_before),
        },
        WireOp::HandOver(hand_over) => Op::HandOver {
            to: replica("hand_over.to", hand_over.to)?,
            running: hand_over.running.into_iter().map(token).collect(),
        },
    })
}

fn decode_adopt(adopt: wire::Adopt) -> Result<Op, ConversionError> {
    let (sequence, attempt_term, attempt) = required_token("adopt.attempt", adopt.attempt)?;
    Ok(Op::Adopt {
        sequence,
        attempt_term,
        attempt,
        member: MemberId(adopt.member),
    })
}

fn decode_checkpoint(message: wire::Checkpoint) -> Result<Op, ConversionError> {
    let (sequence, attempt_term, attempt) = required_token("checkpoint.attempt", message.attempt)?;
    Ok(Op::Checkpoint {
        sequence,
        attempt_term,
        attempt,
        bytes: owned(&message.bytes),
    })
}

fn decode_complete(message: wire::Complete) -> Result<Op, ConversionError> {
    let (sequence, attempt_term, attempt) = required_token("complete.attempt", message.attempt)?;
    let result = Arc::new(required("complete.result", message.result)?.try_into()?);
    Ok(Op::Complete {
        sequence,
        attempt_term,
        attempt,
        result,
    })
}

fn decode_retry(message: wire::RetryAt) -> Result<Op, ConversionError> {
    let (sequence, attempt_term, attempt) = required_token("retry_at.attempt", message.attempt)?;
    let failure = Arc::new(required("retry_at.failure", message.failure)?.try_into()?);
    Ok(Op::RetryAt {
        sequence,
        attempt_term,
        attempt,
        failure,
        due: RingTime(message.due),
    })
}

fn decode_hand_back(message: wire::HandBack) -> Result<Op, ConversionError> {
    let (sequence, attempt_term, attempt) = required_token("hand_back.attempt", message.attempt)?;
    Ok(Op::HandBack {
        sequence,
        attempt_term,
        attempt,
    })
}

fn decode_fail(fail: wire::Fail) -> Result<Op, ConversionError> {
    let sequence = Sequence::from_bits(fail.sequence);
    let attempt = fail.attempt.map(token);
    if attempt.is_some_and(|(of, _, _)| of != sequence) {
        return Err(ConversionError::Contradiction {
            first: "fail.sequence",
            second: "fail.attempt.sequence",
        });
    }
    Ok(Op::Fail {
        sequence,
        attempt: attempt.map(|(_, term, attempt)| (term, attempt)),
        failure: Arc::new(required("fail.failure", fail.failure)?.try_into()?),
        dead_letter: fail.dead_letter,
    })
}

type Token = (Sequence, Term, AttemptNumber);

fn reference(sequence: Sequence, term: Term, attempt: AttemptNumber) -> wire::AttemptRef {
    wire::AttemptRef {
        sequence: sequence.bits(),
        term: term.get(),
        attempt: attempt.get(),
    }
}

fn token(message: wire::AttemptRef) -> Token {
    (
        Sequence::from_bits(message.sequence),
        Term(message.term),
        AttemptNumber(message.attempt),
    )
}

fn required_token(
    field: &'static str,
    message: Option<wire::AttemptRef>,
) -> Result<Token, ConversionError> {
    required(field, message).map(token)
}

fn list(sequences: &[Sequence]) -> wire::Sequences {
    wire::Sequences {
        sequences: bits_of(sequences),
    }
}

fn encode_hand_over(to: ReplicaId, running: &[Token]) -> wire::HandOver {
    let running = running.iter();
    wire::HandOver {
        to: Some(to.into()),
        running: running
            .map(|(sequence, term, attempt)| reference(*sequence, *term, *attempt))
            .collect(),
    }
}

pub(super) fn request_id(bytes: bytes::Bytes) -> Result<RequestId, ConversionError> {
    RequestId::new(bytes).map_err(|source| ConversionError::Key {
        field: "request",
        source,
    })
}

impl From<&RingLimits> for wire::RingLimits {
    fn from(limits: &RingLimits) -> Self {
        Self {
            capacity: limits.capacity,
            when_full: when_full_number(limits.when_full),
            bytes: limits.bytes,
            result_ttl: limits.result_ttl.0,
            dedup_window: limits.dedup_window.0,
            dedup_keys: limits.dedup_keys,
            history: limits.history,
            crash_limit: limits.crash_limit,
        }
    }
}

impl TryFrom<wire::RingLimits> for RingLimits {
    type Error = ConversionError;

    fn try_from(message: wire::RingLimits) -> Result<Self, Self::Error> {
        let when_full: Option<WhenFull> = when_full_from_number(message.when_full)?;
        Ok(Self {
            capacity: message.capacity,
            when_full: required("limits.when_full", when_full)?,
            bytes: message.bytes,
            result_ttl: Millis(message.result_ttl),
            dedup_window: Millis(message.dedup_window),
            dedup_keys: message.dedup_keys,
            history: message.history,
            crash_limit: message.crash_limit,
        })
    }
}
