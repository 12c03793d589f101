//! Partitions are about to hold their first task (PROTOCOL §1).

use ringhold_types::{ExecutorId, PartitionKey, PartitionNumber};

use crate::{Changes, Cluster, Refused, Response};

impl Cluster {
    /// Idempotent; all or none of the partitions.
    pub(crate) fn materialise(
        &mut self,
        executor: ExecutorId,
        partitions: &[PartitionNumber],
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        let record = self.executors.get(&executor).ok_or(Refused::Unknown)?;
        let mut fresh = Vec::new();
        for &number in partitions {
            let partition = record.partition(number).ok_or(Refused::Unknown)?;
            if partition.in_sync.is_empty() {
                return Err(Refused::Forbidden {
                    rule: "a partition that no member holds cannot take a task".into(),
                });
            }
            if !partition.materialised {
                fresh.push(number);
            }
        }
        fresh.sort_unstable();
        fresh.dedup();
        for partition in fresh {
            let key = PartitionKey {
                executor,
                partition,
            };
            self.edit(key, changes, |partition| partition.materialised = true)?;
        }
        Ok(Response::Done)
    }
}
