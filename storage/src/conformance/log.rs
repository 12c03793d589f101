//! What every log must do.

use bytes::Bytes;
use ringhold_types::{
    ExecutorId, Incarnation, Lsn, MemberId, PartitionKey, PartitionNumber, ReplicaId, Term,
};

use crate::{
    LogRecord, PartIndex, RecordKind, RecordLog, Recovered, StorageError, StoredReplica,
    StoredState,
};

/// A kind of log under test.
pub trait LogBackend {
    /// Makes a place for a new, empty log and forgets the one before.
    fn renew(&mut self);

    /// Opens the log at the current place; the one opened before has been dropped.
    ///
    /// # Errors
    /// As the backend's.
    fn open(&mut self) -> Result<(Box<dyn RecordLog>, Recovered), StorageError>;
}

/// Runs every check.
///
/// # Panics
/// At the first deviation.
pub fn check_log(backend: &mut dyn LogBackend) {
    let checks: [fn(&mut Scene<'_>); 16] = [
        a_new_log_is_empty,
        a_settled_log_is_new_no_more,
        synced_records_are_found_again,
        an_entry_cuts_what_was_at_or_above_its_position,
        a_copied_entry_takes_its_own_position_and_cuts_nothing,
        a_state_never_cuts_and_makes_older_entries_unneeded,
        a_state_without_all_parts_changes_nothing,
        the_state_of_the_highest_position_wins,
        an_installed_state_voids_everything_before_its_first_part,
        a_reset_voids_what_was_stored,
        another_replica_replaces_the_former,
        a_forgotten_partition_is_gone_and_may_return,
        the_highest_commit_is_found,
        a_cut_mark_stays_until_it_is_cleared,
        records_out_of_order_are_refused_whole,
        partitions_are_independent,
    ];
    for check in checks {
        backend.renew();
        let (log, recovered) = backend.open().expect("a new log opens");
        check(&mut Scene {
            backend,
            log: Some(log),
            recovered,
        });
    }
}

/// A log in the middle of a check.
struct Scene<'a> {
    backend: &'a mut dyn LogBackend,
    log: Option<Box<dyn RecordLog>>,
    recovered: Recovered,
}

impl Scene<'_> {
    fn log(&mut self) -> &mut dyn RecordLog {
        self.log.as_mut().expect("the log is open").as_mut()
    }

    fn append(&mut self, records: &[LogRecord]) {
        self.log().append(records).expect("append succeeds");
    }

    /// Syncs, reopens, and returns the replicas found.
    fn reopen(&mut self) -> Vec<StoredReplica> {
        self.log().sync().expect("sync succeeds");
        self.log = None;
        let (log, recovered) = self.backend.open().expect("the log opens again");
        assert_eq!(recovered.damage, None, "a sound log shows no damage");
        assert_eq!(recovered.torn_tail, None, "a sound log has a clean end");
        self.log = Some(log);
        self.recovered = recovered;
        self.recovered.replicas.clone()
    }

    /// As [`Scene::reopen`], for the one replica there is.
    fn reopen_one(&mut self) -> StoredReplica {
        let mut replicas = self.reopen();
        assert_eq!(replicas.len(), 1, "one replica is found");
        replicas.remove(0)
    }
}

/// A partition.
#[must_use]
pub fn partition(number: u32) -> PartitionKey {
    PartitionKey {
        executor: ExecutorId(1),
        partition: PartitionNumber(number),
    }
}

/// A replica of this member.
#[must_use]
pub const fn replica(incarnation: u64) -> ReplicaId {
    ReplicaId {
        member: MemberId(0xabcd_ef01_2345_6789),
        incarnation: Incarnation(incarnation),
    }
}

/// An entry of partition 1 with a payload that names position and term.
#[must_use]
pub fn entry(term: u64, lsn: u64) -> LogRecord {
    let payload = Bytes::from(format!("entry {lsn} of term {term}"));
    LogRecord::entry(
        partition(1),
        replica(1),
        Term(term),
        Lsn(lsn),
        Lsn(lsn.saturating_sub(1)),
        payload,
    )
}

