//! A machine's disk: it takes what a process writes, tells when it is flushed, and keeps of it what a crash leaves.

mod arena;
mod promises;
mod records;
mod segmented;

use ringhold_replica::{PersistToken, Record, RecoveredReplica};
use ringhold_storage::StorageError;
use ringhold_types::{PartitionKey, ReplicaId};

pub(crate) use self::records::RecordDisk;
pub(crate) use self::segmented::SegmentedDisk;
use crate::coverage::Mark;
use crate::plan::{DiskModel, DiskPlan};
use crate::random::Stream;
use crate::sabotage::Sabotage;

/// A disk, as its seed has it simulated.
pub(crate) enum Disk {
    /// The segmented log on a simulated file system.
    Segmented(Box<SegmentedDisk>),
    /// A list of records.
    Records(RecordDisk),
}

/// A flush that is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flush {
    /// Its number on this disk.
    pub(crate) number: usize,
    /// When it ends.
    pub(crate) at: u64,
}

/// What the end of a flush shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flushed {
    /// Everything up to this token is durable.
    pub(crate) token: Option<PersistToken>,
    /// The next flush, which begins at once.
    pub(crate) next: Option<Flush>,
    /// Partitions that the log wants to be written again.
    pub(crate) copies: Vec<PartitionKey>,
    /// What was met.
    pub(crate) met: Vec<Mark>,
    /// Whether the disk is nearly full.
    pub(crate) is_nearly_full: bool,
}

/// What a crash did to a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CrashTrace {
    /// Nothing that a start is known to notice.
    Clean,
    /// A torn tail of writes that nobody relied on.
    Torn,
    /// A damaged tail of flushed writes, above the last mark.
    Damaged,
}

/// What a start finds on a disk.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    /// The replicas.
    pub(crate) replicas: Vec<RecoveredReplica>,
    /// The tail was cut, and a replica that is not listed may have been in it whole.
    pub(crate) unlisted_cut: bool,
    /// Why nothing of it can be trusted; it was emptied then.
    pub(crate) doubt: Option<String>,
    /// It is as new.
    pub(crate) created: bool,
    /// What was flushed and is gone without a sign.
    pub(crate) lost: Option<String>,
    /// Whether something that was flushed was damaged on purpose since the last start.
    pub(crate) was_hurt: bool,
    /// Whether something was that is known to be durable.
    pub(crate) was_rotten: bool,
    /// What was met.
    pub(crate) met: Vec<Mark>,
}

/// The randomness that decides what a crash does.
pub(crate) struct CrashRandom<'a> {
    /// Of a list of records.
    pub(crate) records: &'a mut Stream,
    /// Of a segmented log.
    pub(crate) log: &'a mut Stream,
}

impl Disk {
    /// An empty disk.
    pub(crate) fn new(model: DiskModel, sabotage: Sabotage) -> Self {
        match model {
            DiskModel::Segmented { payload } => {
                Self::Segmented(Box::new(SegmentedDisk::new(payload, sabotage)))
            }
            DiskModel::Records => Self::Records(RecordDisk::new(sabotage.copies_cut())),
        }
    }

    /// Empties it, as if it had never been written to.
    pub(crate) fn empty(&mut self) {
        match self {
            Self::Segmented(disk) => disk.empty(),
            Self::Records(disk) => disk.empty(),
        }
    }

    /// Takes a write; tells of the flush that begins with it, if none is under way. A flush takes `takes` microseconds.
    ///
    /// # Errors
    /// What a sound log never answers.
    pub(crate) fn write(
        &mut self,
        now: u64,
        records: Vec<Record>,
        token: PersistToken,
        takes: u64,
    ) -> Result<Option<Flush>, StorageError> {
        match self {
            Self::Segmented(disk) => disk.write(now, records, token, takes),
            Self::Records(disk) => Ok(Some(disk.write(now, records, token, takes))),
        }
    }

