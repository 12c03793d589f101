//! Why a member cannot join, and why a proposal came to nothing.

use std::fmt;

use ringhold_types::{ClusterId, ErrorCode};

/// Why the control plane cannot start or join. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The options contradict themselves.
    #[error("{0}")]
    Configuration(String),
    /// The metadata store failed, or holds what this version does not understand.
    #[error("the control plane's metadata store cannot be used")]
    Store(#[source] std::io::Error),
    /// Raft stopped.
    #[error("the control plane has stopped: {0}")]
    Fatal(String),
    /// The data directory says another cluster than the metadata store in it.
    #[error(
        "the data directory belongs to cluster {directory}, the metadata store in it to {store}; do not mix directories"
    )]
    MixedDirectory {
        /// The cluster that the directory belongs to.
        directory: ClusterId,
        /// The cluster that the store belongs to.
        store: ClusterId,
    },
    /// A listed member belongs to another cluster.
    #[error(
        "this member belongs to cluster {ours}, the one at {address} to {theirs}; remove that address from `join`, or empty this member's data directory to join that cluster"
    )]
    OtherCluster {
        /// Our cluster.
        ours: ClusterId,
        /// Its cluster.
        theirs: ClusterId,
        /// Where it is.
        address: String,
    },
    /// A listed member belongs to a cluster of another name.
    #[error(
        "this member is to be in cluster {ours:?}, the one at {address} is in {theirs:?}; correct `cluster` or `join`"
    )]
    OtherName {
        /// The name of our cluster.
        ours: String,
        /// The name of its cluster.
        theirs: String,
        /// Where it is.
        address: String,
    },
    /// The cluster refuses this member.
    #[error("the cluster refuses this member: {reason}")]
    Refused {
        /// Why, and what to do.
        reason: String,
    },
    /// The deadline passed.
    #[error("member {member} could not join cluster {cluster:?} in time: {why}; {asked}")]
    Deadline {
        /// This member's name.
        member: String,
        /// The cluster's name.
        cluster: String,
        /// What it was waiting for.
        why: String,
        /// Whom it asked, and what each answered.
        asked: Asked,
    },
}

impl ControlError {
    /// The stable code of this error.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Configuration(_) => ErrorCode::InvalidConfiguration,
            Self::Store(_) | Self::Fatal(_) => ErrorCode::Internal,
            Self::MixedDirectory { .. } => ErrorCode::DataDirectory,
            Self::OtherCluster { .. } | Self::OtherName { .. } => ErrorCode::WrongCluster,
            Self::Refused { .. } => ErrorCode::NotAllowed,
            Self::Deadline { .. } => ErrorCode::NotReady,
        }
    }
}

/// Whom a joining member asked, and what each answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked(pub Vec<(String, String)>);

impl fmt::Display for Asked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return formatter.write_str("it asked nobody");
        }
        formatter.write_str("it asked")?;
        for (number, (address, answer)) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "," };
            write!(formatter, "{separator} {address} ({answer})")?;
        }
        Ok(())
    }
}

/// Why a proposal has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// No leader took it before the deadline; it was not applied and will not be.
    #[error("the control plane has no leader now")]
    NoLeader,
    /// The deadline passed or the connection broke after it was sent: it may or may not be applied.
    #[error("the control plane did not answer in time; whether the change is made is not known")]
    Timeout,
    /// The control plane of this member has stopped.
    #[error("the control plane has stopped: {0}")]
    Fatal(String),
}
