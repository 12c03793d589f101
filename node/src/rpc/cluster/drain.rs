//! Drains. The drained member itself waits for their end, since only it knows what runs on it; whoever was asked passes that
//! on to it.

use std::time::Duration;

use ringhold_control::{Cluster, Command};
use ringhold_proto::code::{HANDED_BACK, LEFT_ATTEMPTS, LEFT_PRIMARIES, LEFT_SEATS};
use ringhold_proto::convert::{duration_from_millis, millis_from_duration};
use ringhold_proto::{ApiError, v1};
use ringhold_replica::Event;
use ringhold_types::limits::HAND_BACK_MAX;
use ringhold_types::{ErrorCode, MemberId, Millis};
use tokio::time::Instant;
use tonic::Request;

use super::super::api::Api;
use super::super::{api_error, forward};
use super::administration::{PATIENCE, find, propose};
use super::members;
use crate::clock::Clock;

/// Longest that a call waits for the end of a drain: large copies take hours, and a vanished operator's call must end.
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(24 * 3600);
/// What passing a drain on may take beside the drain.
const PASS_ON_MARGIN: Duration = Duration::from_secs(2);

/// Attempts that were handed back, as far as that is known.
type HandedBack = Option<u32>;

/// Begins or ends a drain, and waits for its end if asked to. One that another member passed on is on record already.
pub(super) async fn drain(
    api: &Api,
    request: v1::DrainMemberRequest,
    passed_on: bool,
) -> Result<v1::DrainMemberResponse, ApiError> {
    api.check_cluster(request.cluster_id.as_deref())?;
    let wait = wait_of(&request)?;
    let member = find(api, &request.member).await?;
    let draining = !request.undo;
    let over = Clock.instant() + wait.unwrap_or_default();
    if !passed_on {
        propose(api, Command::Drain { member, draining }).await?;
    }
    let mut view = api.driver.watch();
    let appeared = view.wait_for(|view| {
        let record = view.cluster.members().get(&member);
        record.is_none_or(|record| record.draining == draining)
    });
    if tokio::time::timeout(PATIENCE, appeared).await.is_err() {
        let message = "the drain is on record, but this member is behind; see `ringhold member ls`";
        return Err(api_error(ErrorCode::Unavailable, message));
    }
    let drained = Drained {
        api,
        member,
        request: &request,
        over,
    };
    let handed_back = match wait {
        None => None,
        Some(_) if member == api.member => Some(drained.end_here().await?),
        Some(_) if passed_on => drained.until_moved().await.map(|()| None)?,
        Some(_) => drained.end_there().await?,
    };
    Ok(v1::DrainMemberResponse {
        member: members::member_named(api, &request.member),
        handed_back,
    })
}

/// How long the caller wants to wait for the end of the drain.
fn wait_of(request: &v1::DrainMemberRequest) -> Result<Option<Duration>, ApiError> {
    let Some(wait) = &request.wait else {
        return Ok(None);
    };
    let refuse = |message: &str| Err(api_error(ErrorCode::InvalidArgument, message));
    if request.undo {
        return refuse("a drain that is ended is not waited for; state `undo` or `wait`");
    }
    let wait = Duration::from_millis(millis_from_duration("wait", wait)?.0);
    if wait > DRAIN_WAIT_MAX {
        return refuse("a drain is waited for at most a day; ask again after that");
    }
    Ok(Some(wait))
}

fn drains(cluster: &Cluster, member: MemberId) -> bool {
    let record = cluster.members().get(&member);
    record.is_some_and(|record| record.draining)
}

fn has_nothing(cluster: &Cluster, member: MemberId) -> bool {
    members::left_of(cluster, member) == (0, 0)
}

/// A drain whose end is waited for.
struct Drained<'a> {
    api: &'a Api,
    member: MemberId,
    request: &'a v1::DrainMemberRequest,
    /// When its time is over.
    over: Instant,
}

