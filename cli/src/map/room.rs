//! Room for the results of a run: they are kept until it ends, so that a resumed run prints them again. They are read in a way
//! that leaves them unread, so that a full partition refuses new tasks rather than overwrite them. What fills it with its
//! own results would wait for itself.

use std::collections::BTreeMap;

use ringhold_client::{ErrorCode, ExecutorConfig, PartitionNumber};
use ringhold_types::{WhenFull, partition_of};

use super::LineNumber;
use crate::failure::{Exit, Failure};

/// How many lines of a run are stored in each partition, and how many may be.
#[derive(Debug)]
pub(crate) struct Room {
    config: ExecutorConfig,
    taken: BTreeMap<PartitionNumber, u64>,
}

impl Room {
    /// Room in an executor that nothing of the run is in yet.
    pub(crate) fn new(config: ExecutorConfig) -> Self {
        Self {
            config,
            taken: BTreeMap::new(),
        }
    }

    /// Whether the executor overwrites even what nobody has read.
    pub(crate) fn is_overwritten(&self) -> bool {
        self.config.when_full == WhenFull::Overwrite
    }

    /// Notes a line that is stored there already.
    pub(crate) fn note(&mut self, partition: PartitionNumber) {
        *self.taken.entry(partition).or_default() += 1;
    }

    /// Takes room for one more line with this key.
    ///
    /// # Errors
    /// [`Failure`] with what to do, if its result would take the place of another one of this run.
    pub(crate) fn take(&mut self, line: LineNumber, key: &[u8]) -> Result<(), Failure> {
        let partition = partition_of(key, self.config.partition_count);
        let capacity = self.config.capacity;
        let taken = self.taken.get(&partition).copied().unwrap_or_default();
        if capacity == 0 || taken < capacity {
            self.note(partition);
            return Ok(());
        }
        let name = &self.config.name;
        let what = format!(
            "line {} is not submitted: partition {} of executor {name} keeps the results of {taken} earlier lines, which \
             is its capacity, and they stay until the run ends",
            line.0, partition.0
        );
        let before = line.0 - 1;
        Err(Failure::new(ErrorCode::ExecutorFull, what)
            .advise(format!(
                "resume with the first {before} lines only (head -n {before}): that ends the run, prints and disposes \
                 their results, and the rest (tail -n +{}) goes into a new run. Or map in runs of at most {capacity} lines of \
                 one key, with a --key that differs more between lines, or into an executor with a larger capacity (0: no \
                 limit by count)",
                line.0
            ))
            .exiting(Exit::Precondition))
    }
}

#[cfg(test)]
mod tests {
    use ringhold_client::ExecutorName;

    use super::*;

    fn room(capacity: u64) -> Room {
        let name = ExecutorName::new("reports").expect("letters are a name");
        Room::new(ExecutorConfig {
            capacity,
            ..ExecutorConfig::with_name(name)
        })
    }

    #[test]
    fn a_partition_takes_as_many_lines_as_its_capacity_and_others_are_not_concerned() {
        let mut room = room(2);
        for number in 1..=2 {
            room.take(LineNumber(number), b"one key")
                .expect("there is room");
        }
        let refused = room
            .take(LineNumber(3), b"one key")
            .expect_err("it is full");
        assert_eq!(refused.code, ErrorCode::ExecutorFull);
        assert_eq!(refused.exit, Exit::Precondition);
        assert!(
            refused.what.starts_with("line 3 is not submitted"),
            "{refused}"
        );
        room.take(LineNumber(3), b"another").expect("there is room");
    }

    #[test]
    fn no_limit_by_count_is_no_limit() {
        let mut room = room(0);
        for number in 1..100 {
            room.take(LineNumber(number), b"one key")
                .expect("there is room");
        }
    }
}
