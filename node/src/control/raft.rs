//! How openraft is set up here.

use std::sync::Arc;

use openraft::{Config, Instant, SnapshotPolicy};

use super::types::Metrics;

/// Milliseconds between two words of the leader to a follower at rest: half of [`ELECTION_MIN`]. openraft looks at its clock
/// five times as often, which at 100 ms was a third of all wakes of an idle member's control thread.
const RAFT_HEARTBEAT: u64 = ELECTION_MIN / 2;
/// Shortest and longest election timeout in milliseconds (PROTOCOL §3).
const ELECTION_MIN: u64 = 300;
/// A follower votes for nobody else this long after its leader's last word; so a leader that a quorum acknowledged within this
/// time is the only one.
pub(crate) const ELECTION_MAX: u64 = 600;
/// Drift margin of 10 % off [`ELECTION_MAX`]: within this time since a quorum's acknowledgement no other leader exists, even
/// if clocks run apart (DESIGN G13).
const QUORUM_LEASE: std::time::Duration =
    std::time::Duration::from_millis(ELECTION_MAX - ELECTION_MAX / 10);
/// Most entries of one append: together with the largest command they stay below the message limit.
pub(crate) const PAYLOAD_ENTRIES_MAX: u64 = 64;
/// Entries after which a snapshot is made; bounds the log in memory and on disk, and what a restart applies again.
const SNAPSHOT_EVERY: u64 = 5_000;
/// Entries kept behind a snapshot, so that a member that was away for a moment gets the difference only.
const KEPT_BEHIND_SNAPSHOT: u64 = 500;
/// Milliseconds for a whole snapshot (tens of MiB for a million partitions) to arrive and be installed.
const SNAPSHOT_TIMEOUT: u64 = 60_000;
/// Calls waiting for Raft's own task; more wait with their callers.
const CALLS_WAITING_MAX: u64 = 4_096;

/// openraft's configuration.
pub(crate) fn config(cluster_name: &str) -> Result<Arc<Config>, openraft::ConfigError> {
    let config = Config {
        cluster_name: cluster_name.to_owned(),
        election_timeout_min: ELECTION_MIN,
        election_timeout_max: ELECTION_MAX,
        heartbeat_interval: RAFT_HEARTBEAT,
        max_payload_entries: PAYLOAD_ENTRIES_MAX,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_EVERY),
        max_in_snapshot_log_to_keep: KEPT_BEHIND_SNAPSHOT,
        replication_lag_threshold: SNAPSHOT_EVERY + KEPT_BEHIND_SNAPSHOT,
        install_snapshot_timeout: SNAPSHOT_TIMEOUT,
        api_channel_size: Some(CALLS_WAITING_MAX),
        notification_channel_size: Some(CALLS_WAITING_MAX),
        enable_pre_vote: Some(true),
        // State lives in memory, so a restarted leader must be elected anew.
        enable_leader_restore: Some(false),
        // A restored directory that slipped past the check of starts must not bring the leader down; it is sent what it
        // lacks until its own start is refused.
        allow_log_reversion: Some(true),
        ..Config::default()
    };
    config.validate().map(Arc::new)
}

/// Whether the member of these metrics has applied an entry of the present term. For its leader that means everything that it
/// found in its log: what comes later went through itself, and what earlier terms left elsewhere can never be applied.
pub(crate) fn knows_its_log(metrics: &Metrics) -> bool {
    let applied = metrics.last_applied.as_ref();
    applied.is_some_and(|applied| applied.leader_id.term == metrics.current_term)
}

/// Whether the member of these metrics leads, and a quorum said so recently enough that nobody else can.
pub(crate) fn leads(metrics: &Metrics) -> bool {
    if metrics.running_state.is_err() || !metrics.state.is_leader() {
        return false;
    }
    let mut voters = metrics.membership_config.voter_ids();
    let alone = voters.next() == Some(metrics.id) && voters.next().is_none();
    alone
        || metrics
            .last_quorum_acked
            .is_some_and(|at| at.elapsed() < QUORUM_LEASE)
}

#[cfg(test)]
mod tests {
    use openraft::ServerState;

    use super::super::types::{LeaderId, LogId};
    use super::*;

    fn applied_in(term: u64) -> Option<LogId> {
        let leader_id = LeaderId { term, node_id: 1 };
        Some(LogId {
            leader_id,
            index: 9,
        })
    }

    #[test]
    fn a_leader_knows_its_log_once_it_has_applied_an_entry_of_its_own_term() {
        let mut metrics = Metrics::new_initial(1);
        metrics.state = ServerState::Leader;
        metrics.current_term = 5;
        assert!(!knows_its_log(&metrics), "nothing is applied");
        metrics.last_applied = applied_in(4);
        assert!(!knows_its_log(&metrics), "what it found may go on");
        metrics.last_applied = applied_in(5);
        assert!(knows_its_log(&metrics));
    }
}
