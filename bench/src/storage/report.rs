//! What `storage` reports. Names are a public contract.

use serde::{Deserialize, Serialize};

use crate::arguments::StorageArguments;
use crate::histogram::LatencyMicros;
use crate::machine::Machine;

/// What the process that worked says.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Worked {
    pub(super) tasks: u64,
    pub(super) seconds: f64,
    pub(super) commit_us: LatencyMicros,
    pub(super) device_bytes: Option<u64>,
    pub(super) process_bytes: u64,
    pub(super) cpu_us: u64,
    pub(super) rss_bytes: u64,
    pub(super) live: u64,
}

/// What the process that opened the store again says.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Recovered {
    pub(super) recover_ms: f64,
    pub(super) live: u64,
    pub(super) live_bytes: u64,
}

/// One store with one batch size.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Batch {
    /// Task lives that share one flush.
    batch: usize,
    tasks_per_second: f64,
    /// One commit of a batch.
    commit_us: LatencyMicros,
    cpu_us_per_task: f64,
    /// Of the whole device where there is one: see [`crate::device`].
    bytes_written_per_task: f64,
    process_write_bytes_per_task: f64,
    /// Memory at the end. The own log's holds the live tasks as well.
    rss_bytes: u64,
    /// Opening after an end without closing, until every live task was read.
    recover_ms: f64,
    live: u64,
    live_bytes: u64,
}

impl Batch {
    pub(super) fn new(batch: usize, worked: Worked, recovered: Recovered) -> Self {
        let tasks = worked.tasks.max(1) as f64;
        Self {
            batch,
            tasks_per_second: worked.tasks as f64 / worked.seconds,
            commit_us: worked.commit_us,
            cpu_us_per_task: worked.cpu_us as f64 / tasks,
            bytes_written_per_task: worked.device_bytes.unwrap_or(worked.process_bytes) as f64
                / tasks,
            process_write_bytes_per_task: worked.process_bytes as f64 / tasks,
            rss_bytes: worked.rss_bytes,
            recover_ms: recovered.recover_ms,
            live: recovered.live,
            live_bytes: recovered.live_bytes,
        }
    }
}

/// One store.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Store {
    pub(super) store: &'static str,
    pub(super) batches: Vec<Batch>,
}

/// The report.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    schema: &'static str,
    seconds: u64,
    payload_bytes: usize,
    live: u64,
    stores: Vec<Store>,
    machine: Machine,
}

impl Report {
    pub(super) fn new(storage: &StorageArguments, stores: Vec<Store>, machine: Machine) -> Self {
        Self {
            schema: "ringhold.bench.storage/1",
            seconds: storage.seconds,
            payload_bytes: storage.payload_bytes,
            live: storage.live,
            stores,
            machine,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn each_store_has_its_figures_by_batch_size() {
        let worked = Worked {
            tasks: 1000,
            seconds: 2.0,
            commit_us: LatencyMicros::default(),
            device_bytes: None,
            process_bytes: 2_000_000,
            cpu_us: 5000,
            rss_bytes: 7,
            live: 10,
        };
        let recovered = Recovered {
            recover_ms: 3.5,
            live: 10,
            live_bytes: 640,
        };
        let arguments = StorageArguments {
            seconds: 2,
            batches: vec![64],
            live: 10,
            payload_bytes: 1024,
        };
        let store = Store {
            store: "own",
            batches: vec![Batch::new(64, worked, recovered)],
        };
        let report = Report::new(&arguments, vec![store], Machine::look(Path::new("/")));
        let report = serde_json::to_value(report).expect("it has a JSON form");
        assert_eq!(report["schema"], "ringhold.bench.storage/1");
        let batch = &report["stores"][0]["batches"][0];
        assert_eq!(batch["tasks_per_second"], 500.0);
        assert_eq!(batch["bytes_written_per_task"], 2000.0);
        assert_eq!(batch["recover_ms"], 3.5);
    }
}
