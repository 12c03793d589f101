//! How a member stops in good order (PROTOCOL §3 "Planned hand-over", DESIGN G7), each step within a bound: what it leads
//! goes to others, what it runs ends or is handed back, then its ports close, its log, and its control plane.

use std::time::Duration;

use ringhold_control::{Cluster, Command};
use ringhold_replica::Event;
use ringhold_types::MemberId;
use ringhold_types::limits::HAND_BACK_GRACE;

use super::Member;
use crate::partition::MemberView;

/// How long the cluster may take to note that the member leaves, or to answer at all. Without a leader nothing can be handed
/// over.
const NOTE_PATIENCE: Duration = Duration::from_secs(2);
/// Pause between two questions whether there is a leader: short beside what an answer may take.
const LEADER_PAUSE: Duration = Duration::from_millis(250);
/// How long primaries may take to move: each holds its callers for half a second at most, and many move at once.
const HAND_OVER_GRACE: Duration = Duration::from_secs(10);
/// How long running attempts may take to end by themselves before they are told to.
const ATTEMPTS_GRACE: Duration = Duration::from_secs(5);
/// How long the new primaries may take to commit the last reports.
const REPORTS_GRACE: Duration = Duration::from_secs(2);
/// How long open calls may take to end.
const CALLS_GRACE: Duration = Duration::from_secs(2);
/// How long the disk may take to store what it was given.
const LOG_GRACE: Duration = Duration::from_secs(10);

/// Ends `member`; see [`Member::shutdown`].
pub(super) async fn stop(mut member: Member) {
    member.servers.readiness.stops();
    if hand_over(&member).await {
        let idle = |view: &MemberView| view.running_attempts == 0 && view.waiting_reports == 0;
        until(&member, ATTEMPTS_GRACE, idle).await;
    }
    member.driver.notify(Event::Ending).await;
    let unfinished = member.execution.stop(HAND_BACK_GRACE).await;
    let reported = until(&member, REPORTS_GRACE, |view| view.waiting_reports == 0).await;
    if unfinished > 0 || !reported {
        tracing::warn!(
            unfinished,
            "attempts did not end, or their reports were not taken, in time; they run again elsewhere"
        );
    }
    member.servers.stop_calls(CALLS_GRACE).await;
    member.stop.send_replace(true);
    if tokio::time::timeout(LOG_GRACE, member.join_partition_thread())
        .await
        .is_err()
    {
        tracing::error!(
            "the disk does not take what was handed to it; what it lacks was not promised by this member alone"
        );
    }
    if tokio::time::timeout(LOG_GRACE, member.control.clone().stop())
        .await
        .is_err()
    {
        tracing::error!("the control plane's disk does not answer; the member ends without it");
    }
    member.servers.stop_peers();
}

/// Hands over what the member leads. Returns whether there was somebody to take it.
async fn hand_over(member: &Member) -> bool {
    let view = member.driver.view();
    if !can_be_relieved(&view.cluster, member.id) || !note(member, &view.cluster).await {
        return false;
    }
    member.driver.notify(Event::Drain(true)).await;
    let done = |view: &MemberView| {
        leads_nothing(&view.cluster, member.id) || !can_be_relieved(&view.cluster, member.id)
    };
    let handed_over = until(member, HAND_OVER_GRACE, done);
    // Members that stop together leave the last of them without a majority, and perhaps without a word that they leave.
    let led = || member.control.read_index(NOTE_PATIENCE);
    if !while_led(handed_over, led).await {
        tracing::warn!("not everything could be handed over in time; the rest fails over");
    }
    true
}

/// Has the cluster note that this process leaves: a drain of its own, which the member's next start ends and which no
/// operator's drain is mixed up with.
async fn note(member: &Member, cluster: &Cluster) -> bool {
    let Some(record) = cluster.members().get(&member.id) else {
        return false;
    };
    let leave = Command::Leave {
        member: member.id,
        start: record.start,
    };
    match member.control.propose(leave, NOTE_PATIENCE).await {
        Ok(_) => true,
        Err(error) => {
            tracing::warn!(%error, "nothing is handed over; the member's partitions fail over");
            false
        }
    }
}

/// Waits for the end of a hand-over as long as the control plane answers: without it none can end. Returns whether it ended well.
async fn while_led<T, A>(handed_over: impl Future<Output = bool>, ask: impl Fn() -> A) -> bool
where
    A: Future<Output = Option<T>>,
{
    let unled = async {
        while ask().await.is_some() {
            tokio::time::sleep(LEADER_PAUSE).await;
        }
    };
    tokio::select! {
        biased;
        handed_over = handed_over => handed_over,
        () = unled => false,
    }
}

/// Waits until the driver's view is so; not longer than `grace`. Returns whether it was.
async fn until(
    member: &Member,
    grace: Duration,
    mut is_so: impl FnMut(&MemberView) -> bool,
) -> bool {
    let mut views = member.driver.watch();
    let waiting = views.wait_for(|view| is_so(view));
    // A driver that has ended, for whatever reason, will not change any more.
    matches!(tokio::time::timeout(grace, waiting).await, Ok(Ok(_)))
}

/// Whether another member could take what this one leads.
fn can_be_relieved(cluster: &Cluster, own: MemberId) -> bool {
    let members = cluster.members();
    let holds_tasks = members.get(&own).is_some_and(|it| !it.info.witness);
    let mut others = members.iter().filter(|(id, _)| **id != own);
    holds_tasks && others.any(|(_, it)| it.is_up() && !it.drains() && !it.info.witness)
}

/// Whether no partition in use has this member as primary.
fn leads_nothing(cluster: &Cluster, own: MemberId) -> bool {
    let mut partitions = cluster.executors().values().flat_map(|it| &it.partitions);
    !partitions.any(|it| it.materialised && it.primary.is_some_and(|led| led.member == own))
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn a_hand_over_is_not_waited_for_when_nobody_leads_who_could_record_it() {
        let nobody = || ready(None::<()>);
        assert!(!while_led(pending(), nobody).await);
        assert!(while_led(ready(true), nobody).await, "it is over");
        let somebody = || ready(Some(()));
        let in_a_while = async {
            tokio::time::sleep(2 * LEADER_PAUSE).await;
            true
        };
        assert!(while_led(in_a_while, somebody).await);
    }
}
