//! The attempts that this member executes, whoever leads their partition (PROTOCOL §3: executing member and primary are
//! two roles).

use std::collections::BTreeMap;

use ringhold_types::{
    AttemptNumber, AttemptToken, ExecutorId, PartitionKey, ProcessExit, Sequence, Term,
};

use crate::event::AttemptEnd;

/// Reports that no primary has taken yet, at most: when a primary stays away, the oldest are dropped and their tasks run
/// again.
pub(crate) const FINISHED_REPORTS_MAX: usize = 4096;
/// Bytes of such reports.
pub(crate) const FINISHED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// When an attempt ended, among those that ended here: the first one is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EndOrder(u64);

/// Where a local attempt is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LocalState {
    /// It has a slot and waits for its start to commit.
    Reserved,
    /// It runs.
    Running,
    /// It ended, and no primary has taken its report yet; its slot is free.
    Finished(AttemptEnd, EndOrder),
}

/// One attempt that this member executes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalAttempt {
    /// The term of its token: of its start or of its last adoption.
    pub(crate) term: Term,
    /// Where it is.
    pub(crate) state: LocalState,
    /// Whether members died under its task: such an attempt runs here as the only one of its kind.
    pub(crate) suspect: bool,
}

/// All attempts that this member executes, by the token of their start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LocalAttempts {
    attempts: BTreeMap<AttemptToken, LocalAttempt>,
    busy: BTreeMap<ExecutorId, u32>,
    suspects: u32,
    /// Attempts whose handler was given up and has not returned, and whether they are suspects: whatever becomes of their
    /// report, their slots are in use. No more than there are slots.
    lingering: BTreeMap<AttemptToken, bool>,
    /// How many there are of each partition.
    partitions: BTreeMap<PartitionKey, u32>,
    /// Those with a report that waits, in the order in which they ended.
    finished: BTreeMap<EndOrder, AttemptToken>,
    finished_bytes: usize,
    /// The last one that ended here.
    last_end: EndOrder,
}

impl LocalAttempts {
    /// Gives an attempt a slot.
    pub(crate) fn reserve(&mut self, token: AttemptToken, suspect: bool) {
        let attempt = LocalAttempt {
            term: token.term,
            state: LocalState::Reserved,
            suspect,
        };
        if self.attempts.insert(token, attempt).is_none() {
            *self.busy.entry(token.partition.executor).or_default() += 1;
            self.suspects += u32::from(suspect);
            *self.partitions.entry(token.partition).or_default() += 1;
        }
    }

    /// The attempt is being started.
    pub(crate) fn started(&mut self, token: AttemptToken) {
        if let Some(attempt) = self.attempts.get_mut(&token) {
            attempt.state = LocalState::Running;
        }
    }

    /// Slots in use by an executor's attempts.
    #[must_use]
    pub(crate) fn busy(&self, executor: ExecutorId) -> u32 {
        self.busy.get(&executor).copied().unwrap_or(0)
    }

    /// Whether a suspect runs here.
    #[must_use]
    pub(crate) const fn runs_suspect(&self) -> bool {
        self.suspects > 0
    }

    /// The attempt's handler is given up: its end follows, and its slot stays in use until the handler has returned.
    pub(crate) fn given_up(&mut self, token: AttemptToken) {
        let Some(attempt) = self.attempts.get(&token) else {
            return;
        };
        if attempt.state == LocalState::Running {
            self.lingering.insert(token, attempt.suspect);
        }
    }

    /// The handler of an attempt that was given up has returned: its slot is free.
    pub(crate) fn returned(&mut self, token: AttemptToken) {
        let Some(suspect) = self.lingering.remove(&token) else {
            return;
        };
        let runs = |it: &LocalAttempt| it.state == LocalState::Running;
        // Until its end is reported, that is what frees the slot.
        if !self.attempts.get(&token).is_some_and(runs) {
            self.free_slot(token, suspect);
        }
    }

