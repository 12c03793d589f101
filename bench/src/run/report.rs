//! What `run` reports. Names are a public contract.

use std::collections::BTreeMap;
use std::time::Duration;

use ringhold_client::Persistence;
use serde::Serialize;

use super::life::Times;
use super::micros;
use crate::Verdict;
use crate::arguments::RunArguments;
use crate::histogram::LatencyMicros;
use crate::machine::Machine;
use crate::watch::Disturbances;

/// What was measured.
pub(super) struct Measured {
    pub(super) elapsed: Duration,
    pub(super) lives: u64,
    pub(super) times: Times,
    pub(super) member_cpu: Duration,
    pub(super) own_cpu: Duration,
    pub(super) device_bytes: Option<u64>,
    pub(super) log_bytes: Option<u64>,
    pub(super) process_bytes: u64,
    pub(super) peak_bytes: Vec<u64>,
    pub(super) unfinished: u64,
    pub(super) disturbances: Disturbances,
}

/// The report.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    schema: &'static str,
    persistence: &'static str,
    /// `closed` or `open`.
    #[serde(rename = "loop")]
    kind: &'static str,
    in_flight: Option<u32>,
    rate: Option<u32>,
    seconds: f64,
    members: u32,
    durability: u32,
    payload_bytes: usize,
    /// Whole lives that ended within the time.
    tasks: u64,
    tasks_per_second: f64,
    /// From the (intended) start to the answer that retrieved and disposed the outcome.
    latency_us: LatencyMicros,
    /// Lives that `latency_us` is taken from: those that began within the time.
    latency_samples: u64,
    /// From the (intended) start to the acknowledgement.
    acknowledged_us: LatencyMicros,
    /// Of all members together.
    cpu_us_per_task: f64,
    /// Of this process, which shares the machine with the members.
    client_cpu_us_per_task: f64,
    /// What the device under the members' directories wrote, for them and for everybody else on this machine; of a file
    /// system without a device, what the kernel counts for the members.
    bytes_written_per_task: f64,
    /// What the members' logs appended, headers included and the rest of the last page of each flush not: exact, whatever else
    /// this machine writes. Null where a member does not say.
    log_bytes_per_task: Option<f64>,
    /// What the kernel counts for the members: too high where small writes fall on large folios.
    process_write_bytes_per_task: f64,
    /// The most memory that each member had.
    member_peak_rss_bytes: Vec<u64>,
    /// Lives that ended in another way, by code.
    errors: BTreeMap<&'static str, u64>,
    /// Lives that had not ended half a minute after the time.
    unfinished: u64,
    #[serde(flatten)]
    disturbances: Disturbances,
    machine: Machine,
}

impl Report {
    pub(super) fn new(run: &RunArguments, measured: &Measured, machine: Machine) -> Self {
        let tasks = measured.lives;
        let seconds = measured.elapsed.as_secs_f64();
        let cpu = |span: Duration| per_task(micros(span), tasks);
        Self {
            schema: "ringhold.bench.run/1",
            persistence: match run.persistence {
                Persistence::Memory => "memory",
                Persistence::Fsync => "fsync",
            },
            kind: if run.rate.is_some() { "open" } else { "closed" },
            in_flight: run.in_flight,
            rate: run.rate,
            seconds,
            members: run.members,
            durability: run.durability,
            payload_bytes: run.payload_bytes,
            tasks,
            tasks_per_second: tasks as f64 / seconds,
            latency_us: measured.times.disposed.latency(),
            latency_samples: measured.times.disposed.count(),
            acknowledged_us: measured.times.acknowledged.latency(),
            cpu_us_per_task: cpu(measured.member_cpu),
            client_cpu_us_per_task: cpu(measured.own_cpu),
            bytes_written_per_task: per_task(
                measured.device_bytes.unwrap_or(measured.process_bytes),
                tasks,
            ),
            log_bytes_per_task: measured.log_bytes.map(|bytes| per_task(bytes, tasks)),
            process_write_bytes_per_task: per_task(measured.process_bytes, tasks),
            member_peak_rss_bytes: measured.peak_bytes.clone(),
            errors: measured.times.errors.clone(),
            unfinished: measured.unfinished,
            disturbances: measured.disturbances,
            machine,
        }
    }

    /// Every life must end as it should, and full load must remove nobody: the cluster was whole before, so no partition
    /// changes either.
    pub(super) fn verdict(&self) -> Verdict {
        let Disturbances {
            false_removals,
            partition_changes,
        } = self.disturbances;
        if !self.errors.is_empty() || self.unfinished > 0 || self.tasks == 0 {
            Verdict::Broken
        } else if false_removals > 0 || partition_changes > 0 {
            Verdict::Missed
        } else {
            Verdict::Kept
        }
    }
}

/// A share; 0 when there was nothing to share it.
fn per_task(amount: u64, tasks: u64) -> f64 {
    if tasks == 0 {
        0.0
    } else {
        amount as f64 / tasks as f64
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::*;

    fn report(false_removals: u64, partition_changes: u64) -> Report {
        let run = RunArguments {
            persistence: Persistence::Fsync,
            in_flight: Some(64),
            rate: None,
            seconds: 2,
            warm_up: 0,
            payload_bytes: 1024,
            durability: 1,
            members: 3,
        };
        let mut times = Times::default();
        times.disposed.record(Duration::from_micros(700));
        let measured = Measured {
            elapsed: Duration::from_secs(2),
            lives: 1000,
            times,
            member_cpu: Duration::from_millis(500),
            own_cpu: Duration::from_millis(100),
            device_bytes: Some(4_096_000),
            log_bytes: Some(2_048_000),
            process_bytes: 8_192_000,
            peak_bytes: vec![1, 2, 3],
            unfinished: 0,
            disturbances: Disturbances {
                false_removals,
                partition_changes,
            },
        };
        Report::new(&run, &measured, Machine::look(Path::new("/")))
    }

    #[test]
    fn the_names_of_the_interface_are_there_with_their_units() {
        let report = serde_json::to_value(report(0, 0)).expect("it has a JSON form");
        assert_eq!(report["schema"], "ringhold.bench.run/1");
        assert_eq!(report["tasks_per_second"], 500.0);
        for name in ["p50", "p99", "p999"] {
            assert!(
                report["latency_us"][name]
                    .as_u64()
                    .is_some_and(|micros| micros >= 700)
            );
        }
        assert_eq!(report["cpu_us_per_task"], 500.0);
        assert_eq!(report["bytes_written_per_task"], 4096.0);
        assert_eq!(report["log_bytes_per_task"], 2048.0);
        assert_eq!(report["process_write_bytes_per_task"], 8192.0);
        assert_eq!(report["false_removals"], 0);
        assert_eq!(report["rate"], Value::Null);
    }

    #[test]
    fn a_false_removal_misses_the_bar() {
        assert_eq!(report(0, 0).verdict(), Verdict::Kept);
        assert_eq!(report(1, 0).verdict(), Verdict::Missed);
        assert_eq!(report(0, 1).verdict(), Verdict::Missed);
    }

    #[test]
    fn lives_that_did_not_end_make_the_rest_worthless() {
        let mut broken = report(0, 0);
        broken.unfinished = 1;
        assert_eq!(broken.verdict(), Verdict::Broken);
        let mut broken = report(0, 0);
        broken.errors.insert("UNAVAILABLE", 1);
        assert_eq!(broken.verdict(), Verdict::Broken);
    }
}
