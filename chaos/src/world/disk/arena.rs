//! What stands behind the payloads of a simulated log: they are numbers, since `proto` is not known here.

use bytes::Bytes;
use ringhold_replica::{Record, RecoveredReplica};
use ringhold_ringbuffer::{LogEntry, Ring, RingPart};
use ringhold_storage::{LogRecord, PartIndex, RecordKind, StoredReplica};
use ringhold_types::Lsn;

use crate::random::mix;

/// Keeps entries and parts beside the log's records, whose payload is their number.
#[derive(Clone, Debug, Default)]
pub(super) struct Arena {
    entries: Vec<LogEntry>,
    parts: Vec<RingPart>,
    /// Bytes of zeros that follow the number at most: records of a real log differ in length.
    padding: u64,
}

impl Arena {
    /// One whose payloads have up to `padding` bytes more than they need.
    pub(super) fn padded(padding: u64) -> Self {
        Self {
            padding,
            ..Self::default()
        }
    }

    /// The log's form of a record. `copies_cut` is the sabotage of a straggler copy that voids what lies beside it.
    pub(super) fn store(&mut self, record: &Record, copies_cut: bool) -> LogRecord {
        match record {
            Record::Entry {
                partition,
                replica,
                entry,
                commit,
            } => {
                let bare = LogRecord::bare(RecordKind::Entry, *partition, *replica);
                self.store_entry(entry, *commit, bare)
            }
            Record::Copied {
                partition,
                replica,
                entry,
                commit,
                end,
            } => {
                let kind = if copies_cut {
                    RecordKind::Entry
                } else {
                    RecordKind::Copied
                };
                let mut bare = LogRecord::bare(kind, *partition, *replica);
                bare.end = *end;
                self.store_entry(entry, *commit, bare)
            }
            Record::State {
                partition,
                replica,
                lsn,
                term,
                index,
                count,
                part,
                installed,
            } => {
                self.parts.push(part.clone());
                LogRecord {
                    term: *term,
                    lsn: *lsn,
                    commit: *lsn,
                    part: PartIndex {
                        index: *index,
                        count: *count,
                    },
                    installed: *installed || copies_cut,
                    payload: self.payload(self.parts.len()),
                    ..LogRecord::bare(RecordKind::State, *partition, *replica)
                }
            }
            Record::Reset { partition, replica } => {
                LogRecord::bare(RecordKind::Reset, *partition, *replica)
            }
            Record::CutMark { partition, replica } => {
                LogRecord::bare(RecordKind::CutMark, *partition, *replica)
            }
            Record::Forgotten { partition, replica } => {
                LogRecord::bare(RecordKind::Forgotten, *partition, *replica)
            }
            Record::CutMarkCleared { partition, replica } => {
                LogRecord::bare(RecordKind::CutMarkCleared, *partition, *replica)
            }
        }
    }

    fn store_entry(&mut self, entry: &LogEntry, commit: Lsn, bare: LogRecord) -> LogRecord {
        self.entries.push(entry.clone());
        LogRecord {
            term: entry.term,
            lsn: entry.lsn,
            commit,
            payload: self.payload(self.entries.len()),
            ..bare
        }
    }

    /// The number of the last thing kept, as a payload.
    fn payload(&self, length: usize) -> Bytes {
        let number = length as u64 - 1;
        let mut payload = number.to_le_bytes().to_vec();
        let padding = mix(number) % (self.padding + 1);
        payload.resize(payload.len() + padding as usize, 0);
        Bytes::from(payload)
    }

    /// A replica as the machine wants it; `None` if what was stored is not what was kept under its number.
    pub(super) fn load(&self, stored: &StoredReplica) -> Option<RecoveredReplica> {
        let mut found = RecoveredReplica::empty(stored.partition, stored.replica);
        found.commit = stored.commit;
        found.cut_mark = stored.cut_mark;
        if let Some(state) = &stored.state {
            let parts = state
                .parts
                .iter()
                .map(|payload| self.parts.get(index(payload)?).cloned());
            let parts: Vec<RingPart> = parts.collect::<Option<_>>()?;
            found.ring = Some(Ring::restore(parts).ok()?);
            found.ring_lsn = state.lsn;
            found.ring_term = state.term;
        }
        let entry = |it: &LogRecord| {
            let entry = self.entries.get(index(&it.payload)?)?;
            ((entry.term, entry.lsn) == (it.term, it.lsn)).then(|| entry.clone())
        };
        found.entries = stored.entries.iter().map(entry).collect::<Option<_>>()?;
        Some(found)
    }
}

fn index(payload: &[u8]) -> Option<usize> {
    let number = payload.first_chunk::<8>()?;
    usize::try_from(u64::from_le_bytes(*number)).ok()
}
