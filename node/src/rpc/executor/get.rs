//! Get: a task as it is.

use ringhold_proto::{ApiError, v1};
use ringhold_replica::{Reply, Request};
use ringhold_types::{ErrorCode, PartitionKey, TaskId};

use super::super::api::Api;
use super::super::forward::Onward;
use super::super::operation::{Call, Operation};
use super::view::{Wanted, task_view};
use super::{api_error, forward, task_id};

/// A get on its way to the primary.
struct Get {
    id: TaskId,
    partition: PartitionKey,
    request: v1::GetRequest,
}

/// The task as it is.
pub(super) async fn get(
    api: &Api,
    call: Call,
    request: v1::GetRequest,
) -> Result<v1::GetResponse, ApiError> {
    api.check_cluster(request.cluster_id.as_deref())?;
    let id = task_id(api, request.id.clone())?;
    let partition = api.partition_of_id(&id, call.deadline).await?;
    api.on_primary(
        partition,
        call,
        &Get {
            id,
            partition,
            request,
        },
    )
    .await
}

impl Operation for Get {
    type Answer = v1::GetResponse;

    async fn here(&self, api: &Api, call: Call, _tries: u32) -> Result<Self::Answer, ApiError> {
        let request = Request::Get {
            sequence: self.id.sequence,
        };
        let reply = api
            .ask(call.connection, self.partition, call.deadline, request)
            .await?;
        let Reply::Task(view) = reply else {
            return Err(api_error(
                ErrorCode::Internal,
                "a get was answered with something else",
            ));
        };
        let wanted = Wanted {
            task: self.request.include_task,
            outcome: self.request.include_outcome,
        };
        let task = task_view(api.message_of(&self.id), &view, wanted);
        Ok(v1::GetResponse { task: Some(task) })
    }

    async fn there(&self, mut onward: Onward, _tries: u32) -> Result<Self::Answer, ApiError> {
        let answer = onward
            .client
            .get(onward.request(self.request.clone()))
            .await;
        Ok(answer
            .map_err(|status| forward::from_status(&status))?
            .into_inner())
    }
}
