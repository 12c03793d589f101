use ringhold_types::{ControlIndex, ExecutorState, ExecutorWish, UnixMillis};

use crate::convert::{ConversionError, required};
use crate::internal as wire;
use crate::internal::executor_state::State;

/// Nothing for an executor that runs.
pub(super) fn encode(state: &ExecutorState) -> Option<wire::ExecutorState> {
    let state = match state {
        ExecutorState::Running => return None,
        ExecutorState::Paused {
            reason,
            until,
            since,
        } => State::Paused(wire::ExecutorPause {
            reason: reason.clone(),
            until: until.map(|at| at.0),
            since: since.0,
        }),
        ExecutorState::ShutDown { reason, since } => State::ShutDown(wire::ExecutorShutDown {
            reason: reason.clone(),
            since: since.0,
        }),
    };
    Some(wire::ExecutorState { state: Some(state) })
}

pub(super) fn decode(
    message: Option<wire::ExecutorState>,
) -> Result<ExecutorState, ConversionError> {
    let Some(message) = message else {
        return Ok(ExecutorState::Running);
    };
    Ok(match required("executor.state", message.state)? {
        State::Paused(pause) => ExecutorState::Paused {
            reason: pause.reason,
            until: pause.until.map(UnixMillis),
            since: ControlIndex(pause.since),
        },
        State::ShutDown(end) => ExecutorState::ShutDown {
            reason: end.reason,
            since: ControlIndex(end.since),
        },
    })
}

/// A wish travels as the state that it leads to.
pub(super) fn wish(message: Option<wire::ExecutorState>) -> Result<ExecutorWish, ConversionError> {
    Ok(match decode(message)? {
        ExecutorState::Running => ExecutorWish::Run,
        ExecutorState::Paused { reason, until, .. } => ExecutorWish::Pause { reason, until },
        ExecutorState::ShutDown { reason, .. } => ExecutorWish::ShutDown { reason },
    })
}
