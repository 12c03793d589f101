//! Commands of the control plane.

use ringhold_control::{Command, MemberInfo, MemberStart, StoreReport};
use ringhold_types::{
    ClusterId, ConfigurationVersion, ControlIndex, ExecutorId, ExecutorName, ExecutorWish,
    MemberId, PartitionKey, PartitionNumber, StartNonce, UnixMillis,
};

use super::{executor_state, partition};
use crate::convert::{ConversionError, cluster_bytes, cluster_from_bytes, required, value_of};
use crate::internal as wire;
use wire::command::Command as WireCommand;

impl From<&Command> for wire::Command {
    fn from(command: &Command) -> Self {
        Self {
            command: Some(encode(command)),
        }
    }
}

impl TryFrom<wire::Command> for Command {
    type Error = ConversionError;

    fn try_from(message: wire::Command) -> Result<Self, Self::Error> {
        let command = message.command;
        decode(command.ok_or(ConversionError::UnknownOperation { what: "command" })?)
    }
}

fn encode(command: &Command) -> WireCommand {
    match command {
        Command::Initialise { cluster, name } => {
            WireCommand::Initialise(encode_initialise(*cluster, name))
        }
        Command::Start(start) => WireCommand::Start(start.into()),
        Command::MembersDown { members } => WireCommand::MembersDown(encode_down(members)),
        Command::MemberUp { member, start } => WireCommand::MemberUp(process(*member, *start)),
        Command::MarksCleared { member, start } => {
            WireCommand::MarksCleared(process(*member, *start))
        }
        Command::Forget {
            member,
            process_ended,
            at,
        } => WireCommand::Forget(wire::Forget {
            member: member.0,
            process_ended: *process_ended,
            at: at.0,
        }),
        Command::Drain { member, draining } => WireCommand::Drain(wire::Drain {
            member: member.0,
            draining: *draining,
        }),
        Command::Leave { member, start } => WireCommand::Leave(process(*member, *start)),
        Command::CreateExecutor { config } => WireCommand::CreateExecutor(config.into()),
        Command::UpdateExecutor { config } => WireCommand::UpdateExecutor(config.into()),
        Command::DeleteExecutor { name } => WireCommand::DeleteExecutor(wire::DeleteExecutor {
            name: name.as_str().to_owned(),
        }),
        Command::Materialise {
            executor,
            partitions,
        } => WireCommand::Materialise(wire::Materialise {
            executor: executor.0,
            partitions: partitions.iter().map(|number| number.0).collect(),
        }),
        Command::Change(change) => WireCommand::Change(change.into()),
        Command::AddLearner {
            partition,
            expected,
            member,
        } => WireCommand::AddLearner(encode_step(*partition, *expected, *member)),
        Command::RemoveLearner {
            partition,
            expected,
            member,
        } => WireCommand::RemoveLearner(encode_step(*partition, *expected, *member)),
        Command::Nominate {
            partition,
            expected,
            member,
        } => WireCommand::Nominate(encode_step(*partition, *expected, *member)),
        Command::SetExecutorState {
            name,
            wish,
            expected,
        } => WireCommand::SetExecutorState(encode_set(name, wish, *expected)),
        Command::RaiseFeatureLevel { level } => {
            WireCommand::RaiseFeatureLevel(wire::RaiseFeatureLevel { level: *level })
        }
    }
}

fn decode(command: WireCommand) -> Result<Command, ConversionError> {
    Ok(match command {
        WireCommand::Initialise(initialise) => Command::Initialise {
            cluster: cluster_from_bytes(&initialise.cluster_id)?,
            name: initialise.name,
        },
        WireCommand::Start(start) => Command::Start(start.try_into()?),
        WireCommand::MembersDown(down) => decode_down(down),
        WireCommand::MemberUp(up) => Command::MemberUp {
            member: MemberId(up.member),
            start: StartNonce(up.start),
        },
        WireCommand::MarksCleared(cleared) => Command::MarksCleared {
            member: MemberId(cleared.member),
            start: StartNonce(cleared.start),
        },
        WireCommand::Forget(forget) => Command::Forget {
            member: MemberId(forget.member),
            process_ended: forget.process_ended,
            at: UnixMillis(forget.at),
        },
        WireCommand::Drain(drain) => Command::Drain {
            member: MemberId(drain.member),
            draining: drain.draining,
        },
        WireCommand::Leave(process) => leave_of(process),
        WireCommand::CreateExecutor(config) => Command::CreateExecutor {
            config: config.try_into()?,
        },
        WireCommand::UpdateExecutor(config) => Command::UpdateExecutor {
            config: config.try_into()?,
        },
        WireCommand::DeleteExecutor(delete) => Command::DeleteExecutor {
            name: ExecutorName::new(delete.name)?,
        },
        WireCommand::Materialise(materialise) => Command::Materialise {
            executor: ExecutorId(materialise.executor),
            partitions: numbers(materialise.partitions),
        },
        WireCommand::Change(change) => Command::Change(change.try_into()?),
        WireCommand::AddLearner(step) => {
            let (partition, expected, member) = decode_step(step)?;
            Command::AddLearner {
                partition,
                expected,
                member,
            }
        }
        WireCommand::RemoveLearner(step) => {
            let (partition, expected, member) = decode_step(step)?;
            Command::RemoveLearner {
                partition,
                expected,
                member,
            }
        }
        WireCommand::Nominate(step) => {
            let (partition, expected, member) = decode_step(step)?;
            Command::Nominate {
                partition,
                expected,
                member,
            }
        }
        WireCommand::SetExecutorState(set) => decode_set(set)?,
        WireCommand::RaiseFeatureLevel(raise) => Command::RaiseFeatureLevel { level: raise.level },
    })
}

