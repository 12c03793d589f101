//! Cluster state and the one way in which it changes.

use std::collections::BTreeMap;

use ringhold_types::{
    ClusterId, Configuration, ConfigurationVersion, ControlIndex, ExecutorId, ExecutorName,
    Generation, MemberId, PartitionKey,
};

use crate::layout::{Layout, LayoutKey};
use crate::record::copies_of;
use crate::{
    Command, ExecutorRecord, LossRecord, MemberRecord, PartitionRecord, Refused, Response,
};

/// The whole cluster state, equal on every member that applied the same commands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    pub(crate) index: ControlIndex,
    pub(crate) id: Option<ClusterId>,
    pub(crate) name: String,
    pub(crate) feature_level: u32,
    pub(crate) members: BTreeMap<MemberId, MemberRecord>,
    pub(crate) executors: BTreeMap<ExecutorId, ExecutorRecord>,
    /// Derived from `executors`.
    pub(crate) by_name: BTreeMap<ExecutorName, ExecutorId>,
    pub(crate) next_executor: ExecutorId,
    /// First generation of an executor that is created again under the name of a deleted one (PROTOCOL §1).
    pub(crate) tombstones: BTreeMap<ExecutorName, Generation>,
    /// First generation of every other executor; grows when tombstones are folded into it.
    pub(crate) tombstone_floor: Generation,
    pub(crate) losses: Vec<LossRecord>,
    pub(crate) layouts: BTreeMap<LayoutKey, Layout>,
}

/// What a command changed: where to look, in order, without repeats. Empty after a refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Partitions whose configuration has a new version, or is new.
    pub configurations: Vec<PartitionKey>,
    /// Executors that are new or have a new configuration.
    pub executors: Vec<ExecutorId>,
    /// Executors that were deleted, with all their partitions.
    pub deleted: Vec<ExecutorId>,
    /// Members whose record changed.
    pub members: Vec<MemberId>,
}

impl Cluster {
    /// A cluster before its first command.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies the command at `index` of the control log. Total and deterministic; a refused command changes nothing but
    /// the index.
    pub fn apply(&mut self, index: ControlIndex, command: &Command) -> (Response, Changes) {
        self.index = index;
        let mut changes = Changes::default();
        let response = match self.handle(command, &mut changes) {
            Ok(response) => response,
            Err(refused) => Response::Refused(refused),
        };
        changes.put_in_order();
        (response, changes)
    }

    fn handle(&mut self, command: &Command, changes: &mut Changes) -> Result<Response, Refused> {
        if let Command::Initialise { cluster, name } = command {
            return self.initialise(*cluster, name);
        }
        if self.id.is_none() {
            return Err(Refused::Initialised);
        }
        match command {
            Command::Initialise { .. } => Err(Refused::Initialised),
            Command::Start(start) => self.start(start, changes),
            Command::MembersDown { members } => Ok(self.members_down(members, changes)),
            Command::MemberUp { member, start } => self.member_up(*member, *start, changes),
            Command::MarksCleared { member, start } => self.marks_cleared(*member, *start, changes),
            Command::Forget {
                member,
                process_ended,
                at,
            } => self.forget(*member, *process_ended, *at, changes),
            Command::Drain { member, draining } => self.drain(*member, *draining, changes),
            Command::Leave { member, start } => self.leave(*member, *start, changes),
            Command::CreateExecutor { config } => self.create_executor(config, changes),
            Command::UpdateExecutor { config } => self.update_executor(config, changes),
            Command::DeleteExecutor { name } => self.delete_executor(name, changes),
            Command::SetExecutorState {
                name,
                wish,
                expected,
            } => self.set_executor_state(name, wish, *expected, changes),
            Command::Materialise {
                executor,
                partitions,
            } => self.materialise(*executor, partitions, changes),
            Command::Change(change) => self.change(change, changes),
            Command::AddLearner {
                partition,
                expected,
                member,
            } => self.add_learner(*partition, *expected, *member, changes),
            Command::RemoveLearner {
                partition,
                expected,
                member,
            } => self.remove_learner(*partition, *expected, *member, changes),
            Command::Nominate {
                partition,
                expected,
                member,
            } => self.nominate(*partition, *expected, *member, changes),
            Command::RaiseFeatureLevel { level } => self.raise_feature_level(*level),
        }
    }

    fn initialise(&mut self, id: ClusterId, name: &str) -> Result<Response, Refused> {
        match self.id {
            None => {
                self.id = Some(id);
                name.clone_into(&mut self.name);
                Ok(Response::Done)
            }
            Some(present) if present == id && self.name == name => Ok(Response::Done),
            Some(_) => Err(Refused::Initialised),
        }
    }

