//! `ringhold.v1.ExecutorService`, one file per operation.

mod cancel;
mod confirm;
mod dispose;
mod find;
mod get;
mod list;
mod retrieve;
mod submit;
mod submit_many;
mod view;

use std::pin::Pin;
use std::time::Duration;

use ringhold_proto::ApiError;
use ringhold_proto::StatedTaskId;
use ringhold_proto::convert::millis_from_duration;
use ringhold_proto::v1::executor_service_server::ExecutorService;
use ringhold_proto::v1::{self};
use ringhold_types::{ErrorCode, ExecutorName, TaskId};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::api::{Api, DEFAULT_PATIENCE, WAIT_MAX};
use super::operation::Call;
use super::{api_error, forward};

/// How much earlier than the caller's deadline a call is answered, so that the answer arrives.
const ANSWER_MARGIN: Duration = Duration::from_millis(50);

/// Serves `ExecutorService`.
#[derive(Clone)]
pub struct ExecutorServiceImpl {
    api: Api,
}

impl ExecutorServiceImpl {
    /// Answers through `api`.
    #[must_use]
    pub fn new(api: Api) -> Self {
        Self { api }
    }

    /// Where a request came from, and when it must be answered: before the caller's deadline if it states one, so that what
    /// the answer says, INDETERMINATE for example, is not lost to gRPC's own word that time is up.
    fn call<T>(&self, request: &Request<T>, wait: Duration) -> Call {
        let stated = stated_timeout(request).map(in_time);
        let patience = stated.unwrap_or(DEFAULT_PATIENCE + wait);
        Call {
            connection: connection_of(request),
            deadline: self.api.deadline(patience.min(WAIT_MAX + DEFAULT_PATIENCE)),
            forwarded: forward::forwarded_from(request).is_some(),
        }
    }
}

/// When to answer a caller who waits for `patience`.
fn in_time(patience: Duration) -> Duration {
    patience - ANSWER_MARGIN.min(patience / 4)
}

/// The deadline that gRPC carries in the `grpc-timeout` header: at most eight digits and a unit.
fn stated_timeout<T>(request: &Request<T>) -> Option<Duration> {
    let text = request.metadata().get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number.saturating_mul(3600))),
        "M" => Some(Duration::from_secs(number.saturating_mul(60))),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// A number for the connection a request came by: its remote address, hashed; good enough to bound waiters by. That of a
/// forwarded request is mixed with the connection by which its caller came to the other member: callers there do not share
/// one bound.
fn connection_of<T>(request: &Request<T>) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    request.remote_addr().hash(&mut hasher);
    forward::forwarded_from(request).hash(&mut hasher);
    hasher.finish()
}

fn executor_name(text: &str) -> Result<ExecutorName, ApiError> {
    ExecutorName::new(text)
        .map_err(|error| api_error(ErrorCode::InvalidArgument, error.to_string()))
}

/// The task id of a request, whose own cluster id is checked too.
fn task_id(api: &Api, id: Option<v1::TaskId>) -> Result<TaskId, ApiError> {
    let id =
        id.ok_or_else(|| api_error(ErrorCode::InvalidArgument, "the request has no task id"))?;
    api.check_cluster(id.cluster_id.as_deref())?;
    Ok(StatedTaskId::try_from(id)?.id)
}

fn respond<T>(answer: Result<T, ApiError>) -> Result<Response<T>, Status> {
    answer.map(Response::new).map_err(ApiError::into_status)
}

#[tonic::async_trait]
impl ExecutorService for ExecutorServiceImpl {
    async fn submit(
        &self,
        request: Request<v1::SubmitRequest>,
    ) -> Result<Response<v1::SubmitResponse>, Status> {
        let wait = wait_of(request.get_ref().wait.as_ref(), Duration::ZERO)?;
        let call = self.call(&request, wait);
        respond(submit::submit(&self.api, call, request.into_inner(), wait).await)
    }

