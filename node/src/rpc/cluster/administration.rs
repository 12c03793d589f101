//! What operators do to a cluster: forget, create. Drains are beside this.

use std::time::Duration;

use ringhold_control::{Command, Refused, Response};
use ringhold_proto::code::{WOULD_LOSE, WOULD_LOSE_PARTITIONS};
use ringhold_proto::{ApiError, v1};
use ringhold_types::{ErrorCode, ExecutorConfig, MemberId, PartitionKey};

use super::super::api::Api;
use super::super::api_error;
use super::{members, partitions};

/// How long an administrative command may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Most bytes of the names of partitions in an error: it travels in a header, of which clients take 16 KiB, and in base 64.
const WOULD_LOSE_BYTES_MAX: usize = 4096;

/// Takes a member out for good.
pub(super) async fn forget(
    api: &Api,
    request: v1::ForgetMemberRequest,
) -> Result<v1::ForgetMemberResponse, ApiError> {
    api.check_cluster(request.cluster_id.as_deref())?;
    let member = find(api, &request.member).await?;
    let cluster = api.cluster();
    let member_name = Api::member_name(&cluster, member);
    let command = Command::Forget {
        member,
        process_ended: request.process_ended,
        at: api.clock.wall(),
    };
    let Response::Forgotten {
        removed,
        lost,
        repeated: already_forgotten,
    } = propose(api, command).await?
    else {
        return Err(api_error(
            ErrorCode::Internal,
            "a forget was answered with something else",
        ));
    };
    let name_all = |keys: Vec<PartitionKey>| keys.iter().map(|key| name_of(api, *key)).collect();
    Ok(v1::ForgetMemberResponse {
        removed: name_all(removed),
        lost: name_all(lost.into_iter().map(|(key, _)| key).collect()),
        member_name,
        already_forgotten,
    })
}

/// Creates an executor.
pub(super) async fn create_executor(
    api: &Api,
    request: v1::CreateExecutorRequest,
) -> Result<v1::CreateExecutorResponse, ApiError> {
    api.check_cluster(request.cluster_id.as_deref())?;
    let message = request
        .config
        .ok_or_else(|| api_error(ErrorCode::InvalidArgument, "the request has no config"))?;
    let config = ExecutorConfig::try_from(message)?;
    if let Some(setting) = config.not_supported_yet() {
        let message = format!("{setting} is not supported yet");
        return Err(api_error(ErrorCode::InvalidArgument, message));
    }
    let name = config.name.to_string();
    let Response::Executor { id } = propose(api, Command::CreateExecutor { config }).await? else {
        return Err(api_error(
            ErrorCode::Internal,
            "a create was answered with something else",
        ));
    };
    let mut view = api.driver.watch();
    let appeared = view.wait_for(|view| view.cluster.executors().contains_key(&id));
    if tokio::time::timeout(PATIENCE, appeared).await.is_err() {
        let message = format!("executor {name} is created, but this member is behind; ask again");
        return Err(api_error(ErrorCode::Unavailable, message));
    }
    let executor = partitions::executor_named(api, &name).await?;
    Ok(v1::CreateExecutorResponse {
        executor: Some(executor),
    })
}

pub(super) async fn find(api: &Api, name: &str) -> Result<MemberId, ApiError> {
    if let Some(known) = members::find(&api.cluster(), name) {
        return Ok(known);
    }
    api.catch_up(api.deadline(PATIENCE)).await?;
    members::find(&api.cluster(), name).ok_or_else(|| {
        let message = format!("there is no member {name}; `ringhold member ls` lists them");
        api_error(ErrorCode::NotFound, message)
    })
}

pub(super) async fn propose(api: &Api, command: Command) -> Result<Response, ApiError> {
    match api.control.propose(command, PATIENCE).await {
        Ok(Response::Refused(reason)) => Err(refusal(api, &reason)),
        Ok(response) => Ok(response),
        Err(error) => Err(api_error(ErrorCode::Unavailable, error.to_string())),
    }
}

const fn code_of(reason: &Refused) -> ErrorCode {
    match reason {
        Refused::Invalid { .. } => ErrorCode::InvalidConfiguration,
        Refused::ExecutorDiffers { .. } => ErrorCode::AlreadyExists,
        Refused::Unknown => ErrorCode::NotFound,
        Refused::StaleVersion { .. } | Refused::NotPrimary => ErrorCode::Fenced,
        _ => ErrorCode::FailedPrecondition,
    }
}

fn refusal(api: &Api, reason: &Refused) -> ApiError {
    let mut error = api_error(code_of(reason), reason.to_string());
    if let Refused::MayBeRunning { would_lose } = reason {
        let names = would_lose
            .iter()
            .map(|key| name_of(api, *key))
            .map(|name| format!("{}/{}", name.executor, name.partition));
        error = error
            .with_metadata(WOULD_LOSE, joined(names))
            .with_metadata(WOULD_LOSE_PARTITIONS, would_lose.len().to_string());
    }
    error
}

/// The first names, as many as fit.
fn joined(names: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    for name in names {
        if text.len() + name.len() >= WOULD_LOSE_BYTES_MAX {
            break;
        }
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&name);
    }
    text
}

fn name_of(api: &Api, key: PartitionKey) -> v1::PartitionName {
    let cluster = api.cluster();
    let executor = cluster.executors().get(&key.executor);
    v1::PartitionName {
        executor: executor
            .map(|record| record.config.name.to_string())
            .unwrap_or_default(),
        partition: key.partition.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No call of the public API brings a member to it: these refusals answer what a primary proposes about its own partition,
    /// which is not a call (issue 3's workers will report under tokens that can be stale). So this is the way that one would take.
    #[test]
    fn what_was_decided_under_an_older_version_or_term_travels_as_fenced() {
        let current = ringhold_types::ConfigurationVersion(7);
        for reason in [Refused::StaleVersion { current }, Refused::NotPrimary] {
            let status = api_error(code_of(&reason), reason.to_string()).into_status();
            assert_eq!(status.code(), tonic::Code::Aborted);
            let read = ApiError::from_status(&status).expect("it names its reason");
            assert_eq!(read.code, ErrorCode::Fenced);
            assert_eq!((read.retry_after, read.message), (None, reason.to_string()));
        }
    }

    #[test]
    fn as_many_names_are_joined_as_a_header_takes() {
        let names = |count: u32| (0..count).map(|number| format!("executor/{number}"));
        assert_eq!(joined(names(3)), "executor/0,executor/1,executor/2");
        let many = joined(names(10_000));
        assert!(many.len() <= WOULD_LOSE_BYTES_MAX, "{}", many.len());
        assert!(many.split(',').all(|name| name.starts_with("executor/")));
    }
}