    fn raise_feature_level(&mut self, level: u32) -> Result<Response, Refused> {
        let mut members = self
            .members
            .values()
            .filter(|record| !record.is_forgotten());
        if members.any(|record| record.info.feature_level < level) {
            return Err(Refused::Forbidden {
                rule: "a feature level is raised only once every member can".into(),
            });
        }
        self.feature_level = self.feature_level.max(level);
        Ok(Response::Done)
    }

    /// The command that raises the feature level to what every member can, if that is more than the present one.
    #[must_use]
    pub fn level_step(&self) -> Option<Command> {
        let members = self.members.values();
        let living = members.filter(|record| !record.is_forgotten());
        let level = living.map(|record| record.info.feature_level).min()?;
        (level > self.feature_level).then_some(Command::RaiseFeatureLevel { level })
    }

    /// The cluster's identity; nothing before its first command.
    #[must_use]
    pub fn id(&self) -> Option<ClusterId> {
        self.id
    }

    /// The cluster's name; empty before its first command.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Position of the newest applied command in the control log.
    #[must_use]
    pub fn index(&self) -> ControlIndex {
        self.index
    }

    /// The feature level that every member may rely on.
    #[must_use]
    pub fn feature_level(&self) -> u32 {
        self.feature_level
    }

    /// All members by id, forgotten ones included.
    #[must_use]
    pub fn members(&self) -> &BTreeMap<MemberId, MemberRecord> {
        &self.members
    }

    /// The member of this name that is not forgotten.
    #[must_use]
    pub fn member_by_name(&self, name: &str) -> Option<&MemberRecord> {
        let mut members = self.members.values();
        members.find(|record| !record.is_forgotten() && record.info.name == name)
    }

    /// All executors by number.
    #[must_use]
    pub fn executors(&self) -> &BTreeMap<ExecutorId, ExecutorRecord> {
        &self.executors
    }

    /// The executor of this name.
    #[must_use]
    pub fn executor_by_name(&self, name: &ExecutorName) -> Option<(ExecutorId, &ExecutorRecord)> {
        let id = *self.by_name.get(name)?;
        Some((id, self.executors.get(&id)?))
    }

    /// A partition's record.
    #[must_use]
    pub fn partition(&self, key: PartitionKey) -> Option<&PartitionRecord> {
        self.executors.get(&key.executor)?.partition(key.partition)
    }

    /// A partition's configuration, as its replicas obey it.
    #[must_use]
    pub fn configuration(&self, key: PartitionKey) -> Option<Configuration> {
        Some(self.partition(key)?.configuration(key))
    }

    /// The newest losses, oldest first, at most [`crate::limits::LOSSES_MAX`].
    #[must_use]
    pub fn losses(&self) -> &[LossRecord] {
        &self.losses
    }

    /// The partition, if `expected` is its current version (I1).
    pub(crate) fn at_version(
        &self,
        key: PartitionKey,
        expected: ConfigurationVersion,
    ) -> Result<(&ExecutorRecord, &PartitionRecord), Refused> {
        let executor = self.executors.get(&key.executor).ok_or(Refused::Unknown)?;
        let partition = executor.partition(key.partition).ok_or(Refused::Unknown)?;
        if partition.version != expected {
            return Err(Refused::StaleVersion {
                current: partition.version,
            });
        }
        Ok((executor, partition))
    }

    /// Changes one partition's configuration and gives it its next version.
    pub(crate) fn edit(
        &mut self,
        key: PartitionKey,
        changes: &mut Changes,
        edit: impl FnOnce(&mut PartitionRecord),
    ) -> Result<Response, Refused> {
        let executor = self
            .executors
            .get_mut(&key.executor)
            .ok_or(Refused::Unknown)?;
        let number = usize::try_from(key.partition.0).unwrap_or(usize::MAX);
        let partition = executor
            .partitions
            .get_mut(number)
            .ok_or(Refused::Unknown)?;
        edit(partition);
        partition.follow_min_copies(&executor.config);
        partition.version = partition.version.next();
        changes.configurations.push(key);
        Ok(Response::Changed {
            version: partition.version,
        })
    }

    /// Whether a partition has all its seats.
    pub(crate) fn is_full(executor: &ExecutorRecord, partition: &PartitionRecord) -> bool {
        partition.in_sync.len() >= copies_of(&executor.config)
    }
}

impl Changes {
    fn put_in_order(&mut self) {
        self.configurations.sort_unstable();
        self.configurations.dedup();
        self.executors.sort_unstable();
        self.executors.dedup();
        self.deleted.sort_unstable();
        self.members.sort_unstable();
        self.members.dedup();
    }
}
