//! Heartbeats out, leases in: every member tells every voter that it is here, by a heartbeat of its own or by its answer to the
//! voter's, and the leader's answer carries the lease of lone primaries (PROTOCOL §2). The same turn lets the leader judge who
//! is down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use ringhold_control::{Cluster, Command};
use ringhold_proto::internal as wire;
use ringhold_types::limits::HEARTBEAT;
use ringhold_types::{ControlIndex, MemberId, StartNonce, Tick};
use tokio::time::MissedTickBehavior;

use super::core::Core;
use super::detector::{Verdict, Watched};
use super::propose;
use super::types::member;
use crate::peer::control::{self, BeatStream};

/// How long an answer to a heartbeat is waited for; a later one would grant a lease that is half over.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(3 * HEARTBEAT.0);
/// How long the leader waits for a verdict to be applied before it judges again.
const VERDICT_TIMEOUT: Duration = Duration::from_secs(1);

/// A lease for a member that was heard just now in this process start: control state applied here. Only a leader that no
/// other can have replaced grants one, and only to the start that is recorded; and only once it has applied all that it found
/// in its log when it was elected, since a command among that may end the member's copies.
pub(crate) fn grant(core: &Core, to: MemberId, start: StartNonce) -> Option<ControlIndex> {
    let now = core.clock.now();
    if !core.leads() || !core.knows_its_log() || !core.detector().is_awake(now) {
        return None;
    }
    let view = core.view();
    let record = view.cluster.members().get(&to)?;
    let is_current = record.start == start && !record.is_forgotten();
    (is_current && core.grants().grant(to, now)).then_some(view.index)
}

/// Sends heartbeats and judges silence until the control plane stops.
pub(crate) async fn run(core: Arc<Core>) {
    let mut interval = tokio::time::interval(Duration::from_millis(HEARTBEAT.0));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut unanswered = BTreeSet::new();
    let mut open = BTreeMap::new();
    let mut answers = FuturesUnordered::new();
    let mut judging = None;
    loop {
        tokio::select! {
            () = core.until_stopped() => return,
            Some((voter, stream)) = answers.next(), if !answers.is_empty() => {
                unanswered.remove(&voter);
                if let Some(stream) = stream {
                    open.insert(voter, stream);
                }
            }
            _ = interval.tick() => {
                turn(&core, &mut judging);
                let voters = voters(&core);
                open.retain(|voter, _| voters.contains(voter));
                let leader = core.leader();
                let now = core.clock.now();
                for voter in voters {
                    let is_due = core.exchanges().is_due(voter, leader, now);
                    // One at a time for each voter: a host that does not answer holds up nothing but its own.
                    if is_due && unanswered.insert(voter) {
                        answers.push(beat(&core, voter, open.remove(&voter)));
                    }
                }
            }
        }
    }
}

/// The voters but this member.
fn voters(core: &Core) -> Vec<MemberId> {
    let metrics = core.metrics();
    let voters = metrics.membership_config.voter_ids().map(member);
    voters.filter(|voter| *voter != core.own()).collect()
}

/// One heartbeat and its answer; says whose, and gives the stream back if it is still good.
async fn beat(
    core: &Core,
    voter: MemberId,
    open: Option<BeatStream>,
) -> (MemberId, Option<BeatStream>) {
    let sent = core.clock.now();
    let request = wire::ControlHeartbeatRequest {
        envelope: Some(core.peers.envelope(voter)),
        start: core.fresh.0,
        applied: core.view().index.0,
        address: core.info.peer_address.clone(),
    };
    let exchange = control::exchange(&core.peers, voter, open, request);
    // No answer is what our missing lease and the detector are for.
    let Ok(Some((stream, answer))) = tokio::time::timeout(ANSWER_TIMEOUT, exchange).await else {
        return (voter, None);
    };
    // A voter made just now has heard of nobody else yet; through answers it knows the other voters from the start.
    core.detector()
        .hear(voter, StartNonce(answer.start), core.clock.now());
    if answer.leader == Some(voter.0) {
        core.set_starting(answer.starting.into_iter().map(member).collect());
    }
    if let Some(lease) = answer.lease {
        core.publisher.leased(sent, ControlIndex(lease.applied));
    }
    (voter, Some(stream))
}

/// The leader's own lease, and its judgement.
fn turn(core: &Arc<Core>, judging: &mut Option<tokio::task::JoinHandle<()>>) {
    let now = core.clock.now();
    let members = watched(&core.view().cluster);
    let leading = core.leads();
    let (verdict, starting) = {
        let mut detector = core.detector();
        let verdict = detector.turn(now, leading, &members);
        (verdict, detector.starting(now, &members))
    };
    if leading {
        core.set_starting(starting);
    }
    own_lease(core, now);
    let is_judging = judging
        .as_ref()
        .is_some_and(|judging| !judging.is_finished());
    if verdict != Verdict::default() && !is_judging {
        let core = Arc::clone(core);
        *judging = Some(crate::spawn::task(
            "control-verdict",
            carry_out(core, verdict),
        ));
    }
}

fn own_lease(core: &Core, now: Tick) {
    if let Some(applied) = grant(core, core.own(), core.fresh) {
        core.publisher.leased(now, applied);
    }
}

fn watched(cluster: &Cluster) -> Vec<Watched> {
    let living = cluster
        .members()
        .values()
        .filter(|record| !record.is_forgotten());
    living
        .map(|record| Watched {
            member: record.info.id,
            start: record.start,
            up: record.is_up(),
        })
        .collect()
}

/// Proposes what a turn found: one command for all deaths.
async fn carry_out(core: Arc<Core>, verdict: Verdict) {
    let mut commands = Vec::new();
    if !verdict.down.is_empty() {
        tracing::warn!(members = ?verdict.down, "silent for too long; judged down");
        commands.push(Command::MembersDown {
            members: verdict.down,
        });
    }
    for (member, start) in verdict.up {
        tracing::info!(%member, "heard again in the same process start");
        commands.push(Command::MemberUp { member, start });
    }
    for command in commands {
        // What came to nothing is found again by a later turn, here or on the next leader.
        let attempt = propose::here(&core, command, VERDICT_TIMEOUT).await;
        tracing::debug!(?attempt, "verdict proposed");
    }
}
