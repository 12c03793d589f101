//! Creates executors that the configuration knows, when somebody first submits to them.

use std::sync::Arc;
use std::time::Duration;

use ringhold_control::{Cluster, Command, Refused, Response};
use ringhold_proto::ApiError;
use ringhold_types::{ErrorCode, ExecutorConfig, ExecutorName};

use super::api_error;
use crate::control::ControlPlane;

/// Executors that the member's configuration knows: by exact name, by wildcard, or by `default`.
pub trait ExecutorTemplates: Send + Sync + 'static {
    /// The configuration of an executor of that name, if there is one.
    ///
    /// # Errors
    /// Text for the operator when the name is ambiguous.
    fn config_for(&self, name: &ExecutorName) -> Result<Option<ExecutorConfig>, String>;

    /// Names that exist as such, to suggest the nearest.
    fn names(&self) -> Vec<String>;
}

/// Creates executors by control command.
pub(super) struct ExecutorCreation {
    control: ControlPlane,
    templates: Arc<dyn ExecutorTemplates>,
}

impl ExecutorCreation {
    pub(super) fn new(control: ControlPlane, templates: Arc<dyn ExecutorTemplates>) -> Self {
        Self { control, templates }
    }

    /// Whether the configuration has an executor of that name.
    pub(super) fn knows(&self, name: &ExecutorName) -> Result<bool, ApiError> {
        Ok(self.resolve(name)?.is_some())
    }

    fn resolve(&self, name: &ExecutorName) -> Result<Option<ExecutorConfig>, ApiError> {
        let resolved = self.templates.config_for(name);
        resolved.map_err(|text| api_error(ErrorCode::InvalidConfiguration, text))
    }

    /// Creates the executor that `name` resolves to; does nothing more if somebody else just did.
    pub(super) async fn create(
        &self,
        name: &ExecutorName,
        cluster: &Cluster,
        patience: Duration,
    ) -> Result<(), ApiError> {
        let config = self
            .resolve(name)?
            .ok_or_else(|| self.not_found(name, cluster))?;
        if let Some(setting) = config.not_supported_yet() {
            let message = format!("executor {name}: {setting} is not supported yet");
            return Err(api_error(ErrorCode::InvalidConfiguration, message));
        }
        match self
            .control
            .propose(Command::CreateExecutor { config }, patience)
            .await
        {
            // Another member's file says otherwise; what the cluster has wins over files (PROTOCOL §6).
            Ok(Response::Refused(Refused::ExecutorDiffers { .. })) => Ok(()),
            Ok(Response::Refused(reason)) => Err(api_error(
                ErrorCode::InvalidConfiguration,
                format!("executor {name} cannot be created: {reason}"),
            )),
            Ok(_) => Ok(()),
            Err(error) => Err(api_error(
                ErrorCode::Unavailable,
                format!("executor {name} cannot be created: {error}"),
            )),
        }
    }

    /// The error for a name that no executor has, with the nearest name that exists.
    pub(super) fn not_found(&self, name: &ExecutorName, cluster: &Cluster) -> ApiError {
        if self.knows(name).unwrap_or(false) {
            let message = format!(
                "executor {name} is configured and does not exist yet; its first submit creates it"
            );
            return api_error(ErrorCode::ExecutorNotFound, message);
        }
        let known = cluster
            .executors()
            .values()
            .map(|record| record.config.name.to_string());
        let mut names: Vec<String> = known.chain(self.templates.names()).collect();
        names.sort_unstable();
        names.dedup();
        let nearest = names
            .iter()
            .map(|known| (strsim::damerau_levenshtein(known, name.as_str()), known))
            .min()
            .map(|(_, known)| format!("; did you mean {known}?"))
            .unwrap_or_default();
        api_error(
            ErrorCode::ExecutorNotFound,
            format!(
                "there is no executor {name}, and no configuration that would create it{nearest}"
            ),
        )
    }
}
