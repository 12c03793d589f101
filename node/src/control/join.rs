//! The way into a cluster, from both sides: asking around, initialising or being added, and presenting the process start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use openraft::impls::BasicNode;
use ringhold_control::{Command, MemberStart, Refused, Response, StoreReport};
use ringhold_proto::convert::{cluster_bytes, cluster_from_bytes};
use ringhold_proto::internal as wire;
use ringhold_types::{ClusterId, MemberId, StartNonce};
use tokio::time::Instant;

use super::bootstrap::{self, Answer, Answers, Asker, Standing, Step};
use super::core::Core;
use super::error::{Asked, ControlError, ProposeError};
use super::namesake::Namesake;
use super::propose;
use super::types::member;
use super::voters::voters_of;
use crate::peer::control::client_at;

/// How long a listed address may take to answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the leader may take to add this member.
const JOIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between rounds of asking.
const ROUND_PAUSE: Duration = Duration::from_millis(150);
/// How long a start is proposed before all are asked again for new addresses.
const START_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a member that waits says why in its log.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// Redirects to the leader that are followed in one round.
const REDIRECTS_MAX: usize = 3;

/// How long a member of a new cluster waits for the voters: until they are there, the cluster does not survive its first one.
const VOTERS_TIMEOUT: Duration = Duration::from_secs(3);

/// What a joining member was started with.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    /// Addresses to ask, `host:port`.
    pub(crate) join: Vec<String>,
    /// How many members begin a new cluster.
    pub(crate) expect: u32,
    /// What was found in the task store.
    pub(crate) store: StoreReport,
    /// Give up after this time; `None`: never.
    pub(crate) deadline: Option<Duration>,
}

/// How far a round brought this member.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Progress {
    /// It has joined.
    Joined,
    /// It must go on, because of this.
    Wait(String),
    /// Its name is another member's, which counts as up.
    NameInUse {
        /// The other one.
        member: MemberId,
        /// What the cluster says to that.
        refusal: String,
    },
}

/// Joins: returns once this process start is recorded and applied here.
pub(crate) async fn run(core: &Arc<Core>, wish: &Wish) -> Result<(), ControlError> {
    let began = crate::clock::Clock.instant();
    let mut said = None;
    let mut namesake = Namesake::default();
    loop {
        let answers = ask_all(core, &wish.join).await;
        if !core.takes_part() {
            // Before anything is voted or acknowledged here.
            bootstrap::check_starts(&core.identity().starts(), &answers)?;
            core.take_part();
        }
        let why = match round(core, wish, &answers).await? {
            Progress::Joined => {
                until_voters_are_there(core, wish.expect).await;
                core.set_waiting(None);
                return Ok(());
            }
            Progress::Wait(why) => why,
            Progress::NameInUse { member, refusal } => {
                // Without a leader nobody judges either.
                let is_judged = core.leader().is_some() && !core.starting().contains(&member);
                let now = crate::clock::Clock.instant();
                let why = namesake.wait(member, is_judged, now);
                why.ok_or(ControlError::Refused { reason: refusal })?
            }
        };
        let asked = told(&answers);
        if said.is_none_or(|at: Instant| at.elapsed() >= SAY_EVERY) {
            tracing::info!(%why, %asked, "waiting to join cluster {:?}", core.cluster_name);
            said = Some(crate::clock::Clock.instant());
        }
        if wish
            .deadline
            .is_some_and(|deadline| began.elapsed() >= deadline)
        {
            return Err(ControlError::Deadline {
                member: core.info.name.clone(),
                cluster: core.cluster_name.clone(),
                why,
                asked,
            });
        }
        core.set_waiting(Some((why, asked)));
        tokio::select! {
            () = core.until_stopped() => {
                return Err(ControlError::Fatal("it was told to stop".to_owned()));
            }
            () = tokio::time::sleep(ROUND_PAUSE) => {}
        }
    }
}

