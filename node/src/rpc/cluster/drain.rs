//! Drains. The drained member itself waits for their end, since only it knows what runs on it; whoever was asked passes that
//! on to it.
//!
//! A drain is named by the command that began it, so that nothing of one that was ended is taken for the next: neither the
//! time that callers gave it nor what was handed back in it. When its time is over the drained member makes sure that this
//! drain is still on, as of then, before it takes anything from its attempts.

use std::time::Duration;

use ringhold_control::{Cluster, Command, Response};
use ringhold_proto::code::{HANDED_BACK, LEFT_ATTEMPTS, LEFT_PRIMARIES, LEFT_SEATS};
use ringhold_proto::convert::{duration_from_millis, millis_from_duration};
use ringhold_proto::{ApiError, v1};
use ringhold_types::limits::{DRAIN_CONFIRM_MAX, DRAIN_END_MAX, HAND_BACK_MAX};
use ringhold_types::{ControlIndex, ErrorCode, MemberId, Millis};
use tokio::time::Instant;
use tonic::Request;
use tonic::metadata::MetadataValue;

use super::super::api::Api;
use super::super::{api_error, forward};
use super::administration::{PATIENCE, find, propose};
use super::members;
use crate::clock::Clock;
use crate::partition::MemberView;

/// Longest that a call waits for the end of a drain: large copies take hours, and a vanished operator's call must end.
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(24 * 3600);
/// What passing a drain on may take beside the drain.
const PASS_ON_MARGIN: Duration = Duration::from_secs(2);
/// Names the drain that a call was passed on for.
const DRAIN: &str = "ringhold-drain";

/// Attempts that were handed back, as far as that is known.
type HandedBack = Option<u32>;

/// The drain that another member passed on; it is on record already.
pub(super) fn passed_on(request: &Request<v1::DrainMemberRequest>) -> Option<ControlIndex> {
    forward::forwarded_from(request)?;
    let drain = request.metadata().get(DRAIN)?;
    drain.to_str().ok()?.parse().ok().map(ControlIndex)
}

/// Begins or ends a drain, and waits for its end if asked to; of one that was passed on it only waits for the end.
pub(super) async fn drain(
    api: &Api,
    request: v1::DrainMemberRequest,
    passed_on: Option<ControlIndex>,
) -> Result<v1::DrainMemberResponse, ApiError> {
    api.check_cluster(request.cluster_id.as_deref())?;
    let wait = wait_of(&request)?;
    let member = find(api, &request.member).await?;
    let over = Clock.instant() + wait.unwrap_or_default();
    let drain = match passed_on {
        Some(drain) => Some(drain),
        None => put_on_record(api, member, !request.undo).await?,
    };
    until_known_here(api, drain).await?;
    let handed_back = match (wait, drain) {
        (Some(_), Some(drain)) => {
            let drained = Drained {
                api,
                member,
                request: &request,
                drain,
                over,
            };
            match passed_on {
                _ if member == api.member => Some(drained.end_here().await?),
                Some(_) => drained.until_moved().await.map(|()| None)?,
                None => drained.end_there().await?,
            }
        }
        _ => None,
    };
    Ok(v1::DrainMemberResponse {
        member: members::member_named(api, &request.member),
        handed_back,
    })
}

/// Begins or ends the drain of a member; the drain that is on then.
async fn put_on_record(
    api: &Api,
    member: MemberId,
    draining: bool,
) -> Result<Option<ControlIndex>, ApiError> {
    match propose(api, Command::Drain { member, draining }).await? {
        Response::Drains { drain } => Ok(Some(drain)),
        Response::Done if !draining => Ok(None),
        _ => Err(api_error(
            ErrorCode::Internal,
            "a drain was answered with something else",
        )),
    }
}

/// Waits until this member knows of a drain, or of the end of one.
async fn until_known_here(api: &Api, drain: Option<ControlIndex>) -> Result<(), ApiError> {
    let known = match drain {
        Some(drain) => {
            let mut view = api.driver.watch();
            let known = view.wait_for(|view| view.index >= drain);
            matches!(tokio::time::timeout(PATIENCE, known).await, Ok(Ok(_)))
        }
        None => api.catch_up(api.deadline(PATIENCE)).await.is_ok(),
    };
    let message = "the drain is on record, but this member is behind; see `ringhold member ls`";
    let behind = || api_error(ErrorCode::Unavailable, message);
    known.then_some(()).ok_or_else(behind)
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

fn has_nothing(cluster: &Cluster, member: MemberId) -> bool {
    members::left_of(cluster, member) == (0, 0)
}

/// Attempts that run there for others, or whose end nobody has taken yet.
fn attempts_of(view: &MemberView) -> usize {
    view.attempts_for_others + view.waiting_reports
}

/// A drain whose end is waited for.
struct Drained<'a> {
    api: &'a Api,
    member: MemberId,
    request: &'a v1::DrainMemberRequest,
    /// Which of the member's drains.
    drain: ControlIndex,
    /// When this call's time is over.
    over: Instant,
}

