//! Configures a member in code. `ringhold server` uses the same builder, so both have one validator.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use ringhold_types::ConfigViolation;
use ringhold_types::limits::RING_BYTES_MIN;

use super::executor::ExecutorConfig;
use super::templates::Resolve;
use super::{Member, StartError, Templates, start};
use crate::execution::{
    AttemptContext, Coded, Handler, HandlerError, HandlerInput, HandlerOutput, HandlerRegistry,
    TypedHandler,
};

/// A member that has not started.
///
/// Safe by default: everything binds to loopback, ports are picked by the system, and other addresses need
/// [`MemberBuilder::insecure`].
pub struct MemberBuilder {
    pub(super) name: String,
    pub(super) cluster: String,
    pub(super) zone: Option<String>,
    pub(super) witness: bool,
    /// Nobody can hold a backup: executors get durability 0.
    pub(super) single: bool,
    pub(super) insecure: bool,
    pub(super) expect: Option<u32>,
    pub(super) join: Vec<String>,
    pub(super) join_deadline: Option<Duration>,
    pub(super) data_directory: Option<PathBuf>,
    pub(super) client_address: String,
    pub(super) peer_address: String,
    pub(super) http_address: String,
    pub(super) advertise_host: Option<String>,
    pub(super) ring_bytes_max: Option<u64>,
    pub(super) client_listener: Option<TcpListener>,
    pub(super) peer_listener: Option<TcpListener>,
    pub(super) executors: Vec<ExecutorConfig>,
    pub(super) templates: Templates,
    pub(super) handlers: Result<HandlerRegistry, StartError>,
}

impl Default for MemberBuilder {
    fn default() -> Self {
        Self {
            name: "m1".to_owned(),
            cluster: "ringhold".to_owned(),
            zone: None,
            witness: false,
            single: false,
            insecure: false,
            expect: None,
            join: Vec::new(),
            join_deadline: None,
            data_directory: None,
            client_address: "127.0.0.1:0".to_owned(),
            peer_address: "127.0.0.1:0".to_owned(),
            http_address: "127.0.0.1:0".to_owned(),
            advertise_host: None,
            ring_bytes_max: None,
            client_listener: None,
            peer_listener: None,
            executors: Vec::new(),
            templates: Templates::default(),
            handlers: Ok(HandlerRegistry::with_echo()),
        }
    }
}

impl MemberBuilder {
    /// A cluster of one; see [`Member::single`].
    pub(super) fn single() -> Self {
        Self {
            expect: Some(1),
            single: true,
            ..Self::default()
        }
    }

    /// Its name, unique in the cluster. Default `m1`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The name of the cluster it belongs to. Default `ringhold`.
    #[must_use]
    pub fn cluster(mut self, name: impl Into<String>) -> Self {
        self.cluster = name.into();
        self
    }

    /// Members of one zone fail together; backups are placed in other zones where there are any.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// Votes in the control plane and holds no tasks.
    #[must_use]
    pub fn witness(mut self, witness: bool) -> Self {
        self.witness = witness;
        self
    }

    /// Peer addresses of members to find the cluster by, `host:port`; its own may be among them.
    #[must_use]
    pub fn join<I>(mut self, addresses: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.join = addresses.into_iter().map(Into::into).collect();
        self
    }

    /// Members that must answer before a new cluster is made. Default: as many as `join` names, at least 1.
    #[must_use]
    pub fn expect(mut self, members: u32) -> Self {
        self.expect = Some(members);
        self
    }

    /// Gives up joining after this time, with an error that says whom it asked. Default: it tries for ever and logs why.
    #[must_use]
    pub fn join_deadline(mut self, patience: Duration) -> Self {
        self.join_deadline = Some(patience);
        self
    }

