//! The ring: entries by sequence with the indices that keep every operation cheap.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringhold_types::limits::ENTRY_BYTES;
use ringhold_types::{Generation, IdempotencyKey, Outcome, RequestId, RingTime, Sequence};

use crate::dedup::Keys;
use crate::ended::Ended;
use crate::grace::{DisposedOutcome, Grace};
use crate::retention::{LostRange, RemovedSequence, Retention};
use crate::{Absence, EntryState, KeyHit, RingLimits, TaskEntry};

/// One partition's replicated state. Changed by [`Ring::apply`] only; memory grows with live entries and with the
/// bounded histories of [`RingLimits`], never with the capacity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    pub(crate) generation: Generation,
    pub(crate) next: Sequence,
    pub(crate) time: RingTime,
    pub(crate) limits: RingLimits,
    pub(crate) entries: BTreeMap<Sequence, TaskEntry>,
    /// Sum of [`TaskEntry::bytes`] over the entries.
    pub(crate) bytes: u64,
    pub(crate) ended: Ended,
    pub(crate) keys: Keys,
    pub(crate) retention: Retention,
    pub(crate) grace: Grace,
}

/// Where sequences end for good: the last counter of the last generation, which is never given to a task.
const LAST_SEQUENCE: Sequence = Sequence::from_bits(u64::MAX);

/// The first sequence of a generation. A generation beyond 20 bits, which the control plane never decides, gets
/// the end of all sequences: it admits nothing, it never wraps.
pub(crate) fn first_of(generation: Generation) -> Sequence {
    Sequence::first_of(generation).unwrap_or(LAST_SEQUENCE)
}

impl Ring {
    /// An empty ring. Ids of earlier generations, which nobody holds, answer [`Absence::DataLoss`].
    #[must_use]
    pub fn new(generation: Generation, limits: RingLimits) -> Self {
        let next = first_of(generation);
        let mut retention = Retention::default();
        let first = Sequence::from_bits(0);
        if first < next {
            retention.record_loss(LostRange { first, end: next });
        }
        Self {
            generation,
            next,
            time: RingTime::default(),
            limits,
            entries: BTreeMap::new(),
            bytes: 0,
            ended: Ended::default(),
            keys: Keys::default(),
            retention,
            grace: Grace::default(),
        }
    }

    /// The entry of a sequence.
    ///
    /// # Errors
    /// Why there is none ([`Absence`]).
    pub fn look_up(&self, sequence: Sequence) -> Result<&TaskEntry, Absence> {
        self.entries
            .get(&sequence)
            .ok_or_else(|| self.absence(sequence))
    }

    /// The outcome that a repeat of the destructive read `request` gets: kept for `dispose-grace`.
    #[must_use]
    pub fn disposed_outcome(
        &self,
        sequence: Sequence,
        request: &RequestId,
    ) -> Option<&DisposedOutcome> {
        self.grace.find(sequence, request)
    }

    /// What an idempotency key was used for, while it is remembered.
    #[must_use]
    pub fn find_key(&self, key: &IdempotencyKey) -> Option<KeyHit> {
        self.keys.find(key)
    }

    /// The partition's life.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// The sequence of the next task. The last one of a generation is never given to a task.
    #[must_use]
    pub const fn next_sequence(&self) -> Sequence {
        self.next
    }

    /// Ring time of the last applied operation.
    #[must_use]
    pub const fn time(&self) -> RingTime {
        self.time
    }

    /// The limits in force.
    #[must_use]
    pub const fn limits(&self) -> &RingLimits {
        &self.limits
    }

