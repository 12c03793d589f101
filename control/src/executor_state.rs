//! Executors are paused, resumed and shut down.

use ringhold_types::{ControlIndex, ExecutorName, ExecutorState, ExecutorWish, UnixMillis, limits};

use crate::executor::invalid;
use crate::{Changes, Cluster, Command, ExecutorRecord, Refused, Response};

/// The feature level from which on every member knows of states: an older one would forget them in its snapshots.
pub(crate) const STATES_LEVEL: u32 = 2;

impl Cluster {
    /// The commands that end the pauses whose time has come by this wall clock.
    #[must_use]
    pub fn ended_pauses(&self, now: UnixMillis) -> Vec<Command> {
        let ended = |record: &ExecutorRecord| match record.state {
            ExecutorState::Paused {
                until: Some(until),
                since,
                ..
            } if until <= now => Some(Command::SetExecutorState {
                name: record.config.name.clone(),
                wish: ExecutorWish::Run,
                expected: Some(since),
            }),
            _ => None,
        };
        self.executors.values().filter_map(ended).collect()
    }

    pub(crate) fn set_executor_state(
        &mut self,
        name: &ExecutorName,
        wish: &ExecutorWish,
        expected: Option<ControlIndex>,
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        let since = self.index;
        let (id, present) = self.executor_by_name(name).ok_or(Refused::Unknown)?;
        if present.state.is(wish) {
            return Ok(Response::Executor { id });
        }
        if let ExecutorState::ShutDown { reason, .. } = &present.state {
            let reason = reason.clone();
            return Err(Refused::ShutDown { reason });
        }
        if expected.is_some() && expected != present.state.since() {
            return Err(Refused::StateChanged);
        }
        let length = wish.reason().len();
        if length > limits::STATE_REASON_BYTES_MAX {
            return Err(invalid(format!(
                "a reason has up to {} bytes, not {length}",
                limits::STATE_REASON_BYTES_MAX
            )));
        }
        if self.feature_level < STATES_LEVEL {
            return Err(Refused::Forbidden {
                rule: "an executor's state is set only once every member knows of it; update all members".into(),
            });
        }
        if let Some(record) = self.executors.get_mut(&id) {
            record.state = wish.at(since);
            changes.executors.push(id);
        }
        Ok(Response::Executor { id })
    }
}
