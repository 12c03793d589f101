//! Attempts that outlive their primary: what executing members offer, and what the next primary answers.

use std::sync::Arc;

use ringhold_replica::AttemptEnd;
use ringhold_replica::message::{AttemptAnswer, AttemptOffer, AttemptVerdict};
use ringhold_types::{AttemptNumber, AttemptToken, Sequence, StartNonce, Term};

use super::{all, partition};
use crate::convert::{ConversionError, required};
use crate::internal as wire;
use wire::attempt_verdict::Verdict;
use wire::finished_attempt::End;

impl From<AttemptToken> for wire::AttemptToken {
    fn from(token: AttemptToken) -> Self {
        Self {
            partition: Some(token.partition.into()),
            sequence: token.sequence.bits(),
            term: token.term.get(),
            attempt: token.attempt.get(),
        }
    }
}

impl TryFrom<wire::AttemptToken> for AttemptToken {
    type Error = ConversionError;

    fn try_from(message: wire::AttemptToken) -> Result<Self, Self::Error> {
        Ok(Self {
            partition: partition("token.partition", message.partition)?,
            sequence: Sequence::from_bits(message.sequence),
            term: Term(message.term),
            attempt: AttemptNumber(message.attempt),
        })
    }
}

impl From<&AttemptOffer> for wire::AttemptOffer {
    fn from(offer: &AttemptOffer) -> Self {
        let finished = offer.finished.iter();
        Self {
            partition: Some(offer.partition.into()),
            start: offer.start.get(),
            running: offer.running.iter().map(|token| (*token).into()).collect(),
            finished: finished
                .map(|(token, end)| wire::FinishedAttempt {
                    token: Some((*token).into()),
                    end: Some(end.into()),
                })
                .collect(),
        }
    }
}

impl TryFrom<wire::AttemptOffer> for AttemptOffer {
    type Error = ConversionError;

    fn try_from(message: wire::AttemptOffer) -> Result<Self, Self::Error> {
        let finished = message.finished.into_iter();
        Ok(Self {
            partition: partition("offer.partition", message.partition)?,
            start: StartNonce(message.start),
            running: all(message.running)?,
            finished: finished.map(finished_attempt).collect::<Result<_, _>>()?,
        })
    }
}

fn finished_attempt(
    message: wire::FinishedAttempt,
) -> Result<(AttemptToken, AttemptEnd), ConversionError> {
    let Some(end) = message.end else {
        return Err(ConversionError::UnknownOperation {
            what: "attempt's end",
        });
    };
    let end = match end {
        End::Succeeded(result) => AttemptEnd::Succeeded(Arc::new(result.try_into()?)),
        End::Failed(failure) => AttemptEnd::Failed(Arc::new(failure.try_into()?)),
        End::Aborted(wire::AttemptAborted {}) => AttemptEnd::Aborted,
        End::HandedBack(wire::AttemptHandedBack { not_begun: false }) => AttemptEnd::HandedBack,
        End::HandedBack(wire::AttemptHandedBack { not_begun: true }) => AttemptEnd::NotBegun,
    };
    Ok((required("finished.token", message.token)?.try_into()?, end))
}

impl From<&AttemptEnd> for End {
    fn from(end: &AttemptEnd) -> Self {
        match end {
            AttemptEnd::Succeeded(result) => Self::Succeeded(result.as_ref().into()),
            AttemptEnd::Failed(failure) => Self::Failed(failure.as_ref().into()),
            AttemptEnd::Aborted => Self::Aborted(wire::AttemptAborted {}),
            AttemptEnd::HandedBack => {
                Self::HandedBack(wire::AttemptHandedBack { not_begun: false })
            }
            AttemptEnd::NotBegun => Self::HandedBack(wire::AttemptHandedBack { not_begun: true }),
        }
    }
}

impl From<&AttemptAnswer> for wire::AttemptAnswer {
    fn from(answer: &AttemptAnswer) -> Self {
        let verdicts = answer.verdicts.iter();
        Self {
            partition: Some(answer.partition.into()),
            to_start: answer.to_start.get(),
            verdicts: verdicts
                .map(|(token, verdict)| wire::AttemptVerdict {
                    token: Some((*token).into()),
                    verdict: Some((*verdict).into()),
                })
                .collect(),
        }
    }
}

impl TryFrom<wire::AttemptAnswer> for AttemptAnswer {
    type Error = ConversionError;

    fn try_from(message: wire::AttemptAnswer) -> Result<Self, Self::Error> {
        let verdicts = message.verdicts.into_iter();
        Ok(Self {
            partition: partition("answer.partition", message.partition)?,
            to_start: StartNonce(message.to_start),
            verdicts: verdicts.map(verdict).collect::<Result<_, _>>()?,
        })
    }
}

fn verdict(
    message: wire::AttemptVerdict,
) -> Result<(AttemptToken, AttemptVerdict), ConversionError> {
    let Some(verdict) = message.verdict else {
        return Err(ConversionError::UnknownOperation { what: "verdict" });
    };
    let verdict = match verdict {
        Verdict::Adopted(term) => AttemptVerdict::Adopted(Term(term)),
        Verdict::Taken(wire::AttemptTaken {}) => AttemptVerdict::Taken,
        Verdict::Refused(wire::AttemptRefused {}) => AttemptVerdict::Refused,
    };
    let token = required("verdict.token", message.token)?;
    Ok((token.try_into()?, verdict))
}

impl From<AttemptVerdict> for Verdict {
    fn from(verdict: AttemptVerdict) -> Self {
        match verdict {
            AttemptVerdict::Adopted(term) => Self::Adopted(term.get()),
            AttemptVerdict::Taken => Self::Taken(wire::AttemptTaken {}),
            AttemptVerdict::Refused => Self::Refused(wire::AttemptRefused {}),
        }
    }
}
