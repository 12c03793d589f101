//! What a batch of seeds must have met at least once: each bullet of PROTOCOL §3, each guard of an I-rule tried. A batch that
//! never met one has proven nothing about it.

use std::collections::BTreeMap;

use ringhold_replica::Note;

/// Something that must be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// A partition's configuration changed (I1).
    ConfigurationChanged,
    /// A proposal came too late and was refused (I1).
    StaleVersionRefused,
    /// A primary took over (I2, I8).
    TookOver,
    /// A primary took over a log with entries that were not known to be committed (I3, I8).
    TookOverUncommittedTail,
    /// A primary stepped down.
    SteppedDown,
    /// A tail was cut at the divergence point (I10).
    TailCut,
    /// A message of another term, generation or incarnation was refused (I7, I9).
    Fenced,
    /// A report of an older attempt was refused (G3).
    ReportRefused,
    /// A learner was counted (I6).
    LearnerCounted,
    /// A learner got a seat.
    LearnerPromoted,
    /// A learner took the seat of another in one step.
    SeatSwapped,
    /// A seat was removed without a replacement (I17).
    Degraded,
    /// A snapshot began.
    SnapshotStarted,
    /// A snapshot was installed.
    SnapshotInstalled,
    /// An answer waited for a lease (I14).
    WaitedForLease,
    /// A new primary had to wait for leases to run out (I14).
    WaitedForGrants,
    /// A zombie woke after its successor had committed (I14).
    ZombieWoke,
    /// A lone primary answered under the control plane's lease.
    LonePrimaryAnswered,
    /// A submit was refused for too few copies (I17).
    TooFewCopies,
    /// A submit found its task stored (G6).
    DuplicateFound,
    /// A submit found its task stored, in a later term (G6).
    DuplicateAfterTakeover,
    /// A task ran again because a member died under it.
    Rerun,
    /// An attempt of an older term was adopted.
    Adopted,
    /// A hand-over was committed (G7).
    HandedOver,
    /// A member was drained.
    Drained,
    /// The time of a drain was over while something ran for others, and that was handed back.
    AttemptHandedBack,
    /// The same, before its handler had begun.
    HandedBackUnbegun,
    /// A handler did not listen and was given up.
    HandlerGivenUp,
    /// A partition lost its last copy (G5).
    Lost,
    /// A task failed as poison.
    Poisoned,
    /// A process started anew while it led (I18).
    PrimaryRestarted,
    /// A process started with a new incarnation (I9).
    NewIncarnation,
    /// A disk's tail was torn.
    TornTail,
    /// Flushed writes were damaged above the last mark (§5).
    DamagedTail,
    /// A tail was taken from a peer after a cut (§5).
    TailTaken,
    /// A store was found rotten (§5).
    Rot,
    /// A waiter was answered by an outcome.
    WaiterWoken,
    /// A waiter was sent to another primary.
    WaiterRedirected,
    /// A submit was refused because the partition was full.
    Full,
    /// An outcome was disposed by a reader, and answered again to the same request.
    TakenTwice,
    /// A task was cancelled.
    Cancelled,
    /// A member came back after it was judged dead, without having ended.
    CameBack,
    /// A member died and did not come back, and nobody said so.
    StayedDead,
    /// Ids of a lost generation answered DATA_LOSS.
    DataLossAnswered,
    /// A slow replica lost its seat (§3).
    SlowEjected,
    /// A learner was named for the seat of a slow replica that lives (§3).
    StandInNamed,
    /// A primary that was itself the slow one gave the lead away (§3).
    SlowPrimary,
    /// A counted learner that did not catch up was not waited for any more (I6).
    LearnerGivenUp,
    /// A seat was kept because one that stays carried the mark of a cut tail (§3).
    RemovalWaitsForMark,
    /// An addition in doubt was settled by a bump of the version (I6).
    AdditionSettled,
    /// A replica lost its seat while its primary had entries that it lacked (I5).
    RemovedWasBehind,
    /// Rings were compared at a commit (I13).
    RingsCompared,
    /// Outcomes were overwritten by a logged operation (I16).
    Evicted,
    /// A replica with a cut tail and nobody to ask had the loss recorded (§5).
    LossRecorded,
    /// A log went on in another segment (§5).
    SegmentBegun,
    /// A segment that nobody needed any more was written again (§5).
    SegmentRecycled,
    /// What kept an old segment was copied forward because the log asked for it (§5).
    StragglerCopied,
    /// A start ended while it read, cut or started over its log, and another one followed (§5).
    OpeningCutShort,
    /// A flush failed, and the member ended with its log (§5).
    FlushFailed,
    /// A full disk took nothing, and what was handed over waited for room (§5).
    WaitedForDisk,
    /// It was taken once there was room again (§5).
    DiskHadRoomAgain,
    /// A submit was refused because a disk was nearly full (§4).
    DiskFullRefused,
    /// A log was refused whole because of an unreadable batch in a segment before its newest one (§5).
    OldRotRefused,
    /// Its member had a seat again, as a new incarnation (§5).
    OldRotMended,
    /// A process did not start because its disk was full (§5).
    FullAtStart,
    /// It started once there was room (§5).
    StartedWithRoom,
}