/// Waits until as many members vote as a cluster of `expect` members should have, and their change is done.
async fn until_voters_are_there(core: &Core, expect: u32) {
    let wanted = voters_of(usize::try_from(expect).unwrap_or(usize::MAX));
    let mut metrics = core.raft.metrics();
    let settled = async {
        loop {
            {
                let metrics = metrics.borrow_watched();
                let membership = &metrics.membership_config;
                if membership.get_joint_config().len() == 1
                    && metrics.committed_membership_config == *membership
                    && membership.voter_ids().count() >= wanted
                {
                    return;
                }
            }
            if metrics.changed().await.is_err() {
                return;
            }
        }
    };
    // Fewer members than expected may be there by now; they are a cluster all the same.
    let _ = tokio::time::timeout(VOTERS_TIMEOUT, settled).await;
}

/// One round.
async fn round(core: &Arc<Core>, wish: &Wish, answers: &Answers) -> Result<Progress, ControlError> {
    let asker = Asker {
        member: core.own(),
        name: &core.info.name,
        cluster_name: &core.cluster_name,
        cluster: core.peers.cluster(),
        expect: wish.expect,
    };
    let has_state = core.raft.is_initialized().await;
    if has_state.map_err(|fatal| ControlError::Fatal(fatal.to_string()))? {
        core.set_forming();
        bootstrap::check_cluster(&asker, answers)?;
        learn(core, answers);
        return start(core, wish.store).await;
    }
    match bootstrap::decide(&asker, answers)? {
        Step::Initialise => initialise(core).await,
        Step::Join { address } => ask_to_join(core, address).await,
        Step::Wait(why) => Ok(Progress::Wait(why)),
    }
}

fn told(answers: &Answers) -> Asked {
    let text = |answer: &Result<Answer, String>| match answer {
        Err(reason) => reason.clone(),
        Ok(answer) => match answer.standing {
            Standing::NoCluster => format!("{}: no cluster", answer.name),
            Standing::Forming => format!("{}: about to have a cluster", answer.name),
            Standing::Member(cluster) => format!("{}: in cluster {cluster}", answer.name),
        },
    };
    Asked(
        answers
            .iter()
            .map(|(address, answer)| (address.clone(), text(answer)))
            .collect(),
    )
}

/// Members that moved while this one was away are found again through the list.
fn learn(core: &Core, answers: &Answers) {
    for answer in answers.values().flatten() {
        core.peers.learn(answer.member, &answer.address);
    }
}

async fn ask_all(core: &Core, addresses: &[String]) -> Answers {
    let asks = addresses.iter().map(|address| async move {
        let asked = tokio::time::timeout(ASK_TIMEOUT, ask(core, address)).await;
        let answer = asked.unwrap_or_else(|_| Err("no answer".to_owned()));
        (address.clone(), answer)
    });
    join_all(asks).await.into_iter().collect::<BTreeMap<_, _>>()
}

async fn ask(core: &Core, address: &str) -> Result<Answer, String> {
    let mut client = client_at(address).map_err(|error| error.to_string())?;
    let request = wire::DiscoverRequest {
        from: core.own().0,
        name: core.info.name.clone(),
        address: core.info.peer_address.clone(),
    };
    let answer = client.discover(request).await;
    let answer = answer.map_err(|error| error.to_string())?;
    let standing = match answer.standing() {
        wire::DiscoverStanding::NoCluster => Standing::NoCluster,
        wire::DiscoverStanding::Forming | wire::DiscoverStanding::Unspecified => Standing::Forming,
        wire::DiscoverStanding::Member => {
            let cluster = cluster_from_bytes(&answer.cluster_id);
            Standing::Member(cluster.map_err(|error| error.to_string())?)
        }
    };
    Ok(Answer {
        member: member(answer.member),
        name: answer.name,
        address: answer.address,
        cluster_name: answer.cluster_name,
        standing,
        recorded: StartNonce(answer.recorded_start),
    })
}

/// Makes the cluster with this member as its only voter; the leader that it becomes gives the cluster its identity.
async fn initialise(core: &Core) -> Result<Progress, ControlError> {
    core.set_forming();
    let node = BasicNode::new(core.info.peer_address.clone());
    match core
        .raft
        .initialize(BTreeMap::from([(core.own().0, node)]))
        .await
    {
        Ok(()) => Ok(Progress::Wait("it initialises the cluster".to_owned())),
        Err(error) => Err(ControlError::Fatal(error.to_string())),
    }
}

