//! The cluster as operators see it.

use std::future::Future;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringhold_proto::convert::{cluster_from_bytes, unix_from_timestamp};
use ringhold_proto::v1;
use ringhold_types::{ClusterId, ExecutorConfig, Generation, MemberId, Sequence, Term, UnixMillis};

use crate::Client;
use crate::connections::cluster_service;
use crate::error::RequestError;
use crate::limits;
use crate::shared::{Asking, NoAnswer, Try};
use crate::span;
use crate::task_info::unreadable;

/// Shows and changes the cluster. Any member answers.
#[derive(Clone, Debug)]
pub struct Cluster {
    client: Client,
}

/// The state of the cluster in a few numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterStatus {
    /// Its identity.
    pub cluster: ClusterId,
    /// Its name.
    pub name: String,
    /// The member that answered.
    pub answered_by: MemberId,
    /// The member that leads the control plane, if one is known.
    pub control_leader: Option<MemberId>,
    /// Position in the control plane's log that the answering member has applied.
    pub applied: u64,
    /// Its feature level.
    pub feature_level: u32,
    /// Members known and not forgotten.
    pub members: u32,
    /// Members that take part.
    pub members_up: u32,
    /// Executors.
    pub executors: u32,
    /// Partitions of all executors.
    pub partitions: u64,
    /// Partitions that may hold tasks.
    pub partitions_in_use: u64,
    /// Partitions in use without a primary.
    pub partitions_without_primary: u64,
    /// Partitions in use with fewer in-sync copies than durability + 1.
    pub partitions_short_of_copies: u64,
    /// Whether every member is up, and every partition in use has a primary and durability + 1 in-sync copies on members
    /// that are up.
    pub safe: bool,
    /// Losses of every copy of a partition, newest last; bounded.
    pub losses: Vec<Loss>,
    /// Name of the member that leads the control plane, if one is known.
    pub control_leader_name: Option<String>,
    /// Partitions in use with fewer in-sync copies than their executor's min-copies: they admit no submits.
    pub partitions_below_min_copies: u64,
    /// Of the partitions that are short of copies those that miss the most; bounded.
    pub under_replicated: Vec<UnderReplicated>,
}

/// A partition with fewer in-sync copies than its executor asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderReplicated {
    /// The executor.
    pub executor: String,
    /// The partition.
    pub partition: u32,
    /// In-sync copies on members that are up.
    pub in_sync: u32,
    /// Copies that it should have: durability + 1.
    pub copies: u32,
    /// Copies without which it admits no submits.
    pub min_copies: u32,
}

/// The loss of every copy of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The executor.
    pub executor: String,
    /// The partition.
    pub partition: u32,
    /// The generation that was lost.
    pub generation: Generation,
    /// The members that held the last copies.
    pub last_members: Vec<MemberId>,
    /// What happened, for a person.
    pub cause: String,
    /// When it was recorded, for people.
    pub at: Option<UnixMillis>,
    /// The first sequence that was lost.
    pub from: Sequence,
    /// The last sequence of the generation: how far it was used nobody is left to tell.
    pub to: Sequence,
}

/// Whether a member takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// It takes part.
    Up,
    /// It is judged dead.
    Down,
    /// It has not been heard since the leader's process started.
    Starting,
    /// An operator said that it will not come back.
    Forgotten,
    /// The answering member did not say, or says what this version does not know.
    Unknown,
}

impl MemberState {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Starting => "starting",
            Self::Forgotten => "forgotten",
            Self::Unknown => "unknown",
        }
    }
}

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberInfo {
    /// Its identity.
    pub id: MemberId,
    /// Its name.
    pub name: String,
    /// Its zone, if it has one.
    pub zone: Option<String>,
    /// Where clients reach it.
    pub client_address: String,
    /// Where members reach it.
    pub peer_address: String,
    /// Where its HTTP pages are.
    pub http_address: String,
    /// Whether it takes part.
    pub state: MemberState,
    /// Whether it hands over what it has.
    pub draining: bool,
    /// Whether it votes and holds no tasks.
    pub witness: bool,
    /// Whether it votes in the control plane.
    pub voter: bool,
    /// Whether it leads the control plane.
    pub control_leader: bool,
    /// Partitions that it leads.
    pub primaries: u32,
    /// Partitions of which it holds an in-sync copy, those that it leads included.
    pub seats: u32,
    /// Partitions that it is catching up with.
    pub learners: u32,
}

/// An executor as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorInfo {
    /// Its configuration, every setting filled in.
    pub config: ExecutorConfig,
    /// Partitions that may hold tasks.
    pub partitions_in_use: u32,
}

