use crate::{ControlIndex, UnixMillis};

/// Whether an executor takes and starts tasks. Cluster state: one command changes it for every member, those that join later
/// included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ExecutorState {
    /// It takes tasks and starts them.
    #[default]
    Running,
    /// It takes tasks and starts none. What runs goes on.
    Paused {
        /// Why, in the words of whoever paused it.
        reason: String,
        /// When it is resumed by itself: a wall clock's time, for an operator's convenience and no guarantee's.
        until: Option<UnixMillis>,
        /// The command that paused it.
        since: ControlIndex,
    },
    /// It takes no tasks and finishes those that it has. For good: whoever wants its name again destroys it first.
    ShutDown {
        /// Why, in the words of whoever shut it down.
        reason: String,
        /// The command that shut it down.
        since: ControlIndex,
    },
}

/// The state that somebody wishes an executor to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecutorWish {
    /// To take tasks and start them: the end of a pause.
    Run,
    /// To start none for a while.
    Pause {
        /// Why, up to [`crate::limits::STATE_REASON_BYTES_MAX`] bytes.
        reason: String,
        /// When it is to be resumed by itself.
        until: Option<UnixMillis>,
    },
    /// To take no more tasks, for good.
    ShutDown {
        /// Why, up to [`crate::limits::STATE_REASON_BYTES_MAX`] bytes.
        reason: String,
    },
}

impl ExecutorState {
    /// Whether tasks begin.
    #[must_use]
    pub const fn starts_tasks(&self) -> bool {
        !matches!(self, Self::Paused { .. })
    }

    /// Whether tasks of callers are taken.
    #[must_use]
    pub const fn takes_tasks(&self) -> bool {
        !matches!(self, Self::ShutDown { .. })
    }

    /// The command that brought it into this state; none for one that runs.
    #[must_use]
    pub const fn since(&self) -> Option<ControlIndex> {
        match self {
            Self::Running => None,
            Self::Paused { since, .. } | Self::ShutDown { since, .. } => Some(*since),
        }
    }

    /// Whether it is what is wished already.
    #[must_use]
    pub fn is(&self, wish: &ExecutorWish) -> bool {
        match (self, wish) {
            (Self::Running, ExecutorWish::Run)
            // The first reason stands: whoever repeats the command changes nothing.
            | (Self::ShutDown { .. }, ExecutorWish::ShutDown { .. }) => true,
            (
                Self::Paused { reason, until, .. },
                ExecutorWish::Pause {
                    reason: wished,
                    until: end,
                },
            ) => reason == wished && until == end,
            _ => false,
        }
    }
}

impl ExecutorWish {
    /// The reason, where there is one.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Run => "",
            Self::Pause { reason, .. } | Self::ShutDown { reason } => reason,
        }
    }

    /// The state that the command at `since` brings an executor into.
    #[must_use]
    pub fn at(&self, since: ControlIndex) -> ExecutorState {
        match self.clone() {
            Self::Run => ExecutorState::Running,
            Self::Pause { reason, until } => ExecutorState::Paused {
                reason,
                until,
                since,
            },
            Self::ShutDown { reason } => ExecutorState::ShutDown { reason, since },
        }
    }
}
