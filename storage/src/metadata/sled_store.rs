//! The metadata store on sled. Not power-loss durable: sled 0.34 flushes with `sync_file_range`, which does not reach the
//! device. It is here for comparison, behind a feature.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{KeyValue, MetadataStore, Operation, TableName, WriteBatch};
use crate::StorageError;

/// Ends the table's name in a key; names are fixed in code and hold no zero byte.
const SEPARATOR: u8 = 0;

/// A metadata store in one sled tree: keys carry their table's name in front, so that one batch covers several tables.
#[derive(Debug)]
pub struct SledStore {
    database: sled::Db,
    poisoned: AtomicBool,
}

impl SledStore {
    /// Opens a directory, or makes one.
    ///
    /// # Errors
    /// `Metadata`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StorageError> {
        let opened = sled::Config::new()
            .path(path)
            .mode(sled::Mode::LowSpace)
            .flush_every_ms(None)
            .open();
        Ok(Self {
            database: opened.map_err(|error| failed("open", error))?,
            poisoned: AtomicBool::new(false),
        })
    }

    fn check(&self) -> Result<(), StorageError> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(StorageError::Poisoned);
        }
        Ok(())
    }

    fn commit(&self, batch: WriteBatch) -> Result<(), sled::Error> {
        let mut changes = sled::Batch::default();
        // A range delete must also see the keys that this very batch puts.
        let mut put: Vec<Vec<u8>> = Vec::new();
        for (table, operation) in batch.operations {
            match operation {
                Operation::Put(key, value) => {
                    let key = full_key(table, &key);
                    put.push(key.clone());
                    changes.insert(key, value);
                }
                Operation::Delete(key) => changes.remove(full_key(table, &key)),
                Operation::DeleteRange(from, to) => {
                    let start = full_key(table, &from);
                    let end = to.map_or_else(|| end_of(table), |to| full_key(table, &to));
                    for key in put.iter().filter(|key| **key >= start && **key < end) {
                        changes.remove(key.as_slice());
                    }
                    if start < end {
                        for key in self.database.range(start..end).keys() {
                            changes.remove(key?);
                        }
                    }
                }
            }
        }
        self.database.apply_batch(changes)?;
        self.database.flush()?;
        Ok(())
    }
}

impl MetadataStore for SledStore {
    fn get(&self, table: TableName, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.check()?;
        let found = self.database.get(full_key(table, key));
        let found = found.map_err(|error| failed("read", error))?;
        Ok(found.map(|value| value.to_vec()))
    }

    fn write(&self, batch: WriteBatch) -> Result<(), StorageError> {
        self.check()?;
        self.commit(batch).map_err(|error| {
            self.poisoned.store(true, Ordering::Release);
            failed("write", error)
        })
    }

    fn range(
        &self,
        table: TableName,
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<KeyValue>, StorageError> {
        self.check()?;
        self.database
            .range(full_key(table, from)..end_of(table))
            .take(limit)
            .map(|pair| pair.map(|(key, value)| without_table(table, &key, &value)))
            .collect::<Result<_, _>>()
            .map_err(|error| failed("read", error))
    }

    fn last(&self, table: TableName) -> Result<Option<KeyValue>, StorageError> {
        self.check()?;
        self.database
            .range(full_key(table, &[])..end_of(table))
            .next_back()
            .map(|pair| pair.map(|(key, value)| without_table(table, &key, &value)))
            .transpose()
            .map_err(|error| failed("read", error))
    }
}

fn full_key(table: TableName, key: &[u8]) -> Vec<u8> {
    let mut full = table.0.as_bytes().to_vec();
    full.push(SEPARATOR);
    full.extend_from_slice(key);
    full
}

fn end_of(table: TableName) -> Vec<u8> {
    let mut end = table.0.as_bytes().to_vec();
    end.push(SEPARATOR + 1);
    end
}

fn without_table(table: TableName, key: &[u8], value: &[u8]) -> KeyValue {
    (key[table.0.len() + 1..].to_vec(), value.to_vec())
}

fn failed(operation: &'static str, error: sled::Error) -> StorageError {
    StorageError::Metadata {
        operation,
        source: Box::new(error),
    }
}
