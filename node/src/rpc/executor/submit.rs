//! Submit: find or create the executor, find the partition, store, acknowledge, and wait for the outcome if asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ringhold_proto::{ApiError, StatedReceipt, SubmittedTask, v1};
use ringhold_replica::{Reply, Request, Submission};
use ringhold_types::{
    ErrorCode, ExecutorName, IdempotencyKey, PartitionKey, Persistence, Receipt, TaskId, TaskSpec,
    partition_of,
};

use super::super::api::{Api, KnownExecutor};
use super::super::forward::Onward;
use super::super::operation::{Call, Operation};
use super::{api_error, executor_name, forward, retrieve};

/// A submit on its way to the primary.
pub(super) struct Submit {
    executor: ExecutorName,
    partition: PartitionKey,
    persistence: Persistence,
    /// As received, with the idempotency key that every further try repeats.
    message: v1::Task,
    submitted: SubmittedTask,
    spec: Arc<TaskSpec>,
    /// A try may have stored the task although it ended in an error.
    doubtful: AtomicBool,
}

/// Stores the task, and answers with the outcome too if it comes within `wait`.
pub(super) async fn submit(
    api: &Api,
    call: Call,
    request: v1::SubmitRequest,
    wait: Duration,
) -> Result<v1::SubmitResponse, ApiError> {
    api.check_cluster(request.cluster_id.as_deref())?;
    let task = request
        .task
        .ok_or_else(|| api_error(ErrorCode::InvalidArgument, "the request has no task"))?;
    let receipt = submit_one(api, call, &request.executor, task).await?;
    let mut response = v1::SubmitResponse {
        receipt: Some(receipt),
        outcome: None,
        attempts: 0,
    };
    if !wait.is_zero() {
        let id = response
            .receipt
            .as_ref()
            .and_then(|receipt| receipt.id.clone());
        // The task is stored: whatever the waiting runs into, the caller gets its receipt.
        if let Ok(answer) = retrieve::within(api, call, id, wait).await {
            response.outcome = answer.outcome;
            response.attempts = answer.attempts;
        }
    }
    Ok(response)
}

/// Stores one task.
pub(super) async fn submit_one(
    api: &Api,
    call: Call,
    executor: &str,
    task: v1::Task,
) -> Result<v1::Receipt, ApiError> {
    let name = executor_name(executor)?;
    let _share = api.submits.take(ringhold_proto::encoded_length(&task))?;
    let operation = prepare(api, call, name, task).await?;
    let answer = api.on_primary(operation.partition, call, &operation).await;
    answer.map_err(|error| operation.name_the_unknown(error))
}

async fn prepare(
    api: &Api,
    call: Call,
    name: ExecutorName,
    mut message: v1::Task,
) -> Result<Submit, ApiError> {
    let submitted = SubmittedTask::read(message.clone(), random_key)?;
    submitted.task.validate()?;
    if let Some(asked) = submitted.task.not_supported_yet() {
        return Err(not_supported(asked));
    }
    // Every further try, here or elsewhere, repeats the key: also one that was made up.
    message.idempotency_key = Some(submitted.task.idempotency_key.as_bytes().clone());
    let known = find_or_create(api, call, &name).await?;
    let task = &submitted.task;
    let key = task
        .affinity_key
        .as_ref()
        .map_or(task.idempotency_key.as_bytes(), |k| k.as_bytes());
    let partition = partition_of(key, known.config.partition_count);
    Ok(Submit {
        executor: name,
        partition: PartitionKey {
            executor: known.id,
            partition,
        },
        persistence: known.config.persistence,
        message,
        spec: Arc::new(submitted.task.clone()),
        submitted,
        doubtful: AtomicBool::new(false),
    })
}

/// What is understood and does nothing yet is refused: it must not seem to work.
fn not_supported(what: &str) -> ApiError {
    api_error(
        ErrorCode::InvalidArgument,
        format!("{what} is not supported yet"),
    )
}