impl Mark {
    /// All that must be met.
    pub const ALL: [Self; 66] = [
        Self::ConfigurationChanged,
        Self::StaleVersionRefused,
        Self::TookOver,
        Self::TookOverUncommittedTail,
        Self::SteppedDown,
        Self::TailCut,
        Self::Fenced,
        Self::ReportRefused,
        Self::LearnerCounted,
        Self::LearnerPromoted,
        Self::SeatSwapped,
        Self::Degraded,
        Self::SnapshotStarted,
        Self::SnapshotInstalled,
        Self::WaitedForLease,
        Self::WaitedForGrants,
        Self::ZombieWoke,
        Self::LonePrimaryAnswered,
        Self::TooFewCopies,
        Self::DuplicateFound,
        Self::DuplicateAfterTakeover,
        Self::Rerun,
        Self::Adopted,
        Self::HandedOver,
        Self::Drained,
        Self::AttemptHandedBack,
        Self::HandedBackUnbegun,
        Self::HandlerGivenUp,
        Self::Lost,
        Self::Poisoned,
        Self::PrimaryRestarted,
        Self::NewIncarnation,
        Self::TornTail,
        Self::DamagedTail,
        Self::TailTaken,
        Self::Rot,
        Self::WaiterWoken,
        Self::WaiterRedirected,
        Self::Full,
        Self::TakenTwice,
        Self::Cancelled,
        Self::CameBack,
        Self::StayedDead,
        Self::DataLossAnswered,
        Self::SlowEjected,
        Self::StandInNamed,
        Self::SlowPrimary,
        Self::LearnerGivenUp,
        Self::RemovalWaitsForMark,
        Self::AdditionSettled,
        Self::RemovedWasBehind,
        Self::RingsCompared,
        Self::Evicted,
        Self::LossRecorded,
        Self::SegmentBegun,
        Self::SegmentRecycled,
        Self::StragglerCopied,
        Self::OpeningCutShort,
        Self::FlushFailed,
        Self::WaitedForDisk,
        Self::DiskHadRoomAgain,
        Self::DiskFullRefused,
        Self::OldRotRefused,
        Self::OldRotMended,
        Self::FullAtStart,
        Self::StartedWithRoom,
    ];

    /// The name in reports.
    #[must_use]
    pub fn name(self) -> String {
        let mut name = String::new();
        for character in format!("{self:?}").chars() {
            if character.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(character.to_ascii_lowercase());
        }
        name
    }

    /// What a note of the machine stands for.
    #[must_use]
    pub fn of_note(note: Note) -> Option<Self> {
        Some(match note {
            Note::TookOver(_) => Self::TookOver,
            Note::SteppedDown(_) => Self::SteppedDown,
            Note::TailCut(_) => Self::TailCut,
            Note::Fenced(_) => Self::Fenced,
            Note::ReportRefused(_) => Self::ReportRefused,
            Note::LearnerCounted(_) => Self::LearnerCounted,
            Note::SnapshotInstalled(_) => Self::SnapshotInstalled,
            Note::SnapshotStarted(_) => Self::SnapshotStarted,
            Note::WaitedForLease(_) => Self::WaitedForLease,
            Note::TooFewCopies(_) => Self::TooFewCopies,
            Note::DuplicateFound(_) => Self::DuplicateFound,
            Note::Rerun(_) => Self::Rerun,
            Note::Adopted(_) => Self::Adopted,
            Note::HandedOver(_) => Self::HandedOver,
            Note::TailTaken(_) => Self::TailTaken,
            Note::SlowEjected(_) => Self::SlowEjected,
            Note::SlowPrimary(_) => Self::SlowPrimary,
            Note::LearnerGivenUp(_) => Self::LearnerGivenUp,
            Note::RemovalWaitsForMark(_) => Self::RemovalWaitsForMark,
            Note::Lost(_) => Self::Lost,
            Note::Poisoned(_) => Self::Poisoned,
            // Both need a log longer than a seed's, but for rare chances; tests of the machine meet them.
            Note::CatchUpRestarted(_) | Note::TailOutOfReach(_) => return None,
            // The explorer's members have no bound of bytes; tests of the machine meet it.
            Note::RingsFull(_) => return None,
            // Counted where the control plane names one.
            Note::StandInWanted(_) => return None,
        })
    }
}

