//! A backup has acknowledged entries that are not committed. Its storage asks for the ring to be written again; the write goes
//! in pieces, first the ring, then the entries after it one by one, and a crash comes between two of them. What was
//! acknowledged must still be there: neither a state nor a copied entry cuts (PROTOCOL §5).

use std::sync::Arc;

use ringhold_replica::{PersistToken, Record};
use ringhold_ringbuffer::{LogEntry, Op, Ring, RingLimits};
use ringhold_storage::StorageError;
use ringhold_types::{
    ExecutorConfig, ExecutorName, Generation, Incarnation, Lsn, MemberId, PartitionKey, ReplicaId,
    RingTime, Term,
};

use crate::coverage::Coverage;
use crate::plan::{DiskModel, DiskPlan};
use crate::random::{Concern, Stream};
use crate::world::directed::{Played, Staging};
use crate::world::{CrashRandom, Disk, Violation};

const REPLICA: ReplicaId = ReplicaId {
    member: MemberId(1),
    incarnation: Incarnation(1),
};
/// The last acknowledged entry.
const ACKNOWLEDGED: Lsn = Lsn(4);
/// What is committed and applied when the ring is written again.
const COMMITTED: Lsn = Lsn(2);

/// On a list of records.
pub(super) fn play(staging: Staging) -> Played {
    play_on(DiskModel::Records, staging)
}

/// On the segmented log.
pub(super) fn play_on_log(staging: Staging) -> Played {
    play_on(DiskModel::Segmented { payload: 100 }, staging)
}

fn play_on(model: DiskModel, staging: Staging) -> Played {
    let violation = match found_after_crash(model, staging) {
        Ok(last) if last >= ACKNOWLEDGED => None,
        Ok(last) => Some((
            "I3",
            format!("{ACKNOWLEDGED} was acknowledged and the log ends at {last} after a crash"),
        )),
        Err(error) => Some(("Log", error.to_string())),
    };
    Played {
        violation: violation.map(|(invariant, detail)| Violation {
            invariant,
            detail,
            at: 0,
        }),
        coverage: Coverage::default(),
    }
}

/// Where the log ends when the crash comes after the first piece of the copy.
fn found_after_crash(model: DiskModel, staging: Staging) -> Result<Lsn, StorageError> {
    let partition = PartitionKey::default();
    let plan = DiskPlan {
        model,
        flush: 0,
        torn: 0,
        damaged: 0,
        old_rot: 0,
        faults: None,
    };
    let mut log = Stream::new(1, Concern::Log);
    let mut disk = Disk::new(model, staging.sabotage);
    disk.open(0, &[], &plan, &mut log)?;
    let mut first = vec![Record::Reset {
        partition,
        replica: REPLICA,
    }];
    first.extend((1..=ACKNOWLEDGED.0).map(|lsn| record(partition, Lsn(lsn))));
    write_through(&mut disk, first, PersistToken(1))?;
    // The ring and the first entry after it reach the disk, the entries after those do not.
    let mut copy = states(partition);
    copy.push(copied(partition, COMMITTED.next()));
    write_through(&mut disk, copy, PersistToken(2))?;
    let random = &mut CrashRandom {
        records: &mut Stream::new(1, Concern::Disk),
        log: &mut log,
    };
    disk.crash(&plan, random, false);
    let found = disk.open(0, &[], &plan, &mut log)?.replicas;
    Ok(found.first().map_or(Lsn::ZERO, |replica| replica.last()))
}

/// Writes and flushes.
fn write_through(
    disk: &mut Disk,
    records: Vec<Record>,
    token: PersistToken,
) -> Result<(), StorageError> {
    if let Some(flush) = disk.write(0, records, token, 1)? {
        disk.flushed(flush.at, flush.number)?;
    }
    Ok(())
}

fn entry(lsn: Lsn) -> LogEntry {
    let op = if lsn == Lsn(1) {
        Op::TermStart {
            primary: REPLICA,
            generation: Generation(0),
        }
    } else {
        Op::MarkRetrieved {
            sequences: Vec::new(),
        }
    };
    LogEntry {
        term: Term(1),
        lsn,
        time: RingTime(lsn.0),
        op,
    }
}

fn record(partition: PartitionKey, lsn: Lsn) -> Record {
    Record::Entry {
        partition,
        replica: REPLICA,
        entry: entry(lsn),
        commit: COMMITTED.min(lsn),
    }
}

fn copied(partition: PartitionKey, lsn: Lsn) -> Record {
    Record::Copied {
        partition,
        replica: REPLICA,
        entry: entry(lsn),
        commit: COMMITTED,
        end: ACKNOWLEDGED,
    }
}

fn states(partition: PartitionKey) -> Vec<Record> {
    let name = ExecutorName::new("explored").expect("a valid name");
    let limits = RingLimits::of(&Arc::new(ExecutorConfig::with_name(name)));
    let mut ring = Ring::new(Generation(0), limits);
    for lsn in 1..=COMMITTED.0 {
        ring.apply(&entry(Lsn(lsn)));
    }
    let parts = ring.snapshot();
    let count = parts.len() as u32;
    let state = |(index, part)| Record::State {
        partition,
        replica: REPLICA,
        lsn: COMMITTED,
        term: Term(1),
        index,
        count,
        part,
        installed: false,
    };
    (0..).zip(parts).map(state).collect()
}
