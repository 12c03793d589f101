//! Changes of a partition's configuration.

use ringhold_types::{
    ChangeKind, ConfigurationChange, ConfigurationVersion, Sequence, Term, UnixMillis,
};

use super::{partition, replica};
use crate::convert::ConversionError;
use crate::internal as wire;
use wire::configuration_change::Kind;

impl From<&ConfigurationChange> for wire::ConfigurationChange {
    fn from(change: &ConfigurationChange) -> Self {
        let kind = match change.kind {
            ChangeKind::Promote { learner } => Kind::Promote(wire::Promote {
                learner: Some(learner.into()),
            }),
            ChangeKind::Swap { learner, removed } => Kind::Swap(wire::Swap {
                learner: Some(learner.into()),
                removed: Some(removed.into()),
            }),
            ChangeKind::Degrade { removed } => Kind::Degrade(wire::Degrade {
                removed: Some(removed.into()),
            }),
            ChangeKind::Bump => Kind::Bump(wire::Bump {}),
            ChangeKind::HandOver { to } => Kind::HandOver(wire::NextPrimary {
                to: Some(to.into()),
            }),
            ChangeKind::ShortLog { replica } => Kind::ShortLog(wire::ShortLog {
                replica: Some(replica.into()),
            }),
            ChangeKind::ReplaceSlow { slow } => Kind::ReplaceSlow(wire::ReplaceSlow {
                slow: Some(slow.into()),
            }),
            ChangeKind::RecordLoss { from, at } => Kind::RecordLoss(wire::RecordLoss {
                from: from.bits(),
                at: at.map(|at| at.0),
            }),
        };
        Self {
            partition: Some(change.partition.into()),
            expected: change.expected.get(),
            term: change.term.get(),
            proposer: Some(change.proposer.into()),
            kind: Some(kind),
        }
    }
}

impl TryFrom<wire::ConfigurationChange> for ConfigurationChange {
    type Error = ConversionError;

    fn try_from(message: wire::ConfigurationChange) -> Result<Self, Self::Error> {
        let Some(kind) = message.kind else {
            return Err(ConversionError::UnknownOperation {
                what: "configuration change",
            });
        };
        let kind = match kind {
            Kind::Promote(promote) => ChangeKind::Promote {
                learner: replica("promote.learner", promote.learner)?,
            },
            Kind::Swap(swap) => ChangeKind::Swap {
                learner: replica("swap.learner", swap.learner)?,
                removed: replica("swap.removed", swap.removed)?,
            },
            Kind::Degrade(degrade) => ChangeKind::Degrade {
                removed: replica("degrade.removed", degrade.removed)?,
            },
            Kind::Bump(wire::Bump {}) => ChangeKind::Bump,
            Kind::HandOver(next) => ChangeKind::HandOver {
                to: replica("hand_over.to", next.to)?,
            },
            Kind::ShortLog(short) => ChangeKind::ShortLog {
                replica: replica("short_log.replica", short.replica)?,
            },
            Kind::ReplaceSlow(replace) => ChangeKind::ReplaceSlow {
                slow: replica("replace_slow.slow", replace.slow)?,
            },
            Kind::RecordLoss(loss) => ChangeKind::RecordLoss {
                from: Sequence::from_bits(loss.from),
                at: loss.at.map(UnixMillis),
            },
        };
        Ok(Self {
            partition: partition("change.partition", message.partition)?,
            expected: ConfigurationVersion(message.expected),
            term: Term(message.term),
            proposer: replica("change.proposer", message.proposer)?,
            kind,
        })
    }
}
