//! How far a replica's log is on disk.

use std::collections::VecDeque;

use ringhold_types::Lsn;

use crate::effect::PersistToken;

/// How far a replica's log is on disk: what was handed over, and what the disk has confirmed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Durability {
    /// Whether the replica's executor keeps its log on disk at all.
    on_disk: bool,
    /// Everything up to here is on disk.
    confirmed: Lsn,
    /// Handed over, not confirmed: token and log length at that moment.
    pending: VecDeque<(PersistToken, Lsn)>,
}

impl Durability {
    /// A log that is on disk up to `confirmed`; `on_disk` is false for executors that live in memory.
    #[must_use]
    pub(crate) const fn new(on_disk: bool, confirmed: Lsn) -> Self {
        Self {
            on_disk,
            confirmed,
            pending: VecDeque::new(),
        }
    }

    /// Whether entries must be handed over.
    #[must_use]
    pub(crate) const fn on_disk(&self) -> bool {
        self.on_disk
    }

    /// The log up to `lsn` was handed over under `token`.
    pub(crate) fn handed_over(&mut self, token: PersistToken, lsn: Lsn) {
        match self.pending.back_mut() {
            Some((last, length)) if *last == token => *length = lsn,
            _ => self.pending.push_back((token, lsn)),
        }
    }

    /// The log was cut after `lsn`: what comes after it must be confirmed anew.
    pub(crate) fn cut_after(&mut self, lsn: Lsn) {
        self.confirmed = self.confirmed.min(lsn);
        for (_, length) in &mut self.pending {
            *length = (*length).min(lsn);
        }
    }

    /// The disk has everything up to `token`. Tells whether more of this log is on disk than before.
    pub(crate) fn confirmed(&mut self, token: PersistToken) -> bool {
        let before = self.confirmed;
        while let Some((first, length)) = self.pending.front().copied() {
            if first > token {
                break;
            }
            self.confirmed = self.confirmed.max(length);
            self.pending.pop_front();
        }
        self.confirmed > before
    }

    /// How far the log of length `last` is safe: on disk, or in memory if that is all that is promised.
    #[must_use]
    pub(crate) fn safe(&self, last: Lsn) -> Lsn {
        if self.on_disk {
            self.confirmed.min(last)
        } else {
            last
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_safe_only_once_its_own_token_is_confirmed() {
        let mut durability = Durability::new(true, Lsn(0));
        durability.handed_over(PersistToken(1), Lsn(2));
        durability.handed_over(PersistToken(2), Lsn(3));
        assert!(durability.confirmed(PersistToken(1)));
        assert_eq!(durability.safe(Lsn(3)), Lsn(2));
    }

    #[test]
    fn a_rewritten_entry_is_not_safe_by_the_token_of_what_it_replaced() {
        let mut durability = Durability::new(true, Lsn(0));
        durability.handed_over(PersistToken(1), Lsn(3));
        durability.cut_after(Lsn(1));
        durability.handed_over(PersistToken(2), Lsn(2));
        durability.confirmed(PersistToken(1));
        assert_eq!(durability.safe(Lsn(2)), Lsn(1));
        durability.confirmed(PersistToken(2));
        assert_eq!(durability.safe(Lsn(2)), Lsn(2));
    }
}
