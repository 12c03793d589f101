//! A backup has acknowledged entries that are not committed. Its storage asks for the ring to be written again; the write goes
//! in pieces, first the ring, then the entries after it one by one, and a crash comes between two of them. What was
//! acknowledged must still be there: neither a state nor a copied entry cuts (PROTOCOL §5).

use std::sync::Arc;

use ringhold_replica::{PersistToken, Record};
use ringhold_ringbuffer::{LogEntry, Op, Ring, RingLimits};
use ringhold_types::{
    ExecutorConfig, ExecutorName, Generation, Incarnation, Lsn, MemberId, PartitionKey, ReplicaId,
    RingTime, Term,
};

use crate::coverage::Coverage;
use crate::plan::DiskPlan;
use crate::random::{Concern, Stream};
use crate::world::directed::{Played, Staging};
use crate::world::{Disk, Violation};

const REPLICA: ReplicaId = ReplicaId {
    member: MemberId(1),
    incarnation: Incarnation(1),
};
/// The last acknowledged entry.
const ACKNOWLEDGED: Lsn = Lsn(4);
/// What is committed and applied when the ring is written again.
const COMMITTED: Lsn = Lsn(2);

pub(super) fn play(staging: Staging) -> Played {
    Played {
        violation: lost(staging),
        coverage: Coverage::default(),
    }
}

/// Whether the crash took what was acknowledged.
fn lost(staging: Staging) -> Option<Violation> {
    let partition = PartitionKey::default();
    let mut disk = Disk::default();
    let mut first = vec![Record::Reset {
        partition,
        replica: REPLICA,
    }];
    first.extend((1..=ACKNOWLEDGED.0).map(|lsn| record(partition, Lsn(lsn))));
    let (batch, _) = disk.write(0, first, PersistToken(1), 1);
    disk.flushed(batch);
    let mut copy = states(partition);
    copy.push(copied(partition, COMMITTED.next()));
    let (ring_and_first_entry, _) = disk.write(1, copy, PersistToken(2), 1);
    let rest = COMMITTED.0 + 2..=ACKNOWLEDGED.0;
    let rest = rest.map(|lsn| copied(partition, Lsn(lsn))).collect();
    disk.write(1, rest, PersistToken(3), 1);
    // The ring and the first entry reach the disk, the rest does not.
    disk.flushed(ring_and_first_entry);
    let nothing_more = DiskPlan {
        flush: 0,
        torn: 0,
        damaged: 0,
    };
    // The stream decides how much of what was not flushed is kept; here that is the rest, or nothing of it.
    let mut random = Stream::new(kept_nothing(), Concern::Disk);
    disk.crash(&nothing_more, &mut random, false);
    let found = disk.recover(&[], staging.sabotage.copies_cut())?;
    let last = found.first().map_or(Lsn::ZERO, |replica| {
        replica
            .entries
            .last()
            .map_or(replica.ring_lsn, |entry| entry.lsn)
    });
    (last < ACKNOWLEDGED).then(|| Violation {
        invariant: "I3",
        detail: format!("{ACKNOWLEDGED} was acknowledged and the log ends at {last} after a crash"),
        at: 0,
    })
}

/// A seed under which the crash keeps nothing that was not flushed.
fn kept_nothing() -> u64 {
    let keeps_none = |seed: &u64| Stream::new(*seed, Concern::Disk).index(2) == 0;
    (0..64).find(keeps_none).unwrap_or(0)
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
