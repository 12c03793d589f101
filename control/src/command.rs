//! The only ways cluster state changes.

use std::borrow::Cow;

use ringhold_types::{
    ClusterId, ConfigurationChange, ConfigurationVersion, ControlIndex, ExecutorConfig, ExecutorId,
    ExecutorName, ExecutorWish, Generation, Incarnation, MemberId, PartitionKey, PartitionNumber,
    StartNonce, UnixMillis,
};

/// A deterministic change of cluster state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// First command of a cluster's life: its identity.
    Initialise {
        /// Random identity.
        cluster: ClusterId,
        /// Its name.
        name: String,
    },
    /// A process of a member has started (PROTOCOL I18, §5): gives it incarnations, raises the term of every partition
    /// that it led, registers the member if it is new.
    Start(MemberStart),
    /// The leader judges these members dead, each as of a process start; one command fails over all their partitions and
    /// names replacement learners (PROTOCOL §3).
    MembersDown {
        /// Member and the start that went silent.
        members: Vec<(MemberId, StartNonce)>,
    },
    /// A member judged dead is heard again without having restarted (a pause ended).
    MemberUp {
        /// The member.
        member: MemberId,
        /// Its process start.
        start: StartNonce,
    },
    /// No replica of this process start carries the mark of a cut tail any more (PROTOCOL §5).
    MarksCleared {
        /// The member.
        member: MemberId,
        /// Its process start.
        start: StartNonce,
    },
    /// An operator says that this member will not come back (proof, PROTOCOL §2 and §3).
    Forget {
        /// The member.
        member: MemberId,
        /// The operator states that its process has ended.
        process_ended: bool,
        /// Wall clock, for people.
        at: UnixMillis,
    },
    /// Begins or ends the drain of a member: it gets no new seats and hands over what it has.
    Drain {
        /// The member.
        member: MemberId,
        /// Begin or end.
        draining: bool,
    },
    /// A process of a member is about to end by plan: from now on it drains, until the member's next start and apart from
    /// any drain of an operator's.
    Leave {
        /// The member.
        member: MemberId,
        /// Its process start.
        start: StartNonce,
    },
    /// Creates an executor; equal configuration under an existing name is idempotent.
    CreateExecutor {
        /// Its configuration.
        config: ExecutorConfig,
    },
    /// Changes an executor's configuration; partition-count and persistence are immutable.
    UpdateExecutor {
        /// Its new configuration.
        config: ExecutorConfig,
    },
    /// Deletes an executor; its tombstone keeps the next generation (PROTOCOL §1).
    DeleteExecutor {
        /// Its name.
        name: ExecutorName,
    },
    /// Pauses, resumes or shuts down an executor. One that has the state already stays as it is.
    SetExecutorState {
        /// Its name.
        name: ExecutorName,
        /// The state that it gets.
        wish: ExecutorWish,
        /// The command that brought it into its present state, if nothing else may have changed it since: the end of a pause
        /// by its time must not end another one.
        expected: Option<ControlIndex>,
    },
    /// These partitions are about to hold their first task. Idempotent.
    Materialise {
        /// The executor.
        executor: ExecutorId,
        /// Its partitions.
        partitions: Vec<PartitionNumber>,
    },
    /// A primary's proposal.
    Change(ConfigurationChange),
    /// One bounded step of repair or rebalancing, decided by the leader from [`crate::Cluster`] alone.
    AddLearner {
        /// The partition.
        partition: PartitionKey,
        /// The version that must be current.
        expected: ConfigurationVersion,
        /// The member that becomes a learner.
        member: MemberId,
    },
    /// Gives up a learner that is dead or no longer wanted.
    RemoveLearner {
        /// The partition.
        partition: PartitionKey,
        /// The version that must be current.
        expected: ConfigurationVersion,
        /// The member.
        member: MemberId,
    },
    /// Names the in-sync replica on `member` primary of a partition that has none.
    Nominate {
        /// The partition.
        partition: PartitionKey,
        /// The version that must be current.
        expected: ConfigurationVersion,
        /// The member.
        member: MemberId,
    },
    /// Raises the cluster's feature level, once every member can.
    RaiseFeatureLevel {
        /// The new level.
        level: u32,
    },
}

