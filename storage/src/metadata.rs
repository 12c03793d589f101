//! The metadata store: Raft's vote and log, nonces, the cluster's id. Small, cold, and always durable.

mod redb_store;
#[cfg(feature = "sled")]
mod sled_store;

pub use redb_store::RedbStore;
#[cfg(feature = "sled")]
pub use sled_store::SledStore;

use crate::StorageError;

/// Name of a table, fixed in code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName(pub &'static str);

/// A key with its value.
pub type KeyValue = (Vec<u8>, Vec<u8>);

/// Ordered tables of bytes. Every backend passes [`crate::conformance`].
///
/// After a failed write the store is poisoned: every later call fails, nothing is retried.
pub trait MetadataStore: Send + Sync {
    /// The value of a key.
    ///
    /// # Errors
    /// `Metadata`, `Poisoned`.
    fn get(&self, table: TableName, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError>;

    /// Applies a batch in its order: all of it or nothing, durable on return.
    ///
    /// # Errors
    /// `Metadata`, `DiskFull`, `Poisoned`: whether the batch is stored is unknown; the member must stop.
    fn write(&self, batch: WriteBatch) -> Result<(), StorageError>;

    /// At most `limit` pairs in the order of their keys, from `from` on (included).
    ///
    /// # Errors
    /// `Metadata`, `Poisoned`.
    fn range(
        &self,
        table: TableName,
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<KeyValue>, StorageError>;

    /// The pair with the highest key.
    ///
    /// # Errors
    /// `Metadata`, `Poisoned`.
    fn last(&self, table: TableName) -> Result<Option<KeyValue>, StorageError>;
}

/// Changes that belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteBatch {
    operations: Vec<(TableName, Operation)>,
}

/// One change of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Operation {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    /// Keys from the first on, up to the second (not included) if there is one.
    DeleteRange(Vec<u8>, Option<Vec<u8>>),
}

impl WriteBatch {
    /// A batch that changes nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            operations: Vec::new(),
        }
    }

    /// Sets a key.
    #[must_use]
    pub fn put(
        mut self,
        table: TableName,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
    ) -> Self {
        let operation = Operation::Put(key.into(), value.into());
        self.operations.push((table, operation));
        self
    }

    /// Removes a key; one that is absent is fine.
    #[must_use]
    pub fn delete(mut self, table: TableName, key: impl Into<Vec<u8>>) -> Self {
        self.operations.push((table, Operation::Delete(key.into())));
        self
    }

    /// Removes all keys from `from` on, up to `to` (not included), or to the end of the table.
    #[must_use]
    pub fn delete_range(
        mut self,
        table: TableName,
        from: impl Into<Vec<u8>>,
        to: Option<Vec<u8>>,
    ) -> Self {
        let operation = Operation::DeleteRange(from.into(), to);
        self.operations.push((table, operation));
        self
    }

    /// Adds the changes of another batch after the own ones.
    pub fn append(&mut self, mut later: Self) {
        self.operations.append(&mut later.operations);
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}
