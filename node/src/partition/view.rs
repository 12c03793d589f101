//! What the driver publishes after a turn, for those who answer without asking it.

use std::sync::Arc;

use ringhold_control::Cluster;
use ringhold_types::{ControlIndex, PartitionKey};

/// The member's state as of the driver's last turn.
#[derive(Clone, Debug)]
pub struct MemberView {
    /// Control state that the driver has applied.
    pub index: ControlIndex,
    /// That state.
    pub cluster: Arc<Cluster>,
    /// Whether the record of this process's start was applied (PROTOCOL I18).
    pub registered: bool,
    /// Partitions that this member leads and answers for.
    pub answering: usize,
    /// Partitions that this member leads, but cannot answer for yet.
    pub taking_over: Vec<PartitionKey>,
    /// Attempts that run here.
    pub running_attempts: usize,
    /// Attempts that run here of partitions that others lead; while a drain is waited for, always as of the last turn.
    pub attempts_for_others: usize,
    /// Ends of attempts that their primary has not taken yet.
    pub waiting_reports: usize,
    /// Attempts that were handed back since an operator's drain of this member began; none without such a drain.
    pub handed_back: u64,
    /// Retrievals that wait here for an outcome, as of some moment lately.
    pub waiters: usize,
    /// Room on disk runs out: new tasks are refused.
    pub disk_nearly_full: bool,
    /// Bytes of all rings held here, as of some moment lately.
    pub ring_bytes: u64,
    /// How many they may be: beyond, new tasks are refused.
    pub ring_bytes_max: u64,
    /// Counters for the metrics page.
    pub counters: Arc<Counters>,
}

/// What the driver counts. Plain numbers: they are copied once per published view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Turns of the driver.
    pub turns: u64,
    /// Events it handled.
    pub events: u64,
    /// Log records handed to the disk.
    pub records: u64,
    /// Bytes of them that the log has appended, headers included and padding not.
    pub log_bytes: u64,
    /// Messages sent to peers.
    pub messages_sent: u64,
    /// Messages dropped because a peer's queue was full; the protocol repeats them.
    pub messages_dropped: u64,
    /// Requests answered.
    pub replies: u64,
    /// Attempts started.
    pub starts: u64,
    /// Attempts that were stopped and handed back.
    pub handed_back: u64,
    /// Notes of the machine by name: take-overs, fenced messages, re-runs and the like.
    pub notes: std::collections::BTreeMap<&'static str, u64>,
}

impl MemberView {
    /// Attempts that run here for others, and ends of attempts that their primary has not taken yet.
    pub(super) const fn attempts_left(&self) -> (usize, usize) {
        (self.attempts_for_others, self.waiting_reports)
    }

    /// The view before anything was applied.
    pub(super) fn before_start(cluster: &Arc<Cluster>) -> Self {
        Self {
            index: ControlIndex::ZERO,
            cluster: Arc::clone(cluster),
            registered: false,
            answering: 0,
            taking_over: Vec::new(),
            running_attempts: 0,
            attempts_for_others: 0,
            waiting_reports: 0,
            handed_back: 0,
            waiters: 0,
            disk_nearly_full: false,
            ring_bytes: 0,
            ring_bytes_max: 0,
            counters: Arc::new(Counters::default()),
        }
    }
}