/// A part of a state of partition 1.
#[must_use]
pub fn state(lsn: u64, index: u32, count: u32) -> LogRecord {
    LogRecord {
        kind: RecordKind::State,
        lsn: Lsn(lsn),
        commit: Lsn(lsn),
        term: Term(1),
        part: PartIndex { index, count },
        payload: Bytes::from(format!("state at {lsn}, part {index}")),
        ..LogRecord::bare(RecordKind::State, partition(1), replica(1))
    }
}

fn bare(kind: RecordKind) -> LogRecord {
    LogRecord::bare(kind, partition(1), replica(1))
}

fn positions(found: &StoredReplica) -> Vec<(u64, u64)> {
    found
        .entries
        .iter()
        .map(|entry| (entry.term.0, entry.lsn.0))
        .collect()
}

fn state_at(lsn: u64, parts: u32) -> Option<StoredState> {
    let payloads = (0..parts).map(|index| state(lsn, index, parts).payload);
    Some(StoredState {
        lsn: Lsn(lsn),
        term: Term(1),
        parts: payloads.collect(),
    })
}

fn a_new_log_is_empty(scene: &mut Scene<'_>) {
    assert_eq!(
        scene.recovered,
        Recovered {
            created: true,
            ..Recovered::default()
        }
    );
    assert!(!scene.log().is_nearly_full());
    assert_eq!(scene.log().copy_forward_wanted(10), []);
    assert_eq!(scene.reopen(), []);
    assert!(scene.recovered.created, "nothing was ever written to it");
}

fn a_settled_log_is_new_no_more(scene: &mut Scene<'_>) {
    scene.log().settle().expect("settled");
    assert_eq!(scene.reopen(), []);
    assert!(!scene.recovered.created, "its store has an incarnation");
}

fn synced_records_are_found_again(scene: &mut Scene<'_>) {
    for lsn in 1..=5 {
        scene.append(&[entry(1, lsn)]);
        scene.log().sync().expect("sync succeeds");
    }
    scene.append(&[entry(1, 6), entry(1, 7)]);
    let found = scene.reopen_one();
    let expected: Vec<LogRecord> = (1..=7).map(|lsn| entry(1, lsn)).collect();
    assert_eq!(found.entries, expected);
    assert_eq!((found.partition, found.replica), (partition(1), replica(1)));
    assert_eq!((found.state, found.cut_mark), (None, false));
    // And again, with more after the reopening.
    scene.append(&[entry(1, 8)]);
    assert_eq!(scene.reopen_one().last_lsn(), Lsn(8));
    assert!(!scene.recovered.created);
}

fn an_entry_cuts_what_was_at_or_above_its_position(scene: &mut Scene<'_>) {
    scene.append(&[entry(1, 1), entry(1, 2), entry(1, 3), entry(2, 2)]);
    assert_eq!(positions(&scene.reopen_one()), [(1, 1), (2, 2)]);
    scene.append(&[entry(3, 1)]);
    assert_eq!(positions(&scene.reopen_one()), [(3, 1)]);
}

fn a_copied_entry_takes_its_own_position_and_cuts_nothing(scene: &mut Scene<'_>) {
    let copied = |term, lsn, end| LogRecord {
        kind: RecordKind::Copied,
        end: Lsn(end),
        ..entry(term, lsn)
    };
    let entries = [entry(1, 1), entry(1, 2), entry(2, 3), entry(2, 4)];
    scene.append(&entries);
    scene.append(&[state(1, 0, 1), copied(1, 2, 4)]);
    let found = scene.reopen_one();
    assert_eq!(
        found.entries,
        entries[1..],
        "as if it had been there always"
    );
    assert_eq!(found.state, state_at(1, 1));
    scene.append(&[copied(2, 4, 4), copied(2, 3, 4), entry(2, 5)]);
    let found = scene.reopen_one();
    assert_eq!(positions(&found), [(1, 2), (2, 3), (2, 4), (2, 5)]);
    // It may only be of what is held, and goes no further than the log.
    for wrong in [
        copied(1, 1, 5),
        copied(2, 6, 6),
        copied(2, 5, 6),
        copied(2, 5, 4),
    ] {
        let refused = scene.log().append(&[wrong]);
        assert!(matches!(refused, Err(StorageError::OutOfOrder { .. })));
    }
    // A later entry cuts copies as it cuts anything.
    scene.append(&[entry(3, 4)]);
    assert_eq!(positions(&scene.reopen_one()), [(1, 2), (2, 3), (3, 4)]);
}

