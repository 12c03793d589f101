//! Executors are created, changed and deleted (PROTOCOL §1, §6).

use std::sync::Arc;

use ringhold_types::{
    ExecutorConfig, ExecutorId, ExecutorName, ExecutorState, Generation, PartitionKey,
    PartitionNumber, Sequence,
};

use crate::layout::LayoutKey;
use crate::limits::{PARTITIONS_MAX, TOMBSTONES_MAX};
use crate::{Changes, Cluster, ExecutorRecord, PartitionRecord, Refused, Response};

impl Cluster {
    pub(crate) fn create_executor(
        &mut self,
        config: &ExecutorConfig,
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        if let Some((id, present)) = self.executor_by_name(&config.name) {
            return match first_difference(&present.config, config) {
                None => Ok(Response::Executor { id }),
                Some(setting) => Err(Refused::ExecutorDiffers {
                    setting: setting.into(),
                }),
            };
        }
        check_ranges(config)?;
        self.check_members_suffice(config)?;
        let count = usize::try_from(config.partition_count.get()).unwrap_or(usize::MAX);
        let present = self
            .executors
            .values()
            .map(|executor| executor.partitions.len());
        if present.sum::<usize>().saturating_add(count) > PARTITIONS_MAX {
            return Err(invalid(format!(
                "partition-count {count} would take the cluster beyond {PARTITIONS_MAX} partitions"
            )));
        }
        let tombstone = self.tombstones.get(&config.name).copied();
        let generation = tombstone.unwrap_or_default().max(self.tombstone_floor);
        if Sequence::first_of(generation).is_err() {
            return Err(invalid(format!(
                "name {} was deleted and created too often, its sequences are used up; choose another name",
                config.name
            )));
        }
        Ok(self.add_executor(config, count, generation, changes))
    }

    fn add_executor(
        &mut self,
        config: &ExecutorConfig,
        count: usize,
        generation: Generation,
        changes: &mut Changes,
    ) -> Response {
        let id = self.next_executor;
        self.next_executor = ExecutorId(id.0.saturating_add(1));
        self.tombstones.remove(&config.name);
        let partition = PartitionRecord {
            generation,
            min_copies: config.effective_min_copies(),
            ..PartitionRecord::default()
        };
        let record = ExecutorRecord {
            config: Arc::new(config.clone()),
            state: ExecutorState::Running,
            partitions: vec![partition; count],
        };
        self.by_name.insert(config.name.clone(), id);
        self.executors.insert(id, record);
        changes.executors.push(id);
        self.ensure_layout(LayoutKey::of(config));
        self.settle_executor(id, changes);
        Response::Executor { id }
    }

    /// A higher durability shows as learners first and as higher min-copies once they have seats; a lower one gives up
    /// seats at once.
    pub(crate) fn update_executor(
        &mut self,
        config: &ExecutorConfig,
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        let (id, present) = self
            .executor_by_name(&config.name)
            .ok_or(Refused::Unknown)?;
        if present.config.partition_count != config.partition_count {
            return Err(Refused::ExecutorDiffers {
                setting: "partition-count".into(),
            });
        }
        if present.config.persistence != config.persistence {
            return Err(Refused::ExecutorDiffers {
                setting: "persistence".into(),
            });
        }
        if *present.config == *config {
            return Ok(Response::Executor { id });
        }
        check_ranges(config)?;
        if config.durability > present.config.durability {
            self.check_members_suffice(config)?;
        }
        self.ensure_layout(LayoutKey::of(config));
        if let Some(record) = self.executors.get_mut(&id) {
            record.config = Arc::new(config.clone());
        }
        self.drop_unused_layouts();
        changes.executors.push(id);
        self.settle_executor(id, changes);
        Ok(Response::Executor { id })
    }

    pub(crate) fn delete_executor(
        &mut self,
        name: &ExecutorName,
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        let id = self.by_name.remove(name).ok_or(Refused::Unknown)?;
        if let Some(record) = self.executors.remove(&id) {
            let generations = record
                .partitions
                .iter()
                .map(|partition| partition.generation);
            let newest = generations.max().unwrap_or_default();
            self.bury(name, newest.next());
        }
        self.drop_unused_layouts();
        changes.deleted.push(id);
        Ok(Response::Done)
    }

