//! An executor's configuration as written in code; checked when the member starts.

use ringhold_types::{ExecutorName, Millis, PartitionCount, Persistence, WhenFull};

use super::StartError;

/// An executor, configured in code: `ExecutorConfig::new("reports").pool_size(8).durability(1)`.
#[derive(Clone, Debug)]
pub struct ExecutorConfig {
    name: String,
    /// The settings; its name is only a stand-in until [`Self::build`] has checked `name`.
    settings: Option<ringhold_types::ExecutorConfig>,
    partition_count: Option<u32>,
}

impl From<ringhold_types::ExecutorConfig> for ExecutorConfig {
    fn from(config: ringhold_types::ExecutorConfig) -> Self {
        Self {
            name: config.name.to_string(),
            settings: Some(config),
            partition_count: None,
        }
    }
}

impl ExecutorConfig {
    /// The defaults under a name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        let settings = ExecutorName::new(name.clone()).ok();
        Self {
            name,
            settings: settings.map(ringhold_types::ExecutorConfig::with_name),
            partition_count: None,
        }
    }

    fn set(mut self, change: impl FnOnce(&mut ringhold_types::ExecutorConfig)) -> Self {
        if let Some(settings) = &mut self.settings {
            change(settings);
        }
        self
    }

    /// Attempts that run at once per member. Default 16.
    #[must_use]
    pub fn pool_size(self, slots: u32) -> Self {
        self.set(|settings| settings.pool_size = slots)
    }

    /// Backups beside the primary. Default 1.
    #[must_use]
    pub fn durability(self, backups: u32) -> Self {
        self.set(|settings| settings.durability = backups)
    }

    /// Undisposed entries per partition; 0 means no limit by count. Default 10 000.
    #[must_use]
    pub fn capacity(self, entries: u64) -> Self {
        self.set(|settings| settings.capacity = entries)
    }

    /// What a submit to a full partition gets. Default: refused.
    #[must_use]
    pub fn when_full(self, policy: WhenFull) -> Self {
        self.set(|settings| settings.when_full = policy)
    }

    /// Where copies live. Default: on disk.
    #[must_use]
    pub fn persistence(self, persistence: Persistence) -> Self {
        self.set(|settings| settings.persistence = persistence)
    }

    /// Slices; immutable once the executor exists. Default 271.
    #[must_use]
    pub fn partition_count(mut self, count: u32) -> Self {
        self.partition_count = Some(count);
        self
    }

    /// How long an outcome is kept. Default 24 h.
    #[must_use]
    pub fn result_ttl(self, span: Millis) -> Self {
        self.set(|settings| settings.result_ttl = span)
    }

    /// Longest run of an attempt. Default: none.
    #[must_use]
    pub fn run_limit(self, span: Millis) -> Self {
        self.set(|settings| settings.run_limit = Some(span))
    }

    /// Time between TERM and KILL for a program that must end. Default 5 s.
    #[must_use]
    pub fn kill_grace(self, span: Millis) -> Self {
        self.set(|settings| settings.kill_grace = span)
    }

    /// How long an idempotency key means its task after that task is gone. Default 10 min.
    #[must_use]
    pub fn dedup_window(self, span: Millis) -> Self {
        self.set(|settings| settings.dedup_window = span)
    }

    /// Allows a binary for process tasks: an absolute path, a plain name, or `*` for all. Default: none.
    #[must_use]
    pub fn allow_binary(self, binary: impl Into<String>) -> Self {
        self.set(|settings| settings.allowed_binaries.push(binary.into()))
    }

    /// The checked form.
    pub(super) fn build(self) -> Result<ringhold_types::ExecutorConfig, StartError> {
        let Some(mut settings) = self.settings else {
            let refused = ExecutorName::new(self.name).err();
            let problem = refused.map(|error| error.to_string()).unwrap_or_default();
            return Err(StartError::Setting {
                setting: "executor",
                problem,
            });
        };
        if let Some(count) = self.partition_count {
            settings.partition_count =
                PartitionCount::new(count).ok_or_else(|| StartError::Setting {
                    setting: "partition-count",
                    problem: format!(
                        "must be 1 to {}, not {count}",
                        ringhold_types::limits::PARTITION_COUNT_MAX
                    ),
                })?;
        }
        Ok(settings)
    }
}