fn encode_initialise(cluster: ClusterId, name: &str) -> wire::Initialise {
    wire::Initialise {
        cluster_id: cluster_bytes(cluster),
        name: name.to_owned(),
    }
}

fn encode_down(members: &[(MemberId, StartNonce)]) -> wire::MembersDown {
    let members = members
        .iter()
        .map(|(member, start)| process(*member, *start));
    wire::MembersDown {
        members: members.collect(),
    }
}

fn decode_down(down: wire::MembersDown) -> Command {
    Command::MembersDown {
        members: down.members.into_iter().map(process_of).collect(),
    }
}

/// The index at which the state will hold is not known yet, so none travels.
fn encode_set(
    name: &ExecutorName,
    wish: &ExecutorWish,
    expected: Option<ControlIndex>,
) -> wire::SetExecutorState {
    wire::SetExecutorState {
        name: name.as_str().to_owned(),
        state: executor_state::encode(&wish.at(ControlIndex(0))),
        expected: expected.map(|index| index.0),
    }
}

fn decode_set(set: wire::SetExecutorState) -> Result<Command, ConversionError> {
    Ok(Command::SetExecutorState {
        name: ExecutorName::new(set.name)?,
        wish: executor_state::wish(set.state)?,
        expected: set.expected.map(ControlIndex),
    })
}

fn numbers(partitions: Vec<u32>) -> Vec<PartitionNumber> {
    partitions.into_iter().map(PartitionNumber).collect()
}

fn process(member: MemberId, start: StartNonce) -> wire::MemberProcess {
    wire::MemberProcess {
        member: member.0,
        start: start.get(),
    }
}

fn leave_of(process: wire::MemberProcess) -> Command {
    let (member, start) = process_of(process);
    Command::Leave { member, start }
}

fn process_of(message: wire::MemberProcess) -> (MemberId, StartNonce) {
    (MemberId(message.member), StartNonce(message.start))
}

type Step = (PartitionKey, ConfigurationVersion, MemberId);

fn encode_step(
    partition: PartitionKey,
    expected: ConfigurationVersion,
    member: MemberId,
) -> wire::PartitionStep {
    wire::PartitionStep {
        partition: Some(partition.into()),
        expected: expected.get(),
        member: member.0,
    }
}

fn decode_step(step: wire::PartitionStep) -> Result<Step, ConversionError> {
    Ok((
        partition("step.partition", step.partition)?,
        ConfigurationVersion(step.expected),
        MemberId(step.member),
    ))
}

impl From<&MemberStart> for wire::MemberStart {
    fn from(start: &MemberStart) -> Self {
        let store = match start.store {
            StoreReport::Empty => wire::StoreReport::Empty,
            StoreReport::Intact => wire::StoreReport::Intact,
            StoreReport::Torn => wire::StoreReport::Torn,
            StoreReport::Doubtful => wire::StoreReport::Doubtful,
        };
        Self {
            member: Some((&start.member).into()),
            last_accepted: start.last_accepted.get(),
            fresh: start.fresh.get(),
            store: store.into(),
            at: start.at.0,
        }
    }
}

impl TryFrom<wire::MemberStart> for MemberStart {
    type Error = ConversionError;

    fn try_from(message: wire::MemberStart) -> Result<Self, Self::Error> {
        let store = match value_of("start.store", message.store)? {
            wire::StoreReport::Unspecified => {
                return Err(ConversionError::Missing {
                    field: "start.store",
                });
            }
            wire::StoreReport::Empty => StoreReport::Empty,
            wire::StoreReport::Intact => StoreReport::Intact,
            wire::StoreReport::Torn => StoreReport::Torn,
            wire::StoreReport::Doubtful => StoreReport::Doubtful,
        };
        Ok(Self {
            member: required("start.member", message.member)?.into(),
            last_accepted: StartNonce(message.last_accepted),
            fresh: StartNonce(message.fresh),
            store,
            at: UnixMillis(message.at),
        })
    }
}

impl From<&MemberInfo> for wire::MemberInfo {
    fn from(info: &MemberInfo) -> Self {
        Self {
            id: info.id.0,
            name: info.name.clone(),
            zone: info.zone.clone(),
            client_address: info.client_address.clone(),
            peer_address: info.peer_address.clone(),
            http_address: info.http_address.clone(),
            witness: info.witness,
            feature_level: info.feature_level,
        }
    }
}

impl From<wire::MemberInfo> for MemberInfo {
    fn from(message: wire::MemberInfo) -> Self {
        Self {
            id: MemberId(message.id),
            name: message.name,
            zone: message.zone,
            client_address: message.client_address,
            peer_address: message.peer_address,
            http_address: message.http_address,
            witness: message.witness,
            feature_level: message.feature_level,
        }
    }
}
