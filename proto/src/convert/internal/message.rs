//! What members say to each other about the partitions they share.

use ringhold_replica::message::{Fence, LogSummary, TailReply, TailRequest};
use ringhold_replica::{Heartbeat, HeartbeatReply, PeerMessage, SnapshotPart};
use ringhold_types::{ControlIndex, Generation, Lsn, StartNonce, Term, Tick};

use super::{all, partition, replica};
use crate::convert::{ConversionError, required};
use crate::internal as wire;
use wire::peer_message::Message;

impl From<&PeerMessage> for wire::PeerMessage {
    fn from(message: &PeerMessage) -> Self {
        let message = match message {
            PeerMessage::Heartbeat(heartbeat) => Message::Heartbeat((*heartbeat).into()),
            PeerMessage::HeartbeatReply(reply) => Message::HeartbeatReply((*reply).into()),
            PeerMessage::Prepare(prepare) => Message::Prepare(prepare.into()),
            PeerMessage::Ack(ack) => Message::Ack(ack.into()),
            PeerMessage::SnapshotPart(part) => Message::SnapshotPart(part.into()),
            PeerMessage::TailRequest(request) => Message::TailRequest((*request).into()),
            PeerMessage::TailReply(reply) => Message::TailReply(reply.into()),
            PeerMessage::AttemptOffer(offer) => Message::AttemptOffer(offer.into()),
            PeerMessage::AttemptAnswer(answer) => Message::AttemptAnswer(answer.into()),
        };
        Self {
            message: Some(message),
        }
    }
}

impl From<PeerMessage> for wire::PeerMessage {
    fn from(message: PeerMessage) -> Self {
        Self::from(&message)
    }
}

impl TryFrom<wire::PeerMessage> for PeerMessage {
    type Error = ConversionError;

    fn try_from(message: wire::PeerMessage) -> Result<Self, Self::Error> {
        let Some(message) = message.message else {
            return Err(ConversionError::UnknownOperation {
                what: "peer message",
            });
        };
        Ok(match message {
            Message::Heartbeat(heartbeat) => Self::Heartbeat(heartbeat.into()),
            Message::HeartbeatReply(reply) => Self::HeartbeatReply(reply.into()),
            Message::Prepare(prepare) => Self::Prepare(prepare.try_into()?),
            Message::Ack(ack) => Self::Ack(ack.try_into()?),
            Message::SnapshotPart(part) => Self::SnapshotPart(part.try_into()?),
            Message::TailRequest(request) => Self::TailRequest(request.try_into()?),
            Message::TailReply(reply) => Self::TailReply(reply.try_into()?),
            Message::AttemptOffer(offer) => Self::AttemptOffer(offer.try_into()?),
            Message::AttemptAnswer(answer) => Self::AttemptAnswer(answer.try_into()?),
        })
    }
}

impl From<Heartbeat> for wire::Heartbeat {
    fn from(heartbeat: Heartbeat) -> Self {
        Self {
            start: heartbeat.start.get(),
            sent: heartbeat.sent.0,
            applied: heartbeat.applied.get(),
            disk_full: heartbeat.disk_full,
            rings_full: heartbeat.rings_full,
        }
    }
}

impl From<wire::Heartbeat> for Heartbeat {
    fn from(message: wire::Heartbeat) -> Self {
        Self {
            start: StartNonce(message.start),
            sent: Tick(message.sent),
            applied: ControlIndex(message.applied),
            disk_full: message.disk_full,
            rings_full: message.rings_full,
        }
    }
}

impl From<HeartbeatReply> for wire::HeartbeatReply {
    fn from(reply: HeartbeatReply) -> Self {
        Self {
            start: reply.start.get(),
            to_start: reply.to_start.get(),
            sent: reply.sent.0,
            applied: reply.applied.get(),
        }
    }
}

impl From<wire::HeartbeatReply> for HeartbeatReply {
    fn from(message: wire::HeartbeatReply) -> Self {
        Self {
            start: StartNonce(message.start),
            to_start: StartNonce(message.to_start),
            sent: Tick(message.sent),
            applied: ControlIndex(message.applied),
        }
    }
}

