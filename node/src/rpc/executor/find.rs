//! Find: the task that was submitted under a key, without submitting anything.

use ringhold_proto::{ApiError, v1};
use ringhold_replica::{Reply, Request};
use ringhold_types::{
    AffinityKey, ErrorCode, IdempotencyKey, PartitionKey, Sequence, TaskId, partition_of,
};

use super::super::api::Api;
use super::super::forward::Onward;
use super::super::operation::{Call, Operation};
use super::{api_error, executor_name, forward};

/// A find on its way to the primary.
struct Find {
    /// Some id of the partition that the key belongs to: the answer differs in its sequence.
    place: TaskId,
    partition: PartitionKey,
    key: IdempotencyKey,
    request: v1::FindRequest,
}

/// The task, if one is remembered under the key.
pub(super) async fn find(
    api: &Api,
    call: Call,
    request: v1::FindRequest,
) -> Result<v1::FindResponse, ApiError> {
    api.check_cluster(request.cluster_id.as_deref())?;
    let key = IdempotencyKey::new(request.idempotency_key.clone()).map_err(invalid)?;
    let affinity = request.affinity_key.clone().map(AffinityKey::new);
    let affinity = affinity.transpose().map_err(invalid)?;
    let executor = executor_name(&request.executor)?;
    let known = api.existing_executor(&executor, call.deadline).await?;
    let decides = affinity
        .as_ref()
        .map_or(key.as_bytes(), AffinityKey::as_bytes);
    let place = TaskId {
        executor,
        partition: partition_of(decides, known.config.partition_count),
        sequence: Sequence::from_bits(0),
    };
    let partition = match api.partition_of_id(&place, call.deadline).await {
        Ok(partition) => partition,
        // Nothing was ever stored there.
        Err(error) if is_unused(error.code) => return Ok(v1::FindResponse { id: None }),
        Err(error) => return Err(error),
    };
    let find = Find {
        place,
        partition,
        key,
        request,
    };
    api.on_primary(partition, call, &find).await
}

fn invalid(error: impl std::fmt::Display) -> ApiError {
    api_error(ErrorCode::InvalidArgument, error.to_string())
}

/// Whether this is the answer about an id of a partition in which nothing was ever accepted in its present generation.
fn is_unused(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::NeverExisted | ErrorCode::DataLoss)
}

impl Operation for Find {
    type Answer = v1::FindResponse;

    async fn here(&self, api: &Api, call: Call, _tries: u32) -> Result<Self::Answer, ApiError> {
        let key = self.key.clone();
        let asked = api.ask(
            call.connection,
            self.partition,
            call.deadline,
            Request::Find { key },
        );
        match asked.await {
            Ok(Reply::Submitted { sequence, .. }) => {
                let id = TaskId {
                    sequence,
                    ..self.place.clone()
                };
                Ok(v1::FindResponse {
                    id: Some(api.message_of(&id)),
                })
            }
            Ok(_) => Err(api_error(
                ErrorCode::Internal,
                "a find was answered with something else",
            )),
            Err(error) if error.code == ErrorCode::NotFound => Ok(v1::FindResponse { id: None }),
            Err(error) => Err(error),
        }
    }

    async fn there(&self, mut onward: Onward, _tries: u32) -> Result<Self::Answer, ApiError> {
        let request = v1::FindRequest {
            cluster_id: None,
            ..self.request.clone()
        };
        let answer = onward.client.find(onward.request(request)).await;
        Ok(answer
            .map_err(|status| forward::from_status(&status))?
            .into_inner())
    }
}
