//! Whether one more task fits (PROTOCOL §4): decided by the primary before it appends an accept.

use std::collections::BTreeSet;

use ringhold_types::limits::ENTRY_BYTES;
use ringhold_types::{Sequence, WhenFull};

use crate::Ring;

/// What a primary has appended and not yet applied.
#[derive(Clone, Copy, Debug)]
pub struct InFlight<'a> {
    /// Accepts among it.
    pub accepts: u64,
    /// Bytes of their tasks.
    pub bytes: u64,
    /// Sequences that evictions among it name; they count as free already and are not named again.
    pub evictions: &'a BTreeSet<Sequence>,
}

/// Whether one more task may be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Admit {
        /// Outcomes that make room, oldest first: they go into an [`crate::Op::Evict`] before the accept.
        evict: Vec<Sequence>,
    },
    /// There is no room by count, by bytes or in the sequences of this generation.
    Full,
}

/// What is to be freed before a task fits.
#[derive(Clone, Copy)]
struct Excess {
    entries: u64,
    bytes: u64,
    /// What the members that hold this ring need beside: bytes and [`ENTRY_BYTES`] of each entry.
    room: u64,
}

impl Excess {
    const fn is_none(self) -> bool {
        self.entries == 0 && self.bytes == 0 && self.room == 0
    }

    fn less(self, entries: u64, bytes: u64) -> Self {
        Self {
            entries: self.entries.saturating_sub(entries),
            bytes: self.bytes.saturating_sub(bytes),
            room: self.room.saturating_sub(bytes + entries * ENTRY_BYTES),
        }
    }
}

impl Ring {
    /// Whether one more task of `bytes` ([`ringhold_types::TaskSpec::bytes`]) may be accepted while `in_flight` is
    /// appended and not applied. Retrieved outcomes make room in every mode, unread ones only under
    /// [`WhenFull::Overwrite`], oldest first; unfinished tasks never.
    #[must_use]
    pub fn admission(&self, in_flight: InFlight<'_>, bytes: u64) -> Admission {
        self.admission_making_room(in_flight, bytes, 0)
    }

    /// As [`Ring::admission`], and the task is to make `room` beside: as many bytes, each entry's [`ENTRY_BYTES`] included,
    /// leave this ring for it, because a member that holds it has no more room for its rings together.
    #[must_use]
    pub fn admission_making_room(
        &self,
        in_flight: InFlight<'_>,
        bytes: u64,
        room: u64,
    ) -> Admission {
        if !self.has_sequences(in_flight.accepts) {
            return Admission::Full;
        }
        let entries = self.undisposed().saturating_add(in_flight.accepts);
        let held = self.bytes().saturating_add(in_flight.bytes);
        let limits = self.limits();
        let excess = Excess {
            entries: entries.saturating_add(1).saturating_sub(limits.capacity),
            bytes: held.saturating_add(bytes).saturating_sub(limits.bytes),
            room,
        };
        if excess.is_none() {
            return Admission::Admit { evict: Vec::new() };
        }
        self.make_room(excess, in_flight.evictions)
    }

    fn make_room(&self, excess: Excess, in_flight: &BTreeSet<Sequence>) -> Admission {
        let mut excess = excess;
        let mut retrieved = (self.ended.retrieved.count(), self.ended.retrieved.bytes());
        let mut unread = (self.ended.unread.count(), self.ended.unread.bytes());
        for entry in in_flight.iter().filter_map(|it| self.entries.get(it)) {
            if entry.is_unfinished() {
                continue;
            }
            let bytes = entry.bytes();
            // The room that those in flight make is that of the tasks that they were named for.
            excess = Excess {
                room: excess.room,
                ..excess.less(1, bytes)
            };
            let side = if entry.retrieved {
                &mut retrieved
            } else {
                &mut unread
            };
            side.0 -= 1;
            side.1 -= bytes;
        }
        let may_overwrite = self.limits().when_full == WhenFull::Overwrite;
        let mut free = excess.less(retrieved.0, retrieved.1);
        if may_overwrite {
            free = free.less(unread.0, unread.1);
        }
        if !free.is_none() {
            return Admission::Full;
        }
        let unread = may_overwrite.then_some(&self.ended.unread);
        let candidates = std::iter::once(&self.ended.retrieved)
            .chain(unread)
            .flat_map(|side| side.oldest_first())
            .filter(|sequence| !in_flight.contains(sequence));
        let mut evict = Vec::new();
        for sequence in candidates {
            if excess.is_none() {
                break;
            }
            let bytes = self
                .entries
                .get(&sequence)
                .map_or(0, crate::TaskEntry::bytes);
            excess = excess.less(1, bytes);
            evict.push(sequence);
        }
        Admission::Admit { evict }
    }

    /// Whether this generation has a sequence left after `in_flight` accepts. The last one is never given out, so that
    /// the ring's next sequence always exists.
    fn has_sequences(&self, in_flight: u64) -> bool {
        self.next
            .bits()
            .checked_add(in_flight)
            .map(Sequence::from_bits)
            .is_some_and(|next| next.generation() == self.next.generation() && next.next().is_ok())
    }
}
