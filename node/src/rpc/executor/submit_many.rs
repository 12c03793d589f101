//! Many submits in one call: as a batch, or as a stream. Each item has its own key, partition and answer; there is no
//! atomicity (PROTOCOL §1).

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use ringhold_proto::convert::millis_from_duration;
use ringhold_proto::{ApiError, v1};
use ringhold_types::ErrorCode;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::super::api::{Api, DEFAULT_PATIENCE, WAIT_MAX};
use super::super::operation::Call;
use super::{api_error, in_time, submit};
use crate::spawn;

/// Items of a batch: a message of 4 MiB holds hardly more tasks than this.
const BATCH_ITEMS_MAX: usize = 10_000;
/// Items of one stream that may be under way; the stream is not read beyond it.
const STREAM_UNDER_WAY_MAX: usize = 4096;
/// Answers that may wait for the client to read them.
const STREAM_ANSWERS_QUEUED: usize = 1024;

/// Stores a batch; answers in the order of the tasks.
pub(super) async fn submit_batch(
    api: &Api,
    call: Call,
    request: v1::SubmitBatchRequest,
) -> Result<v1::SubmitBatchResponse, ApiError> {
    api.check_cluster(request.cluster_id.as_deref())?;
    if request.tasks.len() > BATCH_ITEMS_MAX {
        let message = format!(
            "a batch has at most {BATCH_ITEMS_MAX} tasks, this one has {}",
            request.tasks.len()
        );
        return Err(api_error(ErrorCode::TooLarge, message));
    }
    let executor = request.executor.as_str();
    let all: FuturesOrdered<_> = request
        .tasks
        .into_iter()
        .map(|task| submit::submit_one(api, call, executor, task))
        .collect();
    let answers = all.map(answer_of).collect().await;
    Ok(v1::SubmitBatchResponse { answers })
}

fn answer_of(result: Result<v1::Receipt, ApiError>) -> v1::SubmitAnswer {
    let answer = match result {
        Ok(receipt) => v1::submit_answer::Answer::Receipt(receipt),
        Err(error) => v1::submit_answer::Answer::Error(v1::Error::from(&error)),
    };
    v1::SubmitAnswer {
        answer: Some(answer),
    }
}

/// Stores what the stream brings, each item by itself; answers as they come.
pub(super) fn submit_stream(
    api: Api,
    connection: u64,
    mut incoming: Streaming<v1::SubmitStreamRequest>,
) -> impl Stream<Item = Result<v1::SubmitStreamResponse, Status>> + Send {
    let (answers, stream) = mpsc::channel(STREAM_ANSWERS_QUEUED);
    let under_way = Arc::new(Semaphore::new(STREAM_UNDER_WAY_MAX));
    spawn::task("submit-stream", async move {
        while let Some(item) = incoming.next().await {
            let item = match item {
                Ok(item) => item,
                Err(status) => {
                    tracing::debug!(%status, "a submit stream ended");
                    return;
                }
            };
            let Ok(place) = Arc::clone(&under_way).acquire_owned().await else {
                return;
            };
            let (api, answers) = (api.clone(), answers.clone());
            spawn::task("submit-item", async move {
                let answer = stream_item(&api, connection, item).await;
                // A client that went away finds its task again by its key.
                let _gone = answers.send(Ok(answer)).await;
                // Only now: a client that does not read its answers must not have ever more items under way.
                drop(place);
            });
        }
    });
    ReceiverStream::new(stream)
}

/// How long an item may take, so that its answer is there when its client gives up.
fn patience_of(item: &v1::SubmitStreamRequest) -> Result<Duration, ApiError> {
    let Some(stated) = &item.patience else {
        return Ok(DEFAULT_PATIENCE);
    };
    let stated = Duration::from_millis(millis_from_duration("patience", stated)?.0);
    Ok(in_time(stated).min(WAIT_MAX + DEFAULT_PATIENCE))
}

async fn stream_item(
    api: &Api,
    connection: u64,
    item: v1::SubmitStreamRequest,
) -> v1::SubmitStreamResponse {
    let correlation_id = item.correlation_id;
    let result = async {
        let call = Call {
            connection,
            deadline: api.deadline(patience_of(&item)?),
            forwarded: false,
        };
        api.check_cluster(item.cluster_id.as_deref())?;
        let task = item
            .task
            .ok_or_else(|| api_error(ErrorCode::InvalidArgument, "the item has no task"))?;
        submit::submit_one(api, call, &item.executor, task).await
    };
    v1::SubmitStreamResponse {
        correlation_id,
        answer: Some(answer_of(result.await)),
    }
}
