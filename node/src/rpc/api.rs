//! What all operations share: the driver, the control plane, the way to other members.

use std::sync::Arc;
use std::time::Duration;

use ringhold_control::Cluster;
use ringhold_proto::{ApiError, StatedTaskId, v1};
use ringhold_replica::{Refusal, Reply, Request};
use ringhold_types::{
    ErrorCode, ExecutorConfig, ExecutorId, ExecutorName, Generation, MemberId, Millis,
    PartitionKey, TaskId, Tick,
};

use super::api_error;
use super::budget::{SUBMIT_BYTES_MAX, SubmitBudget};
use super::cluster::OpenDrains;
use super::creation::{ExecutorCreation, ExecutorTemplates};
use super::forward::Forwarder;
use super::materialise::Materialiser;
use crate::clock::Clock;
use crate::control::ControlPlane;
use crate::partition::DriverHandle;

/// Longest that a call waits for an answer when the caller names no deadline.
pub(super) const DEFAULT_PATIENCE: Duration = Duration::from_secs(30);
/// Longest that one call may wait for an outcome; SDKs ask again. Bounds how long a vanished client's waiter can live.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(600);

/// What an [`Api`] is made of.
pub struct ApiOptions {
    /// This member.
    pub member: MemberId,
    /// Its driver.
    pub driver: DriverHandle,
    /// Its control plane.
    pub control: ControlPlane,
    /// Executors that a submit may create.
    pub templates: Arc<dyn ExecutorTemplates>,
    /// Its clock.
    pub clock: Clock,
}

/// What all operations share. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    pub(super) member: MemberId,
    pub(super) driver: DriverHandle,
    pub(super) control: ControlPlane,
    pub(super) clock: Clock,
    pub(super) forwarder: Arc<Forwarder>,
    pub(super) creation: Arc<ExecutorCreation>,
    pub(super) materialiser: Materialiser,
    pub(super) submits: SubmitBudget,
    pub(super) drains: Arc<OpenDrains>,
}

/// An executor as the cluster knows it.
#[derive(Clone, Debug)]
pub(super) struct KnownExecutor {
    pub(super) id: ExecutorId,
    pub(super) config: Arc<ExecutorConfig>,
}

/// What the empty ring of that generation would answer.
fn absent_from_unused(id: &TaskId, generation: Generation) -> ApiError {
    if id.sequence.generation() < generation {
        let message =
            format!("{id}: it was of an earlier life of the partition, of which no copy is left");
        return api_error(ErrorCode::DataLoss, message);
    }
    let message = format!("{id}: no task was ever stored in this partition");
    api_error(ErrorCode::NeverExisted, message)
}

impl Api {
    /// Starts the background part (batched materialisation) on the current runtime.
    #[must_use]
    pub fn start(options: ApiOptions) -> Self {
        let creation = ExecutorCreation::new(options.control.clone(), options.templates);
        Self {
            member: options.member,
            materialiser: Materialiser::start(options.control.clone(), options.driver.watch()),
            driver: options.driver,
            control: options.control,
            clock: options.clock,
            forwarder: Arc::new(Forwarder::new(options.member)),
            creation: Arc::new(creation),
            submits: SubmitBudget::new(SUBMIT_BYTES_MAX),
            drains: Arc::default(),
        }
    }

    /// The cluster as this member's driver has applied it.
    pub(super) fn cluster(&self) -> Arc<Cluster> {
        Arc::clone(&self.driver.view().cluster)
    }

    /// Refuses a request that states another cluster (DESIGN G9).
    pub(super) fn check_cluster(&self, stated: Option<&[u8]>) -> Result<(), ApiError> {
        let Some(stated) = stated.filter(|stated| !stated.is_empty()) else {
            return Ok(());
        };
        match self.cluster().id() {
            Some(own) if own.0.to_be_bytes() == stated => Ok(()),
            Some(own) => Err(api_error(
                ErrorCode::WrongCluster,
                format!(
                    "the request is for another cluster; this one is {own}. An id of a former cluster cannot be \
                     answered here: check the address, or drop the id"
                ),
            )),
            None => Err(api_error(
                ErrorCode::NotReady,
                "this member has not joined its cluster yet",
            )),
        }
    }

    /// The executor of that name, if the cluster has it.
    pub(super) fn known_executor(&self, name: &ExecutorName) -> Option<KnownExecutor> {
        let cluster = self.cluster();
        let (id, record) = cluster.executor_by_name(name)?;
        Some(KnownExecutor {
            id,
            config: Arc::clone(&record.config),
        })
    }

