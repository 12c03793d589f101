//! Where two logs part (PROTOCOL I10): found by the history of terms, never by lengths or commit positions.
//!
//! One process writes the entries of a term, in order, and appends in no other. So two logs that hold an entry of the
//! same term at the same position hold the same entries up to it, and the last such position is the divergence point.

use ringhold_types::Lsn;

use crate::message::LogSummary;

/// The last position up to which both logs are known to be the same. At least `theirs.commit`, if our log reaches it:
/// what is committed anywhere is a prefix of every log that may lead.
#[must_use]
pub(crate) fn common_point(ours: &LogSummary, theirs: &LogSummary) -> Lsn {
    let mut common = theirs.commit.min(ours.last).min(theirs.last);
    for (index, (term, start)) in ours.starts.iter().enumerate() {
        let Some(other) = theirs.starts.iter().position(|(other, _)| other == term) else {
            continue;
        };
        let end = end_of(ours, index);
        let other_end = end_of(theirs, other);
        let first = (*start).max(theirs.starts[other].1);
        let last = end.min(other_end);
        if first <= last {
            common = common.max(last);
        }
    }
    common
}

/// The last position of the term that `summary` lists at `index`.
fn end_of(summary: &LogSummary, index: usize) -> Lsn {
    summary
        .starts
        .get(index + 1)
        .map_or(summary.last, |(_, next)| next.previous())
}

#[cfg(test)]
mod tests {
    use ringhold_types::Term;

    use super::*;

    /// A log as its terms, one entry each: `[1, 1, 2]` is two entries of term 1 and one of term 2.
    fn summary(terms: &[u64], commit: u64) -> LogSummary {
        let mut starts: Vec<(Term, Lsn)> = Vec::new();
        for (index, term) in terms.iter().enumerate() {
            if starts.last().is_none_or(|(last, _)| last.0 != *term) {
                starts.push((Term(*term), Lsn(index as u64 + 1)));
            }
        }
        LogSummary {
            starts,
            last: Lsn(terms.len() as u64),
            commit: Lsn(commit),
        }
    }

    #[test]
    fn logs_part_after_the_last_entry_of_the_same_term_at_the_same_position() {
        type Case = (&'static [u64], &'static [u64], u64);
        let cases: [Case; 8] = [
            (&[1, 1, 1], &[1, 1, 1], 3),
            (&[1, 1, 1], &[1, 1], 2),
            (&[1, 1, 2], &[1, 1, 1], 2),
            (&[1, 1, 1, 3], &[1, 1, 2, 2], 2),
            (&[1, 2, 2, 4], &[1, 2, 3, 3, 3], 2),
            (&[2, 2], &[1, 1], 0),
            (&[1, 1, 1], &[], 0),
            (&[1, 3, 3, 5], &[1, 3, 4], 2),
        ];
        for (ours, theirs, expected) in cases {
            let found = common_point(&summary(ours, 0), &summary(theirs, 0));
            assert_eq!(found, Lsn(expected), "{ours:?} and {theirs:?}");
        }
    }

    #[test]
    fn equal_lengths_with_other_terms_part_before_the_difference() {
        let found = common_point(&summary(&[1, 1, 3], 0), &summary(&[1, 1, 2], 0));
        assert_eq!(found, Lsn(2));
    }

    #[test]
    fn the_divergence_point_is_never_below_a_commit() {
        let ours = LogSummary {
            starts: vec![(Term(5), Lsn(10))],
            last: Lsn(12),
            commit: Lsn(11),
        };
        let theirs = LogSummary {
            starts: vec![(Term(4), Lsn(3))],
            last: Lsn(9),
            commit: Lsn(9),
        };
        assert_eq!(common_point(&ours, &theirs), Lsn(9));
    }
}
