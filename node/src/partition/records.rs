//! Turns the machine's records into the log's, with payloads in protobuf.

use ringhold_proto::stored;
use ringhold_replica::Record;
use ringhold_storage::{LogRecord, PartIndex, RecordKind};

/// The log's form of a record.
pub(super) fn to_log_record(record: &Record) -> LogRecord {
    match record {
        Record::Entry {
            partition,
            replica,
            entry,
            commit,
        } => LogRecord {
            term: entry.term,
            lsn: entry.lsn,
            commit: *commit,
            payload: stored::encode_entry(entry),
            ..LogRecord::bare(RecordKind::Entry, *partition, *replica)
        },
        Record::Copied {
            partition,
            replica,
            entry,
            commit,
            end,
        } => LogRecord {
            term: entry.term,
            lsn: entry.lsn,
            commit: *commit,
            end: *end,
            payload: stored::encode_entry(entry),
            ..LogRecord::bare(RecordKind::Copied, *partition, *replica)
        },
        Record::State {
            partition,
            replica,
            lsn,
            term,
            index,
            count,
            part,
            installed,
        } => LogRecord {
            term: *term,
            lsn: *lsn,
            commit: *lsn,
            part: PartIndex {
                index: *index,
                count: *count,
            },
            installed: *installed,
            payload: stored::encode_part(part),
            ..LogRecord::bare(RecordKind::State, *partition, *replica)
        },
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
