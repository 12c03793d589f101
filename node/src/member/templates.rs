//! Executors that the member's own configuration knows.

use ringhold_types::{ExecutorConfig, ExecutorName};

use crate::rpc::ExecutorTemplates;

/// Finds the configuration of an executor by its name; `None` if nothing matches, text if the match is ambiguous.
pub type Resolve =
    Box<dyn Fn(&ExecutorName) -> Result<Option<ExecutorConfig>, String> + Send + Sync>;

/// Executors by exact name, and a rule for the others (wildcards and `default`, from a configuration file).
#[derive(Default)]
pub struct Templates {
    exact: Vec<ExecutorConfig>,
    others: Option<Resolve>,
    patterns: Vec<String>,
}

impl Templates {
    /// Adds an executor.
    pub fn add(&mut self, config: ExecutorConfig) {
        self.exact.push(config);
    }

    /// Sets the rule for names that no executor has exactly. `patterns` are shown as suggestions.
    pub fn set_others(&mut self, patterns: Vec<String>, resolve: Resolve) {
        self.patterns = patterns;
        self.others = Some(resolve);
    }

    /// The executors by exact name.
    #[must_use]
    pub fn exact(&self) -> &[ExecutorConfig] {
        &self.exact
    }
}

impl ExecutorTemplates for Templates {
    fn config_for(&self, name: &ExecutorName) -> Result<Option<ExecutorConfig>, String> {
        if let Some(config) = self.exact.iter().find(|config| config.name == *name) {
            return Ok(Some(config.clone()));
        }
        self.others
            .as_ref()
            .map_or(Ok(None), |resolve| resolve(name))
    }

    fn names(&self) -> Vec<String> {
        let exact = self.exact.iter().map(|config| config.name.to_string());
        exact.chain(self.patterns.iter().cloned()).collect()
    }
}
