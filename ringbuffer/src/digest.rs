//! A hash over a ring's whole logical state: equal states have equal digests on every member, in every version of the
//! software, whatever way led to them.

mod later;
mod words;

use std::collections::BTreeMap;

use ringhold_types::RingTime;

use crate::{Absence, EntryState, Ring, RingLimits, TaskEntry};

impl Ring {
    /// A stable hash over the whole logical state. Walks all of it: for checks, not for every operation of a large
    /// ring.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut state = State::default();
        state.number(self.generation.get());
        state.number(self.next.bits());
        state.time(self.time);
        state.ring_limits(&self.limits);
        let lost = self.retention.lost();
        state.number(lost.len() as u64);
        for range in lost {
            state.number(range.first.bits());
            state.number(range.end.bits());
        }
        state.number(self.undisposed());
        for entry in self.entries() {
            state.entry(entry);
        }
        state.number(self.keys.removed().len() as u64);
        for key in self.keys.removed() {
            state.bytes(key.key.as_bytes());
            state.number(key.hit.sequence.bits());
            state.number(key.hit.identity);
            state.time(key.removed);
        }
        state.number(self.retention.removed().len() as u64);
        for removed in self.retention.removed() {
            state.number(removed.sequence.bits());
            state.absence(removed.why);
        }
        state.number(self.grace.len() as u64);
        for kept in self.grace.iter() {
            state.number(kept.sequence.bits());
            state.bytes(kept.request.as_bytes());
            state.outcome(&kept.outcome);
            state.number(kept.attempts.get());
            state.time(kept.disposed);
        }
        state.0.digest()
    }
}

/// Hashes fields one after the other: texts and lists with their lengths, variants and options with a number, so that
/// no two states feed it the same bytes. Values are taken apart by pattern, so that a new field cannot be forgotten.
#[derive(Default)]
struct State(xxhash_rust::xxh64::Xxh64);

impl State {
    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn flag(&mut self, flag: bool) {
        self.number(u64::from(flag));
    }

    fn time(&mut self, time: RingTime) {
        self.number(time.0);
    }

    fn optional<T>(&mut self, value: Option<T>, hash: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            hash(self, value);
        }
    }

    fn map(&mut self, map: &BTreeMap<String, String>) {
        self.number(map.len() as u64);
        for (name, value) in map {
            self.text(name);
            self.text(value);
        }
    }

    fn ring_limits(&mut self, limits: &RingLimits) {
        let RingLimits {
            capacity,
            when_full,
            bytes,
            result_ttl,
            dedup_window,
            dedup_keys,
            history,
            crash_limit,
        } = limits;
        self.number(*capacity);
        self.number(*when_full as u64);
        self.number(*bytes);
        self.number(result_ttl.0);
        self.number(dedup_window.0);
        self.number(*dedup_keys);
        self.number(*history);
        self.number(u64::from(*crash_limit));
    }

    fn absence(&mut self, absence: Absence) {
        self.text(absence.code().as_str());
    }

    fn entry(&mut self, entry: &TaskEntry) {
        let TaskEntry {
            sequence,
            task,
            accepted_term,
            accepted,
            accepted_at,
            state,
            attempts,
            crashes,
            history,
            checkpoint,
            retrieved,
        } = entry;
        self.number(sequence.bits());
        self.task(task);
        self.number(accepted_term.get());
        self.time(*accepted);
        self.number(accepted_at.0);
        self.entry_state(state);
        self.number(attempts.get());
        self.number(u64::from(*crashes));
        self.number(history.len() as u64);
        for attempt in history {
            self.attempt(attempt);
        }
        self.optional(checkpoint.as_ref(), |it, bytes| it.bytes(bytes));
        self.flag(*retrieved);
    }

    fn entry_state(&mut self, state: &EntryState) {
        match state {
            EntryState::Waiting { due, retry } => {
                self.number(0);
                self.optional(*due, Self::time);
                self.flag(*retry);
            }
            EntryState::Running {
                attempt,
                term,
                member,
            } => {
                self.number(1);
                self.number(attempt.get());
                self.number(term.get());
                self.number(member.0);
            }
            EntryState::Ended { outcome, at } => {
                self.number(2);
                self.outcome(outcome);
                self.time(*at);
            }
        }
    }
}
