//! The rules that a sabotage drops, each to be noticed by the explorer: a checker that never fails proves nothing.

use ringhold_control::Cluster;
use ringhold_replica::{PeerMessage, Rule, Rules};
use ringhold_types::ConfigurationChange;

/// The machine under test, with at most one rule dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sabotaged {
    /// The rule that is dropped.
    pub dropped: Option<Rule>,
    /// Whose judgement ends a run.
    pub watch: Watch,
}

impl Rules for Sabotaged {
    #[inline]
    fn drops(&self, rule: Rule) -> bool {
        self.dropped == Some(rule)
    }

    #[inline]
    fn asserts(&self) -> bool {
        self.watch == Watch::All
    }
}

/// Whose judgement ends a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watch {
    /// The named assertions, inside the machines and over their shoulders, and what shows from outside.
    #[default]
    All,
    /// Only what shows from outside: logs, rings, answers, receipts. So it is told whether a dropped rule does any harm, which
    /// an assertion that names the rule cannot tell.
    Outside,
}

/// What is broken on purpose in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sabotage {
    /// Nothing.
    #[default]
    None,
    /// A rule of the machine.
    Rule(Rule),
    /// §5: a copy of a ring that is written forward voids what lies beside it.
    StragglerCopyCuts,
    /// I4: backups take all they have for committed.
    BackupsTrustLength,
    /// I1: a change applies whatever version it expects.
    VersionExpected,
    /// I2: a learner is named primary, however little it has.
    LearnerElected,
    /// §3: members are judged dead as if no tail were cut.
    DeathIgnoresMark,
    /// §5: what an older segment holds counts, whatever its checksums say.
    OldSegmentsTrusted,
}

impl Sabotage {
    /// The rules of the machine in such a run.
    #[must_use]
    pub const fn rules(self, watch: Watch) -> Sabotaged {
        let dropped = match self {
            Self::Rule(rule) => Some(rule),
            _ => None,
        };
        Sabotaged { dropped, watch }
    }

    /// Whether copied states cut at replay.
    #[must_use]
    pub const fn copies_cut(self) -> bool {
        matches!(self, Self::StragglerCopyCuts)
    }

    /// Changes a message on its way.
    #[must_use]
    pub fn tamper(self, mut message: PeerMessage) -> PeerMessage {
        if self == Self::BackupsTrustLength
            && let PeerMessage::Prepare(prepare) = &mut message
        {
            prepare.commit = prepare.length;
        }
        message
    }

    /// Changes a proposal on its way.
    #[must_use]
    pub fn rewrite(self, change: &ConfigurationChange, cluster: &Cluster) -> ConfigurationChange {
        let mut change = change.clone();
        if self == Self::VersionExpected
            && let Some(current) = cluster.configuration(change.partition)
        {
            change.expected = current.version;
            change.term = current.term;
            change.proposer = current.primary.unwrap_or(change.proposer);
        }
        change
    }

    /// The sabotage of a name in the list.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Listed> {
        LIST.iter().find(|listed| listed.name == name)
    }
}

/// A sabotage with its name, and how many fresh seeds must find it.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    /// Its name.
    pub name: &'static str,
    /// The rule that it breaks, and how.
    pub breaks: &'static str,
    /// What it is.
    pub sabotage: Sabotage,
    /// Seeds that it takes to notice it from outside.
    pub needed: Needed,
}

/// The named assertions that each of these sabotages breaks, by the sabotage's name. Every rule is there: an assertion that
/// nothing can break proves nothing.
pub const ASSERTED: [(&str, &str); 25] = [
    ("version-not-expected", "I1"),
    ("learner-elected", "I2"),
    ("commit-without-acks", "I3"),
    ("backups-trust-length", "I4"),
    ("removed-at-once", "I5"),
    ("learner-not-counted", "I6"),
    ("no-term-fence", "I7"),
    ("no-generation-fence", "I7"),
    ("ack-own-length", "I8"),
    ("incarnation-kept", "I9"),
    ("cut-to-commit", "I10"),
    ("effects-before-commit", "I11"),
    ("start-before-stored", "I11"),
    ("start-not-awaited", "I11"),
    ("second-outcome", "I12"),
    ("second-outcome", "I13"),
    ("no-lease", "I14"),
    ("grants-forgotten", "I14"),
    ("reads-at-backups", "I15"),
    ("clock-in-apply", "I16"),
    ("learner-counts-for-admission", "I17"),
    ("term-kept-at-restart", "I18"),
    ("takes-part-unrecorded", "I18"),
    ("old-notice-leads", "I18"),
    ("sequences-reset", "I13"),
];

