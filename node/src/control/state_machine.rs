//! Cluster state under Raft: applies committed commands, publishes what they changed, makes and installs snapshots.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use ringhold_control::{Changes, Cluster, Response};
use ringhold_types::{ControlIndex, PartitionKey, PartitionNumber};

use super::disk::Disk;
use super::events::Publisher;
use super::metadata::{self, Batch};
use super::types::{Entry, LogId, RaftTypes, Snapshot, SnapshotMeta, StoredMembership};

/// Entries applied before they are published and answered, so that one long batch does not hold everything back.
const APPLY_CHUNK_MAX: usize = 256;

/// The newest snapshot, shared with the builder that may run beside [`StateMachine::apply`].
type CurrentSnapshot = Arc<Mutex<Option<Snapshot>>>;

/// Cluster state as openraft drives it. It lives in memory: a restart begins at the newest snapshot and applies the log again.
pub(crate) struct StateMachine {
    cluster: Arc<Cluster>,
    applied: Option<LogId>,
    membership: StoredMembership,
    current: CurrentSnapshot,
    disk: Disk,
    publisher: Arc<Publisher>,
}

impl StateMachine {
    /// State before anything is applied, with the snapshot that was found on disk; openraft installs that one itself.
    pub(crate) fn new(found: Option<Snapshot>, disk: Disk, publisher: Arc<Publisher>) -> Self {
        Self {
            cluster: Arc::new(Cluster::new()),
            applied: None,
            membership: StoredMembership::default(),
            current: Arc::new(Mutex::new(found)),
            disk,
            publisher,
        }
    }

    /// Applies one entry; the answer is for its proposer.
    fn apply_entry(&mut self, entry: Entry, changes: &mut Changes) -> Response {
        self.applied = Some(entry.log_id);
        match entry.payload {
            EntryPayload::Blank => Response::Done,
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(entry.log_id), membership);
                Response::Done
            }
            EntryPayload::Normal(proposal) => {
                let index = ControlIndex(entry.log_id.index);
                let cluster = Arc::make_mut(&mut self.cluster);
                let (response, changed) = cluster.apply(index, &proposal.0);
                changes.configurations.extend(changed.configurations);
                changes.executors.extend(changed.executors);
                changes.deleted.extend(changed.deleted);
                changes.members.extend(changed.members);
                response
            }
        }
    }

    /// Publishes first and answers then, so that a proposer finds in its view what it was told.
    fn publish(&self, changes: Changes, answers: &mut Vec<(ApplyResponder<RaftTypes>, Response)>) {
        let index = ControlIndex(self.applied.map_or(0, |applied| applied.index));
        self.publisher.applied(index, changes, &self.cluster);
        for (responder, response) in answers.drain(..) {
            responder.send(response);
        }
    }
}

/// Everything in `now` counts as changed, and executors of `before` that are gone as deleted.
fn all_changed(before: &Cluster, now: &Cluster) -> Changes {
    let mut changes = Changes {
        executors: now.executors().keys().copied().collect(),
        members: now.members().keys().copied().collect(),
        ..Changes::default()
    };
    changes.deleted.extend(
        before
            .executors()
            .keys()
            .filter(|id| !now.executors().contains_key(id)),
    );
    for (executor, record) in now.executors() {
        let numbers = (0_u32..).map(PartitionNumber).zip(&record.partitions);
        changes
            .configurations
            .extend(numbers.map(|(partition, _)| PartitionKey {
                executor: *executor,
                partition,
            }));
    }
    changes
}

impl RaftStateMachine<RaftTypes> for StateMachine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<RaftTypes>>> + Unpin + OptionalSend,
    {
        let mut changes = Changes::default();
        let mut answers = Vec::new();
        let mut unpublished = 0_usize;
        while let Some((entry, responder)) = entries.try_next().await? {
            let response = self.apply_entry(entry, &mut changes);
            answers.extend(responder.map(|responder| (responder, response)));
            unpublished += 1;
            if unpublished == APPLY_CHUNK_MAX {
                self.publish(std::mem::take(&mut changes), &mut answers);
                unpublished = 0;
            }
        }
        if unpublished > 0 {
            self.publish(changes, &mut answers);
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            cluster: Arc::clone(&self.cluster),
            meta: SnapshotMeta {
                last_log_id: self.applied,
                last_membership: self.membership.clone(),
            },
            current: Arc::clone(&self.current),
            disk: self.disk.clone(),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, data: Bytes) -> io::Result<()> {
        let cluster = metadata::decode_cluster(&data)?;
        let known = {
            let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            current
                .as_ref()
                .is_some_and(|current| current.meta == *meta)
        };
        if !known {
            keep(
                &self.current,
                &self.disk,
                Snapshot {
                    meta: meta.clone(),
                    snapshot: data,
                },
            )
            .await?;
        }
        let changes = all_changed(&self.cluster, &cluster);
        self.cluster = Arc::new(cluster);
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.publish(changes, &mut Vec::new());
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        Ok(self
            .current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone())
    }
}

/// Makes a snapshot of the state at one moment while later entries are applied beside it.
pub(crate) struct SnapshotBuilder {
    cluster: Arc<Cluster>,
    meta: SnapshotMeta,
    current: CurrentSnapshot,
    disk: Disk,
}

impl RaftSnapshotBuilder<RaftTypes> for SnapshotBuilder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let snapshot = Snapshot {
            meta: self.meta.clone(),
            snapshot: metadata::encode_cluster(&self.cluster),
        };
        keep(&self.current, &self.disk, snapshot.clone()).await?;
        Ok(snapshot)
    }
}

/// Makes a snapshot durable, then the current one, unless a newer one has come in between.
async fn keep(current: &CurrentSnapshot, disk: &Disk, snapshot: Snapshot) -> io::Result<()> {
    {
        let current = current.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = current
            .as_ref()
            .is_some_and(|current| current.meta.last_log_id > snapshot.meta.last_log_id);
        if newer {
            return Ok(());
        }
    }
    disk.write(Batch::default().snapshot(&snapshot)).await?;
    *current.lock().unwrap_or_else(PoisonError::into_inner) = Some(snapshot);
    Ok(())
}
