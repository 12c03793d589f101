//! Telling members that outcomes have reached their caller, in batches. Only such outcomes may make room in a full
//! partition (PROTOCOL §4).

use std::collections::BTreeMap;
use std::sync::Arc;

use ringhold_proto::{StatedTaskId, v1};
use ringhold_types::TaskId;
use tokio::sync::mpsc;

use crate::connections::executor_service;
use crate::limits;
use crate::shared::{Asking, Place, Shared};

/// An outcome that reached its caller.
#[derive(Clone, Debug)]
pub(crate) struct Confirmation(TaskId);

impl Shared {
    /// Queues a confirmation; drops it if the queue is full, since members count by themselves after a while.
    pub(crate) fn confirm(&self, id: &TaskId) {
        if self.settings.confirm_retrieved {
            let _ = self.confirmations.try_send(Confirmation(id.clone()));
        }
    }
}

/// Sends confirmations: while one batch is on its way the next one gathers, so no timer is needed.
pub(crate) async fn send(shared: Arc<Shared>, mut queue: mpsc::Receiver<Confirmation>) {
    let mut batch = Vec::with_capacity(limits::CONFIRMATIONS_PER_MESSAGE);
    while queue
        .recv_many(&mut batch, limits::CONFIRMATIONS_PER_MESSAGE)
        .await
        > 0
    {
        let mut by_primary: BTreeMap<Option<String>, Vec<TaskId>> = BTreeMap::new();
        for Confirmation(id) in batch.drain(..) {
            let primary = shared.primary_of(&Place::of(&id));
            by_primary.entry(primary).or_default().push(id);
        }
        for ids in by_primary.into_values() {
            send_batch(&shared, &ids).await;
        }
    }
}

async fn send_batch(shared: &Shared, ids: &[TaskId]) {
    let cluster = shared.routing.cluster();
    let wire = |id: &TaskId| {
        v1::TaskId::from(&StatedTaskId {
            cluster,
            id: id.clone(),
        })
    };
    let request = v1::ConfirmRetrievedRequest {
        cluster_id: shared.cluster_id(),
        ids: ids.iter().map(wire).collect(),
    };
    let asking = Asking::call(ids.first().map(Place::of), limits::CONFIRMATION_DEADLINE);
    let send = |attempt: crate::shared::Try| {
        let request = request.clone();
        async move {
            executor_service(attempt.channel)
                .confirm_retrieved(request)
                .await
        }
    };
    // A confirmation that fails costs nothing but room for a minute.
    let _ = shared.ask(&asking, send).await;
}
