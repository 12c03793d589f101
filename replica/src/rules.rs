//! The rules of the protocol that a sabotage can drop, so that a test shows that each is needed.
//!
//! A type parameter, never a cargo feature: features unify over a workspace, and a release must not carry a sabotage.

/// Tells the machine which rule is dropped. The release value is [`Sound`].
pub trait Rules: Clone + std::fmt::Debug + PartialEq {
    /// Whether `rule` is dropped.
    fn drops(&self, rule: Rule) -> bool;

    /// Whether a broken named assertion stops the machine. So it does outside of tests; the explorer looks away from them to
    /// see whether what a dropped rule does shows from outside, too.
    #[inline]
    fn asserts(&self) -> bool {
        true
    }
}

/// All rules hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sound;

impl Rules for Sound {
    #[inline]
    fn drops(&self, _rule: Rule) -> bool {
        false
    }
}

/// A rule that can be dropped. Each variant says what the machine does without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// I3: the primary commits what it has itself, without the acks of the others.
    CommitNeedsAllAcks,
    /// I5: a replica that is being removed is no longer waited for as soon as its removal is proposed.
    RemovedStaysRequired,
    /// I6: a learner is proposed for a seat without being counted first.
    LearnerCounted,
    /// I7: prepares and acks of another term are taken.
    TermFence,
    /// I8: acks report the own length instead of the matching one.
    AckMatchedLength,
    /// I9: a restarted memory-only replica keeps its incarnation.
    NewIncarnation,
    /// I10: a tail is cut down to the own commit index.
    CutAtDivergence,
    /// I11: replies follow the append, not the commit.
    EffectsAfterCommit,
    /// I11, G2: an attempt starts as soon as its task's accept is appended.
    StartAfterAccept,
    /// I11: a start goes unawaited in a later term than its task's, too.
    StartAwaited,
    /// I14: a primary answers and starts without a lease.
    LeaseRequired,
    /// I14: the lease leaves out counted learners.
    LeaseCountsLearners,
    /// I14: a restarted process forgets the leases it granted.
    GrantsSurviveRestart,
    /// I14: a grantor waits for the bare lease, without the drift margin.
    DriftMargin,
    /// I14: a grant is used without having applied the grantor's control index.
    GrantNeedsIndex,
    /// I17: a counted learner counts towards min-copies.
    AdmissionCountsSeatsOnly,
    /// I18: a restarted primary goes on in its old term.
    RestartRaisesTerm,
    /// I18: a started process acks and grants before it applied the record of its start.
    StartAppliedFirst,
    /// I7: acknowledgements of a replaced generation still count.
    GenerationFence,
    /// §5: the mark of a cut tail goes with the first prepare of any sender.
    CutMarkKept,
    /// §5: a replica with a cut tail leads without asking its peers for the tail.
    CutTailAsksPeers,
    /// §5: the tail of any peer that answers passes for all that was committed, and the mark goes with it.
    TailFromWholePeer,
    /// §3: a seat is given up although one that stays carries the mark of a cut tail.
    RemovalWaitsForMark,
    /// I18: a nomination for an earlier start is taken, before the record of this start is applied.
    NominationNamesStart,
    /// G3: a second outcome replaces the first.
    OutcomeOnce,
    /// G5: sequences start over after a loss.
    SequencesContinue,
    /// I15: a backup answers reads from what it has.
    ReadsAtPrimary,
    /// I16: apply reads the local clock.
    ApplyIsClockFree,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 28] = [
        Self::CommitNeedsAllAcks,
        Self::RemovedStaysRequired,
        Self::LearnerCounted,
        Self::TermFence,
        Self::AckMatchedLength,
        Self::NewIncarnation,
        Self::CutAtDivergence,
        Self::EffectsAfterCommit,
        Self::StartAfterAccept,
        Self::StartAwaited,
        Self::LeaseRequired,
        Self::LeaseCountsLearners,
        Self::GrantsSurviveRestart,
        Self::DriftMargin,
        Self::GrantNeedsIndex,
        Self::AdmissionCountsSeatsOnly,
        Self::RestartRaisesTerm,
        Self::StartAppliedFirst,
        Self::GenerationFence,
        Self::CutMarkKept,
        Self::CutTailAsksPeers,
        Self::TailFromWholePeer,
        Self::RemovalWaitsForMark,
        Self::NominationNamesStart,
        Self::OutcomeOnce,
        Self::SequencesContinue,
        Self::ReadsAtPrimary,
        Self::ApplyIsClockFree,
    ];
}
