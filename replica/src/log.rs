//! A replica's log in memory: the entries that are not applied, and a bounded tail of applied ones for replicas that lag.

use std::collections::VecDeque;

use ringhold_ringbuffer::{LogEntry, Op};
use ringhold_types::{Lsn, Term, limits};

use crate::message::LogSummary;

/// A replica's log in memory. Positions are consecutive from `base + 1` to [`Log::last`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Log {
    /// Position before the first entry kept.
    base: Lsn,
    /// Term of the entry at `base`; zero at position zero.
    base_term: Term,
    entries: VecDeque<LogEntry>,
    /// Bytes of the entries kept.
    bytes: usize,
    /// First position of each term, ascending; those that ended before `base` are left out.
    starts: Vec<(Term, Lsn)>,
}

impl Log {
    /// A log that begins after `base`.
    #[must_use]
    pub(crate) fn after(base: Lsn, base_term: Term) -> Self {
        let starts = if base == Lsn::ZERO {
            Vec::new()
        } else {
            vec![(base_term, base)]
        };
        Self {
            base,
            base_term,
            entries: VecDeque::new(),
            bytes: 0,
            starts,
        }
    }

    /// Position before the first entry kept.
    #[must_use]
    pub(crate) const fn base(&self) -> Lsn {
        self.base
    }

    /// The last position.
    #[must_use]
    pub(crate) fn last(&self) -> Lsn {
        Lsn(self.base.0 + self.entries.len() as u64)
    }

    /// Term of the last entry; zero if there is none.
    #[must_use]
    pub(crate) fn last_term(&self) -> Term {
        self.entries
            .back()
            .map_or(self.base_term, |entry| entry.term)
    }

    /// The last entry, if it is kept.
    #[must_use]
    pub(crate) fn last_entry(&self) -> Option<&LogEntry> {
        self.entries.back()
    }

    /// Term of the entry at `lsn`; `None` if it is not known here.
    #[must_use]
    pub(crate) fn term_at(&self, lsn: Lsn) -> Option<Term> {
        if lsn == self.base {
            return Some(self.base_term);
        }
        self.get(lsn).map(|entry| entry.term)
    }

    /// The entry at `lsn`.
    #[must_use]
    pub(crate) fn get(&self, lsn: Lsn) -> Option<&LogEntry> {
        let index = lsn.0.checked_sub(self.base.0)?.checked_sub(1)?;
        self.entries.get(usize::try_from(index).ok()?)
    }

    /// All entries kept, in order.
    pub(crate) fn entries(&self) -> impl ExactSizeIterator<Item = &LogEntry> {
        self.entries.iter()
    }

    /// Appends the next entry. An entry at another position is ignored: callers append only what follows.
    pub(crate) fn append(&mut self, entry: LogEntry) {
        if entry.lsn != self.last().next() {
            return;
        }
        if self
            .starts
            .last()
            .is_none_or(|(term, _)| *term != entry.term)
        {
            self.starts.push((entry.term, entry.lsn));
        }
        self.bytes += entry_bytes(&entry);
        self.entries.push_back(entry);
    }

    /// Removes everything after `lsn`. The caller has found that the logs part there (I10).
    pub(crate) fn cut_after(&mut self, lsn: Lsn) {
        while self.last() > lsn {
            let Some(entry) = self.entries.pop_back() else {
                break;
            };
            self.bytes -= entry_bytes(&entry);
        }
        let last = self.last();
        self.starts.retain(|(_, start)| *start <= last);
    }

    /// Forgets applied entries up to `applied`, beyond the bounded tail; never one after `keep`.
    pub(crate) fn trim(&mut self, applied: Lsn, keep: Lsn) {
        let limit = applied.min(keep);
        while self.base < limit {
            let behind = usize::try_from(limit.0 - self.base.0).unwrap_or(usize::MAX);
            let small =
                behind <= limits::LOG_TAIL_ENTRIES_MAX && self.bytes <= limits::LOG_TAIL_BYTES_MAX;
            if small {
                break;
            }
            let Some(entry) = self.entries.pop_front() else {
                break;
            };
            self.bytes -= entry_bytes(&entry);
            self.base = entry.lsn;
            self.base_term = entry.term;
        }
        let base_term = self.base_term;
        self.starts.retain(|(term, _)| *term >= base_term);
    }

    /// The entries after `lsn`, as many as one prepare may carry; at least one if there is any.
    #[must_use]
    pub(crate) fn batch_after(&self, lsn: Lsn) -> Vec<LogEntry> {
        let Some(skip) = lsn.0.checked_sub(self.base.0) else {
            return Vec::new();
        };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let mut batch = Vec::new();
        for entry in self.entries.iter().skip(skip) {
            bytes += entry_bytes(entry);
            let full = batch.len() >= limits::PREPARE_ENTRIES_MAX
                || (bytes > limits::PREPARE_BYTES_MAX && !batch.is_empty());
            if full {
                break;
            }
            batch.push(entry.clone());
        }
        batch
    }

    /// Entries and bytes kept after `lsn`, counted to the bounds of a learner's catch-up.
    #[must_use]
    pub(crate) fn kept_bytes(&self) -> usize {
        self.bytes
    }

    /// Where the terms of this log begin.
    #[must_use]
    pub(crate) fn summary(&self, commit: Lsn) -> LogSummary {
        LogSummary {
            starts: self.starts.clone(),
            last: self.last(),
            commit,
        }
    }
}

/// Bytes of an entry that count towards the bounds of messages and of the tail: what is of variable length, and a flat
/// amount for the rest.
#[must_use]
pub(crate) fn entry_bytes(entry: &LogEntry) -> usize {
    const FLAT: usize = 64;
    let variable = match &entry.op {
        Op::Accept { task, .. } => task.bytes(),
        Op::Checkpoint { bytes, .. } => bytes.len(),
        Op::Complete { result, .. } => {
            result.payload.len() + process_bytes(result.process.as_ref())
        }
        Op::Fail { failure, .. } | Op::RetryAt { failure, .. } => {
            failure.message.len() + process_bytes(failure.process.as_ref())
        }
        Op::MarkRetrieved { sequences } | Op::Evict { sequences } | Op::Expire { sequences } => {
            sequences.len() * 8
        }
        Op::HandOver { running, .. } => running.len() * 24,
        _ => 0,
    };
    FLAT + variable
}

fn process_bytes(process: Option<&ringhold_types::ProcessExit>) -> usize {
    process.map_or(0, |exit| {
        exit.standard_output.len() + exit.standard_error.len()
    })
}