/// A partition and its replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionInfo {
    /// The executor.
    pub executor: String,
    /// The partition.
    pub partition: u32,
    /// Version of its configuration.
    pub version: u64,
    /// Its primary's reign.
    pub term: Term,
    /// Its life.
    pub generation: Generation,
    /// Its primary, if it has one now.
    pub primary: Option<ReplicaInfo>,
    /// Replicas without which nothing commits, the primary included.
    pub in_sync: Vec<ReplicaInfo>,
    /// Replicas that catch up.
    pub learners: Vec<ReplicaInfo>,
    /// Whether it may hold tasks.
    pub in_use: bool,
}

/// One copy of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaInfo {
    /// The member that holds it.
    pub member: MemberId,
    /// That member's name; empty if it is not known.
    pub member_name: String,
}

/// A drain that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drained {
    /// The member, which can be stopped.
    pub member: MemberInfo,
    /// Attempts that still ran on it after the time that was given, and were handed back. `None` if it could not be asked.
    pub handed_back: Option<u32>,
}

/// What forgetting a member did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Partitions whose seat on the member was removed, as (executor, partition).
    pub removed: Vec<(String, u32)>,
    /// Partitions of which the member held the last copy: lost.
    pub lost: Vec<(String, u32)>,
    /// Name of the member.
    pub member_name: String,
    /// Whether it was forgotten before this request, which then changed nothing.
    pub already_forgotten: bool,
}

impl Cluster {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// The state of the cluster in a few numbers.
    ///
    /// # Errors
    /// [`RequestError`]; UNAVAILABLE when no member answers.
    pub async fn status(&self) -> Result<ClusterStatus, RequestError> {
        let cluster_id = self.cluster_id();
        let send = |attempt: Try| {
            let request = v1::GetStatusRequest {
                cluster_id: cluster_id.clone(),
            };
            async move { cluster_service(attempt.channel).get_status(request).await }
        };
        Ok(ClusterStatus::from_wire(self.ask(send).await?))
    }

    /// The members, by name.
    ///
    /// # Errors
    /// [`RequestError`]; UNAVAILABLE when no member answers.
    pub async fn members(&self) -> Result<Vec<MemberInfo>, RequestError> {
        let cluster_id = self.cluster_id();
        let send = |attempt: Try| {
            let request = v1::ListMembersRequest {
                cluster_id: cluster_id.clone(),
            };
            async move { cluster_service(attempt.channel).list_members(request).await }
        };
        let members = self.ask(send).await?.members;
        Ok(members.into_iter().map(MemberInfo::from_wire).collect())
    }

    /// Begins the drain of a member, or ends it with `undo`. `member` is its name or its identity as printed.
    ///
    /// # Errors
    /// [`RequestError`], among others for a member that is not known.
    pub async fn drain(&self, member: &str, undo: bool) -> Result<MemberInfo, RequestError> {
        let request = v1::DrainMemberRequest {
            cluster_id: self.cluster_id(),
            member: member.to_owned(),
            undo,
            wait: None,
        };
        Ok(self.drain_member(request, None).await?.member)
    }

    /// Begins the drain of a member and waits until it leads nothing, holds no copy that counts and runs nothing, at most
    /// `within` (a day at most). What still runs on it then is stopped and handed back, so that it runs elsewhere: that takes
    /// up to 9 s more. `member` is its name or its identity as printed.
    ///
    /// # Errors
    /// [`RequestError`]: DRAIN_TIMEOUT names in its metadata (`left_primaries`, `left_seats`, `left_attempts`, `handed_back`) what is
    /// left and what was handed back, and the drain goes on; others as of [`Self::drain`].
    pub async fn drain_within(
        &self,
        member: &str,
        within: Duration,
    ) -> Result<Drained, RequestError> {
        let request = v1::DrainMemberRequest {
            cluster_id: self.cluster_id(),
            member: member.to_owned(),
            undo: false,
            wait: None,
        };
        self.drain_member(request, Some(within)).await
    }

    /// Asks for a drain; a try may take `within` longer than other requests. A further try waits for what is left of it.
    async fn drain_member(
        &self,
        request: v1::DrainMemberRequest,
        within: Option<Duration>,
    ) -> Result<Drained, RequestError> {
        let wait = within.unwrap_or_default();
        let over = Instant::now() + wait;
        let send = |attempt: Try| {
            let left = over.saturating_duration_since(Instant::now());
            let request = v1::DrainMemberRequest {
                wait: within.map(|_| span::wire(left)),
                ..request.clone()
            };
            async move { cluster_service(attempt.channel).drain_member(request).await }
        };
        // What is handed back at the end takes its time after `wait`.
        let hand_back = within.map_or(Duration::ZERO, |_| limits::DRAIN_END_MAX);
        let takes = wait.saturating_add(hand_back);
        let mut asking = Asking::call(None, limits::REQUEST_DEADLINE.saturating_add(takes));
        asking.budget = asking.budget.saturating_add(takes);
        let answer = self.client.shared.ask(&asking, send).await;
        let answer = answer.map_err(NoAnswer::into_request_error)?;
        Ok(Drained {
            member: MemberInfo::from_wire(answer.member.unwrap_or_default()),
            handed_back: answer.handed_back,
        })
    }

