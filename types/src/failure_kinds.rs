//! A set of kinds of failure.

use std::collections::BTreeSet;

use crate::FailureKind;

/// A set of kinds of failure, those of newer versions included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailureKinds(BTreeSet<FailureKind>);

impl FailureKinds {
    /// Kinds of which another attempt may go better, and which tell nothing against trying.
    pub const RETRIED: [FailureKind; 9] = [
        FailureKind::Handler,
        FailureKind::Panic,
        FailureKind::NonzeroExit,
        FailureKind::Signal,
        FailureKind::LaunchFailure,
        FailureKind::TimedOut,
        FailureKind::OutOfMemory,
        FailureKind::LeaseLost,
        FailureKind::Internal,
    ];
    /// Kinds after which no policy tries again: the task must not run twice, has killed too many members, or was to end.
    pub const FINAL: [FailureKind; 3] = [
        FailureKind::Interrupted,
        FailureKind::Poison,
        FailureKind::Cancelled,
    ];

    /// The kinds that are tried again unless a policy says otherwise: [`Self::RETRIED`].
    #[must_use]
    pub fn retried_by_default() -> Self {
        Self::RETRIED.into_iter().collect()
    }

    /// Whether it has this kind.
    #[must_use]
    pub fn contains(&self, kind: FailureKind) -> bool {
        self.0.contains(&kind)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The kinds in their order.
    pub fn iter(&self) -> impl Iterator<Item = FailureKind> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<FailureKind> for FailureKinds {
    fn from_iter<I: IntoIterator<Item = FailureKind>>(kinds: I) -> Self {
        Self(kinds.into_iter().collect())
    }
}
