//! The configuration of one executor.

use std::collections::BTreeMap;

use crate::{
    AtEnd, ExecutorName, Millis, OnInterrupt, OutputPolicy, PartitionCount, Priority,
    ProcessLimits, RetryPolicy, limits,
};

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
    /// Priority of a task that says none. Default 0.
    pub priority: Option<Priority>,
    /// Whether tasks of one affinity key run one after the other, in the order of their submits. Default: not.
    pub serial: Option<bool>,
    /// Default limit of the wait for the first start; `None` means none.
    pub wait_limit: Option<Millis>,
    /// Default limit from acceptance to the outcome; `None` means none.
    pub total_limit: Option<Millis>,
    /// When a failed attempt is followed by another one. Default [`RetryPolicy::default`].
    pub retry: Option<Box<RetryPolicy>>,
    /// What a task becomes when its last failure is final. Default DeadLettered.
    pub on_failure: Option<AtEnd>,
    /// What happens when a member dies under a running attempt. Default: the task runs again.
    pub on_interrupt: Option<OnInterrupt>,
    /// How long a dead letter is kept. Default [`limits::DEAD_LETTER_TTL`].
    pub dead_letter_ttl: Option<Millis>,
    /// Bytes of log kept per attempt, 0 to [`limits::TASK_LOG_BYTES_MAX`]. Default [`limits::TASK_LOG_BYTES`].
    pub log_bytes_max: Option<u64>,
    /// How long a worker keeps an attempt without a heartbeat, [`limits::WORKER_LEASE_MIN`] to
    /// [`limits::WORKER_LEASE_MAX`]. Default [`limits::WORKER_LEASE`].
    pub worker_lease: Option<Millis>,
    /// Most starts of all members together; `None` means no such limit.
    pub rate_limit: Option<RateLimit>,
    /// The program of process tasks that name none. Default: none, such tasks are refused.
    pub default_binary: Option<String>,
    /// Variables of the environment of every program, on top of the member's filtered one and below the task's.
    pub environment: BTreeMap<String, String>,
    /// Patterns (`*` stands for anything) of names that no program gets from the member's environment, beside those that are
    /// always kept from it.
    pub environment_deny: Vec<String>,
    /// Whether programs get the member's filtered environment. Default true.
    pub inherit_environment: Option<bool>,
    /// What happens when a program writes more than is kept. Default: the middle is left out.
    pub output_policy: Option<OutputPolicy>,
    /// What a program may use; a task's own limits win one by one.
    pub process_limits: Option<Box<ProcessLimits>>,
}

/// Tokens of a bucket that each start takes one of, over all members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RateLimit {
    /// Tokens that come each second; at least 1.
    pub per_second: u32,
    /// Tokens that it holds at most; at least 1.
    pub burst: u32,
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
            priority: None,
            serial: None,
            wait_limit: None,
            total_limit: None,
            retry: None,
            on_failure: None,
            on_interrupt: None,
            dead_letter_ttl: None,
            log_bytes_max: None,
            worker_lease: None,
            rate_limit: None,
            default_binary: None,
            environment: BTreeMap::new(),
            environment_deny: Vec::new(),
            inherit_environment: None,
            output_policy: None,
            process_limits: None,
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
        found.extend(self.task_violations());
        found
    }

    /// Violations of the settings that came with retries, workers and limits of programs.
    fn task_violations(&self) -> Vec<ConfigViolation> {
        let mut found = Vec::new();
        let mut check = |holds: bool, key: &'static str, rule: String| {
            if !holds {
                found.push(ConfigViolation { key, rule });
            }
        };
        check(
            self.dead_letter_ttl.is_none_or(|span| span.0 > 0),
            "dead-letter-ttl",
            "must be longer than zero".into(),
        );
        check(
            self.log_bytes_max
                .is_none_or(|bytes| bytes <= limits::TASK_LOG_BYTES_MAX),
            "log-bytes-max",
            format!("must be at most {} bytes", limits::TASK_LOG_BYTES_MAX),
        );
        let leases = limits::WORKER_LEASE_MIN..=limits::WORKER_LEASE_MAX;
        check(
            self.worker_lease.is_none_or(|span| leases.contains(&span)),
            "worker-lease",
            format!(
                "must be {} to {} ms",
                limits::WORKER_LEASE_MIN.0,
                limits::WORKER_LEASE_MAX.0
            ),
        );
        check(
            self.rate_limit
                .is_none_or(|rate| rate.per_second > 0 && rate.burst > 0),
            "rate-limit",
            "must have a rate and a burst of at least 1".into(),
        );
        let name = |name: &String| !name.is_empty() && !name.contains(['=', '\0']);
        check(
            self.environment.keys().all(name),
            "environment",
            "must have names without '=' and NUL".into(),
        );
        found.extend(self.retry.iter().flat_map(|policy| policy.violations()));
        let programs = self.process_limits.iter();
        found.extend(programs.flat_map(|limits| limits.violations()));
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
