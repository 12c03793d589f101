//! Has partitions marked as in use before their first accept, many in one control command.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ringhold_control::{Command, Response};
use ringhold_proto::ApiError;
use ringhold_types::{ErrorCode, ExecutorId, PartitionKey, PartitionNumber};
use tokio::sync::{mpsc, watch};

use super::api_error;
use crate::control::ControlPlane;
use crate::partition::MemberView;
use crate::spawn;

/// Requests that may wait for the next command; submits beyond it wait to be queued.
const QUEUED_MAX: usize = 4096;
/// Partitions of one command.
const PARTITIONS_PER_COMMAND_MAX: usize = 1024;
/// How long one command may take before it is proposed again.
const PATIENCE: Duration = Duration::from_secs(2);
/// Times that a command is proposed: as long as the submits that wait for it, which nobody else proposes for.
const TRIES: u32 = 15;

/// Collects partitions and marks them together. Cheap to clone.
#[derive(Clone)]
pub(super) struct Materialiser {
    wanted: mpsc::Sender<PartitionKey>,
    view: watch::Receiver<Arc<MemberView>>,
}

impl Materialiser {
    pub(super) fn start(control: ControlPlane, view: watch::Receiver<Arc<MemberView>>) -> Self {
        let (wanted, queue) = mpsc::channel(QUEUED_MAX);
        spawn::task("materialise", propose_in_batches(control, queue));
        Self { wanted, view }
    }

    /// Returns once this member's driver knows the partition as in use.
    pub(super) async fn ensure(
        &self,
        partition: PartitionKey,
        patience: Duration,
    ) -> Result<(), ApiError> {
        let mut view = self.view.clone();
        if is_materialised(&view.borrow(), partition) {
            return Ok(());
        }
        let done = async {
            self.wanted.send(partition).await.ok()?;
            view.wait_for(|view| is_materialised(view, partition))
                .await
                .ok()
                .map(drop)
        };
        match tokio::time::timeout(patience, done).await {
            Ok(Some(())) => Ok(()),
            Ok(None) => Err(api_error(
                ErrorCode::Unavailable,
                "the member is shutting down",
            )),
            Err(_) => Err(api_error(
                ErrorCode::Unavailable,
                format!(
                    "partition {partition} could not be opened: the control plane did not answer in time"
                ),
            )),
        }
    }
}

fn is_materialised(view: &MemberView, partition: PartitionKey) -> bool {
    view.cluster
        .configuration(partition)
        .is_some_and(|configuration| configuration.materialised)
}

async fn propose_in_batches(control: ControlPlane, mut queue: mpsc::Receiver<PartitionKey>) {
    while let Some(first) = queue.recv().await {
        let mut wanted: BTreeMap<ExecutorId, BTreeSet<PartitionNumber>> = BTreeMap::new();
        wanted
            .entry(first.executor)
            .or_default()
            .insert(first.partition);
        for _ in 1..PARTITIONS_PER_COMMAND_MAX {
            let Ok(next) = queue.try_recv() else { break };
            wanted
                .entry(next.executor)
                .or_default()
                .insert(next.partition);
        }
        for (executor, partitions) in wanted {
            let partitions = partitions.into_iter().collect();
            let command = Command::Materialise {
                executor,
                partitions,
            };
            propose(&control, &command).await;
        }
    }
}

/// Proposes until there is an answer: the command may be lost with the Raft leader that it was given to, and marking a
/// partition twice changes nothing.
async fn propose(control: &ControlPlane, command: &Command) {
    for _ in 0..TRIES {
        match control.propose(command.clone(), PATIENCE).await {
            Ok(Response::Refused(reason)) => {
                tracing::warn!(%reason, "partitions could not be opened");
                return;
            }
            Ok(_) => return,
            Err(error) => tracing::debug!(%error, "partitions are not opened yet"),
        }
    }
}
