//! redb: a copy-on-write tree, one write transaction a batch.

use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::super::life::Change;
use super::super::{Living, Store};

const TASKS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("tasks");

struct Redb(Database);

/// Opens the store and reads everything.
pub(in super::super) fn open(directory: &Path) -> anyhow::Result<(Box<dyn Store>, Living)> {
    std::fs::create_dir_all(directory)?;
    let database = Database::create(directory.join("redb"))?;
    let transaction = database.begin_write()?;
    transaction.open_table(TASKS)?;
    transaction.commit()?;
    let mut living = Living::default();
    for entry in database.begin_read()?.open_table(TASKS)?.iter()? {
        living.tasks += 1;
        living.bytes += entry?.1.value().len() as u64;
    }
    Ok((Box::new(Redb(database)), living))
}

impl Store for Redb {
    fn commit(&mut self, batch: &[Change]) -> anyhow::Result<()> {
        // Durability::Immediate is the default: one flush at the commit.
        let transaction = self.0.begin_write()?;
        {
            let mut table = transaction.open_table(TASKS)?;
            for change in batch {
                match change {
                    Change::Accept(task, bytes) | Change::Complete(task, bytes) => {
                        table.insert(&task.key()[..], &bytes[..])?;
                    }
                    Change::Dispose(task) => {
                        table.remove(&task.key()[..])?;
                    }
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }
}
