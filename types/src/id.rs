//! Identifiers of clusters, members, replicas, executors, partitions and tasks.

use std::fmt;
use std::str::FromStr;

use crate::limits::EXECUTOR_NAME_BYTES_MAX;
use crate::{Incarnation, Sequence};

/// Random identity of a cluster, made once at its bootstrap; it stands in every stored file and handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u128);

impl fmt::Display for ClusterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

/// Random identity of a member's data directory; also its Raft node id. An emptied directory is a new member id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

impl fmt::Display for MemberId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// One copy of a partition: where it lives, and which storage it is (PROTOCOL I9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId {
    /// The member that holds it.
    pub member: MemberId,
    /// The identity of that member's storage.
    pub incarnation: Incarnation,
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.member, self.incarnation)
    }
}

/// Number of an executor, given by the control plane when it is created; never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutorId(pub u32);

/// Number of a partition of an executor, from 0 to partition-count − 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionNumber(pub u32);

impl fmt::Display for PartitionNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// One partition of one executor: the unit of replication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey {
    /// The executor.
    pub executor: ExecutorId,
    /// Its partition.
    pub partition: PartitionNumber,
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.executor.0, self.partition)
    }
}

/// A text that is no valid name or id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdParseError {
    /// An executor name outside the allowed form.
    #[error(
        "an executor name has 1 to {EXECUTOR_NAME_BYTES_MAX} characters out of letters, digits, '.', '_', '-', ':' and '@', not {text:?}"
    )]
    ExecutorName {
        /// The refused text.
        text: String,
    },
    /// A task id that is not `executor/partition/sequence`.
    #[error("a task id reads executor/partition/sequence, like reports/113/9812, not {text:?}")]
    TaskId {
        /// The refused text.
        text: String,
    },
    /// The name of an attempt that is not `task@term.attempt`.
    #[error("an attempt reads task@term.attempt, like reports/113/9812@7.2, not {text:?}")]
    AttemptName {
        /// The refused text.
        text: String,
    },
}

/// Name of an executor: letters, digits and `. _ - : @`, 1 to 128 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutorName(String);

impl ExecutorName {
    /// Checks the form of a name.
    ///
    /// # Errors
    /// [`IdParseError::ExecutorName`] for an empty or too long name or one with other characters.
    pub fn new(text: impl Into<String>) -> Result<Self, IdParseError> {
        let text = text.into();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-:@".contains(c);
        if text.is_empty() || text.len() > EXECUTOR_NAME_BYTES_MAX || !text.chars().all(allowed) {
            return Err(IdParseError::ExecutorName { text });
        }
        Ok(Self(text))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExecutorName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for ExecutorName {
    type Err = IdParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

/// Identity of a task, printed `reports/113/9812`. Golden vectors: `proto/vectors/task_id.json`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// The executor it was submitted to.
    pub executor: ExecutorName,
    /// Its partition.
    pub partition: PartitionNumber,
    /// Its position there.
    pub sequence: Sequence,
}

impl fmt::Display for TaskId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}/{}/{}",
            self.executor, self.partition, self.sequence
        )
    }
}

impl FromStr for TaskId {
    type Err = IdParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || IdParseError::TaskId {
            text: text.to_owned(),
        };
        let mut parts = text.rsplitn(3, '/');
        let sequence = parts.next().and_then(plain_number).ok_or_else(refused)?;
        let partition = parts.next().and_then(plain_number).ok_or_else(refused)?;
        let executor = ExecutorName::new(parts.next().ok_or_else(refused)?)?;
        let partition = u32::try_from(partition).map_err(|_| refused())?;
        Ok(Self {
            executor,
            partition: PartitionNumber(partition),
            sequence: Sequence::from_bits(sequence),
        })
    }
}

/// A decimal number in its one canonical form: no sign, no leading zero.
pub(crate) fn plain_number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_id_reads_back_what_it_prints() {
        let id: TaskId = "reports/113/9812".parse().expect("well formed");
        assert_eq!(id.partition, PartitionNumber(113));
        assert_eq!(id.sequence, Sequence::from_bits(9812));
        assert_eq!(id.to_string(), "reports/113/9812");
    }

    #[test]
    fn a_task_id_has_one_spelling_only() {
        for text in [
            "reports/113",
            "reports/0113/1",
            "reports/113/+1",
            "/1/1",
            "a b/1/1",
            "",
            "a/4294967296/1",
        ] {
            assert!(text.parse::<TaskId>().is_err(), "{text:?} was accepted");
        }
    }
}