    /// A flush ends.
    ///
    /// # Errors
    /// As [`Disk::write`].
    pub(crate) fn flushed(&mut self, now: u64, number: usize) -> Result<Flushed, StorageError> {
        match self {
            Self::Segmented(disk) => disk.flushed(now, number),
            Self::Records(disk) => Ok(Flushed {
                token: disk.flushed(number),
                ..Flushed::default()
            }),
        }
    }

    /// The flush after so many more fails. Not for a list of records.
    pub(crate) fn fail_flush_after(&mut self, successes: u64) {
        if let Self::Segmented(disk) = self {
            disk.fail_flush_after(successes);
        }
    }

    /// Whether a failure of the log is what was asked for.
    pub(crate) fn is_to_fail(&self) -> bool {
        matches!(self, Self::Segmented(disk) if disk.is_to_fail())
    }

    /// Others take all of the disk but so many bytes, until a time. Not for a list of records.
    pub(crate) fn fill(&mut self, room: u64, until: u64) {
        if let Self::Segmented(disk) = self {
            disk.fill(room, until);
        }
    }

    /// Whether others leave it too little room.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Segmented(disk) if disk.is_full())
    }

    /// No flush fails from now on, and there is room.
    pub(crate) fn end_faults(&mut self) {
        if let Self::Segmented(disk) = self {
            disk.end_faults();
        }
    }

    /// What was found at the start is dealt with: the process is registered.
    ///
    /// # Errors
    /// `DiskFull` on a full disk: the process ends. Else as [`Disk::write`].
    pub(crate) fn settle(&mut self) -> Result<(), StorageError> {
        match self {
            Self::Segmented(disk) => disk.settle(),
            Self::Records(_) => Ok(()),
        }
    }

    /// The process or the machine ends here. `may_damage`: flushed writes above the last mark may be unreadable.
    pub(crate) fn crash(
        &mut self,
        plan: &DiskPlan,
        random: &mut CrashRandom<'_>,
        may_damage: bool,
    ) -> CrashTrace {
        match self {
            Self::Segmented(disk) => disk.crash(plan, random.log, may_damage),
            Self::Records(disk) => disk.crash(plan, random.records, may_damage),
        }
    }

    /// Something that is known to be durable becomes unreadable; nobody has it open.
    pub(crate) fn rot(&mut self, plan: &DiskPlan, random: &mut Stream) {
        match self {
            Self::Segmented(disk) => disk.rot(plan, random),
            Self::Records(disk) => disk.empty(),
        }
    }

    /// Opens it for a process that starts. `seats` are the replicas that the control plane knows here: one that a cut took
    /// whole is empty and marked, and the mark is written down.
    ///
    /// # Errors
    /// `DiskFull` on a full disk: the process does not start. Else as [`Disk::write`].
    pub(crate) fn open(
        &mut self,
        now: u64,
        seats: &[(PartitionKey, ReplicaId)],
        plan: &DiskPlan,
        random: &mut Stream,
    ) -> Result<Opened, StorageError> {
        match self {
            Self::Segmented(disk) => disk.open(now, seats, plan, random),
            Self::Records(disk) => Ok(disk.open(seats)),
        }
    }

    /// The list of records, if it is one.
    pub(crate) fn as_records(&mut self) -> Option<&mut RecordDisk> {
        match self {
            Self::Segmented(_) => None,
            Self::Records(disk) => Some(disk),
        }
    }
}

/// The seats that a cut may have taken whole: those that were not found.
fn missing(
    seats: &[(PartitionKey, ReplicaId)],
    found: &[RecoveredReplica],
) -> Vec<(PartitionKey, ReplicaId)> {
    let listed = |key: &PartitionKey| found.iter().any(|it| it.partition == *key);
    let unlisted = seats.iter().filter(|(key, _)| !listed(key));
    unlisted.copied().collect()
}

/// What stands for them.
fn marked(missing: &[(PartitionKey, ReplicaId)]) -> impl Iterator<Item = RecoveredReplica> {
    missing
        .iter()
        .map(|(key, id)| RecoveredReplica::empty_and_marked(*key, *id))
}
