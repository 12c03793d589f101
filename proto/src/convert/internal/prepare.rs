//! Prepares and their acknowledgements: the busiest messages between members.

use ringhold_replica::{Ack, Prepare};
use ringhold_types::{ConfigurationVersion, Lsn, StartNonce, Term};

use super::all;
use super::message::fence;
use crate::convert::ConversionError;
use crate::internal as wire;

impl From<&Prepare> for wire::Prepare {
    fn from(prepare: &Prepare) -> Self {
        Self {
            fence: Some(prepare.fence.into()),
            version: prepare.version.get(),
            previous: prepare.previous.get(),
            previous_term: prepare.previous_term.get(),
            entries: prepare.entries.iter().map(Into::into).collect(),
            commit: prepare.commit.get(),
            length: prepare.length.get(),
        }
    }
}

impl TryFrom<wire::Prepare> for Prepare {
    type Error = ConversionError;

    fn try_from(message: wire::Prepare) -> Result<Self, Self::Error> {
        Ok(Self {
            fence: fence(message.fence)?,
            version: ConfigurationVersion(message.version),
            previous: Lsn(message.previous),
            previous_term: Term(message.previous_term),
            entries: all(message.entries)?,
            commit: Lsn(message.commit),
            length: Lsn(message.length),
        })
    }
}

impl From<&Ack> for wire::Ack {
    fn from(ack: &Ack) -> Self {
        Self {
            fence: Some(ack.fence.into()),
            start: ack.start.get(),
            matched: ack.matched.get(),
            mismatch: ack.mismatch.as_ref().map(Into::into),
            needs_snapshot: ack.needs_snapshot,
            snapshot: ack.snapshot,
            snapshot_parts: ack.snapshot_parts,
            version: ack.version.get(),
            cut_mark: ack.cut_mark,
        }
    }
}

impl TryFrom<wire::Ack> for Ack {
    type Error = ConversionError;

    fn try_from(message: wire::Ack) -> Result<Self, Self::Error> {
        Ok(Self {
            fence: fence(message.fence)?,
            start: StartNonce(message.start),
            matched: Lsn(message.matched),
            mismatch: message.mismatch.map(Into::into),
            needs_snapshot: message.needs_snapshot,
            snapshot: message.snapshot,
            snapshot_parts: message.snapshot_parts,
            version: ConfigurationVersion(message.version),
            cut_mark: message.cut_mark,
        })
    }
}
