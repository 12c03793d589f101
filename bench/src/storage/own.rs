//! The own log. A log is no index: what lives is kept in memory, as a ring keeps it, and is written again where the log
//! asks for it. So its memory holds the live tasks, which other stores keep on disk.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use ringhold_storage::{
    LogOptions, LogRecord, PartIndex, RecordKind, RecordLog, Recovered, SegmentedLog,
};
use ringhold_types::limits::RING_PART_BYTES_MAX;
use ringhold_types::{
    ClusterId, ExecutorId, Incarnation, Lsn, MemberId, PartitionKey, PartitionNumber, ReplicaId,
    Term,
};

use super::life::{Change, TaskNumber};
use super::{Living, Store};

/// Partitions asked for a copy at a time, as the committer asks.
const COPY_FORWARD_MOST: usize = 4;
const CLUSTER: ClusterId = ClusterId(1);
const TERM: Term = Term(1);
const REPLICA: ReplicaId = ReplicaId {
    member: MemberId(1),
    incarnation: Incarnation(1),
};

struct OwnLog {
    log: SegmentedLog,
    rings: BTreeMap<PartitionNumber, Ring>,
}

/// What lives in one partition.
#[derive(Default)]
struct Ring {
    lsn: Lsn,
    live: BTreeMap<TaskNumber, Bytes>,
}

/// Opens the log and applies what it holds.
pub(super) fn open(directory: &Path) -> anyhow::Result<(Box<dyn Store>, Living)> {
    let (log, recovered) = SegmentedLog::open(directory, LogOptions::for_cluster(CLUSTER))?;
    let store = OwnLog {
        log,
        rings: rings(recovered)?,
    };
    let tasks = store.rings.values().flat_map(|ring| ring.live.values());
    let living = tasks.fold(Living::default(), |living, bytes| Living {
        tasks: living.tasks + 1,
        bytes: living.bytes + bytes.len() as u64,
    });
    Ok((Box::new(store), living))
}

fn rings(recovered: Recovered) -> anyhow::Result<BTreeMap<PartitionNumber, Ring>> {
    if let Some(damage) = recovered.damage {
        bail!("the log is damaged: {damage}");
    }
    let mut rings = BTreeMap::new();
    for replica in recovered.replicas {
        let mut ring = Ring {
            lsn: replica.last_lsn(),
            ..Ring::default()
        };
        for part in replica.state.iter().flat_map(|state| &state.parts) {
            ring.read_part(part.clone())?;
        }
        for entry in replica.entries {
            ring.apply(read_change(entry.payload)?);
        }
        rings.insert(replica.partition.partition, ring);
    }
    Ok(rings)
}

impl Store for OwnLog {
    fn commit(&mut self, batch: &[Change]) -> anyhow::Result<()> {
        let mut records = Vec::with_capacity(batch.len());
        for change in batch {
            let number = task_of(change).partition();
            let ring = self.rings.entry(number).or_default();
            let committed = ring.lsn;
            ring.lsn = ring.lsn.next();
            let payload = write_change(change);
            records.push(LogRecord::entry(
                key(number),
                REPLICA,
                TERM,
                ring.lsn,
                committed,
                payload,
            ));
            ring.apply(change.clone());
        }
        for wanted in self.log.copy_forward_wanted(COPY_FORWARD_MOST) {
            if let Some(ring) = self.rings.get(&wanted.partition) {
                records.extend(ring.state(wanted));
            }
        }
        self.log.append(&records)?;
        self.log.sync()?;
        Ok(())
    }
}

impl Ring {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Accept(task, bytes) | Change::Complete(task, bytes) => {
                self.live.insert(task, bytes);
            }
            Change::Dispose(task) => {
                self.live.remove(&task);
            }
        }
    }

    /// The whole ring as records, each part of bounded size.
    fn state(&self, partition: PartitionKey) -> Vec<LogRecord> {
        let mut parts = vec![BytesMut::new()];
        for (task, bytes) in &self.live {
            if parts
                .last()
                .is_some_and(|part| part.len() > RING_PART_BYTES_MAX)
            {
                parts.push(BytesMut::new());
            }
            if let Some(part) = parts.last_mut() {
                part.put_u64(task.0);
                part.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                part.put_slice(bytes);
            }
        }
        let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        let record = |(index, part): (u32, BytesMut)| {
            let mut record = LogRecord::bare(RecordKind::State, partition, REPLICA);
            record.term = TERM;
            record.lsn = self.lsn;
            record.commit = self.lsn;
            record.part = PartIndex { index, count };
            record.payload = part.freeze();
            record
        };
        (0..).zip(parts).map(record).collect()
    }

    fn read_part(&mut self, mut part: Bytes) -> anyhow::Result<()> {
        while part.has_remaining() {
            let task = TaskNumber(part.try_get_u64()?);
            let length = usize::try_from(part.try_get_u32()?)?;
            if part.remaining() < length {
                bail!("a part of a state ends in the middle of a task");
            }
            self.live.insert(task, part.split_to(length));
        }
        Ok(())
    }
}

const fn key(partition: PartitionNumber) -> PartitionKey {
    PartitionKey {
        executor: ExecutorId(1),
        partition,
    }
}

const fn task_of(change: &Change) -> TaskNumber {
    match change {
        Change::Accept(task, _) | Change::Complete(task, _) | Change::Dispose(task) => *task,
    }
}

fn write_change(change: &Change) -> Bytes {
    let (step, bytes) = match change {
        Change::Accept(_, bytes) => (0, bytes.as_ref()),
        Change::Complete(_, bytes) => (1, bytes.as_ref()),
        Change::Dispose(_) => (2, &[][..]),
    };
    let mut written = BytesMut::with_capacity(9 + bytes.len());
    written.put_u8(step);
    written.put_u64(task_of(change).0);
    written.put_slice(bytes);
    written.freeze()
}

fn read_change(mut bytes: Bytes) -> anyhow::Result<Change> {
    let step = bytes.try_get_u8().context("an entry is empty")?;
    let task = TaskNumber(bytes.try_get_u64()?);
    match step {
        0 => Ok(Change::Accept(task, bytes)),
        1 => Ok(Change::Complete(task, bytes)),
        2 => Ok(Change::Dispose(task)),
        other => bail!("an entry is of the unknown kind {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::life::Lives;
    use super::*;

    #[test]
    fn what_lived_is_found_again_after_an_end_without_closing() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut lives = Lives::new(300, Bytes::from_static(&[7; 1024]));
        let (mut store, living) = open(directory.path()).expect("a new log");
        assert_eq!(living, Living::default());
        for _ in 0..40 {
            store.commit(&lives.next_batch(25)).expect("a working disk");
        }
        std::mem::forget(store);
        let (_store, living) = open(directory.path()).expect("the same log");
        assert_eq!(living.tasks, lives.live());
        assert_eq!(living.bytes, 150 * 1024 + 150 * 64);
    }

    #[test]
    fn changes_read_as_they_were_written() {
        let task = TaskNumber(9);
        for change in [
            Change::Accept(task, Bytes::from_static(b"task")),
            Change::Complete(task, Bytes::new()),
            Change::Dispose(task),
        ] {
            assert_eq!(
                read_change(write_change(&change)).expect("well formed"),
                change
            );
        }
        read_change(Bytes::from_static(&[9; 9])).expect_err("no such kind");
    }
}