    /// Returns once this member knows everything that was decided before the call, so that what it does not know then does
    /// not exist.
    pub(super) async fn catch_up(&self, deadline: Tick) -> Result<(), ApiError> {
        let behind = || {
            let message = "this member may be behind the cluster, and its control plane did not answer in time";
            api_error(ErrorCode::Unavailable, message)
        };
        let patience = self.clock.until(deadline);
        let index = self.control.read_index(patience).await.ok_or_else(behind)?;
        let mut view = self.driver.watch();
        let applied = view.wait_for(|view| view.index >= index);
        match tokio::time::timeout(self.clock.until(deadline), applied).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(behind()),
        }
    }

    /// The executor of that name, or the error that names the nearest one; a member that is behind asks the leader first.
    pub(super) async fn existing_executor(
        &self,
        name: &ExecutorName,
        deadline: Tick,
    ) -> Result<KnownExecutor, ApiError> {
        if let Some(known) = self.known_executor(name) {
            return Ok(known);
        }
        self.catch_up(deadline).await?;
        self.known_executor(name)
            .ok_or_else(|| self.creation.not_found(name, &self.cluster()))
    }

    /// The partition of a task id. An id that no task can have, since its partition does not exist or was never used, is
    /// answered here and at once: its primary has no ring that could.
    pub(super) async fn partition_of_id(
        &self,
        id: &TaskId,
        deadline: Tick,
    ) -> Result<PartitionKey, ApiError> {
        let executor = self.existing_executor(&id.executor, deadline).await?;
        if id.partition.0 >= executor.config.partition_count.get() {
            let message = format!(
                "{id}: executor {} has {} partitions",
                id.executor,
                executor.config.partition_count.get()
            );
            return Err(api_error(ErrorCode::NeverExisted, message));
        }
        let partition = PartitionKey {
            executor: executor.id,
            partition: id.partition,
        };
        if self.unused_generation(partition).is_some() {
            self.catch_up(deadline).await?;
        }
        match self.unused_generation(partition) {
            Some(generation) => Err(absent_from_unused(id, generation)),
            None => Ok(partition),
        }
    }

    /// The generation of a partition in which nothing was ever accepted, as far as this member knows.
    fn unused_generation(&self, partition: PartitionKey) -> Option<Generation> {
        let configuration = self.cluster().configuration(partition)?;
        (!configuration.materialised).then_some(configuration.generation)
    }

    /// Asks a partition that this member leads.
    pub(super) async fn ask(
        &self,
        connection: u64,
        partition: PartitionKey,
        deadline: Tick,
        request: Request,
    ) -> Result<Reply, ApiError> {
        let reply = self
            .driver
            .ask(connection, partition, deadline, request)
            .await;
        match reply {
            Ok(Reply::Refused(refusal)) => Err(self.refused(partition, refusal)),
            Ok(reply) => Ok(reply),
            Err(error) => Err(api_error(ErrorCode::Unavailable, error.to_string())),
        }
    }

    fn refused(&self, partition: PartitionKey, refusal: Refusal) -> ApiError {
        let mut error = api_error(refusal.code, refusal.message);
        if refusal.code == ErrorCode::NotPrimary
            && let Some(configuration) = self.cluster().configuration(partition)
        {
            error = error.with_term(configuration.term);
        }
        if let Some(span) = refusal.retry_after {
            error = error.with_retry_after(span);
        }
        match refusal.primary {
            Some(primary) => self.name_primary(error, primary),
            None => error,
        }
    }

    /// Adds the hint by which a client finds the primary without asking anybody else.
    pub(super) fn name_primary(&self, error: ApiError, primary: MemberId) -> ApiError {
        let cluster = self.cluster();
        let record = cluster.members().get(&primary);
        error.with_primary(
            primary,
            record.map(|record| record.info.client_address.as_str()),
        )
    }

    /// The name of a member, or its number when it is not known any more.
    pub(super) fn member_name(cluster: &Cluster, member: MemberId) -> String {
        let record = cluster.members().get(&member);
        record.map_or_else(|| member.to_string(), |record| record.info.name.clone())
    }

    /// The tick at which a call that may take `patience` must be answered.
    pub(super) fn deadline(&self, patience: Duration) -> Tick {
        let millis = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        self.clock.now().after(Millis(millis))
    }

    /// A task id of this cluster as a message.
    pub(super) fn message_of(&self, id: &TaskId) -> v1::TaskId {
        v1::TaskId::from(&StatedTaskId {
            cluster: self.cluster().id(),
            id: id.clone(),
        })
    }
}