    async fn submit_batch(
        &self,
        request: Request<v1::SubmitBatchRequest>,
    ) -> Result<Response<v1::SubmitBatchResponse>, Status> {
        let call = self.call(&request, Duration::ZERO);
        respond(submit_many::submit_batch(&self.api, call, request.into_inner()).await)
    }

    type SubmitStreamStream =
        Pin<Box<dyn Stream<Item = Result<v1::SubmitStreamResponse, Status>> + Send>>;

    async fn submit_stream(
        &self,
        request: Request<Streaming<v1::SubmitStreamRequest>>,
    ) -> Result<Response<Self::SubmitStreamStream>, Status> {
        let connection = connection_of(&request);
        let answers =
            submit_many::submit_stream(self.api.clone(), connection, request.into_inner());
        Ok(Response::new(Box::pin(answers)))
    }

    async fn find(
        &self,
        request: Request<v1::FindRequest>,
    ) -> Result<Response<v1::FindResponse>, Status> {
        let call = self.call(&request, Duration::ZERO);
        respond(find::find(&self.api, call, request.into_inner()).await)
    }

    async fn get(
        &self,
        request: Request<v1::GetRequest>,
    ) -> Result<Response<v1::GetResponse>, Status> {
        let call = self.call(&request, Duration::ZERO);
        respond(get::get(&self.api, call, request.into_inner()).await)
    }

    async fn list(
        &self,
        request: Request<v1::ListRequest>,
    ) -> Result<Response<v1::ListResponse>, Status> {
        let call = self.call(&request, Duration::ZERO);
        respond(list::list(&self.api, call, request.into_inner()).await)
    }

    async fn retrieve_result(
        &self,
        request: Request<v1::RetrieveResultRequest>,
    ) -> Result<Response<v1::RetrieveResultResponse>, Status> {
        let wait = wait_of(request.get_ref().wait.as_ref(), WAIT_MAX)?;
        let call = self.call(&request, wait);
        respond(retrieve::retrieve(&self.api, call, request.into_inner(), wait).await)
    }

    async fn dispose_result(
        &self,
        request: Request<v1::DisposeResultRequest>,
    ) -> Result<Response<v1::DisposeResultResponse>, Status> {
        let call = self.call(&request, Duration::ZERO);
        respond(dispose::dispose(&self.api, call, request.into_inner()).await)
    }

    async fn retrieve_and_dispose(
        &self,
        request: Request<v1::RetrieveAndDisposeRequest>,
    ) -> Result<Response<v1::RetrieveAndDisposeResponse>, Status> {
        let wait = wait_of(request.get_ref().wait.as_ref(), WAIT_MAX)?;
        let call = self.call(&request, wait);
        respond(retrieve::retrieve_and_dispose(&self.api, call, request.into_inner(), wait).await)
    }

    async fn cancel(
        &self,
        request: Request<v1::CancelRequest>,
    ) -> Result<Response<v1::CancelResponse>, Status> {
        let call = self.call(&request, Duration::ZERO);
        respond(cancel::cancel(&self.api, call, request.into_inner()).await)
    }

    async fn confirm_retrieved(
        &self,
        request: Request<v1::ConfirmRetrievedRequest>,
    ) -> Result<Response<v1::ConfirmRetrievedResponse>, Status> {
        let call = self.call(&request, Duration::ZERO);
        respond(confirm::confirm(&self.api, call, request.into_inner()).await)
    }
}

/// How long the caller wants to wait for an outcome; bounded, since SDKs ask again, and by the call's own deadline later.
fn wait_of(
    wait: Option<&ringhold_proto::WireDuration>,
    absent: Duration,
) -> Result<Duration, Status> {
    let Some(wait) = wait else {
        return Ok(absent);
    };
    let wait =
        millis_from_duration("wait", wait).map_err(|error| ApiError::from(error).into_status())?;
    Ok(Duration::from_millis(wait.0).min(WAIT_MAX))
}