/// Seeds that it takes to notice a sabotage; 1 where a directed schedule shows it.
#[derive(Clone, Copy, Debug)]
pub struct Needed {
    /// Measured: the median of several runs from random starts (`ringhold-chaos sabotage --all --from random`).
    pub median: u64,
    /// Fresh seeds within which it is caught: at least ten times the median, and many more where that costs nothing, since
    /// a run ends with the first find.
    pub stated: u64,
}

const fn rule(name: &'static str, rule: Rule, needed: Needed, breaks: &'static str) -> Listed {
    Listed {
        name,
        breaks,
        sabotage: Sabotage::Rule(rule),
        needed,
    }
}

/// All sabotages.
pub const LIST: [Listed; 34] = [
    rule(
        "commit-without-acks",
        Rule::CommitNeedsAllAcks,
        Needed {
            median: 1,
            stated: 5_000,
        },
        "I3: a primary commits what it has itself",
    ),
    rule(
        "no-term-fence",
        Rule::TermFence,
        Needed {
            median: 9,
            stated: 5_000,
        },
        "I7: prepares and acks of another term are taken",
    ),
    rule(
        "effects-before-commit",
        Rule::EffectsAfterCommit,
        Needed {
            median: 2,
            stated: 5_000,
        },
        "I11: replies follow the append",
    ),
    rule(
        "start-before-stored",
        Rule::StartAfterAccept,
        Needed {
            median: 2,
            stated: 5_000,
        },
        "I11, G2: an attempt starts while its task is appended and not committed",
    ),
    rule(
        "start-not-awaited",
        Rule::StartAwaited,
        Needed {
            median: 2,
            stated: 5_000,
        },
        "I11: in a later term than its task's an attempt starts before its start is committed",
    ),
    rule(
        "removed-at-once",
        Rule::RemovedStaysRequired,
        Needed {
            median: 11,
            stated: 5_000,
        },
        "I5: a replica whose removal is proposed is no longer waited for",
    ),
    rule(
        "learner-not-counted",
        Rule::LearnerCounted,
        Needed {
            median: 3,
            stated: 5_000,
        },
        "I6: a learner is proposed without being counted first",
    ),
    rule(
        "ack-own-length",
        Rule::AckMatchedLength,
        Needed {
            median: 8,
            stated: 5_000,
        },
        "I8: acks report the own length",
    ),
    rule(
        "incarnation-kept",
        Rule::NewIncarnation,
        Needed {
            median: 3,
            stated: 5_000,
        },
        "I9: a restarted memory-only replica keeps its incarnation",
    ),
    rule(
        "cut-to-commit",
        Rule::CutAtDivergence,
        Needed {
            median: 2,
            stated: 5_000,
        },
        "I10: a tail is cut down to the own commit",
    ),
    rule(
        "no-lease",
        Rule::LeaseRequired,
        Needed {
            median: 2,
            stated: 5_000,
        },
        "I14: a primary answers and starts without a lease",
    ),
    rule(
        "lease-without-learners",
        Rule::LeaseCountsLearners,
        Needed {
            median: 1,
            stated: 5_000,
        },
        "I14: the lease leaves out counted learners",
    ),
    rule(
        "grants-forgotten",
        Rule::GrantsSurviveRestart,
        Needed {
            median: 5,
            stated: 5_000,
        },
        "I14: a restarted process forgets the leases it granted",
    ),
    rule(
        "no-drift-margin",
        Rule::DriftMargin,
        Needed {
            median: 244,
            stated: 20_000,
        },
        "I14: a grantor waits for the bare lease",
    ),
    rule(
        "grant-without-index",
        Rule::GrantNeedsIndex,
        Needed {
            median: 198,
            stated: 20_000,
        },
        "I14: a grant is used without its grantor's control index",
    ),
    rule(
        "learner-counts-for-admission",
        Rule::AdmissionCountsSeatsOnly,
        Needed {
            median: 20,
            stated: 5_000,
        },
        "I17: a counted learner counts towards min-copies",
    ),
    rule(
        "term-kept-at-restart",
        Rule::RestartRaisesTerm,
        Needed {
            median: 2,
            stated: 5_000,
        },
        "I18: a restarted primary goes on in its old term",
    ),
    rule(
        "takes-part-unrecorded",
        Rule::StartAppliedFirst,
        Needed {
            median: 110,
            stated: 5_000,
        },
        "I18: a process takes part before the record of its start",
    ),
    rule(
        "no-generation-fence",
        Rule::GenerationFence,
        Needed {
            median: 94,
            stated: 5_000,
        },
        "I7: acks of a replaced generation count",
    ),
    rule(
        "cut-mark-cleared-early",
        Rule::CutMarkKept,
        Needed {
            median: 1,
            stated: 5_000,
        },
        "§5: the mark of a cut tail goes with any prepare",
    ),
    rule(
        "cut-tail-leads",
        Rule::CutTailAsksPeers,
        Needed {
            median: 23,
            stated: 5_000,
        },
        "§5: a replica with a cut tail leads without asking",
    ),
    rule(
        "any-peers-tail",
        Rule::TailFromWholePeer,
        Needed {
            median: 1,
            stated: 5_000,
        },
        "§5: the tail of any peer that answers passes for all that was committed, and the mark goes with it",
    ),
    rule(
        "removal-ignores-mark",
        Rule::RemovalWaitsForMark,
        Needed {
            median: 1,
            stated: 5_000,
        },
        "§3: a seat is given up although one that stays carries the mark of a cut tail",
    ),
    rule(
        "old-notice-leads",
        Rule::NominationNamesStart,
        Needed {
            median: 6,
            stated: 5_000,
        },
        "I18: a nomination for an earlier start is taken after a restart",
    ),
    rule(
        "second-outcome",
        Rule::OutcomeOnce,
        Needed {
            median: 4,
            stated: 5_000,
        },
        "G3: a second outcome replaces the first",
    ),
    rule(
        "sequences-reset",
        Rule::SequencesContinue,
        Needed {
            median: 7,
            stated: 5_000,
        },
        "G5: sequences start over after a loss",
    ),
    rule(
        "reads-at-backups",
        Rule::ReadsAtPrimary,
        Needed {
            median: 2,
            stated: 5_000,
        },
        "I15: a backup answers reads from what it has",
    ),
    rule(
        "clock-in-apply",
        Rule::ApplyIsClockFree,
        Needed {
            median: 2,
            stated: 5_000,
        },
        "I16: apply reads the local clock",
    ),
    Listed {
        name: "straggler-copy-cuts",
        breaks: "§5: a copied state voids what lies beside it",
        sabotage: Sabotage::StragglerCopyCuts,
        needed: Needed {
            median: 1,
            stated: 5_000,
        },
    },
    Listed {
        name: "death-ignores-mark",
        breaks: "§3: seats of the dead are given up although only a cut tail is left",
        sabotage: Sabotage::DeathIgnoresMark,
        needed: Needed {
            median: 1,
            stated: 5_000,
        },
    },
    Listed {
        name: "old-segments-trusted",
        breaks: "§5: what an older segment holds counts, whatever its checksums say",
        sabotage: Sabotage::OldSegmentsTrusted,
        needed: Needed {
            median: 60,
            stated: 5_000,
        },
    },
    Listed {
        name: "learner-elected",
        breaks: "I2: a learner is named primary, however little it has",
        sabotage: Sabotage::LearnerElected,
        needed: Needed {
            median: 6,
            stated: 5_000,
        },
    },
    Listed {
        name: "backups-trust-length",
        breaks: "I4: backups take all they have for committed",
        sabotage: Sabotage::BackupsTrustLength,
        needed: Needed {
            median: 1,
            stated: 5_000,
        },
    },
    Listed {
        name: "version-not-expected",
        breaks: "I1: a change applies whatever version it expects",
        sabotage: Sabotage::VersionExpected,
        needed: Needed {
            median: 290,
            stated: 5_000,
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stated_seeds_are_ten_times_the_median_at_least() {
        for listed in LIST {
            let Needed { median, stated } = listed.needed;
            assert!(median > 0 && stated >= 10 * median, "{}", listed.name);
        }
    }

    #[test]
    fn every_rule_of_the_protocol_is_an_assertion_that_some_sabotage_breaks() {
        for rule in crate::world::RULES {
            assert!(ASSERTED.iter().any(|(_, it)| *it == rule), "{rule}");
        }
        for (name, rule) in ASSERTED {
            assert!(Sabotage::named(name).is_some(), "{name}");
            assert!(crate::world::RULES.contains(&rule), "{rule}");
        }
    }

    #[test]
    fn every_rule_of_the_machine_has_its_sabotage() {
        for rule in Rule::ALL {
            let named = |listed: &&Listed| listed.sabotage == Sabotage::Rule(rule);
            assert_eq!(LIST.iter().filter(named).count(), 1, "{rule:?}");
        }
    }
}
