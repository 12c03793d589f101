//! The counts of a run.

use ringhold_client::{Outcome, RetrieveError};

use super::printer::is_truncated;
use super::{Ended, LineOutcome};
use crate::failure::Exit;

/// The counts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Lines read.
    pub(crate) lines: u64,
    /// Lines whose task was stored by this process.
    pub(crate) submitted: u64,
    /// Lines whose task an earlier process had stored.
    pub(crate) reused: u64,
    /// Tasks that succeeded.
    pub(crate) succeeded: u64,
    /// Tasks that ended in another way, and lines that could not be submitted.
    pub(crate) failed: u64,
    /// Stored tasks whose outcome is gone.
    pub(crate) lost: u64,
    /// Stored tasks whose outcome could not be asked for: no member answered in time.
    pub(crate) unanswered: u64,
    /// Tasks, succeeded or not, of whose output only the beginning and the end were kept.
    pub(crate) truncated: u64,
}

impl Totals {
    /// Counts a line's task that is stored, by an earlier process (`reused`) or by this one.
    pub(super) fn store(&mut self, reused: bool) {
        let count = if reused {
            &mut self.reused
        } else {
            &mut self.submitted
        };
        *count += 1;
    }

    /// How a run with these counts ends.
    pub(crate) fn exit(&self) -> Exit {
        if self.failed + self.lost + self.unanswered + self.truncated > 0 {
            Exit::Partly
        } else {
            Exit::Ok
        }
    }

    /// Counts the end of a line.
    pub(super) fn add(&mut self, outcome: &LineOutcome) {
        if let Ended::Outcome(retrieved) = &outcome.ended {
            self.truncated += u64::from(is_truncated(&retrieved.outcome));
        }
        let count = match &outcome.ended {
            Ended::Outcome(retrieved) if matches!(retrieved.outcome, Outcome::Succeeded(_)) => {
                &mut self.succeeded
            }
            Ended::Outcome(_) | Ended::NotSubmitted(_) => &mut self.failed,
            Ended::Lost(RetrieveError::Unavailable { .. }) => &mut self.unanswered,
            Ended::Lost(_) => &mut self.lost,
        };
        *count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::{Line, LineNumber};

    #[test]
    fn a_line_that_nobody_answered_for_is_not_counted_as_lost() {
        let mut totals = Totals::default();
        for error in [
            RetrieveError::Unavailable {
                message: "nobody answers".to_owned(),
            },
            RetrieveError::NeverExisted,
        ] {
            totals.add(&LineOutcome {
                line: Line {
                    number: LineNumber(1),
                    text: "text".into(),
                },
                ended: Ended::Lost(error),
            });
        }
        assert_eq!((totals.unanswered, totals.lost), (1, 1));
    }
}
