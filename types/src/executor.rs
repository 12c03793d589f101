//! The configuration of one executor.

use crate::{ExecutorName, Millis, PartitionCount, limits};

/// Where a partition's copies live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Persistence {
    /// In the memory of its replicas, as the peer does; a power cut of all loses them.
    Memory,
    /// On disk, flushed before anything is acknowledged.
    #[default]
    Fsync,
}

/// What a submit gets when its partition is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WhenFull {
    /// Refused with EXECUTOR_FULL and a time to retry after.
    #[default]
    Reject,
    /// Waits for room, at most as long as the caller's deadline.
    Wait,
    /// Overwrites the oldest outcome, even unread, as the peer does; never an unfinished task.
    Overwrite,
}

/// The configuration of one executor. Keys in files are these names in kebab-case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorConfig {
    /// Its name.
    pub name: ExecutorName,
    /// Attempts that run at once per member; at least 1. Default 16, as the peer.
    pub pool_size: u32,
    /// Backups beside the primary, 0 to 6. Default 1.
    pub durability: u32,
    /// Undisposed entries per partition; 0 means no limit by count. Default 10 000.
    pub capacity: u64,
    /// What a submit to a full partition gets.
    pub when_full: WhenFull,
    /// Slices; immutable. Default 271.
    pub partition_count: PartitionCount,
    /// Disk or memory; immutable.
    pub persistence: Persistence,
    /// Copies without which no submit is admitted; `None` means min(2, durability + 1).
    pub min_copies: Option<u32>,
    /// How long an outcome is kept. Default 24 h.
    pub result_ttl: Millis,
    /// How long an idempotency key outlives its entry. Default 10 min.
    pub dedup_window: Millis,
    /// Deaths of members under a task after which it fails as poison. Default 5.
    pub crash_limit: u32,
    /// Binaries that process tasks may run, as exact absolute paths or plain names; `*` allows all. Default none.
    pub allowed_binaries: Vec<String>,
    /// Default limit of a run; `None` means none.
    pub run_limit: Option<Millis>,
    /// Time between TERM and KILL for a process that must end. Default 5 s.
    pub kill_grace: Millis,
    /// Bytes of standard output kept per attempt (head and tail). Default 1 MiB.
    pub output_bytes_max: u64,
    /// Whether statistics are collected.
    pub statistics_enabled: bool,
}

impl ExecutorConfig {
    /// The defaults under a name.
    #[must_use]
    pub fn with_name(name: ExecutorName) -> Self {
        Self {
            name,
            pool_size: 16,
            durability: 1,
            capacity: 10_000,
            when_full: WhenFull::Reject,
            partition_count: PartitionCount::DEFAULT,
            persistence: Persistence::Fsync,
            min_copies: None,
            result_ttl: Millis(24 * 3_600_000),
            dedup_window: Millis(600_000),
            crash_limit: 5,
            allowed_binaries: Vec::new(),
            run_limit: None,
            kill_grace: Millis(5_000),
            output_bytes_max: 1024 * 1024,
            statistics_enabled: true,
        }
    }

    /// Copies of a partition: backups and the primary.
    #[must_use]
    pub const fn copies(&self) -> u32 {
        self.durability.saturating_add(1)
    }

    /// Copies without which no submit is admitted.
    #[must_use]
    pub fn effective_min_copies(&self) -> u32 {
        self.min_copies
            .unwrap_or_else(|| self.copies().min(2))
            .clamp(1, self.copies())
    }

    /// Undisposed entries per partition, `u64::MAX` when there is no limit by count.
    #[must_use]
    pub const fn effective_capacity(&self) -> u64 {
        if self.capacity == 0 {
            u64::MAX
        } else {
            self.capacity
        }
    }

    /// Ended sequences whose reason is kept: 4 × max(capacity, 10 000) (PROTOCOL §4).
    #[must_use]
    pub fn history(&self) -> u64 {
        self.capacity.max(10_000).saturating_mul(4)
    }

    /// Idempotency keys kept of ended and removed entries: max(capacity, 10 000) (PROTOCOL §4).
    #[must_use]
    pub fn dedup_keys(&self) -> u64 {
        self.capacity.max(10_000)
    }

    /// Checks the ranges that hold whatever the cluster looks like; all violations at once, by kebab-case key.
    #[must_use]
    pub fn violations(&self) -> Vec<ConfigViolation> {
        let mut found = Vec::new();
        let mut check = |holds: bool, key: &'static str, rule: String| {
            if !holds {
                found.push(ConfigViolation { key, rule });
            }
        };
        check(
            (1..=u32::from(u16::MAX)).contains(&self.pool_size),
            "pool-size",
            "must be 1 to 65535".into(),
        );
        check(
            self.durability <= limits::DURABILITY_MAX,
            "durability",
            format!(
                "must be 0 to {} (it counts backups, not copies)",
                limits::DURABILITY_MAX
            ),
        );
        check(
            self.min_copies
                .is_none_or(|copies| (1..=self.copies()).contains(&copies)),
            "min-copies",
            format!(
                "must be 1 to {} (durability + 1)",
                self.durability.saturating_add(1)
            ),
        );
        check(
            self.result_ttl.0 > 0,
            "result-ttl",
            "must be longer than zero".into(),
        );
        check(
            self.crash_limit >= 1,
            "crash-limit",
            "must be at least 1".into(),
        );
        found
    }
}

/// One setting outside its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} {rule}")]
pub struct ConfigViolation {
    /// The setting, in kebab-case.
    pub key: &'static str,
    /// What must hold.
    pub rule: String,
}
