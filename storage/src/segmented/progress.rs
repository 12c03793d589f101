//! How far one replica's records have come: what may follow them.

use ringhold_types::{Lsn, PartitionKey, ReplicaId, Term};

use crate::{LogRecord, RecordKind, StorageError};

/// Positions of one replica. Small and `Copy`, so that a whole append is checked before any of it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) replica: ReplicaId,
    /// Position of the latest complete state.
    base: Option<Lsn>,
    last: Lsn,
    pending: Option<Pending>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pending {
    lsn: Lsn,
    term: Term,
    count: u32,
    next: u32,
    installed: bool,
    /// Last entry after the first part.
    last_after: Lsn,
}

/// What a record did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// An entry above the state: it is needed.
    Entry,
    /// A part was added to the pending state.
    Part,
    /// The last part came; it is the replica's state from now on if `newest`.
    StateComplete { installed: bool, newest: bool },
    /// Nothing that takes room: an entry below the state, a part that follows nothing, a bare record.
    Nothing,
}

impl Progress {
    pub(crate) const fn new(replica: ReplicaId) -> Self {
        Self {
            replica,
            base: None,
            last: Lsn::ZERO,
            pending: None,
        }
    }

    /// The progress after `record` of a partition that stood at `self`, if the record may follow.
    ///
    /// # Errors
    /// `OutOfOrder` or `PartOutOfOrder`.
    pub(crate) fn check(known: Option<Self>, record: &LogRecord) -> Result<Self, StorageError> {
        let mut progress = Self::of(known, record);
        let partition = record.partition;
        match record.kind {
            RecordKind::Entry if !progress.may_follow(record.lsn) => {
                return Err(progress.out_of_order(partition, record.lsn));
            }
            RecordKind::Copied if !progress.may_be_copied(record) => {
                return Err(progress.out_of_order(partition, record.lsn));
            }
            RecordKind::State if !progress.is_next_part(record) => {
                return Err(StorageError::PartOutOfOrder {
                    partition,
                    lsn: record.lsn,
                    index: record.part.index,
                });
            }
            _ => {}
        }
        progress.advance(record);
        Ok(progress)
    }

    /// What `known` means for a record: a reset, or another replica, begins anew.
    pub(crate) fn of(known: Option<Self>, record: &LogRecord) -> Self {
        let begins = matches!(record.kind, RecordKind::Reset | RecordKind::Forgotten);
        known
            .filter(|known| known.replica == record.replica && !begins)
            .unwrap_or(Self::new(record.replica))
    }

    /// Takes a record, in whatever order; replay may begin in the middle of a log.
    pub(crate) fn advance(&mut self, record: &LogRecord) -> Step {
        match record.kind {
            RecordKind::Entry => {
                self.last = record.lsn;
                if let Some(pending) = &mut self.pending {
                    pending.last_after = record.lsn;
                }
                if self.base.is_none_or(|base| record.lsn > base) {
                    Step::Entry
                } else {
                    Step::Nothing
                }
            }
            RecordKind::Copied => {
                self.last = record.end;
                self.pending = None;
                if self.base.is_none_or(|base| record.lsn > base) {
                    Step::Entry
                } else {
                    Step::Nothing
                }
            }
            RecordKind::State => self.advance_part(record),
            _ => Step::Nothing,
        }
    }

    fn advance_part(&mut self, record: &LogRecord) -> Step {
        if !self.is_next_part(record) {
            self.pending = None;
            return Step::Nothing;
        }
        if record.part.index == 0 {
            self.pending = Some(Pending {
                lsn: record.lsn,
                term: record.term,
                count: record.part.count,
                next: 0,
                installed: record.installed,
                last_after: Lsn::ZERO,
            });
        }
        let Some(pending) = &mut self.pending else {
            return Step::Nothing;
        };
        pending.next += 1;
        if pending.next < pending.count {
            return Step::Part;
        }
        let Pending {
            lsn,
            installed,
            last_after,
            ..
        } = *pending;
        self.pending = None;
        if installed {
            self.base = None;
            self.last = last_after;
        }
        let newest = self.base.is_none_or(|base| lsn >= base);
        if newest {
            self.base = Some(lsn);
            self.last = self.last.max(lsn);
        }
        Step::StateComplete { installed, newest }
    }

    /// Whether a state waits for its last part.
    pub(crate) const fn has_pending(&self) -> bool {
        self.pending.is_some()
    }

    fn may_follow(&self, lsn: Lsn) -> bool {
        lsn > self.base.unwrap_or(Lsn::ZERO) && lsn <= self.last.next()
    }

    fn may_be_copied(&self, record: &LogRecord) -> bool {
        record.lsn > self.base.unwrap_or(Lsn::ZERO)
            && record.lsn <= record.end
            && record.end <= self.last
    }

    fn is_next_part(&self, record: &LogRecord) -> bool {
        if record.part.index == 0 {
            return record.part.count > 0;
        }
        self.pending.is_some_and(|pending| {
            pending.lsn == record.lsn
                && pending.term == record.term
                && pending.count == record.part.count
                && pending.installed == record.installed
                && pending.next == record.part.index
        })
    }

    const fn out_of_order(&self, partition: PartitionKey, lsn: Lsn) -> StorageError {
        StorageError::OutOfOrder {
            partition,
            last: self.last,
            lsn,
        }
    }
}
