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
    /// A primary with a cut tail left the lead to a peer whose log does not reach back to its own (§5).
    TailOutOfReach,
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
    /// Ids of a lost generation answered DATA_LOSS.
    DataLossAnswered,
}

impl Mark {
    /// All that must be met.
    pub const ALL: [Self; 41] = [
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
        Self::Lost,
        Self::Poisoned,
        Self::PrimaryRestarted,
        Self::NewIncarnation,
        Self::TornTail,
        Self::DamagedTail,
        Self::TailTaken,
        Self::TailOutOfReach,
        Self::Rot,
        Self::WaiterWoken,
        Self::WaiterRedirected,
        Self::Full,
        Self::TakenTwice,
        Self::Cancelled,
        Self::CameBack,
        Self::DataLossAnswered,
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
            Note::TailOutOfReach(_) => Self::TailOutOfReach,
            Note::Lost(_) => Self::Lost,
            Note::Poisoned(_) => Self::Poisoned,
            // Overflow of a learner's buffer needs more entries than a seed has; a directed schedule meets it.
            Note::CatchUpRestarted(_) => return None,
        })
    }
}

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
    fn a_mark_is_missing_until_it_is_met() {
        let mut coverage = Coverage::default();
        assert_eq!(coverage.missing().len(), Mark::ALL.len());
        coverage.mark(Mark::TailCut);
        assert!(!coverage.missing().contains(&"tail_cut".to_owned()));
        assert_eq!(coverage.by_name()["tail_cut"], 1);
    }
}
