//! Answers to commands of the control plane.

use ringhold_control::{Refused, Response};
use ringhold_types::{
    ConfigurationVersion, ControlIndex, ExecutorId, Generation, Incarnation, MemberId, PartitionKey,
};

use super::partition;
use crate::convert::ConversionError;
use crate::internal as wire;
use wire::refused::Why;
use wire::response::Response as WireResponse;

impl From<&Response> for wire::Response {
    fn from(response: &Response) -> Self {
        let response = match response {
            Response::Done => WireResponse::Done(wire::CommandDone {}),
            Response::Started { store, memory } => WireResponse::Started(wire::MemberStarted {
                store: store.get(),
                memory: memory.get(),
            }),
            Response::Drains { drain } => {
                WireResponse::Drains(wire::MemberDrains { drain: drain.get() })
            }
            Response::Executor { id } => WireResponse::Executor(wire::ExecutorExists { id: id.0 }),
            Response::Changed { version } => WireResponse::Changed(version_message(*version)),
            Response::Forgotten {
                removed,
                lost,
                repeated,
            } => {
                let lost = lost
                    .iter()
                    .map(|(partition, generation)| wire::PartitionLost {
                        partition: Some((*partition).into()),
                        generation: generation.get(),
                    });
                WireResponse::Forgotten(wire::MemberForgotten {
                    removed: keys(removed),
                    lost: lost.collect(),
                    repeated: *repeated,
                })
            }
            Response::Refused(refused) => WireResponse::Refused(refused.into()),
        };
        Self {
            response: Some(response),
        }
    }
}

impl TryFrom<wire::Response> for Response {
    type Error = ConversionError;

    fn try_from(message: wire::Response) -> Result<Self, Self::Error> {
        let Some(response) = message.response else {
            return Err(ConversionError::UnknownOperation { what: "answer" });
        };
        Ok(match response {
            WireResponse::Done(wire::CommandDone {}) => Self::Done,
            WireResponse::Started(started) => Self::Started {
                store: Incarnation(started.store),
                memory: Incarnation(started.memory),
            },
            WireResponse::Drains(drains) => Self::Drains {
                drain: ControlIndex(drains.drain),
            },
            WireResponse::Executor(executor) => Self::Executor {
                id: ExecutorId(executor.id),
            },
            WireResponse::Changed(changed) => Self::Changed {
                version: ConfigurationVersion(changed.version),
            },
            WireResponse::Forgotten(forgotten) => Self::Forgotten {
                removed: keys_of(forgotten.removed),
                lost: forgotten
                    .lost
                    .into_iter()
                    .map(lost_partition)
                    .collect::<Result<_, _>>()?,
                repeated: forgotten.repeated,
            },
            WireResponse::Refused(refused) => Self::Refused(refused.try_into()?),
        })
    }
}

impl From<&Refused> for wire::Refused {
    fn from(refused: &Refused) -> Self {
        let why = match refused {
            Refused::Initialised => Why::Initialised(wire::RefusedPlainly {}),
            Refused::StaleVersion { current } => Why::StaleVersion(version_message(*current)),
            Refused::NotPrimary => Why::NotPrimary(wire::RefusedPlainly {}),
            Refused::Forbidden { rule } => Why::Forbidden(rule.clone().into_owned()),
            Refused::Unknown => Why::Unknown(wire::RefusedPlainly {}),
            Refused::Identity { reason } => Why::Identity(reason.clone()),
            Refused::NameInUse { name, member } => Why::NameInUse(wire::RefusedNameInUse {
                name: name.clone(),
                member: member.0,
            }),
            Refused::ExecutorDiffers { setting } => {
                Why::ExecutorDiffers(setting.clone().into_owned())
            }
            Refused::ShutDown { reason } => Why::ShutDown(reason.clone()),
            Refused::StateChanged => Why::StateChanged(wire::RefusedPlainly {}),
            Refused::Invalid { violation } => Why::Invalid(violation.clone()),
            Refused::MayBeRunning { would_lose } => Why::MayBeRunning(wire::RefusedMayBeRunning {
                would_lose: keys(would_lose),
            }),
        };
        Self { why: Some(why) }
    }
}

impl TryFrom<wire::Refused> for Refused {
    type Error = ConversionError;

    fn try_from(message: wire::Refused) -> Result<Self, Self::Error> {
        let Some(why) = message.why else {
            return Err(ConversionError::UnknownOperation { what: "refusal" });
        };
        Ok(match why {
            Why::Initialised(wire::RefusedPlainly {}) => Self::Initialised,
            Why::StaleVersion(current) => Self::StaleVersion {
                current: ConfigurationVersion(current.version),
            },
            Why::NotPrimary(wire::RefusedPlainly {}) => Self::NotPrimary,
            Why::Forbidden(rule) => Self::Forbidden { rule: rule.into() },
            Why::Unknown(wire::RefusedPlainly {}) => Self::Unknown,
            Why::ShutDown(reason) => Self::ShutDown { reason },
            Why::StateChanged(wire::RefusedPlainly {}) => Self::StateChanged,
            Why::Identity(reason) => Self::Identity { reason },
            Why::NameInUse(taken) => Self::NameInUse {
                name: taken.name,
                member: MemberId(taken.member),
            },
            Why::ExecutorDiffers(setting) => Self::ExecutorDiffers {
                setting: setting.into(),
            },
            Why::Invalid(violation) => Self::Invalid { violation },
            Why::MayBeRunning(running) => Self::MayBeRunning {
                would_lose: keys_of(running.would_lose),
            },
        })
    }
}

fn version_message(version: ConfigurationVersion) -> wire::ConfigurationChanged {
    wire::ConfigurationChanged {
        version: version.get(),
    }
}

fn lost_partition(
    lost: wire::PartitionLost,
) -> Result<(PartitionKey, Generation), ConversionError> {
    let key = partition("lost.partition", lost.partition)?;
    Ok((key, Generation(lost.generation)))
}

fn keys(partitions: &[PartitionKey]) -> Vec<wire::PartitionKey> {
    partitions.iter().map(|key| (*key).into()).collect()
}

fn keys_of(messages: Vec<wire::PartitionKey>) -> Vec<PartitionKey> {
    messages.into_iter().map(Into::into).collect()
}
