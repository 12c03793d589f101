//! Waiting for room in partitions that are full of others' tasks.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ringhold_client::{ErrorCode, PartitionNumber};

use super::LineNumber;
use crate::duration;
use crate::failure::{Exit, Failure};

/// How long a run waits for room without any progress, unless its user says otherwise: long enough for others to finish what
/// they do, short enough that a run that nobody looks at does not hang for a night.
pub(crate) const ROOM_PATIENCE: Duration = Duration::from_secs(600);
/// First pause before a line is tried again; it doubles up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// Longest pause: a thousand lines that wait ask a full partition five hundred times a second at most.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// A line, or the mark, that found its partition full.
#[derive(Clone, Copy, Debug)]
pub(super) struct FullPartition<'a> {
    /// None is the run's mark, which comes before every line.
    pub(super) line: Option<LineNumber>,
    /// Not known while the executor is not.
    pub(super) partition: Option<PartitionNumber>,
    pub(super) executor: &'a str,
}

/// The lines that wait for room, as many as are under way at most.
pub(super) struct Full {
    patience: Duration,
    /// With the next pause of each.
    waiting: BTreeMap<Option<LineNumber>, Duration>,
    /// When a line was last stored, or ended.
    progressed: Instant,
}

/// What becomes of a line that found its partition full.
#[derive(Debug)]
pub(super) enum Refused {
    /// It is tried again after this pause; if it is the first that waits, there is something to say.
    Again(Duration, Option<String>),
    /// There was no progress for too long.
    GivenUp(Failure),
}

impl Full {
    /// Nothing waits yet.
    pub(super) fn new(patience: Duration, now: Instant) -> Self {
        Self {
            patience,
            waiting: BTreeMap::new(),
            progressed: now,
        }
    }

    /// A line was stored, or ended.
    pub(super) fn progress(&mut self, line: LineNumber, now: Instant) {
        self.waiting.remove(&Some(line));
        self.progressed = now;
    }

    /// A line found no room. `idle`: no task of the run is under way, so nothing but others can change that.
    pub(super) fn refused(&mut self, full: FullPartition<'_>, idle: bool, now: Instant) -> Refused {
        let quiet = now.saturating_duration_since(self.progressed);
        if idle && quiet >= self.patience {
            return Refused::GivenUp(self.give_up(full));
        }
        let is_first = self.waiting.is_empty();
        let pause = self.waiting.entry(full.line).or_insert(PAUSE_FIRST);
        let wait = *pause;
        *pause = (wait * 2).min(PAUSE_MAX);
        Refused::Again(wait, is_first.then(|| self.advice(full)))
    }

    fn advice(&self, full: FullPartition<'_>) -> String {
        format!(
            "{} waits for room: {} is full. It goes on by itself once there is room, and gives up after {} without \
             progress; to make room, dispose outcomes that nobody needs (ringhold task ls --executor {})",
            full.who(),
            full.place(),
            duration::show(self.patience),
            full.executor
        )
    }

    fn give_up(&self, full: FullPartition<'_>) -> Failure {
        let what = format!(
            "{} is not submitted: {} stayed full, and the run made no progress for {}",
            full.who(),
            full.place(),
            duration::show(self.patience)
        );
        let then = match full.line {
            Some(_) => "then resume: what is stored is kept",
            None => "then begin again: nothing is stored yet",
        };
        Failure::new(ErrorCode::ExecutorFull, what)
            .advise(format!(
                "make room (ringhold task ls --executor {} shows what is there, ringhold task dispose removes outcomes), \
                 {then}; --wait-for-room waits longer",
                full.executor
            ))
            .exiting(Exit::Precondition)
    }
}

impl FullPartition<'_> {
    fn who(&self) -> String {
        match self.line {
            Some(line) => format!("line {}", line.0),
            None => "the task that marks the run".to_owned(),
        }
    }

    fn place(&self) -> String {
        match self.partition {
            Some(partition) => format!("partition {} of executor {}", partition.0, self.executor),
            None => format!("its partition of executor {}", self.executor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(line: u64) -> FullPartition<'static> {
        FullPartition {
            line: Some(LineNumber(line)),
            partition: Some(PartitionNumber(7)),
            executor: "reports",
        }
    }

    #[test]
    fn a_line_waits_longer_each_time_and_the_first_one_that_waits_is_named() {
        let start = Instant::now();
        let mut waits = Full::new(Duration::from_secs(60), start);
        let Refused::Again(pause, Some(said)) = waits.refused(full(4), true, start) else {
            panic!("it waits, and that is said");
        };
        assert_eq!(pause, PAUSE_FIRST);
        assert!(
            said.starts_with("line 4 waits for room: partition 7 of executor reports is full"),
            "{said}"
        );
        let mut last = pause;
        for _ in 0..10 {
            let Refused::Again(pause, None) = waits.refused(full(4), true, start) else {
                panic!("it goes on waiting, in silence");
            };
            last = pause;
        }
        assert_eq!(last, PAUSE_MAX);
        assert!(matches!(
            waits.refused(full(5), true, start),
            Refused::Again(PAUSE_FIRST, None)
        ));
    }

    #[test]
    fn it_is_given_up_only_after_a_time_without_progress_and_with_nothing_under_way() {
        let patience = Duration::from_secs(60);
        let start = Instant::now();
        let mut waits = Full::new(patience, start);
        let late = start + patience;
        assert!(matches!(
            waits.refused(full(4), false, late),
            Refused::Again(..)
        ));
        waits.progress(LineNumber(3), late);
        assert!(matches!(
            waits.refused(full(4), true, late),
            Refused::Again(..)
        ));
        let Refused::GivenUp(failure) = waits.refused(full(4), true, late + patience) else {
            panic!("it was long enough");
        };
        assert_eq!(failure.code, ErrorCode::ExecutorFull);
        assert_eq!(failure.exit, Exit::Precondition);
        assert!(failure.what.contains("no progress for 1m00s"), "{failure}");
    }
}
