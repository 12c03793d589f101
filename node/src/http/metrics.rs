//! The metrics page, in Prometheus' text form. Names are a public contract.

use std::fmt::Write;

use super::Readiness;
use crate::control::ControlPlane;
use crate::partition::{Counters, DriverHandle, MemberView};

/// Whether the member is ready; the one metric that is there from the start.
const READY: &str = "ringhold_ready";
const READY_HELP: &str = "1 if the member is ready";

/// One metric without labels.
struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: u64,
}

/// The whole page.
pub(super) fn render(readiness: &Readiness) -> String {
    let mut page = String::new();
    let Some(view) = readiness.driver().map(DriverHandle::view) else {
        let not_ready = gauge(READY, READY_HELP, 0);
        header(&mut page, &not_ready);
        // Writing to a string cannot fail.
        let _infallible = writeln!(page, "{READY} 0");
        return page;
    };
    for metric in gauges(readiness, &view)
        .into_iter()
        .chain(totals(&view.counters))
    {
        header(&mut page, &metric);
        // Writing to a string cannot fail.
        let _infallible = writeln!(page, "{} {}", metric.name, metric.value);
    }
    let notes = counter(
        "ringhold_replica_events_total",
        "Protocol events by name",
        0,
    );
    header(&mut page, &notes);
    for (name, count) in &view.counters.notes {
        let _infallible = writeln!(page, "{}{{event=\"{name}\"}} {count}", notes.name);
    }
    page
}

/// What is so now.
fn gauges(readiness: &Readiness, view: &MemberView) -> [Metric; 10] {
    let ready = u64::from(readiness.reasons().is_empty());
    let leads = u64::from(readiness.control().is_some_and(ControlPlane::is_leader));
    let taking_over = view.taking_over.len() as u64;
    let running = view.running_attempts as u64;
    [
        gauge(READY, READY_HELP, ready),
        gauge(
            "ringhold_raft_leader",
            "1 if it leads the control plane",
            leads,
        ),
        gauge(
            "ringhold_control_applied_index",
            "Control state applied here",
            view.index.get(),
        ),
        gauge(
            "ringhold_partitions_answering",
            "Partitions led here",
            view.answering as u64,
        ),
        gauge(
            "ringhold_partitions_taking_over",
            "Partitions led here that cannot answer yet",
            taking_over,
        ),
        gauge(
            "ringhold_attempts_running",
            "Attempts that run here",
            running,
        ),
        gauge(
            "ringhold_waiters",
            "Retrievals that wait here for an outcome",
            view.waiters as u64,
        ),
        gauge(
            "ringhold_ring_bytes",
            "Bytes of tasks and outcomes held here, as a primary and as a backup",
            view.ring_bytes,
        ),
        gauge(
            "ringhold_ring_bytes_max",
            "How many they may be; beyond, new tasks are refused",
            view.ring_bytes_max,
        ),
        gauge(
            "ringhold_partition_losses",
            "Losses of every copy of a partition that the cluster remembers; more than zero calls for a person",
            view.cluster.losses().len() as u64,
        ),
    ]
}

/// What has been counted since the process started.
fn totals(counters: &Counters) -> [Metric; 8] {
    [
        counter(
            "ringhold_driver_turns_total",
            "Turns of the partition thread",
            counters.turns,
        ),
        counter(
            "ringhold_driver_events_total",
            "Events it handled",
            counters.events,
        ),
        counter(
            "ringhold_log_records_total",
            "Records handed to the log",
            counters.records,
        ),
        counter(
            "ringhold_log_bytes_total",
            "Bytes that the log has appended, headers included and padding not",
            counters.log_bytes,
        ),
        counter(
            "ringhold_peer_messages_sent_total",
            "Messages to peers",
            counters.messages_sent,
        ),
        counter(
            "ringhold_peer_messages_dropped_total",
            "Messages dropped because a peer's queue was full",
            counters.messages_dropped,
        ),
        counter(
            "ringhold_replies_total",
            "Requests answered",
            counters.replies,
        ),
        counter(
            "ringhold_attempts_started_total",
            "Attempts started",
            counters.starts,
        ),
    ]
}

fn header(page: &mut String, metric: &Metric) {
    let _infallible = writeln!(page, "# HELP {} {}", metric.name, metric.help);
    let _infallible = writeln!(page, "# TYPE {} {}", metric.name, metric.kind);
}

const fn gauge(name: &'static str, help: &'static str, value: u64) -> Metric {
    Metric {
        name,
        kind: "gauge",
        help,
        value,
    }
}

const fn counter(name: &'static str, help: &'static str, value: u64) -> Metric {
    Metric {
        name,
        kind: "counter",
        help,
        value,
    }
}