    /// States that a member will not come back. `process_ended` is the operator's word that its process has ended,
    /// needed for a member that may be running.
    ///
    /// # Errors
    /// [`RequestError`]; FAILED_PRECONDITION names in its metadata (`would_lose`, `would_lose_partitions`) what would be
    /// lost, NOT_FOUND says that there is no such member.
    pub async fn forget(
        &self,
        member: &str,
        process_ended: bool,
    ) -> Result<Forgotten, RequestError> {
        let request = v1::ForgetMemberRequest {
            cluster_id: self.cluster_id(),
            member: member.to_owned(),
            process_ended,
        };
        let send = |attempt: Try| {
            let request = request.clone();
            async move {
                cluster_service(attempt.channel)
                    .forget_member(request)
                    .await
            }
        };
        let answer = self.ask(send).await?;
        let names = |partitions: Vec<v1::PartitionName>| {
            partitions
                .into_iter()
                .map(|name| (name.executor, name.partition))
                .collect()
        };
        Ok(Forgotten {
            removed: names(answer.removed),
            lost: names(answer.lost),
            member_name: answer.member_name,
            already_forgotten: answer.already_forgotten,
        })
    }

    /// The executors, by name.
    ///
    /// # Errors
    /// [`RequestError`]; UNAVAILABLE when no member answers.
    pub async fn executors(&self) -> Result<Vec<ExecutorInfo>, RequestError> {
        let cluster_id = self.cluster_id();
        let send = |attempt: Try| {
            let request = v1::ListExecutorsRequest {
                cluster_id: cluster_id.clone(),
            };
            async move {
                cluster_service(attempt.channel)
                    .list_executors(request)
                    .await
            }
        };
        let executors = self.ask(send).await?.executors;
        executors.into_iter().map(ExecutorInfo::from_wire).collect()
    }

    /// One executor.
    ///
    /// # Errors
    /// [`RequestError`]; EXECUTOR_NOT_FOUND names the nearest one.
    pub async fn executor(&self, name: &str) -> Result<ExecutorInfo, RequestError> {
        let request = v1::GetExecutorRequest {
            cluster_id: self.cluster_id(),
            name: name.to_owned(),
        };
        let send = |attempt: Try| {
            let request = request.clone();
            async move { cluster_service(attempt.channel).get_executor(request).await }
        };
        ExecutorInfo::from_wire(self.ask(send).await?.executor.unwrap_or_default())
    }

    /// Creates an executor. An equal configuration under an existing name is answered with the existing one. Waits a
    /// little until the routing table has it, so that the first submits go straight to their primaries.
    ///
    /// # Errors
    /// [`RequestError`]: ALREADY_EXISTS for another configuration, INVALID_CONFIGURATION with what is wrong.
    pub async fn create_executor(
        &self,
        config: &ExecutorConfig,
    ) -> Result<ExecutorInfo, RequestError> {
        let request = v1::CreateExecutorRequest {
            cluster_id: self.cluster_id(),
            config: Some(config.into()),
        };
        let send = |attempt: Try| {
            let request = request.clone();
            async move {
                cluster_service(attempt.channel)
                    .create_executor(request)
                    .await
            }
        };
        let executor = ExecutorInfo::from_wire(self.ask(send).await?.executor.unwrap_or_default())?;
        let mut tables = self.client.shared.routing.subscribe();
        let known = tables.wait_for(|table| table.executors.contains_key(config.name.as_str()));
        // Without it a submit takes a detour, nothing else.
        let _ = tokio::time::timeout(limits::TRY_TIMEOUT, known).await;
        Ok(executor)
    }

    /// Partitions of an executor by number: all, or only that of a key.
    ///
    /// # Errors
    /// [`RequestError`]; EXECUTOR_NOT_FOUND names the nearest one.
    pub async fn partitions(
        &self,
        executor: &str,
        key: Option<&[u8]>,
    ) -> Result<Vec<PartitionInfo>, RequestError> {
        let request = v1::ListPartitionsRequest {
            cluster_id: self.cluster_id(),
            executor: executor.to_owned(),
            key: key.map(Bytes::copy_from_slice),
        };
        let send = |attempt: Try| {
            let request = request.clone();
            async move {
                cluster_service(attempt.channel)
                    .list_partitions(request)
                    .await
            }
        };
        let partitions = self.ask(send).await?.partitions;
        Ok(partitions
            .into_iter()
            .map(PartitionInfo::from_wire)
            .collect())
    }

