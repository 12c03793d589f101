//! Makes the checked configuration out of the tree, and reports everything that is wrong with it.

use ringhold_types::limits::RING_BYTES_MIN;
use ringhold_types::{ExecutorConfig, ExecutorName};

use crate::error::Report;
use crate::read;
use crate::settings::{self, EXECUTOR_KEYS};
use crate::tree::{Entry, Table};
use crate::unit::show_size;
use crate::{Address, Config, ExecutorTemplate, MemberConfig};

/// The key under which executors stand.
pub(crate) const EXECUTORS: &str = "durable-executor";
/// The key under which the member's own settings stand.
pub(crate) const MEMBER: &str = "member";
/// The key of the cluster's name.
pub(crate) const CLUSTER_NAME: &str = "cluster-name";

/// The top of a configuration.
const ROOT_KEYS: [&str; 3] = [CLUSTER_NAME, MEMBER, EXECUTORS];
/// The settings of a member.
pub(crate) const MEMBER_KEYS: [&str; 12] = [
    "name",
    "zone",
    "data-dir",
    "client-address",
    "peer-address",
    "http-address",
    "advertise-host",
    "join",
    "expect",
    "ring-bytes-max",
    "insecure",
    "witness",
];

/// Reads the whole tree. What is wrong is in the report; the value then holds defaults in its place.
pub(crate) fn config(root: &Table, report: &mut Report) -> Config {
    read::unknown_keys(root, &ROOT_KEYS, report);
    let mut config = Config::default();
    if let Some(name) = root
        .get(CLUSTER_NAME)
        .and_then(|entry| read::text(entry, report))
    {
        config.cluster_name = name;
    }
    if let Some(table) = root
        .get(MEMBER)
        .and_then(|entry| read::table(entry, report))
    {
        config.member = member(&table, report);
    }
    if let Some(table) = root
        .get(EXECUTORS)
        .and_then(|entry| read::table(entry, report))
    {
        for entry in &table.0 {
            check_pattern(entry, report);
            if let Some(template) = executor(entry, report) {
                config.executors.insert(entry.key.clone(), template);
            }
        }
    }
    config
}

fn member(table: &Table, report: &mut Report) -> MemberConfig {
    read::unknown_keys(table, &MEMBER_KEYS, report);
    let mut member = MemberConfig::default();
    for entry in &table.0 {
        read_member_setting(&mut member, entry, report);
    }
    member
}

fn read_member_setting(member: &mut MemberConfig, entry: &Entry, report: &mut Report) {
    let address = |target: &mut Address, report: &mut Report| {
        if let Some(address) = read::parsed(entry, report) {
            *target = address;
        }
    };
    match entry.key.as_str() {
        "name" => member.name = read::text(entry, report),
        "zone" => member.zone = read::text(entry, report),
        "data-dir" => {
            if let Some(directory) = read::text(entry, report) {
                member.data_dir = directory.into();
            }
        }
        "client-address" => address(&mut member.client_address, report),
        "peer-address" => address(&mut member.peer_address, report),
        "http-address" => address(&mut member.http_address, report),
        "advertise-host" => member.advertise_host = read::text(entry, report),
        "join" => member.join = join(entry, report),
        "expect" => {
            member.expect = read::number(entry, report);
            if member.expect == Some(0) {
                report.error(&entry.node.place, "`expect` must be at least 1, found 0");
            }
        }
        "ring-bytes-max" => member.ring_bytes_max = ring_bytes_max(entry, report),
        "insecure" => member.insecure = read::flag(entry, report).unwrap_or_default(),
        "witness" => member.witness = read::flag(entry, report).unwrap_or_default(),
        _ => {}
    }
}

fn ring_bytes_max(entry: &Entry, report: &mut Report) -> Option<u64> {
    let bytes = read::size(entry, report)?;
    if bytes < RING_BYTES_MIN {
        let message = format!(
            "`ring-bytes-max` must be at least {} (a few of the largest tasks), found {}",
            show_size(RING_BYTES_MIN),
            show_size(bytes)
        );
        report.error(&entry.node.place, message);
    }
    Some(bytes)
}

fn join(entry: &Entry, report: &mut Report) -> Vec<Address> {
    let mut addresses = Vec::new();
    for text in read::list(entry, report).unwrap_or_default() {
        match text.parse() {
            Ok(address) => addresses.push(address),
            Err(error) => report.error(&entry.node.place, format!("`join`: {error}")),
        }
    }
    addresses
}

/// An executor's entry is a name, or a name with one `*`.
fn check_pattern(entry: &Entry, report: &mut Report) {
    let pattern = entry.key.as_str();
    if pattern.matches('*').count() > 1 {
        let message = format!("executor pattern `{pattern}` has more than one `*`");
        report.error(&entry.place, message);
    } else if pattern.contains('@') {
        let message = format!("no executor is ever found by `{pattern}`");
        let help = "what follows an `@` is not part of the name that is searched".to_owned();
        report.error_with_help(&entry.place, message, Some(help));
    } else if pattern != "*"
        && let Err(error) = ExecutorName::new(pattern.replace('*', ""))
    {
        report.error(&entry.place, error.to_string());
    }
}

fn executor(entry: &Entry, report: &mut Report) -> Option<ExecutorTemplate> {
    let table = read::table(entry, report)?;
    let known: Vec<&str> = EXECUTOR_KEYS
        .into_iter()
        .chain(ExecutorConfig::NOT_YET)
        .collect();
    read::unknown_keys(&table, &known, report);
    for setting in &table.0 {
        if ExecutorConfig::NOT_YET.contains(&setting.key.as_str()) {
            let message = format!("`{}` is not supported yet", setting.key);
            report.error(&setting.place, message);
        }
    }
    let mut config: ExecutorConfig = ExecutorTemplate::default().settings().clone();
    for setting in &table.0 {
        settings::read_into(&mut config, setting, report);
    }
    for violation in config.violations() {
        let place = table
            .get(violation.key)
            .map_or(&entry.place, |setting| &setting.node.place);
        let message = format!("executor `{}`: {violation}", entry.key);
        report.error(place, message);
    }
    Some(ExecutorTemplate::of(config))
}
