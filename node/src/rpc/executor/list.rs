//! List: pages of tasks, partition by partition, each page from the primaries.

use std::time::Duration;

use ringhold_proto::convert::{millis_from_duration, status_from_number};
use ringhold_proto::{ApiError, v1};
use ringhold_replica::{Reply, Request};
use ringhold_types::{
    ErrorCode, ExecutorId, ExecutorName, Millis, PartitionKey, PartitionNumber, Sequence, TaskId,
    TaskStatus, limits,
};

use super::super::api::Api;
use super::super::forward::Onward;
use super::super::operation::{Call, Operation};
use super::view::{Wanted, task_view};
use super::{api_error, executor_name, forward};

/// Tasks of a page whose size is not stated.
const PAGE_DEFAULT: usize = 100;
/// Bytes of a page, by which it may be shorter than asked: labels are large where there are many.
const PAGE_BYTES_MAX: usize = limits::MESSAGE_BYTES_MAX;
/// How long one partition may hold up a page before it is named as unavailable in it.
const PARTITION_PATIENCE: Duration = Duration::from_secs(3);

/// Where a page begins: printed `executor/partition/sequence`, the sequence empty at a partition's beginning.
#[derive(Clone, Debug)]
struct Place {
    executor: ExecutorName,
    partition: PartitionNumber,
    after: Option<Sequence>,
}

/// One partition's share of a page.
struct ListPartition {
    place: Place,
    partition: PartitionKey,
    request: v1::ListRequest,
    statuses: Vec<TaskStatus>,
    older_than: Option<Millis>,
    most: usize,
}

/// A page of the tasks of one executor, or of all.
pub(super) async fn list(
    api: &Api,
    call: Call,
    request: v1::ListRequest,
) -> Result<v1::ListResponse, ApiError> {
    api.check_cluster(request.cluster_id.as_deref())?;
    let page = match request.page_size {
        0 => PAGE_DEFAULT,
        size => (size as usize).min(limits::LIST_PAGE_MAX),
    };
    let statuses: Result<Vec<_>, _> = request
        .statuses
        .iter()
        .map(|number| status_from_number(*number))
        .collect();
    let statuses = statuses?;
    let older_than = request
        .older_than
        .as_ref()
        .map(|span| millis_from_duration("older_than", span))
        .transpose()?;
    let start = parse_place(&request.page_token)?;
    let mut response = v1::ListResponse::default();
    for (place, partition) in places(api, &request, start.as_ref(), call).await? {
        let most = page - response.tasks.len();
        if most == 0 || ringhold_proto::encoded_length(&response) >= PAGE_BYTES_MAX {
            response.next_page_token = print_place(&place);
            break;
        }
        let (statuses, request) = (statuses.clone(), request.clone());
        let share = ListPartition {
            place,
            partition,
            request,
            statuses,
            older_than,
            most,
        };
        if share.append_to(api, call, &mut response).await {
            break;
        }
    }
    Ok(response)
}

/// The partitions in use from the place on where the page begins; a forwarded call is about that one partition.
async fn places(
    api: &Api,
    request: &v1::ListRequest,
    start: Option<&Place>,
    call: Call,
) -> Result<Vec<(Place, PartitionKey)>, ApiError> {
    let wanted = match request.executor.as_str() {
        "" => None,
        name => Some(executor_name(name)?),
    };
    if !call.forwarded {
        let soon = api.deadline(PARTITION_PATIENCE).min(call.deadline);
        // Tasks stored before the call are in partitions that the leader knows. Without a leader the page holds what is
        // known here: no partition comes into use then either.
        let _without_a_leader = api.catch_up(soon).await;
    }
    if let Some(name) = &wanted {
        api.existing_executor(name, call.deadline).await?;
    }
    let cluster = api.cluster();
    let mut executors: Vec<(&ExecutorName, ExecutorId, u32)> = cluster
        .executors()
        .iter()
        .map(|(id, record)| {
            (
                &record.config.name,
                *id,
                record.config.partition_count.get(),
            )
        })
        .filter(|(name, ..)| wanted.as_ref().is_none_or(|wanted| wanted == *name))
        .filter(|(name, ..)| start.is_none_or(|start| **name >= start.executor))
        .collect();
    executors.sort_unstable_by(|a, b| a.0.cmp(b.0));
    let mut found = Vec::new();
    for (name, executor, count) in executors {
        let resumed = start.filter(|start| start.executor == *name);
        let first = resumed.map_or(0, |start| start.partition.0);
        for number in (first..count).map(PartitionNumber) {
            let key = PartitionKey {
                executor,
                partition: number,
            };
            // The member that forwarded a call knows the partition to be in use, even if this one does not yet.
            let in_use = cluster.configuration(key).is_some_and(|c| c.materialised);
            if !in_use && !call.forwarded {
                continue;
            }
            let after = resumed
                .filter(|start| start.partition == number)
                .and_then(|start| start.after);
            found.push((
                Place {
                    executor: name.clone(),
                    partition: number,
                    after,
                },
                key,
            ));
        }
    }
    if call.forwarded {
        return only(found, start);
    }
    Ok(found)
}

