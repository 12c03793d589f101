//! Lines of a resumed run that may have run a second time, since their results were removed.
//!
//! Every executor removes outcomes after its `result-ttl`, and one whose `when-full` is `overwrite` also when it is full. Such a
//! line answers EXPIRED or OVERWRITTEN for as long as its idempotency key is remembered; later it looks like one that was
//! never stored.

use std::collections::BTreeSet;
use std::time::Duration;

use ringhold_client::{ExecutorConfig, WhenFull};

use super::LineNumber;
use crate::duration;

/// Lines that are named one by one.
const NAMED_MAX: usize = 20;

/// Which lines were stored anew, and up to which one an earlier process had come.
pub(super) struct Repeats {
    /// What removes results, in words.
    remover: String,
    /// So many lines an earlier process may have left out before the newest that it stored: those that were under way. More of
    /// them were removed.
    left_out_max: usize,
    anew: BTreeSet<LineNumber>,
    newest_found: Option<LineNumber>,
}

impl Repeats {
    /// No line yet, of an executor with this configuration, in runs of so many lines under way.
    pub(super) fn new(config: &ExecutorConfig, jobs: usize) -> Self {
        let kept = duration::show(Duration::from_millis(config.result_ttl.0));
        let remover = match config.when_full {
            WhenFull::Overwrite => format!(
                "overwrites results (when-full = overwrite), and keeps none for longer than {kept} (result-ttl)"
            ),
            WhenFull::Reject | WhenFull::Wait => {
                format!("keeps a result for {kept} (result-ttl)")
            }
        };
        // What overwrites results does so at any time, so that each such line is suspect.
        let left_out_max = match config.when_full {
            WhenFull::Overwrite => 0,
            WhenFull::Reject | WhenFull::Wait => jobs,
        };
        Self {
            remover,
            left_out_max,
            anew: BTreeSet::new(),
            newest_found: None,
        }
    }

    /// A line is stored: by an earlier process, or anew.
    pub(super) fn note(&mut self, line: LineNumber, found: bool) {
        if found {
            self.newest_found = self.newest_found.max(Some(line));
        } else {
            self.anew.insert(line);
        }
    }

    /// What is to be said of lines that were stored anew although an earlier process had come further.
    pub(super) fn warning(&self, executor: &str) -> Option<String> {
        let newest = self.newest_found?;
        let suspects = self.anew.range(..newest);
        if suspects.clone().count() <= self.left_out_max {
            return None;
        }
        let named: Vec<String> = suspects
            .clone()
            .take(NAMED_MAX)
            .map(|line| line.0.to_string())
            .collect();
        if named.is_empty() {
            return None;
        }
        let more = match suspects.count() - named.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Some(format!(
            "lines stored anew although line {} was stored before: {}{more}. Executor {executor} {}: unless the earlier \
             process had not stored them yet, their results were removed, and they ran a second time. To rule that out, \
             resume within result-ttl, in an executor with when-full = reject or wait",
            newest.0,
            named.join(", "),
            self.remover
        ))
    }
}

#[cfg(test)]
mod tests {
    use ringhold_client::ExecutorName;

    use super::*;

    fn no_lines(when_full: WhenFull) -> Repeats {
        let name = ExecutorName::new("reports").expect("letters are a name");
        Repeats::new(
            &ExecutorConfig {
                when_full,
                ..ExecutorConfig::with_name(name)
            },
            2,
        )
    }

    #[test]
    fn lines_stored_anew_before_one_that_was_found_are_named() {
        let mut repeats = no_lines(WhenFull::Overwrite);
        for (line, found) in [(2, false), (1, true), (4, true), (3, true), (5, false)] {
            repeats.note(LineNumber(line), found);
        }
        let warning = repeats.warning("reports").expect("there is one");
        assert!(
            warning.starts_with(
                "lines stored anew although line 4 was stored before: 2. Executor reports"
            ),
            "{warning}"
        );
        assert!(warning.contains("when-full = overwrite"), "{warning}");
    }

    #[test]
    fn an_executor_that_does_not_overwrite_is_not_said_to_and_its_result_ttl_is_named() {
        let mut repeats = no_lines(WhenFull::Reject);
        repeats.note(LineNumber(4), true);
        for line in [1, 2] {
            repeats.note(LineNumber(line), false);
            assert_eq!(
                repeats.warning("reports"),
                None,
                "both may have been under way"
            );
        }
        repeats.note(LineNumber(3), false);
        let warning = repeats.warning("reports").expect("there is one");
        assert!(
            warning.contains("Executor reports keeps a result for 1d00h (result-ttl)"),
            "{warning}"
        );
    }

    #[test]
    fn a_run_that_goes_on_where_it_stopped_is_not_suspected() {
        let mut repeats = no_lines(WhenFull::Reject);
        for (line, found) in [(1, true), (2, true), (3, false), (4, false)] {
            repeats.note(LineNumber(line), found);
        }
        assert_eq!(repeats.warning("reports"), None);
    }
}
