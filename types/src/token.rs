//! The attempt's fencing token and the submitter's receipt.

use std::fmt;
use std::str::FromStr;

use crate::id::plain_number;
use crate::{
    AttemptNumber, IdParseError, MemberId, PartitionKey, Persistence, Sequence, TaskId, Term,
};

/// The fencing token of an attempt: `(term, sequence, attempt)` in its partition, ordered by age.
///
/// User code hands it to outside systems to refuse an older attempt's writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptToken {
    /// The partition of the task.
    pub partition: PartitionKey,
    /// The task.
    pub sequence: Sequence,
    /// The term in which this attempt was started or last adopted.
    pub term: Term,
    /// Which attempt of the task.
    pub attempt: AttemptNumber,
}

/// The fencing token of an attempt as others hold it, printed `reports/113/9812@7.2`: whoever has it may report the end of the
/// attempt, from any process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptName {
    /// The task.
    pub id: TaskId,
    /// The term in which this attempt was started or last adopted.
    pub term: Term,
    /// Which attempt of the task.
    pub attempt: AttemptNumber,
}

impl fmt::Display for AttemptName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}.{}", self.id, self.term, self.attempt)
    }
}

impl FromStr for AttemptName {
    type Err = IdParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || IdParseError::AttemptName {
            text: text.to_owned(),
        };
        // An executor's name may hold an `@`, what follows the last one may not.
        let (id, run) = text.rsplit_once('@').ok_or_else(refused)?;
        let (term, attempt) = run.split_once('.').ok_or_else(refused)?;
        Ok(Self {
            id: id.parse()?,
            term: Term(plain_number(term).ok_or_else(refused)?),
            attempt: AttemptNumber(plain_number(attempt).ok_or_else(refused)?),
        })
    }
}

/// How many full copies of a task exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Copies(pub u32);

/// The answer to a submit: what is stored, where and how durably.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The task.
    pub id: TaskId,
    /// The term in which it was committed or found.
    pub term: Term,
    /// The members of the committed in-sync set that hold it.
    pub members: Vec<MemberId>,
    /// Whether those copies are on disk or in memory.
    pub persistence: Persistence,
    /// Whether an earlier submit with the same idempotency key had stored it already.
    pub reused: bool,
}

impl Receipt {
    /// The number of copies.
    #[must_use]
    pub fn copies(&self) -> Copies {
        Copies(u32::try_from(self.members.len()).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_name_reads_back() {
        for text in ["reports/113/9812@7.2", "a@b.1/0/0@0.0"] {
            let name: AttemptName = text.parse().expect("well formed");
            assert_eq!(name.to_string(), text);
        }
        let name: AttemptName = "reports/113/9812@7.2".parse().expect("well formed");
        assert_eq!((name.term, name.attempt), (Term(7), AttemptNumber(2)));
    }

    #[test]
    fn an_attempt_name_has_one_spelling_only() {
        for text in [
            "reports/113/9812",
            "reports/113/9812@7",
            "reports/113/9812@07.2",
            "reports/113/9812@7.+2",
            "reports/113@7.2",
            "@7.2",
            "",
        ] {
            assert!(
                text.parse::<AttemptName>().is_err(),
                "{text:?} was accepted"
            );
        }
    }
}