/// The one partition that a forwarding member asks for: not another one, if this member does not know it as in use yet.
fn only(
    mut found: Vec<(Place, PartitionKey)>,
    start: Option<&Place>,
) -> Result<Vec<(Place, PartitionKey)>, ApiError> {
    found.truncate(1);
    let asked = |place: &Place| {
        start.is_some_and(|start| {
            start.executor == place.executor && start.partition == place.partition
        })
    };
    if found.first().is_some_and(|(place, _)| asked(place)) {
        return Ok(found);
    }
    let message = "this member does not know the partition as in use yet";
    Err(api_error(ErrorCode::Unavailable, message))
}

impl ListPartition {
    /// Adds this partition's tasks to the page. Returns whether the page ends here.
    async fn append_to(&self, api: &Api, call: Call, response: &mut v1::ListResponse) -> bool {
        let patience = api.deadline(PARTITION_PATIENCE).min(call.deadline);
        let call = Call {
            deadline: patience,
            ..call
        };
        match api.on_primary(self.partition, call, self).await {
            Ok(share) => {
                response.tasks.extend(share.tasks);
                response.unavailable.extend(share.unavailable);
                response.next_page_token = share.next_page_token;
                !response.next_page_token.is_empty()
            }
            Err(error) => {
                response.unavailable.push(v1::UnavailablePartition {
                    executor: self.place.executor.to_string(),
                    partition: self.place.partition.0,
                    error: Some(v1::Error::from(&error)),
                });
                false
            }
        }
    }
}

impl Operation for ListPartition {
    type Answer = v1::ListResponse;

    async fn here(&self, api: &Api, call: Call, _tries: u32) -> Result<Self::Answer, ApiError> {
        let request = Request::List {
            after: self.place.after,
            statuses: self.statuses.clone(),
            older_than: self.older_than,
            most: self.most,
        };
        let reply = api
            .ask(call.connection, self.partition, call.deadline, request)
            .await?;
        let Reply::Page(page) = reply else {
            return Err(api_error(
                ErrorCode::Internal,
                "a list was answered with something else",
            ));
        };
        let id_of = |sequence| TaskId {
            executor: self.place.executor.clone(),
            partition: self.place.partition,
            sequence,
        };
        let mut response = v1::ListResponse::default();
        let mut bytes = 0;
        let mut next_after = page.next_after;
        let mut last = None;
        for view in &page.tasks {
            let sequence = view.entry.sequence;
            let shown = task_view(api.message_of(&id_of(sequence)), view, Wanted::default());
            bytes += ringhold_proto::encoded_length(&shown);
            if bytes > PAGE_BYTES_MAX && last.is_some() {
                next_after = last;
                break;
            }
            last = Some(sequence);
            response.tasks.push(shown);
        }
        let next = next_after.map(|after| Place {
            after: Some(after),
            ..self.place.clone()
        });
        response.next_page_token = next.as_ref().map(print_place).unwrap_or_default();
        Ok(response)
    }

    async fn there(&self, mut onward: Onward, _tries: u32) -> Result<Self::Answer, ApiError> {
        let request = v1::ListRequest {
            executor: self.place.executor.to_string(),
            page_size: u32::try_from(self.most).unwrap_or(u32::MAX),
            page_token: print_place(&self.place),
            ..self.request.clone()
        };
        let answer = onward.client.list(onward.request(request)).await;
        let answer = answer
            .map_err(|status| forward::from_status(&status))?
            .into_inner();
        // The member that was asked is not the primary any more and named the partition as unavailable: ask again.
        match answer.unavailable.first().and_then(|one| one.error.clone()) {
            Some(error) => Err(ApiError::try_from(error)?),
            None => Ok(answer),
        }
    }
}

fn print_place(place: &Place) -> String {
    let after = place
        .after
        .map(|after| after.to_string())
        .unwrap_or_default();
    format!("{}/{}/{after}", place.executor, place.partition)
}

fn parse_place(token: &str) -> Result<Option<Place>, ApiError> {
    if token.is_empty() {
        return Ok(None);
    }
    let parse = || {
        let mut parts = token.rsplitn(3, '/');
        let after = match parts.next()? {
            "" => None,
            number => Some(Sequence::from_bits(number.parse().ok()?)),
        };
        let partition = PartitionNumber(parts.next()?.parse().ok()?);
        let executor = ExecutorName::new(parts.next()?).ok()?;
        Some(Place {
            executor,
            partition,
            after,
        })
    };
    parse().map(Some).ok_or_else(|| {
        let message = format!("{token:?} is no page token of this service; begin without one");
        api_error(ErrorCode::InvalidArgument, message)
    })
}