/// Asks the member at an address, then whom it names, to add this one.
async fn ask_to_join(core: &Core, first: String) -> Result<Progress, ControlError> {
    let wait = |why: String| Ok(Progress::Wait(why));
    let mut address = first;
    for _ in 0..REDIRECTS_MAX {
        let Ok(mut client) = client_at(&address) else {
            return wait(format!("{address} is no address"));
        };
        let request = wire::JoinRequest {
            member: core.own().0,
            name: core.info.name.clone(),
            address: core.info.peer_address.clone(),
            cluster_name: core.cluster_name.clone(),
            cluster_id: core.peers.cluster().map(cluster_bytes).unwrap_or_default(),
        };
        let answer = match tokio::time::timeout(JOIN_TIMEOUT, client.join(request)).await {
            Ok(Ok(answer)) => answer.result,
            Ok(Err(error)) => return wait(format!("{address}: {error}")),
            Err(_) => return wait(format!("{address} did not add it in time")),
        };
        match answer {
            Some(wire::join_response::Result::ClusterId(bytes)) => {
                let cluster = cluster_from_bytes(&bytes)
                    .map_err(|error| ControlError::Fatal(error.to_string()))?;
                belong(core, cluster).await?;
                core.set_forming();
                return wait("it waits for the leader's log".to_owned());
            }
            Some(wire::join_response::Result::NotLeader(hint)) if !hint.address.is_empty() => {
                address = hint.address;
            }
            Some(wire::join_response::Result::Refused(reason)) => {
                return Err(ControlError::Refused { reason });
            }
            Some(wire::join_response::Result::NotLeader(_)) | None => break,
        }
    }
    wait("the cluster has no leader now".to_owned())
}

/// This directory belongs to `cluster` from now on, also after a restart.
async fn belong(core: &Core, cluster: ClusterId) -> Result<(), ControlError> {
    core.peers.belong(cluster);
    let known = core.identity().cluster;
    if known == Some(cluster) {
        return Ok(());
    }
    core.change_identity(|identity| identity.cluster = Some(cluster))
        .await
        .map_err(ControlError::Store)
}

/// Presents this process start, with each nonce that may be the one on record: the last one known to be accepted, then those
/// of starts that died before they heard. All are this directory's own, so a clone gains nothing.
async fn start(core: &Arc<Core>, store: StoreReport) -> Result<Progress, ControlError> {
    let identity = core.identity();
    if store == StoreReport::Empty
        && identity.accepted == StartNonce::ZERO
        && let Some(in_use) = name_in_use(core)
    {
        return Ok(in_use);
    }
    let earlier = identity
        .presented
        .iter()
        .rev()
        .filter(|start| **start != core.fresh);
    let mut refusal = None;
    for last_accepted in [identity.accepted].iter().chain(earlier) {
        match present(core, *last_accepted, store).await {
            Ok(Response::Started { .. }) => return accepted(core).await,
            Ok(Response::Refused(Refused::Initialised)) => {
                return Ok(Progress::Wait("the cluster has no identity yet".to_owned()));
            }
            Ok(Response::Refused(reason @ Refused::NameInUse { member, .. })) => {
                return Ok(Progress::NameInUse {
                    member,
                    refusal: reason.to_string(),
                });
            }
            Ok(Response::Refused(reason)) => {
                refusal.get_or_insert(reason);
            }
            Ok(other) => {
                return Err(ControlError::Fatal(format!(
                    "a start was answered by {other:?}"
                )));
            }
            Err(ProposeError::Fatal(reason)) => return Err(ControlError::Fatal(reason)),
            Err(error @ (ProposeError::NoLeader | ProposeError::Timeout)) => {
                return Ok(Progress::Wait(error.to_string()));
            }
        }
    }
    let reason = refusal.map_or_else(
        || "no reason given".to_owned(),
        |refused| refused.to_string(),
    );
    Err(ControlError::Refused { reason })
}

/// The living member that has this member's name, as far as cluster state is known here. A start that is refused for it is
/// better not proposed: it withholds leases from that member.
fn name_in_use(core: &Core) -> Option<Progress> {
    let view = core.view();
    let name = &core.info.name;
    let namesake = view.cluster.member_by_name(name)?;
    let member = namesake.info.id;
    let refusal = Refused::NameInUse {
        name: name.clone(),
        member,
    };
    (member != core.own() && namesake.is_up()).then(|| Progress::NameInUse {
        member,
        refusal: refusal.to_string(),
    })
}

