//! The mark of a replica whose tail was cut at start, and may have held acknowledged entries (PROTOCOL §5).

use crate::effect::PersistToken;

/// Whether the mark is carried. It is carried until its removal is on disk, behind the entries that allowed it: whoever
/// believes the mark gone sooner counts on entries that the next crash may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CutMark {
    /// Nothing was cut, or it is all there again.
    #[default]
    None,
    /// Something may be missing.
    Carried,
    /// Nothing is missing any more once the disk has confirmed this token.
    Going(PersistToken),
}

impl CutMark {
    /// The mark as it was found on disk.
    pub(crate) const fn found(marked: bool) -> Self {
        if marked { Self::Carried } else { Self::None }
    }

    /// Whether this process still lacks what may have been cut. Once the removal is on its way it has it all, or the loss of
    /// it is recorded, though the disk does not have it yet.
    pub(crate) const fn is_unanswered(self) -> bool {
        matches!(self, Self::Carried)
    }

    /// Whether the mark still counts for others.
    pub(crate) const fn is_carried(self) -> bool {
        !matches!(self, Self::None)
    }

    /// The disk has everything up to `token`. Tells whether that took the mark away.
    pub(crate) fn confirmed(&mut self, token: PersistToken) -> bool {
        let gone = matches!(self, Self::Going(removal) if *removal <= token);
        if gone {
            *self = Self::None;
        }
        gone
    }
}