impl From<Fence> for wire::Fence {
    fn from(fence: Fence) -> Self {
        Self {
            partition: Some(fence.partition.into()),
            generation: fence.generation.get(),
            term: fence.term.get(),
            from: Some(fence.from.into()),
            to: Some(fence.to.into()),
            to_start: fence.to_start.get(),
        }
    }
}

/// The fence that must be there.
pub(super) fn fence(message: Option<wire::Fence>) -> Result<Fence, ConversionError> {
    let message = required("fence", message)?;
    Ok(Fence {
        partition: partition("fence.partition", message.partition)?,
        generation: Generation(message.generation),
        term: Term(message.term),
        from: replica("fence.from", message.from)?,
        to: replica("fence.to", message.to)?,
        to_start: StartNonce(message.to_start),
    })
}

impl From<&LogSummary> for wire::LogSummary {
    fn from(summary: &LogSummary) -> Self {
        let starts = summary.starts.iter();
        Self {
            starts: starts
                .map(|(term, lsn)| wire::TermBegin {
                    term: term.get(),
                    lsn: lsn.get(),
                })
                .collect(),
            last: summary.last.get(),
            commit: summary.commit.get(),
        }
    }
}

impl From<wire::LogSummary> for LogSummary {
    fn from(message: wire::LogSummary) -> Self {
        let starts = message.starts.into_iter();
        Self {
            starts: starts
                .map(|begin| (Term(begin.term), Lsn(begin.lsn)))
                .collect(),
            last: Lsn(message.last),
            commit: Lsn(message.commit),
        }
    }
}

impl From<&SnapshotPart> for wire::SnapshotPart {
    fn from(part: &SnapshotPart) -> Self {
        Self {
            fence: Some(part.fence.into()),
            snapshot: part.snapshot,
            lsn: part.lsn.get(),
            lsn_term: part.lsn_term.get(),
            index: part.index,
            count: part.count,
            part: Some((&part.part).into()),
        }
    }
}

impl TryFrom<wire::SnapshotPart> for SnapshotPart {
    type Error = ConversionError;

    fn try_from(message: wire::SnapshotPart) -> Result<Self, Self::Error> {
        Ok(Self {
            fence: fence(message.fence)?,
            snapshot: message.snapshot,
            lsn: Lsn(message.lsn),
            lsn_term: Term(message.lsn_term),
            index: message.index,
            count: message.count,
            part: required("snapshot_part.part", message.part)?.try_into()?,
        })
    }
}

impl From<TailRequest> for wire::TailRequest {
    fn from(request: TailRequest) -> Self {
        Self {
            fence: Some(request.fence.into()),
            from_lsn: request.from_lsn.get(),
            from_term: request.from_term.get(),
        }
    }
}

impl TryFrom<wire::TailRequest> for TailRequest {
    type Error = ConversionError;

    fn try_from(message: wire::TailRequest) -> Result<Self, Self::Error> {
        Ok(Self {
            fence: fence(message.fence)?,
            from_lsn: Lsn(message.from_lsn),
            from_term: Term(message.from_term),
        })
    }
}

impl From<&TailReply> for wire::TailReply {
    fn from(reply: &TailReply) -> Self {
        Self {
            fence: Some(reply.fence.into()),
            cut_mark: reply.cut_mark,
            summary: Some((&reply.summary).into()),
            last_term: reply.last_term.get(),
            entries: reply.entries.iter().map(Into::into).collect(),
            base: reply.base.0,
            start: reply.start.0,
        }
    }
}

impl TryFrom<wire::TailReply> for TailReply {
    type Error = ConversionError;

    fn try_from(message: wire::TailReply) -> Result<Self, Self::Error> {
        Ok(Self {
            fence: fence(message.fence)?,
            cut_mark: message.cut_mark,
            summary: required("tail_reply.summary", message.summary)?.into(),
            last_term: Term(message.last_term),
            entries: all(message.entries)?,
            base: Lsn(message.base),
            start: StartNonce(message.start),
        })
    }
}