/// What stands for each bullet of PROTOCOL §3, for §5's cut tails and for each rule: all of it must be met.
pub const COVERS: [(&str, &[Mark]); 29] = [
    (
        "§3 detection",
        &[Mark::CameBack, Mark::StayedDead, Mark::ZombieWoke],
    ),
    (
        "§3 takeover",
        &[Mark::TookOver, Mark::TookOverUncommittedTail, Mark::TailCut],
    ),
    (
        "§3 suspicion replaces, proof removes",
        &[
            Mark::SeatSwapped,
            Mark::Degraded,
            Mark::RemovalWaitsForMark,
            Mark::SlowEjected,
            Mark::StandInNamed,
            Mark::SlowPrimary,
        ],
    ),
    (
        "§3 catch-up of a learner",
        &[
            Mark::SnapshotStarted,
            Mark::SnapshotInstalled,
            Mark::LearnerPromoted,
        ],
    ),
    (
        "§3 planned hand-over",
        &[
            Mark::HandedOver,
            Mark::Drained,
            Mark::AttemptHandedBack,
            Mark::HandedBackUnbegun,
            Mark::HandlerGivenUp,
        ],
    ),
    (
        "§3 executing member and primary",
        &[Mark::Adopted, Mark::ReportRefused],
    ),
    ("§3 starts and poison", &[Mark::Rerun, Mark::Poisoned]),
    ("§3 total loss", &[Mark::Lost, Mark::DataLossAnswered]),
    ("§3 waiters", &[Mark::WaiterWoken, Mark::WaiterRedirected]),
    (
        "§5 cut tails",
        &[
            Mark::TornTail,
            Mark::DamagedTail,
            Mark::TailTaken,
            Mark::LossRecorded,
        ],
    ),
    (
        "§5 the shared log",
        &[
            Mark::SegmentBegun,
            Mark::SegmentRecycled,
            Mark::StragglerCopied,
            Mark::OpeningCutShort,
            Mark::FlushFailed,
            Mark::WaitedForDisk,
            Mark::DiskHadRoomAgain,
            Mark::DiskFullRefused,
            Mark::OldRotRefused,
            Mark::FullAtStart,
            Mark::StartedWithRoom,
        ],
    ),
    (
        "I1",
        &[Mark::ConfigurationChanged, Mark::StaleVersionRefused],
    ),
    ("I2", &[Mark::TookOver, Mark::Lost]),
    ("I3", &[Mark::TookOverUncommittedTail]),
    ("I4", &[Mark::RingsCompared, Mark::TailCut]),
    ("I5", &[Mark::RemovedWasBehind]),
    (
        "I6",
        &[
            Mark::LearnerCounted,
            Mark::LearnerGivenUp,
            Mark::AdditionSettled,
        ],
    ),
    ("I7", &[Mark::Fenced]),
    ("I8", &[Mark::TookOver, Mark::TailCut]),
    ("I9", &[Mark::NewIncarnation, Mark::Rot, Mark::OldRotMended]),
    ("I10", &[Mark::TailCut]),
    (
        "I11",
        &[Mark::TookOverUncommittedTail, Mark::DuplicateFound],
    ),
    ("I12", &[Mark::ReportRefused]),
    ("I13", &[Mark::RingsCompared]),
    (
        "I14",
        &[
            Mark::WaitedForLease,
            Mark::WaitedForGrants,
            Mark::ZombieWoke,
            Mark::LonePrimaryAnswered,
        ],
    ),
    ("I15", &[Mark::WaitedForLease, Mark::WaiterRedirected]),
    ("I16", &[Mark::Evicted]),
    ("I17", &[Mark::TooFewCopies]),
    ("I18", &[Mark::PrimaryRestarted]),
];

/// How often each thing was met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: BTreeMap<Mark, u64>,
}

impl Coverage {
    /// Notes that something was met.
    pub fn mark(&mut self, mark: Mark) {
        *self.counts.entry(mark).or_default() += 1;
    }

    /// Adds what another run met.
    pub fn add(&mut self, other: &Self) {
        for (mark, count) in &other.counts {
            *self.counts.entry(*mark).or_default() += count;
        }
    }

    /// How often something was met.
    #[must_use]
    pub fn count(&self, mark: Mark) -> u64 {
        self.counts.get(&mark).copied().unwrap_or(0)
    }

    /// By name.
    #[must_use]
    pub fn by_name(&self) -> BTreeMap<String, u64> {
        Mark::ALL
            .iter()
            .map(|mark| (mark.name(), self.count(*mark)))
            .collect()
    }

    /// What was never met.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let never = Mark::ALL.iter().filter(|mark| self.count(**mark) == 0);
        never.map(|mark| mark.name()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_and_every_bullet_has_marks_that_must_be_met() {
        let names: Vec<&str> = COVERS.iter().map(|(name, _)| *name).collect();
        for rule in 1..=18 {
            assert!(names.contains(&format!("I{rule}").as_str()), "I{rule}");
        }
        let bullets = names.iter().filter(|name| name.starts_with("§3"));
        assert_eq!(bullets.count(), 9, "PROTOCOL §3 has nine bullets");
        for (name, marks) in COVERS {
            assert!(!marks.is_empty(), "{name}");
            assert!(marks.iter().all(|mark| Mark::ALL.contains(mark)), "{name}");
        }
    }

    #[test]
    fn a_mark_is_missing_until_it_is_met() {
        let mut coverage = Coverage::default();
        assert_eq!(coverage.missing().len(), Mark::ALL.len());
        coverage.mark(Mark::TailCut);
        assert!(!coverage.missing().contains(&"tail_cut".to_owned()));
        assert_eq!(coverage.by_name()["tail_cut"], 1);
    }
}
