//! Lines of a resumed run that may have run a second time, since their results were overwritten.
//!
//! Only an executor whose `when-full` is `overwrite` removes outcomes that the run keeps. Such a line answers OVERWRITTEN for as
//! long as its idempotency key is remembered; later it looks like one that was never stored.

use std::collections::BTreeSet;

use super::LineNumber;

/// Lines that are named one by one.
const NAMED_MAX: usize = 20;

/// Which lines were stored anew, and up to which one an earlier process had come.
#[derive(Default)]
pub(super) struct Repeats {
    anew: BTreeSet<LineNumber>,
    newest_found: Option<LineNumber>,
}

impl Repeats {
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
            "lines stored anew although line {} was stored before: {}{more}. Executor {executor} overwrites results \
             (when-full = overwrite): unless the earlier process had not stored them yet, their results were overwritten, and \
             they ran a second time. To rule that out, map into an executor with when-full = reject or wait",
            newest.0,
            named.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stored_anew_before_one_that_was_found_are_named() {
        let mut repeats = Repeats::default();
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
    }

    #[test]
    fn a_run_that_goes_on_where_it_stopped_is_not_suspected() {
        let mut repeats = Repeats::default();
        for (line, found) in [(1, true), (2, true), (3, false), (4, false)] {
            repeats.note(LineNumber(line), found);
        }
        assert_eq!(repeats.warning("reports"), None);
    }
}