fn a_state_never_cuts_and_makes_older_entries_unneeded(scene: &mut Scene<'_>) {
    scene.append(&[entry(1, 1), entry(1, 2), entry(1, 3), entry(1, 4)]);
    scene.append(&[state(2, 0, 2), entry(1, 5), state(2, 1, 2)]);
    let found = scene.reopen_one();
    assert_eq!(positions(&found), [(1, 3), (1, 4), (1, 5)]);
    assert_eq!(found.state, state_at(2, 2));
    scene.append(&[state(5, 0, 1), entry(1, 6)]);
    let found = scene.reopen_one();
    assert_eq!(positions(&found), [(1, 6)]);
    assert_eq!(found.state, state_at(5, 1));
}

fn a_state_without_all_parts_changes_nothing(scene: &mut Scene<'_>) {
    let installed = |index| LogRecord {
        installed: true,
        ..state(9, index, 3)
    };
    scene.append(&[entry(1, 1), entry(1, 2), installed(0), installed(1)]);
    let found = scene.reopen_one();
    assert_eq!(
        (positions(&found), found.state),
        (vec![(1, 1), (1, 2)], None)
    );
    assert_eq!(
        found.commit,
        Lsn(1),
        "what it says is committed is not what is held"
    );
    // It may be completed later, or begun again.
    scene.append(&[installed(0)]);
    scene.reopen();
    scene.append(&[installed(1), installed(2)]);
    assert_eq!(scene.reopen_one().state, state_at(9, 3));
}

fn the_state_of_the_highest_position_wins(scene: &mut Scene<'_>) {
    scene.append(&[entry(1, 1), entry(1, 2), entry(1, 3), entry(1, 4)]);
    scene.append(&[state(3, 0, 1), state(2, 0, 1)]);
    let found = scene.reopen_one();
    assert_eq!(
        (positions(&found), found.state),
        (vec![(1, 4)], state_at(3, 1))
    );
}

fn an_installed_state_voids_everything_before_its_first_part(scene: &mut Scene<'_>) {
    let installed = |lsn, index| LogRecord {
        installed: true,
        ..state(lsn, index, 2)
    };
    scene.append(&[entry(1, 1), entry(1, 2), entry(1, 3)]);
    scene.append(&[installed(2, 0), installed(2, 1), entry(4, 3)]);
    let found = scene.reopen_one();
    assert_eq!(
        (positions(&found), found.state),
        (vec![(4, 3)], state_at(2, 2))
    );
    scene.append(&[installed(9, 0), installed(9, 1), entry(4, 10)]);
    let found = scene.reopen_one();
    assert_eq!(
        (positions(&found), found.state),
        (vec![(4, 10)], state_at(9, 2))
    );
    // Even a lower one is what the replica now is.
    scene.append(&[installed(4, 0), installed(4, 1)]);
    let found = scene.reopen_one();
    assert_eq!((positions(&found), found.state), (vec![], state_at(4, 2)));
    scene.append(&[entry(4, 5)]);
}

fn a_reset_voids_what_was_stored(scene: &mut Scene<'_>) {
    scene.append(&[
        entry(1, 1),
        state(1, 0, 1),
        entry(1, 2),
        bare(RecordKind::CutMark),
    ]);
    scene.append(&[bare(RecordKind::Reset)]);
    assert_eq!(scene.reopen(), []);
    scene.append(&[bare(RecordKind::Reset), entry(7, 1)]);
    let found = scene.reopen_one();
    assert_eq!(
        (positions(&found), found.state, found.commit, found.cut_mark),
        (vec![(7, 1)], None, Lsn(0), false)
    );
}

