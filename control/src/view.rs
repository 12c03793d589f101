//! Members as one command's handling of all partitions sees them: small, sorted, quick to look up.

use ringhold_types::{Incarnation, MemberId, Persistence, ReplicaId, StartNonce};

use crate::Cluster;

/// The members that are not forgotten, with what they lead.
pub(crate) struct View {
    members: Vec<Seen>,
}

/// One member.
struct Seen {
    id: MemberId,
    start: StartNonce,
    up: bool,
    draining: bool,
    marked: bool,
    store: Incarnation,
    memory: Incarnation,
    primaries: u32,
}

impl Seen {
    fn replica(&self, persistence: Persistence) -> ReplicaId {
        let incarnation = match persistence {
            Persistence::Memory => self.memory,
            Persistence::Fsync => self.store,
        };
        ReplicaId {
            member: self.id,
            incarnation,
        }
    }
}

impl View {
    pub(crate) fn of(cluster: &Cluster) -> Self {
        let living = cluster
            .members
            .values()
            .filter(|record| !record.is_forgotten());
        let mut view = Self {
            members: living
                .map(|record| Seen {
                    id: record.info.id,
                    start: record.start,
                    up: record.is_up(),
                    draining: record.drains(),
                    marked: record.marked,
                    store: record.store,
                    memory: record.memory,
                    primaries: 0,
                })
                .collect(),
        };
        for partition in cluster
            .executors
            .values()
            .flat_map(|executor| &executor.partitions)
        {
            if let Some(primary) = partition.primary {
                view.count_primary(primary.member);
            }
        }
        view
    }

    fn find(&self, id: MemberId) -> Option<&Seen> {
        let position = self
            .members
            .binary_search_by_key(&id, |seen| seen.id)
            .ok()?;
        self.members.get(position)
    }

    /// The present replica identity of a member; nothing for a forgotten one.
    pub(crate) fn replica(&self, id: MemberId, persistence: Persistence) -> Option<ReplicaId> {
        Some(self.find(id)?.replica(persistence))
    }

    /// The process start of a replica's member, if the replica still exists and its member is up.
    pub(crate) fn start_if_up(
        &self,
        replica: ReplicaId,
        persistence: Persistence,
    ) -> Option<StartNonce> {
        let seen = self.find(replica.member)?;
        (seen.up && seen.replica(persistence) == replica).then_some(seen.start)
    }

    /// Whether this replica still exists (I9).
    pub(crate) fn exists(&self, replica: ReplicaId, persistence: Persistence) -> bool {
        self.replica(replica.member, persistence) == Some(replica)
    }

    /// Whether a replica is known to hold all that it acknowledged: no tail was cut under it at its start, or it has got back
    /// what the cut took.
    pub(crate) fn is_whole(&self, replica: ReplicaId, persistence: Persistence) -> bool {
        let marked = self.find(replica.member).is_some_and(|seen| seen.marked);
        !marked || persistence == Persistence::Memory
    }

    pub(crate) fn is_up(&self, id: MemberId) -> bool {
        self.find(id).is_some_and(|seen| seen.up)
    }

    pub(crate) fn is_draining(&self, id: MemberId) -> bool {
        self.find(id).is_some_and(|seen| seen.draining)
    }

    pub(crate) fn start(&self, id: MemberId) -> StartNonce {
        self.find(id).map_or(StartNonce::ZERO, |seen| seen.start)
    }

    pub(crate) fn primaries(&self, id: MemberId) -> u32 {
        self.find(id).map_or(0, |seen| seen.primaries)
    }

    pub(crate) fn count_primary(&mut self, id: MemberId) {
        if let Ok(position) = self.members.binary_search_by_key(&id, |seen| seen.id) {
            self.members[position].primaries += 1;
        }
    }
}
