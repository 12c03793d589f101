//! Where the control plane's records stand in the metadata store.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use ringhold_control::Cluster;
use ringhold_proto::convert::{cluster_bytes, cluster_from_bytes};
use ringhold_proto::internal as wire;
use ringhold_proto::{stored, stored_raft};
use ringhold_storage::{MetadataStore, TableName, WriteBatch};
use ringhold_types::{ClusterId, StartNonce};

use super::codec;
use super::log_store::StoredLog;
use super::types::{Entry, LogId, Snapshot, Vote};

/// Single records.
const RECORDS: TableName = TableName("raft");
/// Log entries, by position (eight bytes, the most significant first).
const LOG: TableName = TableName("raft-log");

const VOTE: &[u8] = b"vote";
const COMMITTED: &[u8] = b"committed";
const PURGED: &[u8] = b"purged";
const SNAPSHOT: &[u8] = b"snapshot";
const IDENTITY: &[u8] = b"identity";

/// Entries read at once while opening.
const READ_CHUNK: usize = 1024;
/// Process starts remembered whose acceptance is not known; each is a start that died before its cluster answered.
const PRESENTED_MAX: usize = 64;

/// Writes that become durable together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    writes: Vec<Write>,
}

#[derive(Debug)]
enum Write {
    Record(&'static [u8], Bytes),
    Entry(u64, Bytes),
    DeleteEntries { from: u64, to: Option<u64> },
}

impl Batch {
    /// Adds what `later` writes after this.
    pub(crate) fn append(&mut self, later: Self) {
        self.writes.extend(later.writes);
    }

    /// Whether nothing is to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    fn record(mut self, key: &'static [u8], value: Bytes) -> Self {
        self.writes.push(Write::Record(key, value));
        self
    }

    /// The vote.
    pub(crate) fn vote(self, vote: &Vote) -> Self {
        self.record(VOTE, stored_raft::encode(&codec::vote_to_wire(vote)))
    }

    /// What is committed, as a hint for the next start.
    pub(crate) fn committed(self, committed: &LogId) -> Self {
        self.record(
            COMMITTED,
            stored_raft::encode(&codec::log_id_to_wire(committed)),
        )
    }

    /// An entry.
    pub(crate) fn entry(mut self, entry: &Entry) -> Self {
        let value = stored_raft::encode(&codec::entry_to_wire(entry));
        self.writes.push(Write::Entry(entry.log_id.index, value));
        self
    }

    /// Everything from a position on goes.
    pub(crate) fn truncate(mut self, from: u64) -> Self {
        self.writes.push(Write::DeleteEntries { from, to: None });
        self
    }

    /// Everything up to an entry goes, itself included; it is remembered as the last one purged.
    pub(crate) fn purge(mut self, upto: &LogId) -> Self {
        let to = Some(upto.index.saturating_add(1));
        self.writes.push(Write::DeleteEntries { from: 0, to });
        self.record(PURGED, stored_raft::encode(&codec::log_id_to_wire(upto)))
    }

    /// The snapshot, in place of the former one.
    pub(crate) fn snapshot(self, snapshot: &Snapshot) -> Self {
        let record = wire::RaftStoredSnapshot {
            meta: Some(codec::meta_to_wire(&snapshot.meta)),
            state: snapshot.snapshot.clone(),
        };
        self.record(SNAPSHOT, stored_raft::encode(&record))
    }

    /// What the directory knows of itself.
    pub(crate) fn identity(self, identity: &Identity) -> Self {
        let record = wire::RaftIdentity {
            cluster_id: identity.cluster.map(cluster_bytes).unwrap_or_default(),
            accepted_start: identity.accepted.0,
            presented_starts: identity.presented.iter().map(|start| start.0).collect(),
        };
        self.record(IDENTITY, stored_raft::encode(&record))
    }
}

/// What a directory knows of itself (PROTOCOL §5, "Old or cloned directories").
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The cluster, once known.
    pub(crate) cluster: Option<ClusterId>,
    /// The start that the control plane accepted last; zero for none.
    pub(crate) accepted: StartNonce,
    /// Starts presented since, oldest first: whether they were accepted is not known, but they were ours.
    pub(crate) presented: Vec<StartNonce>,
}

impl Identity {
    /// A start is about to be presented.
    pub(crate) fn present(&mut self, start: StartNonce) {
        self.presented.push(start);
        let surplus = self.presented.len().saturating_sub(PRESENTED_MAX);
        self.presented.drain(..surplus);
    }

    /// All starts that may be on record and are this directory's own.
    pub(crate) fn starts(&self) -> Vec<StartNonce> {
        self.presented
            .iter()
            .chain([&self.accepted])
            .copied()
            .collect()
    }