    /// Where it keeps its data. Default: a fresh directory below the system's temporary one, removed at the end.
    #[must_use]
    pub fn data_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.data_directory = Some(directory.into());
        self
    }

    /// Where clients reach it. Default `127.0.0.1:0`.
    #[must_use]
    pub fn client_address(mut self, address: impl Into<String>) -> Self {
        self.client_address = address.into();
        self
    }

    /// Where members reach it. Default `127.0.0.1:0`.
    #[must_use]
    pub fn peer_address(mut self, address: impl Into<String>) -> Self {
        self.peer_address = address.into();
        self
    }

    /// Serves clients on a socket that is bound already, in place of [`Self::client_address`].
    #[must_use]
    pub fn client_listener(mut self, listener: TcpListener) -> Self {
        self.client_address = bound_address(&listener, self.client_address);
        self.client_listener = Some(listener);
        self
    }

    /// Serves members on a socket that is bound already, in place of [`Self::peer_address`]: several members of one program
    /// know each other's ports before they start, and nobody can take one in between.
    #[must_use]
    pub fn peer_listener(mut self, listener: TcpListener) -> Self {
        self.peer_address = bound_address(&listener, self.peer_address);
        self.peer_listener = Some(listener);
        self
    }

    /// The host, by name or number, under which clients and members reach it, where that is not what it binds: behind an
    /// address translation, or with `0.0.0.0`.
    #[must_use]
    pub fn advertise_host(mut self, host: impl Into<String>) -> Self {
        self.advertise_host = Some(host.into());
        self
    }

    /// Most bytes of tasks and outcomes that it holds, as a primary and as a backup, all executors together, at least
    /// [`RING_BYTES_MIN`]: beyond it new tasks are refused, outcomes never. Default: a quarter of the memory that the process
    /// may use.
    #[must_use]
    pub fn ring_bytes_max(mut self, bytes: u64) -> Self {
        self.ring_bytes_max = Some(bytes);
        self
    }

    /// Where its HTTP pages are. Default `127.0.0.1:0`.
    #[must_use]
    pub fn http_address(mut self, address: impl Into<String>) -> Self {
        self.http_address = address.into();
        self
    }

    /// Allows addresses that other machines can reach, without authentication.
    #[must_use]
    pub fn insecure(mut self, insecure: bool) -> Self {
        self.insecure = insecure;
        self
    }

    /// Adds an executor, created when the cluster is there.
    #[must_use]
    pub fn executor(mut self, config: impl Into<ExecutorConfig>) -> Self {
        self.executors.push(config.into());
        self
    }

    /// The rule for executors that are created by their first submit: wildcards and `default` of a configuration file.
    #[must_use]
    pub fn other_executors(mut self, patterns: Vec<String>, resolve: Resolve) -> Self {
        self.templates.set_others(patterns, resolve);
        self
    }

    /// Registers a handler whose input and output are JSON of Rust types.
    #[must_use]
    pub fn handler<H: TypedHandler>(self, handler: H) -> Self {
        self.register(|registry| registry.register_typed(handler).map(drop))
    }

    /// Registers a handler of Rust types that speaks other forms than JSON, too.
    #[must_use]
    pub fn coded_handler<H: TypedHandler>(self, handler: Coded<H>) -> Self {
        self.register(|registry| registry.register_coded(handler).map(drop))
    }

    /// Registers a handler of bytes under a name.
    #[must_use]
    pub fn raw_handler(self, name: impl Into<String>, handler: impl Handler) -> Self {
        self.register(|registry| registry.register(name, handler).map(drop))
    }

    /// Registers a handler that blocks its thread.
    #[must_use]
    pub fn blocking_handler(
        self,
        name: impl Into<String>,
        handler: impl Fn(AttemptContext, HandlerInput) -> Result<HandlerOutput, HandlerError>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.register(|registry| registry.register_blocking(name, handler).map(drop))
    }

    fn register(
        mut self,
        add: impl FnOnce(&mut HandlerRegistry) -> Result<(), crate::execution::HandlerNameTaken>,
    ) -> Self {
        self.handlers = self.handlers.and_then(|mut registry| {
            add(&mut registry)?;
            Ok(registry)
        });
        self
    }

    /// Starts the member and waits until it has joined its cluster.
    ///
    /// # Errors
    /// [`StartError`], which says what to do.
    pub async fn start(mut self) -> Result<Member, StartError> {
        self.validate()?;
        start::start(self).await
    }

    /// Checks what can be checked without touching disk or network, as [`Self::start`] does first.
    ///
    /// # Errors
    /// [`StartError`] with the first mistake.
    pub fn validate(&mut self) -> Result<(), StartError> {
        self.take_executors()?;
        self.check()
    }

    /// Turns the executors as written into checked configurations.
    fn take_executors(&mut self) -> Result<(), StartError> {
        for executor in self.executors.drain(..) {
            let mut config = executor.build()?;
            if self.single {
                config.durability = 0;
                config.min_copies = None;
            }
            self.templates.add(config);
        }
        Ok(())
    }

    fn check(&self) -> Result<(), StartError> {
        for config in self.templates.exact() {
            let early = config.not_supported_yet().map(|key| ConfigViolation {
                key,
                rule: "is not supported yet".to_owned(),
            });
            if let Some(violation) = config.violations().into_iter().chain(early).next() {
                let executor = config.name.to_string();
                return Err(StartError::Executor {
                    executor,
                    violation,
                });
            }
        }
        if self.name.is_empty() || self.name.len() > 64 || self.name.contains(char::is_whitespace) {
            return Err(StartError::Setting {
                setting: "name",
                problem: format!("{:?} is not 1 to 64 characters without spaces", self.name),
            });
        }
        if let Some(bytes) = self.ring_bytes_max.filter(|it| *it < RING_BYTES_MIN) {
            return Err(StartError::Setting {
                setting: "ring-bytes-max",
                problem: format!(
                    "{bytes} bytes are less than the {RING_BYTES_MIN} of a few of the largest tasks"
                ),
            });
        }
        for (setting, text) in [
            ("client-address", &self.client_address),
            ("peer-address", &self.peer_address),
            ("http-address", &self.http_address),
        ] {
            let address: SocketAddr = text.parse().map_err(|_| StartError::Setting {
                setting,
                problem: format!("{text:?} is no address and port, such as 127.0.0.1:7400"),
            })?;
            if !address.ip().is_loopback() && !self.insecure {
                return Err(StartError::NotLoopback { address });
            }
            if address.ip().is_unspecified() && self.advertise_host.is_none() {
                let problem = format!(
                    "{setting} {address} is every address of this machine, and others must be told one; \
                     say under which host they reach it"
                );
                return Err(StartError::Setting {
                    setting: "advertise-host",
                    problem,
                });
            }
        }
        self.check_advertised()
    }

    fn check_advertised(&self) -> Result<(), StartError> {
        let is_host = |host: &str| {
            let part =
                |character: char| character.is_ascii_alphanumeric() || "-.:_%".contains(character);
            !host.is_empty() && host.chars().all(part)
        };
        match &self.advertise_host {
            Some(host) if !is_host(host) => Err(StartError::Setting {
                setting: "advertise-host",
                problem: format!("{host:?} is no host, by name or number, without a port"),
            }),
            _ => Ok(()),
        }
    }

    /// Members that must answer before a new cluster is made.
    pub(super) fn expected(&self) -> u32 {
        let named = u32::try_from(self.join.len()).unwrap_or(u32::MAX);
        self.expect.unwrap_or(named.max(1))
    }
}

/// Where a socket is bound: it is judged like an address in writing.
fn bound_address(listener: &TcpListener, otherwise: String) -> String {
    listener
        .local_addr()
        .map_or(otherwise, |address| address.to_string())
}
