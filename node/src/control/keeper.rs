//! What the leader does unasked: gives the cluster its identity, repairs and rebalances in bounded steps, keeps Raft's voters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use openraft::ChangeMembers;
use openraft::impls::BasicNode;
use ringhold_control::{Cluster, Command};
use ringhold_types::{ControlIndex, MemberId, Millis, Tick};
use tokio::time::MissedTickBehavior;

use super::core::Core;
use super::propose;
use super::types::{Metrics, member};
use super::voters::{Candidate, next_voters};

/// How often the leader looks for something to do.
const TURN: Duration = Duration::from_millis(100);
/// Steps of repair and rebalancing taken in one turn; the next ones are decided on the state that these leave behind.
const STEPS_PER_TURN: usize = 32;
/// How long a step may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the change of voters may take before it is looked at anew.
const MEMBERSHIP_TIMEOUT: Duration = Duration::from_secs(10);
/// Entries that a learner's log may lie behind and still count as caught up: a fraction of a second's worth.
const CAUGHT_UP_WITHIN: u64 = 256;
/// A node that was added to Raft and never recorded a start is removed after this time: its process gave up. It may join again.
const ABANDONED_AFTER: Millis = Millis(300_000);

/// What this leader has seen with its own clock.
#[derive(Debug, Default)]
struct Seen {
    down_since: BTreeMap<MemberId, Tick>,
    unrecorded_since: BTreeMap<MemberId, Tick>,
    /// Cluster state that asked for no step; the same state asks for none again.
    settled: Option<ControlIndex>,
}

/// Keeps the cluster while this member leads, until the control plane stops.
pub(crate) async fn run(core: Arc<Core>) {
    let mut interval = tokio::time::interval(TURN);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = Seen::default();
    loop {
        tokio::select! {
            () = core.until_stopped() => return,
            _ = interval.tick() => {}
        }
        if !core.leads() {
            seen = Seen::default();
            continue;
        }
        tokio::select! {
            () = core.until_stopped() => return,
            () = turn(&core, &mut seen) => {}
        }
    }
}

async fn turn(core: &Arc<Core>, seen: &mut Seen) {
    let view = core.view();
    if view.cluster.id().is_none() {
        let initialise = Command::Initialise {
            cluster: core.new_cluster,
            name: core.cluster_name.clone(),
        };
        let attempt = propose::here(core, initialise, STEP_TIMEOUT).await;
        tracing::info!(cluster = %core.new_cluster, ?attempt, "cluster initialised");
        return;
    }
    if seen.settled != Some(view.index) {
        let mut steps = view.cluster.next_steps(STEPS_PER_TURN);
        steps.extend(view.cluster.level_step());
        seen.settled = steps.is_empty().then_some(view.index);
        let attempts = steps
            .into_iter()
            .map(|step| propose::here(core, step, STEP_TIMEOUT));
        // A step that came to nothing is decided again from the state it found.
        join_all(attempts).await;
    }
    for end in view.cluster.ended_pauses(core.clock.wall()) {
        let attempt = propose::here(core, end, STEP_TIMEOUT).await;
        tracing::info!(?attempt, "the time of a pause is over");
    }
    keep_membership(core, seen).await;
}

/// At most one change of Raft's membership.
async fn keep_membership(core: &Core, seen: &mut Seen) {
    let metrics = core.metrics();
    let view = core.view();
    seen.look(&metrics, &view.cluster, core.clock.now());
    if metrics.membership_config != metrics.committed_membership_config {
        return;
    }
    let Some((change, why)) = next_change(core, &metrics, &view.cluster, seen) else {
        return;
    };
    tracing::info!(%change, why, "raft membership changes");
    let _one_at_a_time = core.membership_change.lock().await;
    let changing = core.raft.change_membership(change, true);
    match tokio::time::timeout(MEMBERSHIP_TIMEOUT, changing).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "raft membership did not change"),
        Err(_) => tracing::warn!("raft membership did not change in time"),
    }
}

type Change = ChangeMembers<u64, BasicNode>;

