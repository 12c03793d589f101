//! DisposeResult.

use ringhold_proto::{ApiError, v1};
use ringhold_replica::Request;
use ringhold_types::{ErrorCode, PartitionKey, Sequence};

use super::super::api::Api;
use super::super::forward::Onward;
use super::super::operation::{Call, Operation};
use super::{forward, task_id};

/// The operation on its way to the primary.
struct Dispose {
    partition: PartitionKey,
    sequence: Sequence,
    message: v1::TaskId,
}

/// Removes the outcome of a task that has ended.
pub(super) async fn dispose(
    api: &Api,
    call: Call,
    request: v1::DisposeResultRequest,
) -> Result<v1::DisposeResultResponse, ApiError> {
    api.check_cluster(request.cluster_id.as_deref())?;
    let id = task_id(api, request.id)?;
    let partition = api.partition_of_id(&id, call.deadline).await?;
    let message = api.message_of(&id);
    let operation = Dispose {
        partition,
        sequence: id.sequence,
        message,
    };
    api.on_primary(partition, call, &operation).await
}

impl Operation for Dispose {
    type Answer = v1::DisposeResultResponse;

    async fn here(&self, api: &Api, call: Call, tries: u32) -> Result<Self::Answer, ApiError> {
        let request = Request::Dispose {
            sequence: self.sequence,
        };
        let answer = api
            .ask(call.connection, self.partition, call.deadline, request)
            .await;
        done(answer.map(drop), tries)
    }

    async fn there(&self, mut onward: Onward, tries: u32) -> Result<Self::Answer, ApiError> {
        let request = v1::DisposeResultRequest {
            cluster_id: None,
            id: Some(self.message.clone()),
        };
        let answer = onward.client.dispose_result(onward.request(request)).await;
        done(
            answer
                .map(drop)
                .map_err(|status| forward::from_status(&status)),
            tries,
        )
    }
}

/// After an unanswered try, "disposed" means that it was this call that disposed.
fn done(answer: Result<(), ApiError>, tries: u32) -> Result<v1::DisposeResultResponse, ApiError> {
    match answer {
        Err(error) if tries > 0 && error.code == ErrorCode::Disposed => {}
        other => other?,
    }
    Ok(v1::DisposeResultResponse {})
}