fn another_replica_replaces_the_former(scene: &mut Scene<'_>) {
    scene.append(&[entry(1, 1), entry(1, 2)]);
    let other = LogRecord {
        replica: replica(2),
        ..entry(5, 1)
    };
    scene.append(std::slice::from_ref(&other));
    let found = scene.reopen_one();
    assert_eq!((found.replica, found.entries), (replica(2), vec![other]));
}

fn a_forgotten_partition_is_gone_and_may_return(scene: &mut Scene<'_>) {
    scene.append(&[entry(1, 1), entry(1, 2)]);
    let unknown = LogRecord {
        partition: partition(9),
        ..bare(RecordKind::Forgotten)
    };
    scene.append(&[bare(RecordKind::Forgotten), unknown]);
    assert_eq!(scene.reopen(), []);
    scene.append(&[entry(3, 1)]);
    assert_eq!(positions(&scene.reopen_one()), [(3, 1)]);
}

fn the_highest_commit_is_found(scene: &mut Scene<'_>) {
    let with_commit = |lsn, commit| LogRecord {
        commit: Lsn(commit),
        ..entry(1, lsn)
    };
    scene.append(&[with_commit(1, 0), with_commit(2, 2), with_commit(3, 1)]);
    assert_eq!(scene.reopen_one().commit, Lsn(2));
    scene.append(&[state(3, 0, 1)]);
    assert_eq!(scene.reopen_one().commit, Lsn(3));
}

fn a_cut_mark_stays_until_it_is_cleared(scene: &mut Scene<'_>) {
    scene.append(&[bare(RecordKind::CutMark)]);
    let found = scene.reopen_one();
    assert_eq!((positions(&found), found.cut_mark), (vec![], true));
    scene.append(&[entry(1, 1), state(1, 0, 1), entry(1, 2)]);
    assert!(scene.reopen_one().cut_mark);
    scene.append(&[bare(RecordKind::CutMarkCleared)]);
    let found = scene.reopen_one();
    assert_eq!((positions(&found), found.cut_mark), (vec![(1, 2)], false));
}

fn records_out_of_order_are_refused_whole(scene: &mut Scene<'_>) {
    scene.append(&[entry(1, 1), entry(1, 2), state(2, 0, 1), entry(1, 3)]);
    let other = LogRecord {
        partition: partition(2),
        ..entry(1, 1)
    };
    for (bad, is_part) in [
        (entry(1, 5), false),
        (entry(1, 2), false),
        (state(3, 1, 2), true),
        (state(3, 0, 0), true),
    ] {
        let refused = scene.log().append(&[other.clone(), bad]);
        match refused {
            Err(StorageError::OutOfOrder { last, .. }) => {
                assert_eq!((last, is_part), (Lsn(3), false));
            }
            Err(StorageError::PartOutOfOrder { .. }) => assert!(is_part),
            unexpected => panic!("not refused: {unexpected:?}"),
        }
    }
    let found = scene.reopen_one();
    assert_eq!(
        found.partition,
        partition(1),
        "nothing of a refused append is stored"
    );
    assert_eq!(positions(&found), [(1, 3)]);
}

fn partitions_are_independent(scene: &mut Scene<'_>) {
    let of = |number: u32, record: LogRecord| LogRecord {
        partition: partition(number),
        ..record
    };
    scene.append(&[of(3, entry(1, 1)), of(2, entry(1, 1)), of(3, entry(1, 2))]);
    scene.append(&[
        of(2, state(1, 0, 1)),
        of(3, entry(2, 1)),
        of(4, entry(1, 1)),
        of(4, bare(RecordKind::Forgotten)),
    ]);
    let found = scene.reopen();
    let keys: Vec<PartitionKey> = found.iter().map(|replica| replica.partition).collect();
    assert_eq!(keys, [partition(2), partition(3)]);
    assert_eq!(found[0].state, state_at(1, 1));
    assert_eq!(positions(&found[1]), [(2, 1)]);
}
