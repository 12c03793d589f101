//! The metadata store on redb: a copy-on-write tree, one flush to the device per write.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{
    Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, TableDefinition,
    TableError,
};

use super::{KeyValue, MetadataStore, Operation, TableName, WriteBatch};
use crate::{FileSystem, RealFileSystem, StorageError};

/// Memory for pages: metadata is small and cold, and a member must stay small when idle.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// A metadata store in one redb file.
#[derive(Debug)]
pub struct RedbStore {
    database: Database,
    poisoned: AtomicBool,
}

impl RedbStore {
    /// Opens a file, or makes one.
    ///
    /// # Errors
    /// `Metadata` if it cannot be opened or is damaged, `InUse` if another process has it open.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StorageError> {
        let path = path.as_ref();
        let opened = Database::builder().set_cache_size(CACHE_BYTES).create(path);
        match opened {
            Ok(database) => {
                // A new file's name is not durable by itself, and a vote in a file that vanishes is a vote given twice.
                let folder = path.parent().filter(|folder| *folder != Path::new(""));
                let folder = folder.unwrap_or(Path::new("."));
                RealFileSystem
                    .sync_directory(folder)
                    .map_err(|error| StorageError::io("flush", folder, error))?;
                Ok(Self {
                    database,
                    poisoned: AtomicBool::new(false),
                })
            }
            Err(DatabaseError::DatabaseAlreadyOpen) => Err(StorageError::InUse {
                path: path.to_path_buf(),
            }),
            Err(error) => Err(failed("open", error)),
        }
    }

    fn check(&self) -> Result<(), StorageError> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(StorageError::Poisoned);
        }
        Ok(())
    }

    /// Reads a table; one that was never written is empty.
    fn read<T: Default>(
        &self,
        table: TableName,
        work: impl FnOnce(&redb::ReadOnlyTable<&[u8], &[u8]>) -> Result<T, redb::StorageError>,
    ) -> Result<T, StorageError> {
        self.check()?;
        let transaction = self
            .database
            .begin_read()
            .map_err(|error| failed("read", error))?;
        match transaction.open_table(definition(table)) {
            Ok(table) => work(&table).map_err(|error| failed("read", error)),
            Err(TableError::TableDoesNotExist(_)) => Ok(T::default()),
            Err(error) => Err(failed("read", error)),
        }
    }

    fn commit(&self, batch: &WriteBatch) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        for (table, operation) in &batch.operations {
            let mut table = transaction.open_table(definition(*table))?;
            match operation {
                Operation::Put(key, value) => {
                    table.insert(key.as_slice(), value.as_slice())?;
                }
                Operation::Delete(key) => {
                    table.remove(key.as_slice())?;
                }
                Operation::DeleteRange(from, Some(to)) if from < to => {
                    table.retain_in(from.as_slice()..to.as_slice(), |_, _| false)?;
                }
                Operation::DeleteRange(_, Some(_)) => {}
                Operation::DeleteRange(from, None) => {
                    table.retain_in(from.as_slice().., |_, _| false)?;
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

impl MetadataStore for RedbStore {
    fn get(&self, table: TableName, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.read(table, |table| {
            Ok(table.get(key)?.map(|value| value.value().to_vec()))
        })
    }

    fn write(&self, batch: WriteBatch) -> Result<(), StorageError> {
        self.check()?;
        if batch.is_empty() {
            return Ok(());
        }
        self.commit(&batch).map_err(|error| {
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
        self.read(table, |table| {
            table
                .range(from..)?
                .take(limit)
                .map(|pair| {
                    let (key, value) = pair?;
                    Ok((key.value().to_vec(), value.value().to_vec()))
                })
                .collect()
        })
    }

    fn last(&self, table: TableName) -> Result<Option<KeyValue>, StorageError> {
        self.read(table, |table| {
            let last = table.last()?;
            Ok(last.map(|(key, value)| (key.value().to_vec(), value.value().to_vec())))
        })
    }
}

const fn definition(table: TableName) -> Definition {
    TableDefinition::new(table.0)
}

fn failed(operation: &'static str, error: impl Into<redb::Error>) -> StorageError {
    StorageError::Metadata {
        operation,
        source: Box::new(error.into()),
    }
}
