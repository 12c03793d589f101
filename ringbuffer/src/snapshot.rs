//! A ring as bounded parts for a learner or a checkpoint, and back.

use ringhold_types::limits::{ATTEMPT_HISTORY_MAX, RING_PART_BYTES_MAX};
use ringhold_types::{RingTime, Sequence};

use crate::dedup::Keys;
use crate::retention::Retention;
use crate::{
    Absence, DisposedOutcome, EntryState, RemovedKey, RemovedSequence, Ring, RingHeader, RingPart,
    TaskEntry,
};

/// What an item costs in a part beside its payload: numbers, flags and lengths, generously.
const ITEM_BYTES: usize = 256;
/// What one attempt of an entry's history costs.
const ATTEMPT_BYTES: usize = 64;
/// What a sequence with its reason costs.
const REMOVED_BYTES: usize = 16;

/// Parts that do not make a ring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The first part is not the header, or another header follows.
    #[error("a snapshot has one header, as its first part")]
    Header,
    /// Parts are missing, or there are too many.
    #[error("the snapshot has {found} {what} and should have {expected}")]
    Count {
        /// Which items.
        what: &'static str,
        /// As many as the header says.
        expected: u64,
        /// As many as there are.
        found: u64,
    },
    /// Items stand in another order than a snapshot has, or twice.
    #[error("the {what} of the snapshot are out of order")]
    Order {
        /// Which items.
        what: &'static str,
    },
    /// An entry that no operations can lead to.
    #[error("entry {sequence} of the snapshot contradicts itself or its ring")]
    Entry {
        /// Its sequence.
        sequence: Sequence,
    },
    /// A reason that is none of a removal.
    #[error("sequence {sequence} was not removed for the reason that the snapshot says")]
    Reason {
        /// The sequence.
        sequence: Sequence,
    },
}

impl Ring {
    /// The whole state in parts of at most about [`RING_PART_BYTES_MAX`] bytes, the header first. A single larger
    /// entry travels alone.
    #[must_use]
    pub fn snapshot(&self) -> Vec<RingPart> {
        let mut parts = vec![RingPart::Header(self.header())];
        let entries = self.entries.values().cloned();
        parts.extend(packed(entries, entry_bytes, RingPart::Entries));
        let keys = self.keys.removed().iter().cloned();
        let key_bytes = |key: &RemovedKey| ITEM_BYTES + key.key.as_bytes().len();
        parts.extend(packed(keys, key_bytes, RingPart::Keys));
        let history = self.retention.removed();
        parts.extend(packed(history, |_| REMOVED_BYTES, RingPart::History));
        let disposed = self.grace.iter().cloned();
        let disposed_bytes = |kept: &DisposedOutcome| ITEM_BYTES + item_bytes(kept.bytes());
        parts.extend(packed(disposed, disposed_bytes, RingPart::Disposed));
        parts
    }

    /// The ring that [`Ring::snapshot`] was taken of.
    ///
    /// # Errors
    /// [`SnapshotError`] when the parts are not exactly those of one ring.
    pub fn restore(parts: impl IntoIterator<Item = RingPart>) -> Result<Self, SnapshotError> {
        let mut parts = parts.into_iter();
        let Some(RingPart::Header(header)) = parts.next() else {
            return Err(SnapshotError::Header);
        };
        let mut ring = Self::from_header(&header)?;
        let mut place = 0;
        for part in parts {
            if part.place() < place {
                return Err(SnapshotError::Order { what: "parts" });
            }
            place = part.place();
            ring.restore_part(part)?;
        }
        let found = ring.header();
        count("entries", header.entries, found.entries)?;
        count("keys", header.keys, found.keys)?;
        count("reasons", header.history, found.history)?;
        count("disposed outcomes", header.disposed, found.disposed)?;
        Ok(ring)
    }

    fn restore_part(&mut self, part: RingPart) -> Result<(), SnapshotError> {
        match part {
            RingPart::Header(_) => Err(SnapshotError::Header),
            RingPart::Entries(entries) => entries
                .into_iter()
                .try_for_each(|it| self.restore_entry(it)),
            RingPart::Keys(keys) => keys.into_iter().try_for_each(|it| self.restore_key(it)),
            RingPart::History(history) => history
                .into_iter()
                .try_for_each(|it| self.restore_removed(it)),
            RingPart::Disposed(disposed) => disposed
                .into_iter()
                .try_for_each(|it| self.restore_disposed(it)),
        }
    }

    fn header(&self) -> RingHeader {
        RingHeader {
            generation: self.generation,
            next_sequence: self.next,
            time: self.time,
            limits: self.limits.clone(),
            lost: self.retention.lost().to_vec(),
            entries: self.undisposed(),
            keys: self.keys.removed().len() as u64,
            history: self.retention.removed().len() as u64,
            disposed: self.grace.len() as u64,
        }
    }

