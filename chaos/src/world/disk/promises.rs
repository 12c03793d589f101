//! What a log has promised by its flushes: an own, plain account of it, to which each opening is held.

use std::collections::BTreeMap;

use ringhold_replica::RecoveredReplica;
use ringhold_storage::{LogRecord, RecordKind};
use ringhold_types::{Lsn, PartitionKey, ReplicaId};

/// The account of one log.
#[derive(Clone, Debug, Default)]
pub(super) struct Promises {
    held: BTreeMap<PartitionKey, Held>,
}

/// What is promised of one partition.
#[derive(Clone, Copy, Debug)]
struct Held {
    replica: ReplicaId,
    /// Where its log ends with all that was written.
    written: Lsn,
    /// Up to where it must be there again, whatever of the writes after the last flush survives.
    flushed: Lsn,
    /// Whether it must carry the mark of a cut tail.
    marked: bool,
}

impl Held {
    const fn nothing_of(replica: ReplicaId) -> Self {
        Self {
            replica,
            written: Lsn::ZERO,
            flushed: Lsn::ZERO,
            marked: false,
        }
    }

    fn end_at(&mut self, written: Lsn, survives: Lsn) {
        self.written = written;
        self.flushed = self.flushed.min(survives);
    }
}

impl Promises {
    /// A record is written. It may survive a crash from now on, and need not.
    pub(super) fn written(&mut self, record: &LogRecord) {
        if record.kind == RecordKind::Forgotten {
            self.held.remove(&record.partition);
            return;
        }
        let nothing = Held::nothing_of(record.replica);
        let held = self.held.entry(record.partition).or_insert(nothing);
        if held.replica != record.replica || record.kind == RecordKind::Reset {
            *held = nothing;
        }
        match record.kind {
            RecordKind::Entry => held.end_at(record.lsn, record.lsn.previous()),
            RecordKind::Copied => held.end_at(record.end, record.end),
            RecordKind::State if record.installed => held.end_at(record.lsn, record.lsn),
            RecordKind::CutMarkCleared => held.marked = false,
            RecordKind::State | RecordKind::CutMark | RecordKind::Reset | RecordKind::Forgotten => {
            }
        }
    }

    /// All that was written is flushed.
    pub(super) fn flushed(&mut self) {
        for held in self.held.values_mut() {
            held.flushed = held.written;
        }
    }

    /// Compares what an opening found with what was promised, and goes on from there. Tells what is gone. Only on a disk that was
    /// `hurt` may anything be gone, and not without a sign: the mark of a cut tail, or `unlisted_cut` for a replica that is
    /// gone whole. A torn tail gives such signs too, and took nothing that was promised.
    pub(super) fn opened(
        &mut self,
        found: &[RecoveredReplica],
        unlisted_cut: bool,
        hurt: bool,
    ) -> Option<String> {
        let broken = self.held.iter().find_map(|(partition, held)| {
            let listed = found.iter().find(|it| it.partition == *partition);
            broken(held, listed, unlisted_cut, hurt).map(|what| format!("{partition}: {what}"))
        });
        let held = |it: &RecoveredReplica| Held {
            replica: it.replica,
            written: it.last(),
            flushed: it.last(),
            marked: it.cut_mark,
        };
        self.held = found.iter().map(|it| (it.partition, held(it))).collect();
        broken
    }
}

fn broken(
    held: &Held,
    listed: Option<&RecoveredReplica>,
    unlisted_cut: bool,
    hurt: bool,
) -> Option<String> {
    let Held {
        replica, flushed, ..
    } = held;
    let Some(found) = listed.filter(|it| it.replica == *replica) else {
        let promised = *flushed > Lsn::ZERO || held.marked;
        return (promised && !(unlisted_cut && hurt))
            .then(|| format!("{replica} was flushed up to {flushed} and is gone"));
    };
    if found.cut_mark && hurt {
        return None;
    }
    if held.marked && !found.cut_mark {
        return Some(format!("the mark of {replica} is gone"));
    }
    let end = found.last();
    (end < *flushed).then(|| format!("{replica} was flushed up to {flushed} and ends at {end}"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ringhold_ringbuffer::{LogEntry, Op};
    use ringhold_types::{RingTime, Term};

    use super::*;

    const PARTITION: PartitionKey = PartitionKey {
        executor: ringhold_types::ExecutorId(0),
        partition: ringhold_types::PartitionNumber(0),
    };

    fn record(lsn: u64) -> LogRecord {
        LogRecord::entry(
            PARTITION,
            ReplicaId::default(),
            Term(1),
            Lsn(lsn),
            Lsn::ZERO,
            Bytes::new(),
        )
    }

    fn found(lsn: u64) -> RecoveredReplica {
        let mut found = RecoveredReplica::empty(PARTITION, ReplicaId::default());
        found.entries = (1..=lsn)
            .map(|lsn| LogEntry {
                term: Term(1),
                lsn: Lsn(lsn),
                time: RingTime(0),
                op: Op::MarkRetrieved {
                    sequences: Vec::new(),
                },
            })
            .collect();
        found
    }

    fn flushed_up_to(lsn: u64) -> Promises {
        let mut promises = Promises::default();
        for lsn in 1..=lsn {
            promises.written(&record(lsn));
        }
        promises.flushed();
        promises
    }

    #[test]
    fn what_was_flushed_must_be_there_again_and_what_was_not_need_not() {
        let mut promises = flushed_up_to(3);
        promises.written(&record(4));
        assert_eq!(promises.clone().opened(&[found(3)], false, false), None);
        assert_eq!(promises.clone().opened(&[found(4)], false, false), None);
        assert!(promises.clone().opened(&[found(2)], false, false).is_some());
        assert!(promises.clone().opened(&[], false, false).is_some());
        assert!(promises.clone().opened(&[], true, false).is_some());
        assert_eq!(promises.opened(&[], true, true), None);
    }

    #[test]
    fn an_entry_that_cuts_may_survive_and_need_not() {
        let mut promises = flushed_up_to(5);
        promises.written(&record(3));
        assert_eq!(promises.clone().opened(&[found(5)], false, false), None);
        assert_eq!(promises.clone().opened(&[found(3)], false, false), None);
        assert!(promises.opened(&[found(1)], false, false).is_some());
    }

    #[test]
    fn a_mark_stays_until_it_is_cleared() {
        let mut marked = found(2);
        marked.cut_mark = true;
        let mut promises = flushed_up_to(3);
        assert!(
            promises
                .clone()
                .opened(&[marked.clone()], false, false)
                .is_some()
        );
        assert_eq!(promises.opened(&[marked], false, true), None);
        assert!(promises.clone().opened(&[found(2)], false, false).is_some());
        let replica = ReplicaId::default();
        let cleared = LogRecord::bare(RecordKind::CutMarkCleared, PARTITION, replica);
        promises.written(&cleared);
        assert_eq!(promises.opened(&[found(2)], false, false), None);
    }
}