    fn cluster_id(&self) -> Option<Bytes> {
        self.client.shared.cluster_id()
    }

    async fn ask<R, F, T>(&self, send: F) -> Result<R, RequestError>
    where
        F: Fn(Try) -> T,
        T: Future<Output = Result<tonic::Response<R>, tonic::Status>>,
    {
        let asking = Asking::call(None, limits::REQUEST_DEADLINE);
        self.client
            .shared
            .ask(&asking, send)
            .await
            .map_err(NoAnswer::into_request_error)
    }
}

impl ClusterStatus {
    fn from_wire(status: v1::GetStatusResponse) -> Self {
        Self {
            cluster: cluster_from_bytes(&status.cluster_id).unwrap_or_default(),
            name: status.cluster_name,
            answered_by: MemberId(status.answered_by),
            control_leader: status.control_leader.map(MemberId),
            applied: status.applied,
            feature_level: status.feature_level,
            members: status.members,
            members_up: status.members_up,
            executors: status.executors,
            partitions: status.partitions,
            partitions_in_use: status.partitions_in_use,
            partitions_without_primary: status.partitions_without_primary,
            partitions_short_of_copies: status.partitions_short_of_copies,
            safe: status.safe,
            losses: status.losses.into_iter().map(Loss::from_wire).collect(),
            control_leader_name: Some(status.control_leader_name).filter(|name| !name.is_empty()),
            partitions_below_min_copies: status.partitions_below_min_copies,
            under_replicated: status
                .under_replicated
                .into_iter()
                .map(UnderReplicated::from_wire)
                .collect(),
        }
    }
}

impl UnderReplicated {
    fn from_wire(partition: v1::UnderReplicated) -> Self {
        Self {
            executor: partition.executor,
            partition: partition.partition,
            in_sync: partition.in_sync,
            copies: partition.copies,
            min_copies: partition.min_copies,
        }
    }
}

impl Loss {
    fn from_wire(loss: v1::Loss) -> Self {
        Self {
            executor: loss.executor,
            partition: loss.partition,
            generation: Generation(loss.generation),
            last_members: loss.last_members.into_iter().map(MemberId).collect(),
            cause: loss.cause,
            at: loss.at.and_then(|at| unix_from_timestamp("at", &at).ok()),
            from: Sequence::from_bits(loss.from_sequence),
            to: Sequence::from_bits(loss.to_sequence),
        }
    }
}

impl MemberInfo {
    fn from_wire(member: v1::Member) -> Self {
        Self {
            state: match member.state() {
                v1::MemberState::Up => MemberState::Up,
                v1::MemberState::Down => MemberState::Down,
                v1::MemberState::Starting => MemberState::Starting,
                v1::MemberState::Forgotten => MemberState::Forgotten,
                v1::MemberState::Unspecified => MemberState::Unknown,
            },
            id: MemberId(member.id),
            name: member.name,
            zone: member.zone,
            client_address: member.client_address,
            peer_address: member.peer_address,
            http_address: member.http_address,
            draining: member.draining,
            witness: member.witness,
            voter: member.voter,
            control_leader: member.control_leader,
            primaries: member.primaries,
            seats: member.seats,
            learners: member.learners,
        }
    }
}

impl ExecutorInfo {
    fn from_wire(executor: v1::Executor) -> Result<Self, RequestError> {
        let config = executor.config.unwrap_or_default();
        Ok(Self {
            config: ExecutorConfig::try_from(config).map_err(unreadable)?,
            partitions_in_use: executor.partitions_in_use,
        })
    }
}

impl PartitionInfo {
    fn from_wire(partition: v1::Partition) -> Self {
        let replicas =
            |replicas: Vec<v1::Replica>| replicas.into_iter().map(ReplicaInfo::from_wire).collect();
        Self {
            executor: partition.executor,
            partition: partition.partition,
            version: partition.version,
            term: Term(partition.term),
            generation: Generation(partition.generation),
            primary: partition.primary.map(ReplicaInfo::from_wire),
            in_sync: replicas(partition.in_sync),
            learners: replicas(partition.learners),
            in_use: partition.in_use,
        }
    }
}

impl ReplicaInfo {
    fn from_wire(replica: v1::Replica) -> Self {
        Self {
            member: MemberId(replica.member_id),
            member_name: replica.member_name,
        }
    }
}