    /// Remembers where sequences go on if the name returns. Beyond the bound the lowest generation becomes the floor of
    /// every name, so that none is ever used twice.
    fn bury(&mut self, name: &ExecutorName, generation: Generation) {
        self.tombstones.insert(name.clone(), generation);
        while self.tombstones.len() > TOMBSTONES_MAX {
            let by_generation = self.tombstones.iter().map(|(name, &at)| (at, name.clone()));
            let Some((lowest, name)) = by_generation.min() else {
                return;
            };
            self.tombstones.remove(&name);
            self.tombstone_floor = self.tombstone_floor.max(lowest);
        }
    }

    fn check_members_suffice(&self, config: &ExecutorConfig) -> Result<(), Refused> {
        let members = self.members.values();
        let available = members
            .filter(|record| record.takes_seats() && record.is_up())
            .count();
        let needed = usize::try_from(config.copies()).unwrap_or(usize::MAX);
        if needed > available {
            return Err(invalid(format!(
                "durability {} needs {needed} members that hold data, and {available} are available; start more members or lower durability",
                config.durability
            )));
        }
        Ok(())
    }

    /// A partition's key, if it exists.
    pub(crate) fn keys(&self) -> impl Iterator<Item = PartitionKey> {
        self.executors.iter().flat_map(|(&executor, record)| {
            let numbers = (0..).take(record.partitions.len());
            numbers.map(move |number| PartitionKey {
                executor,
                partition: PartitionNumber(number),
            })
        })
    }
}

pub(crate) fn invalid(violation: String) -> Refused {
    Refused::Invalid { violation }
}

fn check_ranges(config: &ExecutorConfig) -> Result<(), Refused> {
    let violations = config.violations();
    if violations.is_empty() {
        return Ok(());
    }
    let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
    Err(invalid(all.join("; ")))
}

/// The first setting, in kebab-case, in which two configurations of one name differ.
fn first_difference(present: &ExecutorConfig, wanted: &ExecutorConfig) -> Option<&'static str> {
    let settings = [
        ("pool-size", present.pool_size == wanted.pool_size),
        ("durability", present.durability == wanted.durability),
        ("capacity", present.capacity == wanted.capacity),
        ("when-full", present.when_full == wanted.when_full),
        (
            "partition-count",
            present.partition_count == wanted.partition_count,
        ),
        ("persistence", present.persistence == wanted.persistence),
        ("min-copies", present.min_copies == wanted.min_copies),
        ("result-ttl", present.result_ttl == wanted.result_ttl),
        ("dedup-window", present.dedup_window == wanted.dedup_window),
        ("crash-limit", present.crash_limit == wanted.crash_limit),
        (
            "allowed-binaries",
            present.allowed_binaries == wanted.allowed_binaries,
        ),
        ("run-limit", present.run_limit == wanted.run_limit),
        ("kill-grace", present.kill_grace == wanted.kill_grace),
        (
            "output-bytes-max",
            present.output_bytes_max == wanted.output_bytes_max,
        ),
        (
            "statistics-enabled",
            present.statistics_enabled == wanted.statistics_enabled,
        ),
    ];
    let named = first_unequal(&settings).or_else(|| first_task_difference(present, wanted));
    named.or_else(|| (present != wanted).then_some("configuration"))
}

/// The same for the settings that came with retries, workers and limits of programs.
fn first_task_difference(
    present: &ExecutorConfig,
    wanted: &ExecutorConfig,
) -> Option<&'static str> {
    macro_rules! settings {
        ($($name:literal $field:ident),* $(,)?) => {
            [$(($name, present.$field == wanted.$field)),*]
        };
    }
    first_unequal(&settings![
        "priority" priority,
        "serial" serial,
        "wait-limit" wait_limit,
        "total-limit" total_limit,
        "retry" retry,
        "on-failure" on_failure,
        "on-interrupt" on_interrupt,
        "dead-letter-ttl" dead_letter_ttl,
        "log-bytes-max" log_bytes_max,
        "worker-lease" worker_lease,
        "rate-limit" rate_limit,
        "default-binary" default_binary,
        "environment" environment,
        "environment-deny" environment_deny,
        "inherit-environment" inherit_environment,
        "output-policy" output_policy,
        "process-limits" process_limits,
    ])
}

fn first_unequal(settings: &[(&'static str, bool)]) -> Option<&'static str> {
    let unequal = settings.iter().find(|(_, equal)| !equal);
    unequal.map(|(name, _)| *name)
}