async fn find_or_create(
    api: &Api,
    call: Call,
    name: &ExecutorName,
) -> Result<KnownExecutor, ApiError> {
    if let Some(known) = api.known_executor(name) {
        return Ok(known);
    }
    if !api.creation.knows(name)? {
        // Perhaps somebody else created it just now.
        return api.existing_executor(name, call.deadline).await;
    }
    let patience = api.clock.until(call.deadline);
    api.creation.create(name, &api.cluster(), patience).await?;
    let mut view = api.driver.watch();
    let appeared = view.wait_for(|view| view.cluster.executor_by_name(name).is_some());
    let in_time = tokio::time::timeout(api.clock.until(call.deadline), appeared).await;
    drop(in_time);
    api.existing_executor(name, call.deadline).await
}

/// A key that nobody else draws: the caller gave none, and is told that its retry is not safe.
pub(super) fn random_key() -> IdempotencyKey {
    let mut bytes = vec![0; 16];
    // Once the system is up the call neither blocks nor fails for so few bytes.
    let _filled = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty());
    IdempotencyKey::new(bytes).expect("16 bytes are within a key's length")
}

impl Submit {
    /// Notes a try after which the task may be stored: it was on its way when the primary stepped down, stopped or fell
    /// silent (PROTOCOL §2, "a submit caught by a shrink").
    fn note_doubt(&self, error: &ApiError) {
        let open = matches!(
            error.code,
            ErrorCode::Unavailable
                | ErrorCode::DeadlineExceeded
                | ErrorCode::Indeterminate
                | ErrorCode::NotPrimary
        );
        if open {
            self.doubtful.store(true, Ordering::Relaxed);
        }
    }

    /// Without a key of the caller's an unanswered submit is indeterminate, never "failed" (DESIGN G6), also if a later
    /// try was refused. Whoever gave a key asks again under it.
    fn name_the_unknown(&self, error: ApiError) -> ApiError {
        let doubtful = self.doubtful.load(Ordering::Relaxed);
        if self.submitted.retry_safe || !doubtful || error.code == ErrorCode::Indeterminate {
            return error;
        }
        let message = format!(
            "{}. The task may be stored all the same, and without an idempotency key a retry may store it twice; \
             give a key to make retries safe",
            error.message
        );
        api_error(ErrorCode::Indeterminate, message)
    }

    fn receipt(&self, api: &Api, reply: Reply) -> Result<v1::Receipt, ApiError> {
        let Reply::Submitted {
            sequence,
            term,
            members,
            reused,
        } = reply
        else {
            return Err(api_error(
                ErrorCode::Internal,
                "a submit was answered with something else",
            ));
        };
        let cluster = api.cluster();
        let id = TaskId {
            executor: self.executor.clone(),
            partition: self.partition.partition,
            sequence,
        };
        let receipt = Receipt {
            id,
            term,
            members,
            persistence: self.persistence,
            reused,
        };
        let own = cluster.id().unwrap_or_default();
        let name_of = |member| Some(Api::member_name(&cluster, member));
        let stated = StatedReceipt::new(receipt, own, name_of, self.submitted.retry_safe);
        Ok(v1::Receipt::from(&stated))
    }
}

impl Operation for Submit {
    type Answer = v1::Receipt;

    async fn here(&self, api: &Api, call: Call, _tries: u32) -> Result<v1::Receipt, ApiError> {
        api.materialiser
            .ensure(self.partition, api.clock.until(call.deadline))
            .await?;
        let now = api.clock.wall();
        let delay = self.submitted.delay(now);
        let submission = Submission {
            task: Arc::clone(&self.spec),
            delay,
            now,
        };
        let request = Request::Submit(submission);
        let asked = api.ask(call.connection, self.partition, call.deadline, request);
        let reply = asked.await.inspect_err(|error| self.note_doubt(error))?;
        self.receipt(api, reply)
    }

    async fn there(&self, mut onward: Onward, _tries: u32) -> Result<v1::Receipt, ApiError> {
        let request = v1::SubmitRequest {
            cluster_id: None,
            executor: self.executor.to_string(),
            task: Some(self.message.clone()),
            wait: None,
        };
        let answer = onward.client.submit(onward.request(request)).await;
        let response = answer
            .map_err(|status| forward::from_status(&status))
            .inspect_err(|error| self.note_doubt(error))?
            .into_inner();
        let mut receipt = response
            .receipt
            .ok_or_else(|| api_error(ErrorCode::Internal, "the primary sent no receipt"))?;
        receipt.retry_safe = self.submitted.retry_safe;
        Ok(receipt)
    }
}