    /// A start was accepted.
    pub(crate) fn accept(&mut self, start: StartNonce) {
        self.accepted = start;
        self.presented.clear();
    }
}

/// Everything that was found at start.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Raft's vote and log.
    pub(crate) log: StoredLog,
    /// The newest snapshot.
    pub(crate) snapshot: Option<Snapshot>,
    /// What the directory knows of itself.
    pub(crate) identity: Identity,
}

/// The control plane's part of the metadata store.
pub(crate) struct Metadata {
    store: Arc<dyn MetadataStore>,
}

impl Metadata {
    /// The part of a store.
    pub(crate) fn new(store: Arc<dyn MetadataStore>) -> Self {
        Self { store }
    }

    /// Writes durably, all or nothing.
    pub(crate) fn commit(&self, batch: Batch) -> io::Result<()> {
        let key = |index: u64| index.to_be_bytes().to_vec();
        let mut writes = WriteBatch::new();
        for write in batch.writes {
            writes = match write {
                Write::Record(name, value) => writes.put(RECORDS, name, value),
                Write::Entry(index, value) => writes.put(LOG, key(index), value),
                Write::DeleteEntries { from, to } => {
                    writes.delete_range(LOG, key(from), to.map(key))
                }
            };
        }
        self.store.write(writes).map_err(io::Error::other)
    }

    /// Reads everything; the log is short, since snapshots cut it.
    pub(crate) fn load(&self) -> io::Result<Found> {
        let vote = self.record(VOTE)?;
        let vote = vote
            .map(|vote| codec::vote_from_wire(Some(vote)))
            .transpose();
        let mut log = StoredLog {
            vote: vote.map_err(io::Error::other)?,
            committed: self.log_id(COMMITTED)?,
            purged: self.log_id(PURGED)?,
            ..StoredLog::default()
        };
        self.load_entries(&mut log)?;
        Ok(Found {
            log,
            snapshot: self.load_snapshot()?,
            identity: self.load_identity()?,
        })
    }

    fn record<R: stored_raft::RaftRecord>(&self, key: &[u8]) -> io::Result<Option<R>> {
        let bytes = self.store.get(RECORDS, key).map_err(io::Error::other)?;
        let decode = |bytes: Vec<u8>| stored_raft::decode(bytes.into());
        bytes.map(decode).transpose().map_err(io::Error::other)
    }

    fn log_id(&self, key: &[u8]) -> io::Result<Option<LogId>> {
        let record = self.record(key)?;
        record
            .map(codec::log_id_from_wire)
            .transpose()
            .map_err(io::Error::other)
    }

    fn load_entries(&self, log: &mut StoredLog) -> io::Result<()> {
        let mut from = 0_u64;
        loop {
            let chunk = self
                .store
                .range(LOG, &from.to_be_bytes(), READ_CHUNK)
                .map_err(io::Error::other)?;
            let is_last = chunk.len() < READ_CHUNK;
            for (_, value) in chunk {
                let record = stored_raft::decode(value.into()).map_err(io::Error::other)?;
                let entry = codec::entry_from_wire(record).map_err(io::Error::other)?;
                from = entry.log_id.index.saturating_add(1);
                log.entries.insert(entry.log_id.index, entry);
            }
            if is_last {
                return Ok(());
            }
        }
    }

    fn load_snapshot(&self) -> io::Result<Option<Snapshot>> {
        let Some(record) = self.record::<wire::RaftStoredSnapshot>(SNAPSHOT)? else {
            return Ok(None);
        };
        let meta = codec::meta_from_wire(record.meta).map_err(io::Error::other)?;
        Ok(Some(Snapshot {
            meta,
            snapshot: record.state,
        }))
    }

    fn load_identity(&self) -> io::Result<Identity> {
        let Some(record) = self.record::<wire::RaftIdentity>(IDENTITY)? else {
            return Ok(Identity::default());
        };
        let bytes = Some(record.cluster_id).filter(|bytes| !bytes.is_empty());
        let cluster = bytes.map(|bytes| cluster_from_bytes(&bytes)).transpose();
        Ok(Identity {
            cluster: cluster.map_err(io::Error::other)?,
            accepted: StartNonce(record.accepted_start),
            presented: record
                .presented_starts
                .into_iter()
                .map(StartNonce)
                .collect(),
        })
    }
}

/// Cluster state as bytes.
pub(crate) fn encode_cluster(cluster: &Cluster) -> Bytes {
    stored::encode_cluster(&cluster.snapshot())
}

/// Cluster state from bytes.
pub(crate) fn decode_cluster(bytes: &[u8]) -> io::Result<Cluster> {
    let snapshot = stored::decode_cluster(bytes).map_err(io::Error::other)?;
    Cluster::restore(snapshot).map_err(io::Error::other)
}