impl Drained<'_> {
    /// Waits on the drained member until it leads nothing, has no seat and runs nothing. When the time is over, what it still
    /// runs for others is handed back; returns how much that was. What is left then goes on moving, and the answer says how
    /// much that is.
    async fn end_here(&self) -> Result<u32, ApiError> {
        let (driver, member) = (&self.api.driver, self.member);
        driver.notify(Event::DrainOver(false)).await;
        let mut view = driver.watch();
        let ends = view.wait_for(|view| {
            let runs_nothing = view.attempts_for_others == 0 && view.waiting_reports == 0;
            !drains(&view.cluster, member) || runs_nothing && has_nothing(&view.cluster, member)
        });
        match tokio::time::timeout_at(self.over, ends).await {
            Ok(Ok(view)) if drains(&view.cluster, member) => return Ok(0),
            Ok(Ok(_)) => return Err(self.ended_by_another()),
            Ok(Err(_)) => return Err(stops()),
            Err(_) => {}
        }
        let before = driver.view().counters.handed_back;
        driver.notify(Event::DrainOver(true)).await;
        let ends = view.wait_for(|view| {
            let runs_nothing = view.attempts_for_others == 0 && view.waiting_reports == 0;
            !drains(&view.cluster, member) || runs_nothing
        });
        let patience = Duration::from_millis(HAND_BACK_MAX.0);
        let _late = tokio::time::timeout(patience, ends).await;
        let view = driver.view();
        let handed_back = view.counters.handed_back.saturating_sub(before);
        let handed_back = u32::try_from(handed_back).unwrap_or(u32::MAX);
        // What is not yet taken back dies with the process: it must not be stopped.
        let attempts = view.attempts_for_others + view.waiting_reports;
        if attempts > 0 || !has_nothing(&view.cluster, member) {
            return Err(self
                .unfinished(attempts)
                .with_metadata(LEFT_ATTEMPTS, attempts.to_string())
                .with_metadata(HANDED_BACK, handed_back.to_string()));
        }
        Ok(handed_back)
    }

    /// Has the drained member wait. While it cannot be asked, since it is down or its process has ended, it is at least seen
    /// from here what others take over.
    async fn end_there(&self) -> Result<HandedBack, ApiError> {
        if let Some(answer) = self.pass_on().await {
            return answer;
        }
        let moved = self.until_moved().await;
        match self.pass_on().await {
            Some(answer) => answer,
            None => moved.map(|()| None),
        }
    }

    /// What the drained member says in the end; `None` if it cannot be asked.
    async fn pass_on(&self) -> Option<Result<HandedBack, ApiError>> {
        let cluster = self.api.cluster();
        let record = cluster.members().get(&self.member)?;
        if !record.is_up() {
            return None;
        }
        let mut client = self.api.forwarder.cluster_client(&cluster, self.member)?;
        let left = self.over.saturating_duration_since(Clock.instant());
        let millis = Millis(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        let mut request = Request::new(v1::DrainMemberRequest {
            wait: Some(duration_from_millis(millis)),
            ..self.request.clone()
        });
        forward::mark(&mut request);
        request.set_timeout(left + Duration::from_millis(HAND_BACK_MAX.0) + PASS_ON_MARGIN);
        match client.drain_member(request).await {
            Ok(answer) => {
                self.until_seen_here().await;
                Some(Ok(answer.into_inner().handed_back))
            }
            Err(status) => {
                let error = ApiError::from_status(&status)?;
                let is_final = !error.code.is_retryable();
                is_final.then_some(Err(error))
            }
        }
    }

    /// Waits until this member has applied what the drained one has: what is read here after the answer must not contradict it.
    async fn until_seen_here(&self) {
        let member = self.member;
        let mut view = self.api.driver.watch();
        let seen = view
            .wait_for(|view| !drains(&view.cluster, member) || has_nothing(&view.cluster, member));
        if tokio::time::timeout(PATIENCE, seen).await.is_err() {
            tracing::warn!(
                "a drain is over, and this member is behind: it still shows what was left before"
            );
        }
    }

    /// Waits until the member leads nothing and has no seat.
    async fn until_moved(&self) -> Result<(), ApiError> {
        let member = self.member;
        let mut view = self.api.driver.watch();
        let ends = view
            .wait_for(|view| !drains(&view.cluster, member) || has_nothing(&view.cluster, member));
        match tokio::time::timeout_at(self.over, ends).await {
            // Another operator may end the drain; then there is nothing to wait for.
            Ok(Ok(view)) if drains(&view.cluster, member) => Ok(()),
            Ok(Ok(_)) => Err(self.ended_by_another()),
            Ok(Err(_)) => Err(stops()),
            Err(_) => Err(self.unfinished(0)),
        }
    }

    fn ended_by_another(&self) -> ApiError {
        let name = &self.request.member;
        let message = format!("the drain of {name} was ended by somebody else");
        api_error(ErrorCode::FailedPrecondition, message)
    }

    /// The time is over and the member is still needed, or `attempts` that ran on it are not taken back yet.
    fn unfinished(&self, attempts: usize) -> ApiError {
        let cluster = self.api.cluster();
        if !drains(&cluster, self.member) {
            return self.ended_by_another();
        }
        let name = &self.request.member;
        let (primaries, seats) = members::left_of(&cluster, self.member);
        let running = match attempts {
            0 => String::new(),
            _ => format!(", and {attempts} attempts that ran on it have not been taken back"),
        };
        let message = format!(
            "{name} still leads {primaries} partitions and holds a required copy of {seats}{running}; it goes on draining. Drain it again \
             to wait on, see `ringhold member ls`, or end the drain with `ringhold member drain {name} --undo`"
        );
        api_error(ErrorCode::DrainTimeout, message)
            .with_metadata(LEFT_PRIMARIES, primaries.to_string())
            .with_metadata(LEFT_SEATS, seats.to_string())
    }
}

fn stops() -> ApiError {
    let message = "this member stops; ask another one, the drain goes on";
    api_error(ErrorCode::Unavailable, message)
}
