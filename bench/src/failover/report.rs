//! What `failover` reports. Names are a public contract.

use std::time::Duration;

use serde::Serialize;

use crate::Verdict;
use crate::arguments::{FailoverArguments, Victim};
use crate::machine::Machine;

/// Bar of the 99th percentile when the victim did not lead the control plane, in milliseconds.
const OTHER_BAR_MS: u64 = 2000;
/// Bar when it did: an election comes first.
const LEADER_BAR_MS: u64 = 3000;

/// One fault.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Hit {
    /// The member that it hit.
    pub(super) member: String,
    /// Whether it led the control plane.
    pub(super) was_raft_leader: bool,
    /// Partitions that it led.
    pub(super) primary_partitions: usize,
    /// From the fault to the first acknowledgement of a new primary in one of them.
    pub(super) first_ack_ms: u64,
    /// The same for the last of those that were probed.
    pub(super) all_acks_ms: u64,
    /// From the fault until every member was back and every partition had all its copies.
    pub(super) whole_ms: u64,
}

/// Quantiles over all faults, by nearest rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Millis {
    p50: u64,
    p99: u64,
    max: u64,
}

impl Millis {
    fn of(times: impl Iterator<Item = u64>) -> Self {
        let mut sorted: Vec<u64> = times.collect();
        sorted.sort_unstable();
        let at = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1);
            sorted.get(rank - 1).copied().unwrap_or(0)
        };
        Self {
            p50: at(50),
            p99: at(99),
            max: at(100),
        }
    }
}

/// The report.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    schema: &'static str,
    fault: &'static str,
    kills: usize,
    members: u32,
    durability: u32,
    live_tasks: u32,
    payload_bytes: usize,
    first_ack_ms: Millis,
    all_acks_ms: Millis,
    /// Whether every victim led the control plane.
    was_raft_leader: bool,
    bar_ms: u64,
    /// Partitions of which every copy was lost: none may be.
    lost_partitions: usize,
    /// Live tasks of the sample that could not be read at the end.
    missing_tasks: usize,
    ok: bool,
    each: Vec<Hit>,
    machine: Machine,
}

impl Report {
    pub(super) fn new(
        failover: &FailoverArguments,
        each: Vec<Hit>,
        (lost_partitions, missing_tasks): (usize, usize),
        machine: Machine,
    ) -> Self {
        let first_ack_ms = Millis::of(each.iter().map(|hit| hit.first_ack_ms));
        let bar_ms = match failover.victim {
            Victim::Leader => LEADER_BAR_MS,
            Victim::Other => OTHER_BAR_MS,
        };
        Self {
            schema: "ringhold.bench.failover/1",
            fault: failover.fault.as_str(),
            kills: each.len(),
            members: failover.members,
            durability: 1,
            live_tasks: failover.live_tasks,
            payload_bytes: failover.payload_bytes,
            first_ack_ms,
            all_acks_ms: Millis::of(each.iter().map(|hit| hit.all_acks_ms)),
            was_raft_leader: each.iter().all(|hit| hit.was_raft_leader),
            bar_ms,
            lost_partitions,
            missing_tasks,
            ok: first_ack_ms.p99 <= bar_ms && lost_partitions == 0 && missing_tasks == 0,
            each,
            machine,
        }
    }

    pub(super) const fn verdict(&self) -> Verdict {
        if self.lost_partitions > 0 || self.missing_tasks > 0 {
            Verdict::Broken
        } else if self.ok {
            Verdict::Kept
        } else {
            Verdict::Missed
        }
    }
}

/// Whole milliseconds.
pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ringhold_client::Persistence;

    use super::*;
    use crate::arguments::Fault;

    fn report(victim: Victim, first_ack_ms: u64, missing: usize) -> Report {
        let arguments = FailoverArguments {
            kills: 1,
            victim,
            fault: Fault::Kill,
            live_tasks: 20_000,
            payload_bytes: 1024,
            members: 4,
            persistence: Persistence::Fsync,
        };
        let hit = Hit {
            member: "m1".to_owned(),
            was_raft_leader: victim == Victim::Leader,
            primary_partitions: 68,
            first_ack_ms,
            all_acks_ms: first_ack_ms,
            whole_ms: 5000,
        };
        Report::new(
            &arguments,
            vec![hit],
            (0, missing),
            Machine::look(Path::new("/")),
        )
    }

    #[test]
    fn the_names_of_the_interface_are_there() {
        let report = serde_json::to_value(report(Victim::Leader, 900, 0)).expect("a JSON form");
        assert_eq!(report["schema"], "ringhold.bench.failover/1");
        for name in ["p50", "p99", "max"] {
            assert_eq!(report["first_ack_ms"][name], 900);
        }
        assert_eq!(report["was_raft_leader"], true);
    }

    #[test]
    fn each_kind_of_victim_has_its_bar_and_a_missing_task_misses_both() {
        assert!(report(Victim::Other, 2000, 0).ok);
        assert!(!report(Victim::Other, 2001, 0).ok);
        assert!(report(Victim::Leader, 3000, 0).ok);
        assert!(!report(Victim::Leader, 3001, 0).ok);
        assert!(!report(Victim::Other, 900, 1).ok);
    }

    #[test]
    fn of_twenty_times_the_99th_percentile_is_the_longest() {
        let millis = Millis::of(1..=20);
        assert_eq!((millis.p50, millis.p99, millis.max), (10, 20, 20));
        assert_eq!(Millis::of(std::iter::empty()).max, 0);
    }
}
