//! fjall: a log-structured merge tree, one atomic batch and one synced journal write a batch.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::super::life::Change;
use super::super::{Living, Store};

struct Fjall {
    database: Database,
    tasks: Keyspace,
}

/// Opens the store and reads everything.
pub(in super::super) fn open(directory: &Path) -> anyhow::Result<(Box<dyn Store>, Living)> {
    let database = Database::builder(directory).open()?;
    let tasks = database.keyspace("tasks", KeyspaceCreateOptions::default)?;
    let mut living = Living::default();
    for entry in tasks.iter() {
        living.tasks += 1;
        living.bytes += entry.value()?.len() as u64;
    }
    Ok((Box::new(Fjall { database, tasks }), living))
}

impl Store for Fjall {
    fn commit(&mut self, batch: &[Change]) -> anyhow::Result<()> {
        let mut written = self
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        for change in batch {
            match change {
                Change::Accept(task, bytes) | Change::Complete(task, bytes) => {
                    written.insert(&self.tasks, task.key(), &bytes[..]);
                }
                Change::Dispose(task) => written.remove(&self.tasks, task.key()),
            }
        }
        written.commit()?;
        Ok(())
    }
}