    /// The attempt ended: its slot is free, unless its handler goes on; its report waits to be taken. `None` for an attempt
    /// unknown here.
    pub(crate) fn ended(&mut self, token: AttemptToken, end: AttemptEnd) -> Option<AttemptToken> {
        let original = self.original(token)?;
        let attempt = self.attempts.get_mut(&original)?;
        if matches!(attempt.state, LocalState::Finished(..)) {
            return None;
        }
        let suspect = attempt.suspect;
        self.last_end.0 += 1;
        self.finished.insert(self.last_end, original);
        self.finished_bytes += end_bytes(&end);
        attempt.state = LocalState::Finished(end, self.last_end);
        self.free_slot(original, suspect);
        self.bound_finished(original);
        Some(original)
    }

    /// The attempt goes on under a raised token.
    pub(crate) fn raise(&mut self, original: AttemptToken, term: Term) {
        if let Some(attempt) = self.attempts.get_mut(&original) {
            attempt.term = attempt.term.max(term);
        }
    }

    /// Forgets an attempt; a slot that it held is free.
    pub(crate) fn forget(&mut self, original: AttemptToken) -> Option<LocalAttempt> {
        let attempt = self.attempts.remove(&original)?;
        if let Some(count) = self.partitions.get_mut(&original.partition) {
            *count -= 1;
            if *count == 0 {
                self.partitions.remove(&original.partition);
            }
        }
        if let LocalState::Finished(end, order) = &attempt.state {
            self.finished.remove(order);
            self.finished_bytes -= end_bytes(end);
        } else {
            self.free_slot(original, attempt.suspect);
        }
        Some(attempt)
    }

    /// The attempt's record by the token of its start.
    #[must_use]
    pub(crate) fn get(&self, original: AttemptToken) -> Option<&LocalAttempt> {
        self.attempts.get(&original)
    }

    /// The token of the start of an attempt, from that or from one that it was raised to since.
    #[must_use]
    pub(crate) fn original(&self, token: AttemptToken) -> Option<AttemptToken> {
        if self.attempts.contains_key(&token) {
            return Some(token);
        }
        self.of_task(token.partition, token.sequence)
            .find(|(original, attempt)| {
                original.attempt == token.attempt
                    && (original.term..=attempt.term).contains(&token.term)
            })
            .map(|(original, _)| *original)
    }

    /// The attempts of a partition, by the token of their start.
    pub(crate) fn of(
        &self,
        partition: PartitionKey,
    ) -> impl Iterator<Item = (&AttemptToken, &LocalAttempt)> {
        let first = lowest(partition, Sequence::from_bits(0));
        let last = highest(partition, Sequence::from_bits(u64::MAX));
        self.attempts.range(first..=last)
    }

    /// All attempts, by the token of their start.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&AttemptToken, &LocalAttempt)> {
        self.attempts.iter()
    }

    /// Partitions with attempts here.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = PartitionKey> {
        self.partitions.keys().copied()
    }

    /// Forgets the waiting reports of an executor that is gone: nobody will ever take them.
    pub(crate) fn forget_finished(&mut self, executor: ExecutorId) {
        let gone = |token: &&AttemptToken| token.partition.executor == executor;
        let gone: Vec<AttemptToken> = self.finished.values().filter(gone).copied().collect();
        for token in gone {
            self.forget(token);
        }
    }

    fn of_task(
        &self,
        partition: PartitionKey,
        sequence: Sequence,
    ) -> impl Iterator<Item = (&AttemptToken, &LocalAttempt)> {
        self.attempts
            .range(lowest(partition, sequence)..=highest(partition, sequence))
    }

    fn free_slot(&mut self, token: AttemptToken, suspect: bool) {
        if self.lingering.contains_key(&token) {
            return;
        }
        if let Some(busy) = self.busy.get_mut(&token.partition.executor) {
            *busy = busy.saturating_sub(1);
        }
        self.suspects -= u32::from(suspect);
    }

    /// Drops the oldest waiting report when there are too many; never the newest.
    fn bound_finished(&mut self, newest: AttemptToken) {
        while self.finished.len() > FINISHED_REPORTS_MAX || self.finished_bytes > FINISHED_BYTES_MAX
        {
            let oldest = self.finished.values().next().copied();
            let Some(oldest) = oldest.filter(|oldest| *oldest != newest) else {
                break;
            };
            self.forget(oldest);
        }
    }
}

