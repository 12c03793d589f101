//! ConfirmRetrieved: outcomes have reached their caller, so that a full ring may overwrite them (PROTOCOL §4).

use std::collections::BTreeMap;

use ringhold_proto::{ApiError, v1};
use ringhold_replica::Request;
use ringhold_types::{ErrorCode, PartitionKey, Sequence};

use super::super::api::Api;
use super::super::forward::Onward;
use super::super::operation::{Call, Operation};
use super::{api_error, forward, task_id};

/// Ids of one call; SDKs confirm in batches of this size at most.
const IDS_MAX: usize = 10_000;

/// The confirmations of one partition.
struct Confirm {
    partition: PartitionKey,
    sequences: Vec<Sequence>,
    messages: Vec<v1::TaskId>,
}

/// Marks the outcomes, partition by partition.
pub(super) async fn confirm(
    api: &Api,
    call: Call,
    request: v1::ConfirmRetrievedRequest,
) -> Result<v1::ConfirmRetrievedResponse, ApiError> {
    api.check_cluster(request.cluster_id.as_deref())?;
    if request.ids.len() > IDS_MAX {
        let message = format!(
            "a call confirms at most {IDS_MAX} ids, this one has {}",
            request.ids.len()
        );
        return Err(api_error(ErrorCode::TooLarge, message));
    }
    let mut partitions: BTreeMap<PartitionKey, Confirm> = BTreeMap::new();
    for message in request.ids {
        let id = task_id(api, Some(message.clone()))?;
        let partition = api.partition_of_id(&id, call.deadline).await?;
        let confirm = partitions.entry(partition).or_insert_with(|| Confirm {
            partition,
            sequences: Vec::new(),
            messages: Vec::new(),
        });
        confirm.sequences.push(id.sequence);
        confirm.messages.push(message);
    }
    for (partition, operation) in &partitions {
        api.on_primary(*partition, call, operation).await?;
    }
    Ok(v1::ConfirmRetrievedResponse {})
}

impl Operation for Confirm {
    type Answer = ();

    async fn here(&self, api: &Api, call: Call, _tries: u32) -> Result<(), ApiError> {
        let request = Request::ConfirmRetrieved {
            sequences: self.sequences.clone(),
        };
        api.ask(call.connection, self.partition, call.deadline, request)
            .await
            .map(drop)
    }

    async fn there(&self, mut onward: Onward, _tries: u32) -> Result<(), ApiError> {
        let request = v1::ConfirmRetrievedRequest {
            cluster_id: None,
            ids: self.messages.clone(),
        };
        let answer = onward
            .client
            .confirm_retrieved(onward.request(request))
            .await;
        answer
            .map(drop)
            .map_err(|status| forward::from_status(&status))
    }
}