async fn present(
    core: &Arc<Core>,
    last_accepted: StartNonce,
    store: StoreReport,
) -> Result<Response, ProposeError> {
    let start = MemberStart {
        member: core.info.clone(),
        last_accepted,
        fresh: core.fresh,
        store,
        at: core.clock.wall(),
    };
    propose::propose(core, Command::Start(start), START_TIMEOUT).await
}

/// The start is recorded; it counts once it is applied here.
async fn accepted(core: &Core) -> Result<Progress, ControlError> {
    let mut views = core.publisher.watch();
    let fresh = core.fresh;
    let own = core.own();
    let applied = views.wait_for(|view| {
        view.cluster
            .members()
            .get(&own)
            .is_some_and(|record| record.start == fresh)
    });
    let cluster = match tokio::time::timeout(START_TIMEOUT, applied).await {
        Ok(Ok(view)) => view.cluster.id(),
        Ok(Err(_)) => return Err(ControlError::Fatal("it has stopped".to_owned())),
        Err(_) => {
            return Ok(Progress::Wait(
                "its own start is not applied here yet".to_owned(),
            ));
        }
    };
    if let Some(cluster) = cluster {
        belong(core, cluster).await?;
    }
    let accept = core.change_identity(|identity| identity.accept(fresh));
    accept.await.map_err(ControlError::Store)?;
    Ok(Progress::Joined)
}

/// What the leader says to a member that wants to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// It is a learner of this cluster's Raft group.
    Cluster(ClusterId),
    /// Another member leads, or none.
    NotLeader(Option<MemberId>),
}

/// Adds a member as a learner, or says why not.
pub(crate) async fn admit(core: &Core, request: &wire::JoinRequest) -> Result<Admitted, String> {
    let view = core.view();
    let Some(cluster) = view.cluster.id() else {
        return Ok(Admitted::NotLeader(None));
    };
    if request.cluster_name != view.cluster.name() {
        return Err(format!(
            "it wants to join cluster {:?}, and this is {:?}",
            request.cluster_name,
            view.cluster.name()
        ));
    }
    if !request.cluster_id.is_empty() {
        let theirs = cluster_from_bytes(&request.cluster_id).map_err(|error| error.to_string())?;
        if theirs != cluster {
            return Err(format!(
                "it belongs to cluster {theirs}, and this is {cluster}"
            ));
        }
    }
    let joining = member(request.member);
    if view
        .cluster
        .members()
        .get(&joining)
        .is_some_and(|record| record.is_forgotten())
    {
        return Err(
            "it was forgotten; empty its data directory, and it joins as a new member".into(),
        );
    }
    if !core.leads() {
        return Ok(Admitted::NotLeader(
            core.leader().filter(|leader| *leader != core.own()),
        ));
    }
    core.peers.learn(joining, &request.address);
    add(core, request).await;
    let is_added = core
        .metrics()
        .membership_config
        .get_node(&request.member)
        .is_some();
    Ok(if is_added {
        Admitted::Cluster(cluster)
    } else {
        Admitted::NotLeader(None)
    })
}

async fn add(core: &Core, request: &wire::JoinRequest) {
    let _one_at_a_time = core.membership_change.lock().await;
    let membership = core.metrics().membership_config;
    let node = BasicNode::new(request.address.clone());
    let changed = match membership.get_node(&request.member) {
        Some(present) if *present == node => return,
        Some(_) => {
            let moved = ChangeMembers::SetNodes(BTreeMap::from([(request.member, node)]));
            tokio::time::timeout(JOIN_TIMEOUT, core.raft.change_membership(moved, true)).await
        }
        None => {
            let added = core.raft.add_learner(request.member, node, false);
            tokio::time::timeout(JOIN_TIMEOUT, added).await
        }
    };
    match changed {
        Ok(Ok(_)) => tracing::info!(member = %member(request.member), "added as a learner"),
        Ok(Err(error)) => tracing::warn!(%error, "a joining member was not added"),
        Err(_) => tracing::warn!("a joining member was not added in time"),
    }
}