const fn lowest(partition: PartitionKey, sequence: Sequence) -> AttemptToken {
    AttemptToken {
        partition,
        sequence,
        term: Term::ZERO,
        attempt: AttemptNumber::ZERO,
    }
}

const fn highest(partition: PartitionKey, sequence: Sequence) -> AttemptToken {
    AttemptToken {
        partition,
        sequence,
        term: Term(u64::MAX),
        attempt: AttemptNumber(u64::MAX),
    }
}

/// Bytes of variable length that a report carries.
pub(crate) fn end_bytes(end: &AttemptEnd) -> usize {
    let process = |exit: Option<&ProcessExit>| {
        exit.map_or(0, |exit| {
            exit.standard_output.len() + exit.standard_error.len()
        })
    };
    match end {
        AttemptEnd::Succeeded(result) => result.payload.len() + process(result.process.as_ref()),
        AttemptEnd::Failed(failure) => failure.message.len() + process(failure.process.as_ref()),
        AttemptEnd::Aborted | AttemptEnd::HandedBack | AttemptEnd::NotBegun => 0,
    }
}

#[cfg(test)]
mod tests {
    use ringhold_types::PartitionNumber;

    use super::*;

    fn token(partition: u32, sequence: u64) -> AttemptToken {
        AttemptToken {
            partition: PartitionKey {
                executor: ExecutorId(1),
                partition: PartitionNumber(partition),
            },
            sequence: Sequence::from_bits(sequence),
            term: Term(1),
            attempt: AttemptNumber(1),
        }
    }

    fn run(attempts: &mut LocalAttempts, token: AttemptToken) {
        attempts.reserve(token, false);
        attempts.started(token);
        attempts.ended(token, AttemptEnd::Aborted);
    }

    #[test]
    fn of_too_many_waiting_reports_the_one_that_waits_longest_is_dropped() {
        let mut attempts = LocalAttempts::default();
        // Later partitions first, so that the order of keys is another one.
        let count = FINISHED_REPORTS_MAX as u64;
        for number in 0..=count {
            run(&mut attempts, token(u32::from(number == 0), number));
        }
        assert_eq!(attempts.get(token(1, 0)), None);
        assert!(attempts.get(token(0, 1)).is_some());
        assert!(attempts.get(token(0, count)).is_some());
        assert_eq!(attempts.partitions().count(), 1);
    }

    #[test]
    fn the_slot_of_a_handler_that_was_given_up_is_in_use_until_it_has_returned() {
        let executor = ExecutorId(1);
        let mut attempts = LocalAttempts::default();
        let suspect = token(0, 1);
        attempts.reserve(suspect, true);
        attempts.started(suspect);
        attempts.given_up(suspect);
        attempts.ended(suspect, AttemptEnd::HandedBack);
        assert_eq!(attempts.busy(executor), 1);
        assert!(attempts.runs_suspect());
        attempts.forget(suspect);
        assert_eq!(attempts.busy(executor), 1, "its report was taken");
        attempts.returned(suspect);
        assert_eq!(attempts.busy(executor), 0);
        assert!(!attempts.runs_suspect());
        attempts.returned(suspect);
        assert_eq!(attempts.busy(executor), 0, "it is free once");
    }

    #[test]
    fn reports_of_an_executor_that_is_gone_are_forgotten_and_its_runs_are_not() {
        let mut attempts = LocalAttempts::default();
        run(&mut attempts, token(0, 1));
        attempts.reserve(token(0, 2), false);
        attempts.forget_finished(ExecutorId(2));
        assert!(attempts.get(token(0, 1)).is_some());
        attempts.forget_finished(ExecutorId(1));
        assert_eq!(attempts.get(token(0, 1)), None);
        assert!(attempts.get(token(0, 2)).is_some());
        assert_eq!(attempts.busy(ExecutorId(1)), 1);
    }
}
