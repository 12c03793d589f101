//! Why a member did not start, in words that say what to do.

use std::net::SocketAddr;

use ringhold_storage::StorageError;
use ringhold_types::ErrorCode;
use ringhold_types::executor::ConfigViolation;

use crate::control::ControlError;
use crate::execution::HandlerNameTaken;
use crate::partition::CommitterError;

/// Why a member did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting outside its range.
    #[error("executor {executor}: {violation}")]
    Executor {
        /// The executor.
        executor: String,
        /// What must hold.
        violation: ConfigViolation,
    },
    /// A setting that is no valid text for what it is.
    #[error("{setting}: {problem}")]
    Setting {
        /// The setting, in kebab-case.
        setting: &'static str,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// Binding elsewhere than loopback without saying so.
    #[error(
        "{address} can be reached from other machines, and this version has no authentication: bind to 127.0.0.1, \
         or say --insecure if the network is closed"
    )]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// An address could not be bound.
    #[error(
        "{setting} {address} cannot be bound; is another member running there? Port 0 lets the system choose"
    )]
    Bind {
        /// The setting.
        setting: &'static str,
        /// The address.
        address: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Two handlers of one name.
    #[error("the handlers are not acceptable")]
    Handler(#[from] HandlerNameTaken),
    /// The data directory or what is in it.
    #[error("the data directory cannot be used")]
    Storage(#[from] StorageError),
    /// The small files in the data directory.
    #[error("a file in the data directory cannot be read or written")]
    Directory(#[source] std::io::Error),
    /// The log's thread.
    #[error("the log cannot be written")]
    Committer(#[from] CommitterError),
    /// The control plane: it cannot join, and says whom it asked.
    #[error("the member cannot join its cluster")]
    Control(#[from] ControlError),
    /// A thread could not be started.
    #[error("the operating system gives no thread")]
    Thread(#[source] std::io::Error),
}

impl StartError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Executor { .. } | Self::Setting { .. } | Self::NotLoopback { .. } => {
                ErrorCode::InvalidConfiguration
            }
            Self::Handler(_) => ErrorCode::InvalidConfiguration,
            Self::Bind { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
                ErrorCode::AddressInUse
            }
            Self::Bind { .. } => ErrorCode::InvalidConfiguration,
            Self::Storage(error) => error.code(),
            Self::Directory(_) => ErrorCode::DataDirectory,
            Self::Control(error) => error.code(),
            Self::Committer(_) | Self::Thread(_) => ErrorCode::Internal,
        }
    }
}
