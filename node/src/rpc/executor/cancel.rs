//! Cancel.

use ringhold_proto::{ApiError, v1};
use ringhold_replica::Request;
use ringhold_types::{PartitionKey, Sequence};

use super::super::api::Api;
use super::super::forward::Onward;
use super::super::operation::{Call, Operation};
use super::{forward, task_id};

/// The operation on its way to the primary.
struct Cancel {
    partition: PartitionKey,
    sequence: Sequence,
    message: v1::TaskId,
}

/// Ends a task as cancelled, whatever it is doing.
pub(super) async fn cancel(
    api: &Api,
    call: Call,
    request: v1::CancelRequest,
) -> Result<v1::CancelResponse, ApiError> {
    api.check_cluster(request.cluster_id.as_deref())?;
    let id = task_id(api, request.id)?;
    let partition = api.partition_of_id(&id, call.deadline).await?;
    let message = api.message_of(&id);
    let operation = Cancel {
        partition,
        sequence: id.sequence,
        message,
    };
    api.on_primary(partition, call, &operation).await
}

impl Operation for Cancel {
    type Answer = v1::CancelResponse;

    async fn here(&self, api: &Api, call: Call, _tries: u32) -> Result<Self::Answer, ApiError> {
        let request = Request::Cancel {
            sequence: self.sequence,
        };
        api.ask(call.connection, self.partition, call.deadline, request)
            .await?;
        Ok(v1::CancelResponse {})
    }

    async fn there(&self, mut onward: Onward, _tries: u32) -> Result<Self::Answer, ApiError> {
        let request = v1::CancelRequest {
            cluster_id: None,
            id: Some(self.message.clone()),
        };
        let answer = onward.client.cancel(onward.request(request)).await;
        answer.map_err(|status| forward::from_status(&status))?;
        Ok(v1::CancelResponse {})
    }
}