fn next_change(
    core: &Core,
    metrics: &Metrics,
    cluster: &Cluster,
    seen: &Seen,
) -> Option<(Change, &'static str)> {
    let membership = metrics.membership_config.membership();
    let last_set = membership.get_joint_config().last()?;
    let current: BTreeSet<MemberId> = last_set.iter().copied().map(member).collect();
    let now = core.clock.now();
    let candidates = candidates(metrics, cluster, seen, now);
    let voters = |set: &BTreeSet<MemberId>| {
        Change::ReplaceAllVoters(set.iter().map(|voter| voter.0).collect())
    };
    if let Some(next) = next_voters(&current, &candidates, core.own()) {
        return Some((voters(&next), "voters"));
    }
    if membership.get_joint_config().len() > 1 {
        return Some((voters(&current), "an earlier change is finished"));
    }
    let gone = gone(metrics, cluster, seen, now);
    if !gone.is_empty() {
        return Some((
            Change::RemoveNodes(gone),
            "members that are forgotten or never started",
        ));
    }
    let moved = moved(metrics, cluster);
    (!moved.is_empty()).then_some((Change::SetNodes(moved), "addresses"))
}

impl Seen {
    fn look(&mut self, metrics: &Metrics, cluster: &Cluster, now: Tick) {
        let records = cluster.members();
        let down: BTreeSet<MemberId> = records
            .values()
            .filter(|record| !record.is_up() && !record.is_forgotten())
            .map(|record| record.info.id)
            .collect();
        let nodes = metrics
            .membership_config
            .nodes()
            .map(|(node, _)| member(*node));
        let unrecorded: BTreeSet<MemberId> =
            nodes.filter(|node| !records.contains_key(node)).collect();
        note(&mut self.down_since, down, now);
        note(&mut self.unrecorded_since, unrecorded, now);
    }
}

/// Keeps since when each of `present` is there.
fn note(since: &mut BTreeMap<MemberId, Tick>, present: BTreeSet<MemberId>, now: Tick) {
    since.retain(|member, _| present.contains(member));
    for member in present {
        since.entry(member).or_insert(now);
    }
}

fn candidates(metrics: &Metrics, cluster: &Cluster, seen: &Seen, now: Tick) -> Vec<Candidate> {
    let last = metrics.last_log_index.unwrap_or(0);
    let is_caught_up = |id: MemberId| {
        let matched = metrics
            .replication
            .as_ref()
            .and_then(|nodes| nodes.get(&id.0)?.as_ref());
        matched.is_some_and(|matched| matched.index.saturating_add(CAUGHT_UP_WITHIN) >= last)
    };
    let living = cluster
        .members()
        .values()
        .filter(|record| !record.is_forgotten());
    let candidates = living.map(|record| Candidate {
        member: record.info.id,
        zone: record.info.zone.clone(),
        down_for: seen
            .down_since
            .get(&record.info.id)
            .map(|since| now.since(*since)),
        caught_up: is_caught_up(record.info.id),
        witness: record.info.witness,
    });
    candidates.collect()
}

/// Learners that are forgotten, or gave up joining.
fn gone(metrics: &Metrics, cluster: &Cluster, seen: &Seen, now: Tick) -> BTreeSet<u64> {
    let voters: BTreeSet<u64> = metrics.membership_config.voter_ids().collect();
    let nodes = metrics.membership_config.nodes().map(|(node, _)| *node);
    let is_gone = |node: &u64| match cluster.members().get(&member(*node)) {
        Some(record) => record.is_forgotten(),
        None => seen
            .unrecorded_since
            .get(&member(*node))
            .is_some_and(|since| now.since(*since) >= ABANDONED_AFTER),
    };
    nodes
        .filter(|node| !voters.contains(node) && is_gone(node))
        .collect()
}

/// Nodes whose recorded address is another one by now.
fn moved(metrics: &Metrics, cluster: &Cluster) -> BTreeMap<u64, BasicNode> {
    let mut moved = BTreeMap::new();
    for (node, present) in metrics.membership_config.nodes() {
        if let Some(record) = cluster.members().get(&member(*node))
            && !record.is_forgotten()
            && record.info.peer_address != present.addr
        {
            moved.insert(*node, BasicNode::new(record.info.peer_address.clone()));
        }
    }
    moved
}
