//! The task id as others see it: message, text and binary form.
//!
//! The binary form is a public contract, the same in every SDK (golden vectors: `proto/vectors/task_id.json`):
//!
//! | bytes | |
//! | --- | --- |
//! | 1 | version of the form, [`BINARY_VERSION`] |
//! | 16 | cluster id, most significant byte first |
//! | 4 | partition, most significant byte first |
//! | 8 | sequence, most significant byte first |
//! | 1 to 128 | the executor's name, UTF-8, to the end |
//!
//! A protobuf message would not do: its bytes are not canonical, and an id is compared and used as a key.

use bytes::{BufMut, Bytes, BytesMut};
use ringhold_types::{ClusterId, ExecutorName, IdParseError, PartitionNumber, Sequence, TaskId};

use crate::convert::{ConversionError, cluster_bytes, stated_cluster};
use crate::v1;

/// The only version of the binary form so far.
pub const BINARY_VERSION: u8 = 1;

/// Bytes before the executor's name.
const FIXED_BYTES: usize = 1 + 16 + 4 + 8;

/// Bytes that are no task id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskIdDecodeError {
    /// Fewer bytes than any id has.
    #[error("a binary task id has more than {FIXED_BYTES} bytes, this one has {length}")]
    TooShort {
        /// Bytes there are.
        length: usize,
    },
    /// A form of another version.
    #[error("binary task ids of version {version} are not known")]
    Version {
        /// The version.
        version: u8,
    },
    /// An executor's name that is not UTF-8.
    #[error("the executor's name in the task id is not text")]
    NameEncoding,
    /// An executor's name of the wrong form.
    #[error(transparent)]
    Name(#[from] IdParseError),
}

/// The binary form of a task id.
#[must_use]
pub fn encode(cluster: ClusterId, id: &TaskId) -> Bytes {
    let name = id.executor.as_str().as_bytes();
    let mut bytes = BytesMut::with_capacity(FIXED_BYTES + name.len());
    bytes.put_u8(BINARY_VERSION);
    bytes.put_u128(cluster.0);
    bytes.put_u32(id.partition.0);
    bytes.put_u64(id.sequence.bits());
    bytes.put_slice(name);
    bytes.freeze()
}

/// Reads the binary form of a task id.
///
/// # Errors
/// [`TaskIdDecodeError`] for bytes that [`encode`] never makes.
pub fn decode(bytes: &[u8]) -> Result<(ClusterId, TaskId), TaskIdDecodeError> {
    let too_short = || TaskIdDecodeError::TooShort {
        length: bytes.len(),
    };
    let (version, rest) = bytes.split_first().ok_or_else(too_short)?;
    if *version != BINARY_VERSION {
        return Err(TaskIdDecodeError::Version { version: *version });
    }
    let (cluster, rest) = rest.split_first_chunk().ok_or_else(too_short)?;
    let (partition, rest) = rest.split_first_chunk().ok_or_else(too_short)?;
    let (sequence, name) = rest.split_first_chunk().ok_or_else(too_short)?;
    let name = std::str::from_utf8(name).map_err(|_| TaskIdDecodeError::NameEncoding)?;
    let id = TaskId {
        executor: ExecutorName::new(name)?,
        partition: PartitionNumber(u32::from_be_bytes(*partition)),
        sequence: Sequence::from_bits(u64::from_be_bytes(*sequence)),
    };
    Ok((ClusterId(u128::from_be_bytes(*cluster)), id))
}

/// A task id as a caller states it: with its cluster, or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatedTaskId {
    /// The cluster; `None` means any.
    pub cluster: Option<ClusterId>,
    /// The task.
    pub id: TaskId,
}

impl From<&StatedTaskId> for v1::TaskId {
    /// Both forms: the parts and the text.
    fn from(stated: &StatedTaskId) -> Self {
        Self {
            cluster_id: stated.cluster.map(cluster_bytes),
            executor: stated.id.executor.as_str().to_owned(),
            partition: stated.id.partition.0,
            sequence: stated.id.sequence.bits(),
            text: stated.id.to_string(),
        }
    }
}

impl TryFrom<v1::TaskId> for StatedTaskId {
    type Error = ConversionError;

    /// Reads the text if there is one, else the parts; if there are both they must agree.
    fn try_from(message: v1::TaskId) -> Result<Self, Self::Error> {
        let cluster = stated_cluster(message.cluster_id.as_ref())?;
        let no_parts =
            message.executor.is_empty() && message.partition == 0 && message.sequence == 0;
        if no_parts && !message.text.is_empty() {
            let id = message.text.parse()?;
            return Ok(Self { cluster, id });
        }
        let id = TaskId {
            executor: ExecutorName::new(message.executor)?,
            partition: PartitionNumber(message.partition),
            sequence: Sequence::from_bits(message.sequence),
        };
        if !message.text.is_empty() && message.text != id.to_string() {
            return Err(ConversionError::Contradiction {
                first: "id.text",
                second: "its parts",
            });
        }
        Ok(Self { cluster, id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> TaskId {
        "reports/113/9812".parse().expect("well formed")
    }

    #[test]
    fn every_truncation_of_a_binary_id_is_refused_or_names_another_executor() {
        let whole = encode(ClusterId(7), &id());
        for length in 0..whole.len() {
            match decode(&whole[..length]) {
                Err(_) => assert!(length <= FIXED_BYTES),
                Ok((_, shorter)) => assert_ne!(shorter.executor, id().executor),
            }
        }
        assert_eq!(decode(&whole), Ok((ClusterId(7), id())));
    }

    #[test]
    fn a_binary_id_of_another_version_or_with_a_bad_name_is_refused_by_name() {
        let mut bytes = encode(ClusterId(7), &id()).to_vec();
        bytes[0] = 2;
        assert_eq!(
            decode(&bytes),
            Err(TaskIdDecodeError::Version { version: 2 })
        );
        bytes[0] = BINARY_VERSION;
        bytes[FIXED_BYTES] = 0xff;
        assert_eq!(decode(&bytes), Err(TaskIdDecodeError::NameEncoding));
        bytes[FIXED_BYTES] = b'/';
        assert!(matches!(decode(&bytes), Err(TaskIdDecodeError::Name(_))));
    }

    #[test]
    fn an_id_may_be_stated_as_text_or_parts_but_not_as_two_tasks() {
        let stated = StatedTaskId {
            cluster: Some(ClusterId(7)),
            id: id(),
        };
        let both = v1::TaskId::from(&stated);
        let text = v1::TaskId {
            text: both.text.clone(),
            cluster_id: both.cluster_id.clone(),
            ..v1::TaskId::default()
        };
        let parts = v1::TaskId {
            text: String::new(),
            ..both.clone()
        };
        let two = v1::TaskId {
            sequence: 1,
            ..both.clone()
        };
        for message in [both, text, parts] {
            assert_eq!(StatedTaskId::try_from(message), Ok(stated.clone()));
        }
        assert!(StatedTaskId::try_from(two).is_err());
        assert!(StatedTaskId::try_from(v1::TaskId::default()).is_err());
    }
}