    fn from_header(header: &RingHeader) -> Result<Self, SnapshotError> {
        let mut ring = Self::new(header.generation, header.limits.clone());
        ring.next = header.next_sequence;
        ring.time = header.time;
        ring.keys = Keys::default();
        ring.retention = Retention::default();
        let mut end = Sequence::from_bits(0);
        for lost in &header.lost {
            if lost.first < end || lost.end < lost.first || lost.end > header.next_sequence {
                return Err(SnapshotError::Order { what: "losses" });
            }
            end = lost.end;
            ring.retention.record_loss(*lost);
        }
        Ok(ring)
    }

    fn restore_entry(&mut self, entry: TaskEntry) -> Result<(), SnapshotError> {
        let sequence = entry.sequence;
        let last = self.entries.last_key_value().map(|(last, _)| *last);
        if last.is_some_and(|last| last >= sequence) {
            return Err(SnapshotError::Order { what: "entries" });
        }
        if sequence >= self.next || !is_consistent(&entry, self.time) {
            return Err(SnapshotError::Entry { sequence });
        }
        self.insert(entry);
        Ok(())
    }

    fn restore_key(&mut self, key: RemovedKey) -> Result<(), SnapshotError> {
        let last = self.keys.removed().back().map(|last| last.removed);
        let removed = key.removed;
        if last.is_some_and(|last| last > removed) || removed > self.time {
            return Err(SnapshotError::Order { what: "keys" });
        }
        if key.hit.sequence >= self.next || self.entries.contains_key(&key.hit.sequence) {
            let sequence = key.hit.sequence;
            return Err(SnapshotError::Entry { sequence });
        }
        if self.keys.restore(key) {
            Ok(())
        } else {
            Err(SnapshotError::Order { what: "keys" })
        }
    }

    fn restore_removed(&mut self, removed: RemovedSequence) -> Result<(), SnapshotError> {
        let sequence = removed.sequence;
        let reason = matches!(
            removed.why,
            Absence::Disposed | Absence::Overwritten | Absence::Expired
        );
        if !reason || sequence >= self.next || self.entries.contains_key(&sequence) {
            return Err(SnapshotError::Reason { sequence });
        }
        if self.retention.record(removed, u64::MAX) {
            Ok(())
        } else {
            Err(SnapshotError::Order { what: "reasons" })
        }
    }

    fn restore_disposed(&mut self, outcome: DisposedOutcome) -> Result<(), SnapshotError> {
        let what = "disposed outcomes";
        let last = self.grace.last_disposed();
        let disposed = outcome.disposed;
        if last.is_some_and(|last| last > disposed) || disposed > self.time {
            return Err(SnapshotError::Order { what });
        }
        if outcome.sequence >= self.next || self.entries.contains_key(&outcome.sequence) {
            let sequence = outcome.sequence;
            return Err(SnapshotError::Entry { sequence });
        }
        if self.grace.keep(outcome) {
            Ok(())
        } else {
            Err(SnapshotError::Order { what })
        }
    }
}

/// Whether operations up to ring time `now` can have led to this entry.
fn is_consistent(entry: &TaskEntry, now: RingTime) -> bool {
    let newest = entry.history.last();
    let open = newest.filter(|attempt| attempt.ended.is_none());
    let state = match &entry.state {
        EntryState::Waiting { .. } => open.is_none() && !entry.retrieved,
        EntryState::Running {
            attempt,
            term,
            member,
        } => {
            !entry.retrieved
                && open.is_some_and(|open| {
                    (open.number, open.term, open.member) == (*attempt, *term, *member)
                })
        }
        EntryState::Ended { at, .. } => open.is_none() && entry.checkpoint.is_none() && *at <= now,
    };
    state
        && entry.accepted <= now
        && entry.history.len() <= ATTEMPT_HISTORY_MAX
        && newest.map_or(entry.attempts.get() == 0, |newest| {
            newest.number == entry.attempts
        })
}

fn entry_bytes(entry: &TaskEntry) -> usize {
    item_bytes(entry.bytes()) + ITEM_BYTES + entry.history.len() * ATTEMPT_BYTES
}

fn item_bytes(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Packs items into parts of at most [`RING_PART_BYTES_MAX`]; a larger item gets a part of its own.
fn packed<T>(
    items: impl Iterator<Item = T>,
    bytes_of: impl Fn(&T) -> usize,
    part: impl Fn(Vec<T>) -> RingPart,
) -> Vec<RingPart> {
    let mut parts = Vec::new();
    let mut items_of_part = Vec::new();
    let mut used = 0_usize;
    for item in items {
        let bytes = bytes_of(&item);
        if !items_of_part.is_empty() && used.saturating_add(bytes) > RING_PART_BYTES_MAX {
            parts.push(part(std::mem::take(&mut items_of_part)));
            used = 0;
        }
        used = used.saturating_add(bytes);
        items_of_part.push(item);
    }
    if !items_of_part.is_empty() {
        parts.push(part(items_of_part));
    }
    parts
}

const fn count(what: &'static str, expected: u64, found: u64) -> Result<(), SnapshotError> {
    if expected == found {
        Ok(())
    } else {
        Err(SnapshotError::Count {
            what,
            expected,
            found,
        })
    }
}
