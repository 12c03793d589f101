//! Opens the shared log of a directory and turns what it holds into replicas.

use std::io;

use ringhold_control::{Cluster, StoreReport};
use ringhold_replica::RecoveredReplica;
use ringhold_storage::{
    DataDirectory, LogOptions, LogRecord, RecordKind, RecordLog, SegmentedLog, StorageError,
};
use ringhold_types::{ClusterId, MemberId, PartitionKey, PartitionNumber, Persistence, ReplicaId};

use super::StartError;
use crate::partition::recover;

/// The log, and what was in it.
pub(super) struct OpenedLog {
    log: SegmentedLog,
    replicas: Vec<RecoveredReplica>,
    /// The tail was cut: replicas that should be here and are not listed may have lost everything.
    unlisted_cut: bool,
    /// What to tell the cluster.
    pub(super) report: StoreReport,
}

/// The log once it belongs to the cluster, and what was in it.
pub(super) struct SettledLog {
    pub(super) log: Box<dyn RecordLog>,
    pub(super) replicas: Vec<RecoveredReplica>,
    /// As of [`OpenedLog`]: what the cluster's state did not name yet when it was settled.
    pub(super) unlisted_cut: bool,
}

/// Opens the log. Rot, or records that cannot be understood, make the store doubtful: it starts over empty as a new
/// incarnation, and catches up (PROTOCOL I9, §5).
pub(super) fn open_log(
    directory: &DataDirectory,
    cluster: ClusterId,
) -> Result<OpenedLog, StartError> {
    let path = directory.log_path();
    let (mut log, found) = SegmentedLog::open(&path, LogOptions::for_cluster(cluster))?;
    let mut doubt = found.damage.map(|damage| damage.to_string());
    let mut replicas = Vec::new();
    if doubt.is_none() {
        let recovered: Result<Vec<_>, _> = found.replicas.into_iter().map(recover).collect();
        match recovered {
            Ok(recovered) => replicas = recovered,
            Err(error) => doubt = Some(error.to_string()),
        }
    }
    let report = match &doubt {
        Some(doubt) => {
            tracing::error!(
                doubt,
                "the store cannot be trusted; this member starts over empty"
            );
            log.start_over()?;
            StoreReport::Doubtful
        }
        None if found.created => StoreReport::Empty,
        None if found.unlisted_cut || replicas.iter().any(|it| it.cut_mark) => StoreReport::Torn,
        None => StoreReport::Intact,
    };
    Ok(OpenedLog {
        log,
        replicas,
        unlisted_cut: found.unlisted_cut && doubt.is_none(),
        report,
    })
}

impl OpenedLog {
    /// The log and its replicas, once this start is recorded: replicas that the log lost with its tail are marked, and the
    /// log counts as the store of its incarnation from now on, so that it does not pass for an emptied one at the next start.
    pub(super) fn settle(
        mut self,
        cluster: &Cluster,
        member: MemberId,
    ) -> Result<SettledLog, StorageError> {
        if self.unlisted_cut {
            let listed = |key: &PartitionKey| self.replicas.iter().any(|r| r.partition == *key);
            let missing: Vec<(PartitionKey, ReplicaId)> = seats_of(cluster, member)
                .into_iter()
                .filter(|(partition, _)| !listed(partition))
                .collect();
            let marks: Vec<LogRecord> = missing
                .iter()
                .map(|(key, replica)| LogRecord::bare(RecordKind::CutMark, *key, *replica))
                .collect();
            self.log.append(&marks)?;
            self.replicas.extend(
                missing
                    .into_iter()
                    .map(|(key, id)| RecoveredReplica::empty_and_marked(key, id)),
            );
        }
        if self.unlisted_cut || self.report != StoreReport::Intact {
            self.log.settle()?;
            self.log.sync()?;
        }
        Ok(SettledLog {
            log: Box::new(self.log),
            replicas: self.replicas,
            unlisted_cut: self.unlisted_cut,
        })
    }
}

/// The replicas that this member has on disk, by the cluster's state: seats, and learners, which may have acknowledged
/// entries and be about to get a seat.
fn seats_of(cluster: &Cluster, member: MemberId) -> Vec<(PartitionKey, ReplicaId)> {
    let mut seats = Vec::new();
    for (executor, record) in cluster.executors() {
        if record.config.persistence != Persistence::Fsync {
            continue;
        }
        for (number, partition) in (0..).zip(&record.partitions) {
            let own = partition
                .in_sync
                .iter()
                .chain(&partition.learners)
                .find(|replica| replica.member == member);
            if let (Some(replica), true) = (own, partition.materialised) {
                let partition = PartitionNumber(number);
                seats.push((
                    PartitionKey {
                        executor: *executor,
                        partition,
                    },
                    *replica,
                ));
            }
        }
    }
    seats
}

/// An error of the small files beside the log.
pub(super) fn io_error(source: io::Error) -> StartError {
    StartError::Directory(source)
}

#[cfg(test)]
mod tests {
    use ringhold_storage::DirectoryExpectation;
    use ringhold_types::UnixMillis;

    use super::*;

    #[test]
    fn a_store_that_was_given_its_incarnation_is_not_taken_for_an_emptied_one_though_nothing_was_written()
     {
        let place = tempfile::tempdir().expect("a directory");
        let expectation = DirectoryExpectation {
            member_name: "m1".to_owned(),
            cluster: None,
            now: UnixMillis(0),
        };
        let directory = DataDirectory::open(place.path(), &expectation).expect("opens");
        let open = || open_log(&directory, ClusterId(1)).expect("opens");
        assert_eq!(open().report, StoreReport::Empty);
        let unheard = open();
        assert_eq!(unheard.report, StoreReport::Empty, "no start was recorded");
        drop(
            unheard
                .settle(&Cluster::new(), MemberId(1))
                .expect("settles"),
        );
        assert_eq!(open().report, StoreReport::Intact);
    }
}