    /// Entries that count towards capacity: unfinished ones, and outcomes that nothing has removed yet.
    #[must_use]
    pub fn undisposed(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Bytes of the live entries.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that count towards the bound of a member's rings together: those of the live entries and of outcomes kept
    /// aside after a destructive read, and [`ENTRY_BYTES`] for each of either.
    #[must_use]
    pub fn footprint(&self) -> u64 {
        let entries = self.undisposed() + self.grace.len() as u64;
        self.bytes + self.grace.bytes() + entries * ENTRY_BYTES
    }

    /// The live entries in the order of their sequences.
    pub fn entries(&self) -> impl Iterator<Item = &TaskEntry> {
        self.entries.values()
    }

    /// The live entries from `first` on, in the order of their sequences: for lists by page.
    pub fn entries_from(&self, first: Sequence) -> impl Iterator<Item = &TaskEntry> {
        self.entries.range(first..).map(|(_, entry)| entry)
    }

    /// Why a sequence without an entry has none.
    pub(crate) fn absence(&self, sequence: Sequence) -> Absence {
        if sequence >= self.next {
            Absence::NeverExisted
        } else {
            self.retention.why(sequence)
        }
    }

    /// Stores an entry and indexes it; the caller made sure that its sequence is free.
    pub(crate) fn insert(&mut self, entry: TaskEntry) {
        let bytes = entry.bytes();
        self.bytes += bytes;
        if let EntryState::Ended { at, .. } = entry.state {
            let age = (at, entry.sequence);
            self.ended.side(entry.retrieved).insert(age, bytes);
        }
        let hit = KeyHit {
            sequence: entry.sequence,
            identity: entry.task.identity(),
        };
        self.keys.insert(&entry.task.idempotency_key, hit);
        self.entries.insert(entry.sequence, entry);
    }

    /// Removes an entry and remembers why; its key lives on for the dedup window.
    pub(crate) fn remove(&mut self, sequence: Sequence, why: Absence) -> Option<TaskEntry> {
        let entry = self.entries.remove(&sequence)?;
        let bytes = entry.bytes();
        self.bytes -= bytes;
        if let EntryState::Ended { at, .. } = entry.state {
            self.ended
                .side(entry.retrieved)
                .remove((at, sequence), bytes);
        }
        let key = &entry.task.idempotency_key;
        self.keys
            .release(key, sequence, self.time, self.limits.dedup_keys);
        let removed = RemovedSequence { sequence, why };
        self.retention.record(removed, self.limits.history);
        Some(entry)
    }

    /// Gives an entry its outcome at the present ring time.
    pub(crate) fn end(&mut self, sequence: Sequence, outcome: Arc<Outcome>) {
        let at = self.time;
        let Some(entry) = self.entries.get_mut(&sequence) else {
            return;
        };
        let before = entry.bytes();
        if let EntryState::Ended { at, .. } = entry.state {
            self.ended
                .side(entry.retrieved)
                .remove((at, sequence), before);
        }
        entry.checkpoint = None;
        entry.state = EntryState::Ended { outcome, at };
        let after = entry.bytes();
        self.ended
            .side(entry.retrieved)
            .insert((at, sequence), after);
        self.bytes = self.bytes - before + after;
    }

    /// Notes that an outcome reached its caller.
    pub(crate) fn mark_retrieved(&mut self, sequence: Sequence) {
        let Some(entry) = self.entries.get_mut(&sequence) else {
            return;
        };
        let EntryState::Ended { at, .. } = entry.state else {
            return;
        };
        if !entry.retrieved {
            entry.retrieved = true;
            let bytes = entry.bytes();
            self.ended.unread.remove((at, sequence), bytes);
            self.ended.retrieved.insert((at, sequence), bytes);
        }
    }

    /// Removes an outcome by request and keeps it aside for a repeat of that request.
    pub(crate) fn dispose(&mut self, sequence: Sequence, request: Option<&RequestId>) {
        let disposed = self.time;
        let removed = self.remove(sequence, Absence::Disposed);
        if let (Some(entry), Some(request)) = (removed, request)
            && let EntryState::Ended { outcome, .. } = entry.state
        {
            self.grace.keep(DisposedOutcome {
                sequence,
                request: request.clone(),
                outcome,
                attempts: entry.attempts,
                disposed,
            });
        }
    }
}
