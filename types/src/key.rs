//! Keys chosen by callers, and the partition a key belongs to: a public contract shared by every SDK.

use bytes::Bytes;

use crate::PartitionNumber;
use crate::limits;

/// Number of partitions of an executor: 1 to [`limits::PARTITION_COUNT_MAX`]; immutable once the executor exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionCount(u32);

impl PartitionCount {
    /// The peer's default, 271.
    pub const DEFAULT: Self = Self(271);

    /// A count within 1 to [`limits::PARTITION_COUNT_MAX`], or nothing.
    #[must_use]
    pub const fn new(count: u32) -> Option<Self> {
        if count == 0 || count > limits::PARTITION_COUNT_MAX {
            None
        } else {
            Some(Self(count))
        }
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// A key that was empty or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key has 1 to {limit} bytes, this one has {length}")]
pub struct KeyLengthError {
    /// Bytes of the key that was refused.
    pub length: usize,
    /// The most bytes a key may have.
    pub limit: usize,
}

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Bytes);

        impl $name {
            /// Checks the length: 1 to [`limits::KEY_BYTES_MAX`] bytes.
            ///
            /// # Errors
            /// [`KeyLengthError`] for an empty or too long key.
            pub fn new(bytes: impl Into<Bytes>) -> Result<Self, KeyLengthError> {
                let bytes = bytes.into();
                if bytes.is_empty() || bytes.len() > limits::KEY_BYTES_MAX {
                    return Err(KeyLengthError { length: bytes.len(), limit: limits::KEY_BYTES_MAX });
                }
                // A copy: a slice would keep the whole message alive that it came in, for as long as the key is remembered.
                Ok(Self(Bytes::copy_from_slice(&bytes)))
            }

            /// The bytes of the key.
            #[must_use]
            pub fn as_bytes(&self) -> &Bytes {
                &self.0
            }
        }
    };
}

key! {
    /// Tasks with the same affinity key live in the same partition.
    AffinityKey
}
key! {
    /// Names one submit, so that a retry finds the task it may already have stored (DESIGN G6).
    IdempotencyKey
}
key! {
    /// Names one destructive read, so that its repeat is answered again (PROTOCOL §4, dispose-grace).
    RequestId
}

/// The partition of a key: `xxh64(key bytes, seed 0) mod partition-count`. Golden vectors: `proto/vectors/partition.json`.
#[must_use]
pub fn partition_of(key: &[u8], count: PartitionCount) -> PartitionNumber {
    let hash = xxhash_rust::xxh64::xxh64(key, 0);
    let partition = hash % u64::from(count.get());
    PartitionNumber(u32::try_from(partition).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_keep_the_message_alive_that_it_came_in() {
        let message = Bytes::from(vec![7; 1024]);
        let key = IdempotencyKey::new(message.slice(..4)).expect("valid");
        assert_eq!(key.as_bytes().len(), 4);
        assert!(message.is_unique());
    }
}
