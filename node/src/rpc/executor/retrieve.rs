//! RetrieveResult and RetrieveAndDispose.

use std::time::Duration;

use ringhold_proto::convert::duration_from_millis;
use ringhold_proto::{ApiError, v1};
use ringhold_replica::{Reply, Request};
use ringhold_types::{ErrorCode, Millis, PartitionKey, RequestId, TaskId};

use super::super::api::Api;
use super::super::forward::Onward;
use super::super::operation::{Call, Operation};
use super::{ANSWER_MARGIN, api_error, forward, task_id};

/// A retrieve on its way to the primary.
struct Retrieve {
    id: TaskId,
    partition: PartitionKey,
    message: v1::TaskId,
    /// When to answer "not yet"; none: at once.
    wait_until: Option<ringhold_types::Tick>,
    dispose: Option<RequestId>,
    /// Does not count as retrieved.
    keep: bool,
}

/// The outcome, or where the task is when the wait is over.
pub(super) async fn retrieve(
    api: &Api,
    call: Call,
    request: v1::RetrieveResultRequest,
    wait: Duration,
) -> Result<v1::RetrieveResultResponse, ApiError> {
    api.check_cluster(request.cluster_id.as_deref())?;
    let mut operation = prepare(api, call, request.id, wait, None).await?;
    operation.keep = request.keep;
    api.on_primary(operation.partition, call, &operation).await
}

/// As [`retrieve`], for an id as sent.
pub(super) async fn within(
    api: &Api,
    call: Call,
    id: Option<v1::TaskId>,
    wait: Duration,
) -> Result<v1::RetrieveResultResponse, ApiError> {
    let operation = prepare(api, call, id, wait, None).await?;
    api.on_primary(operation.partition, call, &operation).await
}

/// The outcome, which is gone for everybody afterwards; the same request id is answered again for a while.
pub(super) async fn retrieve_and_dispose(
    api: &Api,
    call: Call,
    request: v1::RetrieveAndDisposeRequest,
    wait: Duration,
) -> Result<v1::RetrieveAndDisposeResponse, ApiError> {
    api.check_cluster(request.cluster_id.as_deref())?;
    let name = match request.request_id.filter(|name| !name.is_empty()) {
        Some(name) => name,
        // Good for this call's own retries; the caller cannot repeat it.
        None => super::submit::random_key().as_bytes().clone(),
    };
    let name = RequestId::new(name)
        .map_err(|error| api_error(ErrorCode::InvalidArgument, error.to_string()))?;
    let operation = prepare(api, call, request.id, wait, Some(name)).await?;
    let answer = api
        .on_primary(operation.partition, call, &operation)
        .await?;
    Ok(v1::RetrieveAndDisposeResponse {
        id: answer.id,
        status: answer.status,
        outcome: answer.outcome,
        attempts: answer.attempts,
    })
}

async fn prepare(
    api: &Api,
    call: Call,
    id: Option<v1::TaskId>,
    wait: Duration,
    dispose: Option<RequestId>,
) -> Result<Retrieve, ApiError> {
    let id = task_id(api, id)?;
    let partition = api.partition_of_id(&id, call.deadline).await?;
    let message = api.message_of(&id);
    // "Not yet" comes before the deadline at which nothing is known.
    let left = api.clock.until(call.deadline).saturating_sub(ANSWER_MARGIN);
    let wait_until = (!wait.is_zero()).then(|| api.deadline(wait.min(left)));
    Ok(Retrieve {
        id,
        partition,
        message,
        wait_until,
        dispose,
        keep: false,
    })
}

impl Retrieve {
    fn response(&self, reply: Reply) -> Result<v1::RetrieveResultResponse, ApiError> {
        let id = Some(self.message.clone());
        match reply {
            Reply::Outcome {
                outcome, attempts, ..
            } => Ok(v1::RetrieveResultResponse {
                id,
                status: v1::TaskStatus::from(outcome.status()).into(),
                outcome: Some(v1::Outcome::from(&*outcome)),
                attempts,
            }),
            Reply::NotYet { status } => Ok(v1::RetrieveResultResponse {
                id,
                status: v1::TaskStatus::from(status).into(),
                outcome: None,
                attempts: 0,
            }),
            _ => Err(api_error(
                ErrorCode::Internal,
                "a retrieve was answered with something else",
            )),
        }
    }
}

impl Operation for Retrieve {
    type Answer = v1::RetrieveResultResponse;

    async fn here(&self, api: &Api, call: Call, _tries: u32) -> Result<Self::Answer, ApiError> {
        let request = Request::Retrieve {
            sequence: self.id.sequence,
            dispose: self.dispose.clone(),
            wait: self.wait_until.is_some(),
            keep: self.keep,
        };
        let deadline = self.wait_until.unwrap_or(call.deadline);
        self.response(
            api.ask(call.connection, self.partition, deadline, request)
                .await?,
        )
    }

    async fn there(&self, mut onward: Onward, _tries: u32) -> Result<Self::Answer, ApiError> {
        let clock = crate::clock::Clock;
        // Stated also when it is none: an absent one would be as long as the call's deadline.
        let left = self
            .wait_until
            .map_or(0, |tick| clock.until(tick).as_millis());
        let left = Millis(u64::try_from(left).unwrap_or(u64::MAX));
        let wait = Some(duration_from_millis(left));
        let Some(name) = &self.dispose else {
            let request = v1::RetrieveResultRequest {
                cluster_id: None,
                id: Some(self.message.clone()),
                wait,
                keep: self.keep,
            };
            let answer = onward.client.retrieve_result(onward.request(request)).await;
            return Ok(answer
                .map_err(|status| forward::from_status(&status))?
                .into_inner());
        };
        let request = v1::RetrieveAndDisposeRequest {
            cluster_id: None,
            id: Some(self.message.clone()),
            request_id: Some(name.as_bytes().clone()),
            wait,
        };
        let answer = onward
            .client
            .retrieve_and_dispose(onward.request(request))
            .await;
        let answer = answer
            .map_err(|status| forward::from_status(&status))?
            .into_inner();
        Ok(v1::RetrieveResultResponse {
            id: answer.id,
            status: answer.status,
            outcome: answer.outcome,
            attempts: answer.attempts,
        })
    }
}
