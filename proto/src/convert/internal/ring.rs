//! Parts of a ring's snapshot.

use std::sync::Arc;

use ringhold_ringbuffer::{
    Absence, DisposedOutcome, KeyHit, LostRange, RemovedKey, RemovedSequence, RingHeader, RingPart,
};
use ringhold_types::{AttemptNumber, Generation, IdempotencyKey, RingTime, Sequence};

use super::all;
use super::log_entry::request_id;
use crate::convert::{ConversionError, required, value_of};
use crate::internal as wire;
use wire::ring_part::Part;

impl From<&RingPart> for wire::RingPart {
    fn from(part: &RingPart) -> Self {
        let part = match part {
            RingPart::Header(header) => Part::Header(header.into()),
            RingPart::Entries(entries) => Part::Entries(wire::TaskEntries {
                entries: entries.iter().map(Into::into).collect(),
            }),
            RingPart::Keys(keys) => Part::Keys(wire::RemovedKeys {
                keys: keys.iter().map(Into::into).collect(),
            }),
            RingPart::History(sequences) => Part::History(wire::RemovedSequences {
                sequences: sequences.iter().map(|removed| (*removed).into()).collect(),
            }),
            RingPart::Disposed(outcomes) => Part::Disposed(wire::DisposedOutcomes {
                outcomes: outcomes.iter().map(Into::into).collect(),
            }),
        };
        Self { part: Some(part) }
    }
}

impl TryFrom<wire::RingPart> for RingPart {
    type Error = ConversionError;

    fn try_from(message: wire::RingPart) -> Result<Self, Self::Error> {
        let Some(part) = message.part else {
            return Err(ConversionError::UnknownOperation { what: "ring part" });
        };
        Ok(match part {
            Part::Header(header) => Self::Header(header.try_into()?),
            Part::Entries(list) => Self::Entries(all(list.entries)?),
            Part::Keys(list) => Self::Keys(all(list.keys)?),
            Part::History(list) => Self::History(all(list.sequences)?),
            Part::Disposed(list) => Self::Disposed(all(list.outcomes)?),
        })
    }
}

impl From<&RingHeader> for wire::RingHeader {
    fn from(header: &RingHeader) -> Self {
        let lost = header.lost.iter();
        Self {
            generation: header.generation.get(),
            next_sequence: header.next_sequence.bits(),
            time: header.time.0,
            limits: Some((&header.limits).into()),
            lost: lost
                .map(|range| wire::LostRange {
                    first: range.first.bits(),
                    end: range.end.bits(),
                })
                .collect(),
            entries: header.entries,
            keys: header.keys,
            history: header.history,
            disposed: header.disposed,
        }
    }
}

impl TryFrom<wire::RingHeader> for RingHeader {
    type Error = ConversionError;

    fn try_from(message: wire::RingHeader) -> Result<Self, Self::Error> {
        let lost = message.lost.into_iter();
        Ok(Self {
            generation: Generation(message.generation),
            next_sequence: Sequence::from_bits(message.next_sequence),
            time: RingTime(message.time),
            limits: required("header.limits", message.limits)?.try_into()?,
            lost: lost
                .map(|range| LostRange {
                    first: Sequence::from_bits(range.first),
                    end: Sequence::from_bits(range.end),
                })
                .collect(),
            entries: message.entries,
            keys: message.keys,
            history: message.history,
            disposed: message.disposed,
        })
    }
}

impl From<&RemovedKey> for wire::RemovedKey {
    fn from(removed: &RemovedKey) -> Self {
        Self {
            key: removed.key.as_bytes().clone(),
            sequence: removed.hit.sequence.bits(),
            identity: removed.hit.identity,
            removed: removed.removed.0,
        }
    }
}

impl TryFrom<wire::RemovedKey> for RemovedKey {
    type Error = ConversionError;

    fn try_from(message: wire::RemovedKey) -> Result<Self, Self::Error> {
        let key = IdempotencyKey::new(message.key).map_err(|source| ConversionError::Key {
            field: "removed.key",
            source,
        })?;
        Ok(Self {
            key,
            hit: KeyHit {
                sequence: Sequence::from_bits(message.sequence),
                identity: message.identity,
            },
            removed: RingTime(message.removed),
        })
    }
}

impl From<RemovedSequence> for wire::RemovedSequence {
    fn from(removed: RemovedSequence) -> Self {
        let why = match removed.why {
            Absence::NeverExisted => wire::Absence::NeverExisted,
            Absence::Disposed => wire::Absence::Disposed,
            Absence::Overwritten => wire::Absence::Overwritten,
            Absence::Expired => wire::Absence::Expired,
            Absence::Gone => wire::Absence::Gone,
            Absence::DataLoss => wire::Absence::DataLoss,
        };
        Self {
            sequence: removed.sequence.bits(),
            why: why.into(),
        }
    }
}

impl TryFrom<wire::RemovedSequence> for RemovedSequence {
    type Error = ConversionError;

    fn try_from(message: wire::RemovedSequence) -> Result<Self, Self::Error> {
        let why = match value_of("removed.why", message.why)? {
            wire::Absence::Unspecified => {
                return Err(ConversionError::Missing {
                    field: "removed.why",
                });
            }
            wire::Absence::NeverExisted => Absence::NeverExisted,
            wire::Absence::Disposed => Absence::Disposed,
            wire::Absence::Overwritten => Absence::Overwritten,
            wire::Absence::Expired => Absence::Expired,
            wire::Absence::Gone => Absence::Gone,
            wire::Absence::DataLoss => Absence::DataLoss,
        };
        Ok(Self {
            sequence: Sequence::from_bits(message.sequence),
            why,
        })
    }
}

impl From<&DisposedOutcome> for wire::DisposedOutcome {
    fn from(kept: &DisposedOutcome) -> Self {
        Self {
            sequence: kept.sequence.bits(),
            request: kept.request.as_bytes().clone(),
            outcome: Some(kept.outcome.as_ref().into()),
            disposed: kept.disposed.0,
            attempts: kept.attempts.get(),
        }
    }
}

impl TryFrom<wire::DisposedOutcome> for DisposedOutcome {
    type Error = ConversionError;

    fn try_from(message: wire::DisposedOutcome) -> Result<Self, Self::Error> {
        Ok(Self {
            sequence: Sequence::from_bits(message.sequence),
            request: request_id(message.request)?,
            outcome: Arc::new(required("disposed.outcome", message.outcome)?.try_into()?),
            attempts: AttemptNumber(message.attempts),
            disposed: RingTime(message.disposed),
        })
    }
}
