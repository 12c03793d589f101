//! sled 0.34: a Bw-tree, one atomic batch and one flush a batch. Its flush does not reach the device
//! (`sync_file_range`), so its figures promise less than the others'.

use std::path::Path;

use sled::{Batch, Db};

use super::super::life::Change;
use super::super::{Living, Store};

struct Sled(Db);

/// Opens the store and reads everything.
pub(in super::super) fn open(directory: &Path) -> anyhow::Result<(Box<dyn Store>, Living)> {
    // Its own timer of flushes is off: each batch is flushed, as with the others.
    let database = sled::Config::new()
        .path(directory)
        .flush_every_ms(None)
        .open()?;
    let mut living = Living::default();
    for entry in database.iter() {
        living.tasks += 1;
        living.bytes += entry?.1.len() as u64;
    }
    Ok((Box::new(Sled(database)), living))
}

impl Store for Sled {
    fn commit(&mut self, batch: &[Change]) -> anyhow::Result<()> {
        let mut written = Batch::default();
        for change in batch {
            match change {
                Change::Accept(task, bytes) | Change::Complete(task, bytes) => {
                    written.insert(&task.key()[..], &bytes[..]);
                }
                Change::Dispose(task) => written.remove(&task.key()[..]),
            }
        }
        self.0.apply_batch(written)?;
        self.0.flush()?;
        Ok(())
    }
}
