//! The settings of an executor: their names, how each is read, how each is written.

use ringhold_types::limits::RESULT_BYTES_MAX;
use ringhold_types::{ExecutorConfig, PartitionCount, Persistence, WhenFull};

use crate::error::Report;
use crate::read;
use crate::show::Shown;
use crate::tree::Entry;
use crate::unit::{show_size, show_time};

/// The settings of an executor, in the order in which they are written.
pub(crate) const EXECUTOR_KEYS: [&str; 15] = [
    "pool-size",
    "durability",
    "capacity",
    "when-full",
    "partition-count",
    "persistence",
    "min-copies",
    "result-ttl",
    "dedup-window",
    "crash-limit",
    "allowed-binaries",
    "run-limit",
    "kill-grace",
    "output-bytes-max",
    "statistics-enabled",
];

const WHEN_FULL: [(&str, WhenFull); 3] = [
    ("reject", WhenFull::Reject),
    ("wait", WhenFull::Wait),
    ("overwrite", WhenFull::Overwrite),
];

const PERSISTENCE: [(&str, Persistence); 2] = [
    ("memory", Persistence::Memory),
    ("fsync", Persistence::Fsync),
];

/// Reads one setting into `config`; an unknown name was reported before and does nothing here.
pub(crate) fn read_into(config: &mut ExecutorConfig, entry: &Entry, report: &mut Report) {
    fn set<T>(target: &mut T, value: Option<T>) {
        if let Some(value) = value {
            *target = value;
        }
    }
    match entry.key.as_str() {
        "pool-size" => set(&mut config.pool_size, read::number(entry, report)),
        "durability" => set(&mut config.durability, read::number(entry, report)),
        "capacity" => set(&mut config.capacity, read::number(entry, report)),
        "when-full" => set(
            &mut config.when_full,
            read::choice(entry, &WHEN_FULL, report),
        ),
        "partition-count" => set(&mut config.partition_count, partition_count(entry, report)),
        "persistence" => set(
            &mut config.persistence,
            read::choice(entry, &PERSISTENCE, report),
        ),
        "min-copies" => set(
            &mut config.min_copies,
            read::number(entry, report).map(Some),
        ),
        "result-ttl" => set(&mut config.result_ttl, read::time(entry, report)),
        "dedup-window" => set(&mut config.dedup_window, read::time(entry, report)),
        "crash-limit" => set(&mut config.crash_limit, read::number(entry, report)),
        "allowed-binaries" => set(&mut config.allowed_binaries, read::list(entry, report)),
        "run-limit" => set(&mut config.run_limit, read::time(entry, report).map(Some)),
        "kill-grace" => set(&mut config.kill_grace, read::time(entry, report)),
        "output-bytes-max" => set(
            &mut config.output_bytes_max,
            output_bytes_max(entry, report),
        ),
        "statistics-enabled" => set(&mut config.statistics_enabled, read::flag(entry, report)),
        _ => {}
    }
}

fn partition_count(entry: &Entry, report: &mut Report) -> Option<PartitionCount> {
    let count = read::number(entry, report)?;
    let known = PartitionCount::new(count);
    if known.is_none() {
        let most = ringhold_types::limits::PARTITION_COUNT_MAX;
        let message = format!("`partition-count` must be 1 to {most}, found {count}");
        report.error(&entry.node.place, message);
    }
    known
}

fn output_bytes_max(entry: &Entry, report: &mut Report) -> Option<u64> {
    let bytes = read::size(entry, report)?;
    let most = RESULT_BYTES_MAX as u64;
    if bytes > most {
        let message = format!(
            "`output-bytes-max` must be at most {} (what a result may hold), found {}",
            show_size(most),
            show_size(bytes)
        );
        report.error(&entry.node.place, message);
        return None;
    }
    Some(bytes)
}

/// Every setting with its value; a setting without one is left out.
pub(crate) fn written(config: &ExecutorConfig) -> Vec<(&'static str, Shown)> {
    let value = |key: &str| {
        Some(match key {
            "pool-size" => Shown::Number(config.pool_size.into()),
            "durability" => Shown::Number(config.durability.into()),
            "capacity" => Shown::Number(config.capacity),
            "when-full" => Shown::Text(word(&WHEN_FULL, config.when_full)),
            "partition-count" => Shown::Number(config.partition_count.get().into()),
            "persistence" => Shown::Text(word(&PERSISTENCE, config.persistence)),
            "min-copies" => Shown::Number(config.min_copies?.into()),
            "result-ttl" => Shown::Text(show_time(config.result_ttl)),
            "dedup-window" => Shown::Text(show_time(config.dedup_window)),
            "crash-limit" => Shown::Number(config.crash_limit.into()),
            "allowed-binaries" => Shown::List(config.allowed_binaries.clone()),
            "run-limit" => Shown::Text(show_time(config.run_limit?)),
            "kill-grace" => Shown::Text(show_time(config.kill_grace)),
            "output-bytes-max" => Shown::Text(show_size(config.output_bytes_max)),
            "statistics-enabled" => Shown::Flag(config.statistics_enabled),
            _ => return None,
        })
    };
    EXECUTOR_KEYS
        .into_iter()
        .filter_map(|key| Some((key, value(key)?)))
        .collect()
}

fn word<T: PartialEq>(words: &[(&str, T)], value: T) -> String {
    let found = words.iter().find(|(_, known)| *known == value);
    found
        .map(|(name, _)| (*name).to_owned())
        .unwrap_or_default()
}