/// Why a call ends before the drain does.
enum Unfinished {
    /// What is left goes on moving.
    Moving,
    /// Nobody could say whether the drain is still on.
    Unconfirmed,
    /// Another call gives it more time.
    Outlasted,
}

impl Drained<'_> {
    /// Waits on the drained member until it leads nothing, has no seat and runs nothing. When the time is over, what it still
    /// runs for others is handed back; returns how much that was since the drain began. What is left then goes on moving,
    /// and the answer says how much that is.
    async fn end_here(&self) -> Result<u32, ApiError> {
        let (driver, member) = (&self.api.driver, self.member);
        let open = self.api.drains.open(driver, self.drain, self.over).await?;
        let mut view = driver.watch();
        let ends = view.wait_for(|view| {
            let has_nothing = || attempts_of(view) == 0 && has_nothing(&view.cluster, member);
            !self.is_on(&view.cluster) || has_nothing()
        });
        match tokio::time::timeout_at(self.over, ends).await {
            Ok(Ok(view)) if self.is_on(&view.cluster) => return Ok(handed_back(&view)),
            Ok(Ok(_)) => return Err(self.ended_by_another()),
            Ok(Err(_)) => return Err(stops()),
            Err(_) => {}
        }
        // Somebody may have ended it and been told so, while this member is behind.
        let confirm = Duration::from_millis(DRAIN_CONFIRM_MAX.0);
        if self.api.catch_up(self.api.deadline(confirm)).await.is_err() {
            return Err(self.unfinished_here(Unfinished::Unconfirmed));
        }
        if !self.is_on(&driver.view().cluster) {
            return Err(self.ended_by_another());
        }
        if !open.end(driver).await {
            return Err(self.unfinished_here(Unfinished::Outlasted));
        }
        let ends = view.wait_for(|view| !self.is_on(&view.cluster) || attempts_of(view) == 0);
        let patience = Duration::from_millis(HAND_BACK_MAX.0);
        let _late = tokio::time::timeout(patience, ends).await;
        let view = driver.view();
        // What is not yet taken back dies with the process: it must not be stopped.
        if attempts_of(&view) > 0 || !has_nothing(&view.cluster, member) {
            return Err(self.unfinished_here(Unfinished::Moving));
        }
        Ok(handed_back(&view))
    }

    fn is_on(&self, cluster: &Cluster) -> bool {
        let record = cluster.members().get(&self.member);
        record.is_some_and(|record| record.drain == Some(self.drain))
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
        let drain = MetadataValue::from(self.drain.get());
        request.metadata_mut().insert(DRAIN, drain);
        request.set_timeout(left + Duration::from_millis(DRAIN_END_MAX.0) + PASS_ON_MARGIN);
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
        let seen =
            view.wait_for(|view| !self.is_on(&view.cluster) || has_nothing(&view.cluster, member));
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
        let ends =
            view.wait_for(|view| !self.is_on(&view.cluster) || has_nothing(&view.cluster, member));
        match tokio::time::timeout_at(self.over, ends).await {
            // Another operator may end the drain; then there is nothing to wait for.
            Ok(Ok(view)) if self.is_on(&view.cluster) => Ok(()),
            Ok(Ok(_)) => Err(self.ended_by_another()),
            Ok(Err(_)) => Err(stops()),
            Err(_) => Err(self.unfinished(0, &Unfinished::Moving)),
        }
    }

    fn ended_by_another(&self) -> ApiError {
        let name = &self.request.member;
        let message = format!("the drain of {name} was ended by somebody else");
        api_error(ErrorCode::FailedPrecondition, message)
    }

    /// What is left on this member, the drained one.
    fn unfinished_here(&self, why: Unfinished) -> ApiError {
        let view = self.api.driver.view();
        let attempts = attempts_of(&view);
        self.unfinished(attempts, &why)
            .with_metadata(LEFT_ATTEMPTS, attempts.to_string())
            .with_metadata(HANDED_BACK, handed_back(&view).to_string())
    }

    /// The time is over and the member is still needed, or `attempts` that ran on it are not taken back yet.
    fn unfinished(&self, attempts: usize, why: &Unfinished) -> ApiError {
        let cluster = self.api.cluster();
        if !self.is_on(&cluster) {
            return self.ended_by_another();
        }
        let name = &self.request.member;
        let (primaries, seats) = members::left_of(&cluster, self.member);
        let running = match (attempts, why) {
            (0, _) => String::new(),
            (_, Unfinished::Moving) => {
                format!(", and {attempts} attempts that ran on it have not been taken back")
            }
            (_, Unfinished::Unconfirmed) => format!(
                ", and {attempts} attempts go on there: the control plane did not confirm in time that the drain is still on"
            ),
            (_, Unfinished::Outlasted) => {
                format!(
                    ", and {attempts} attempts go on there: another call gives this drain more time"
                )
            }
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

fn handed_back(view: &MemberView) -> u32 {
    u32::try_from(view.handed_back).unwrap_or(u32::MAX)
}

fn stops() -> ApiError {
    let message = "this member stops; ask another one, the drain goes on";
    api_error(ErrorCode::Unavailable, message)
}