/// A process start, as a member presents it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStart {
    /// Who it is.
    pub member: MemberInfo,
    /// The nonce that Raft accepted last, as the data directory remembers it; zero for a new directory.
    pub last_accepted: StartNonce,
    /// The nonce of this start, synced to the data directory beforehand.
    pub fresh: StartNonce,
    /// What the member found in its store.
    pub store: StoreReport,
    /// Wall clock, for people.
    pub at: UnixMillis,
}

/// A member as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberInfo {
    /// Identity of its data directory.
    pub id: MemberId,
    /// The name given by its operator; unique among living members.
    pub name: String,
    /// Members of one zone fail together.
    pub zone: Option<String>,
    /// Where clients reach it, `host:port`.
    pub client_address: String,
    /// Where members reach it, `host:port`.
    pub peer_address: String,
    /// Where its HTTP pages are, `host:port`.
    pub http_address: String,
    /// Votes, and holds no tasks.
    pub witness: bool,
    /// The newest feature level it can.
    pub feature_level: u32,
}

/// What a starting member found in its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreReport {
    /// No store: a new or emptied directory.
    Empty,
    /// A whole store.
    Intact,
    /// A whole store but for a torn tail that was cut: some of its replicas carry the mark (PROTOCOL §5).
    Torn,
    /// Rot, or less than it acknowledged: what it holds cannot be trusted.
    Doubtful,
}

/// The answer to a command; the same on every member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// Done (or done before).
    Done,
    /// A process start is recorded.
    Started {
        /// Incarnation of its `fsync` replicas.
        store: Incarnation,
        /// Incarnation of its `memory` replicas.
        memory: Incarnation,
    },
    /// The member drains.
    Drains {
        /// The command that began this drain; asked for again while it lasts, it is the same one.
        drain: ControlIndex,
    },
    /// The executor exists.
    Executor {
        /// Its number.
        id: ExecutorId,
    },
    /// The partition's configuration changed to this version.
    Changed {
        /// The new version.
        version: ConfigurationVersion,
    },
    /// A forgotten member's partitions; those of the second list lost their last copy and began a new generation.
    Forgotten {
        /// Partitions whose seat was removed.
        removed: Vec<PartitionKey>,
        /// Partitions lost, with their new generation.
        lost: Vec<(PartitionKey, Generation)>,
        /// Whether it had been forgotten before: then nothing has changed, and `lost` is what was lost that time.
        repeated: bool,
    },
    /// Not done; nothing changed.
    Refused(Refused),
}

/// Why a command changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The cluster has its identity already, or none yet.
    #[error("the cluster is initialised already, or not yet")]
    Initialised,
    /// The expected version is not current (I1).
    #[error("the partition is at version {current}, not at the expected one")]
    StaleVersion {
        /// The current version.
        current: ConfigurationVersion,
    },
    /// The proposer does not lead the partition in the current term.
    #[error("the proposer does not lead this partition")]
    NotPrimary,
    /// The change would break a rule of the protocol.
    #[error("the change is not allowed: {rule}")]
    Forbidden {
        /// The rule.
        rule: Cow<'static, str>,
    },
    /// No such member, executor or partition.
    #[error("there is no such member, executor or partition")]
    Unknown,
    /// Another directory is known under this member id or name: a clone, or a second member of that name.
    #[error("{reason}")]
    Identity {
        /// What to do.
        reason: String,
    },
    /// A new member's name belongs to another one, which counts as up: that one lives, or its death is not judged yet.
    #[error(
        "the name {name} belongs to another member (id {member}); choose another name, or stop that member first"
    )]
    NameInUse {
        /// The name.
        name: String,
        /// Whose it is.
        member: MemberId,
    },
    /// An executor of that name exists with another configuration, or an immutable setting would change.
    #[error("the executor exists with another {setting}")]
    ExecutorDiffers {
        /// The first setting that differs.
        setting: Cow<'static, str>,
    },
    /// The executor was shut down, which is for good.
    #[error("the executor was shut down, for good: {reason}; destroy it and create it anew")]
    ShutDown {
        /// Why it was.
        reason: String,
    },
    /// The executor is in another state than the expected one.
    #[error("the executor's state was changed in between")]
    StateChanged,
    /// A setting is outside its range.
    #[error("{violation}")]
    Invalid {
        /// The setting and its rule.
        violation: String,
    },
    /// Forgetting a member that may be running needs the operator's word that its process has ended.
    #[error("the member may still be running; stop it and say so with --process-ended")]
    MayBeRunning {
        /// Partitions whose last copy it holds.
        would_lose: Vec<PartitionKey>,
    },
}
