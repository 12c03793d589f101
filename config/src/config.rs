//! The checked configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use ringhold_types::{ExecutorConfig, ExecutorName};

/// Everything a member is configured with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Name of the cluster; members and clients of another name are refused. Default `ringhold`.
    pub cluster_name: String,
    /// The member itself.
    pub member: MemberConfig,
    /// Executors by name, by name with one `*`, or `default` for all others.
    pub executors: BTreeMap<String, ExecutorTemplate>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cluster_name: "ringhold".to_owned(),
            member: MemberConfig::default(),
            executors: BTreeMap::new(),
        }
    }
}

/// One member's own settings. Keys in files are these names in kebab-case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberConfig {
    /// Its name for people; `None` lets the member take one from its host.
    pub name: Option<String>,
    /// What it shares a fate with: copies are spread over zones.
    pub zone: Option<String>,
    /// Where everything durable lives. Default `ringhold-data`.
    pub data_dir: PathBuf,
    /// Where clients connect. Default 127.0.0.1:7400.
    pub client_address: Address,
    /// Where other members connect. Default 127.0.0.1:7401.
    pub peer_address: Address,
    /// Health, readiness and metrics. Default 127.0.0.1:7402.
    pub http_address: Address,
    /// The host, by name or number, under which others reach the three addresses; `None`: the one that is bound.
    pub advertise_host: Option<String>,
    /// Peer addresses of members to find the cluster by.
    pub join: Vec<Address>,
    /// How many members found a new cluster together; `None` means as many as `join` lists, at least 1.
    pub expect: Option<u32>,
    /// Most bytes of tasks and outcomes that it holds, as a primary and as a backup, all executors together: beyond it new
    /// tasks are refused, outcomes never. `None`: a quarter of the memory that its process may use.
    pub ring_bytes_max: Option<u64>,
    /// Whether addresses that others can reach may be served without security.
    pub insecure: bool,
    /// Whether this member votes and holds no tasks.
    pub witness: bool,
}

impl Default for MemberConfig {
    fn default() -> Self {
        Self {
            name: None,
            zone: None,
            data_dir: PathBuf::from("ringhold-data"),
            client_address: Address("127.0.0.1:7400".to_owned()),
            peer_address: Address("127.0.0.1:7401".to_owned()),
            http_address: Address("127.0.0.1:7402".to_owned()),
            advertise_host: None,
            join: Vec::new(),
            expect: None,
            ring_bytes_max: None,
            insecure: false,
            witness: false,
        }
    }
}

impl MemberConfig {
    /// The addresses to serve that are not on loopback; they need `insecure`.
    pub fn reachable_addresses(&self) -> impl Iterator<Item = &Address> {
        [&self.client_address, &self.peer_address, &self.http_address]
            .into_iter()
            .filter(|address| !address.is_loopback())
    }

    /// How many members found a new cluster together.
    #[must_use]
    pub fn effective_expect(&self) -> u32 {
        let listed = u32::try_from(self.join.len()).unwrap_or(u32::MAX);
        self.expect.unwrap_or(listed).max(1)
    }
}

/// A host, by name or number, and a port: `m1.example:7401`, `[::1]:7401`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(String);

/// A text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an address reads host:port, like 127.0.0.1:7400, not {text:?}")]
pub struct AddressError {
    /// The refused text.
    pub text: String,
}

impl Address {
    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host, without the brackets of an IPv6 number.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self
            .0
            .rsplit_once(':')
            .map_or(self.0.as_str(), |(host, _)| host);
        host.strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host)
    }

    /// Whether only this machine can reach it. A name other than `localhost` counts as reachable.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || AddressError {
            text: text.to_owned(),
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(refused)?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let host_is_good = if bracketed {
            host[1..host.len() - 1]
                .parse::<std::net::Ipv6Addr>()
                .is_ok()
        } else {
            !host.is_empty() && host.chars().all(plain)
        };
        let port_is_good = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
        if host_is_good && port_is_good {
            Ok(Self(text.to_owned()))
        } else {
            Err(refused())
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// An executor's settings before it has its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorTemplate {
    settings: ExecutorConfig,
}

impl ExecutorTemplate {
    /// The settings of `config`, whatever its name.
    ///
    /// # Panics
    /// Never: the name that stands in for none is well formed.
    #[must_use]
    pub fn of(config: ExecutorConfig) -> Self {
        let name = ExecutorName::new("template").expect("letters are a name");
        Self {
            settings: ExecutorConfig { name, ..config },
        }
    }

    /// The configuration of the executor called `name`.
    #[must_use]
    pub fn named(&self, name: &ExecutorName) -> ExecutorConfig {
        ExecutorConfig {
            name: name.clone(),
            ..self.settings.clone()
        }
    }

    pub(crate) fn settings(&self) -> &ExecutorConfig {
        &self.settings
    }
}

impl Default for ExecutorTemplate {
    fn default() -> Self {
        let name = ExecutorName::new("template").expect("letters are a name");
        Self {
            settings: ExecutorConfig::with_name(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for text in [
            "127.0.0.1:7400",
            "[::1]:0",
            "m1.example:65535",
            "localhost:1",
        ] {
            assert_eq!(
                text.parse::<Address>().map(|a| a.to_string()).as_deref(),
                Ok(text)
            );
        }
        for text in [
            "", "7400", ":7400", "m1:", "m1:65536", "m1:+1", "::1:7400", "a b:1", "[x]:1",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn only_loopback_needs_no_consent() {
        let loopback = |text: &str| text.parse::<Address>().expect("good").is_loopback();
        assert!(loopback("127.0.0.9:1") && loopback("[::1]:1") && loopback("localhost:1"));
        assert!(!loopback("0.0.0.0:1") && !loopback("m1:1") && !loopback("[::]:1"));
    }
}
