//! What the demo reports: one JSON document with fixed names, or a table.

use serde::Serialize;

use super::kill::Kill;
use crate::output::Table;

/// The report. Names never change; fields may be added.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    pub(super) schema: &'static str,
    pub(super) ok: bool,
    pub(super) seed: u64,
    pub(super) members: u32,
    pub(super) durability: u32,
    pub(super) persistence: &'static str,
    pub(super) submitted: u64,
    pub(super) acknowledged: u64,
    pub(super) finished: u64,
    pub(super) failed: u64,
    pub(super) rerun: u64,
    pub(super) lost: u64,
    pub(super) mismatches: u64,
    pub(super) killed_members: usize,
    pub(super) kills: Vec<Kill>,
    /// By killed member; none for one in whose partitions nothing was acknowledged any more, which is not ok.
    pub(super) failover_ms: Vec<Option<u64>>,
    pub(super) audited_members: Vec<String>,
    pub(super) elapsed_ms: u64,
    /// Why it is not ok, if it is not.
    pub(super) problems: Vec<String>,
}

impl Report {
    /// The report for people.
    pub(super) fn table(&self) -> Table {
        let kill = |kill: &Kill| {
            let leader = if kill.was_raft_leader {
                ", leader of the control plane"
            } else {
                ""
            };
            format!(
                "{} (primary of {} partitions{leader})",
                kill.member, kill.primary_partitions
            )
        };
        let list = |items: Vec<String>| {
            if items.is_empty() {
                "-".to_owned()
            } else {
                items.join(", ")
            }
        };
        let failovers = self
            .failover_ms
            .iter()
            .map(|millis| millis.map_or_else(|| "none".to_owned(), |millis| format!("{millis} ms")))
            .collect();
        Table::of_pairs([
            (
                "members",
                format!(
                    "{}, durability {}, {}",
                    self.members, self.durability, self.persistence
                ),
            ),
            (
                "killed with SIGKILL",
                list(self.kills.iter().map(kill).collect()),
            ),
            ("failover", list(failovers)),
            (
                "acknowledged",
                format!("{} of {}", self.acknowledged, self.submitted),
            ),
            (
                "finished",
                format!("{} of {}", self.finished, self.acknowledged),
            ),
            ("run again", self.rerun.to_string()),
            ("failed", self.failed.to_string()),
            ("lost", self.lost.to_string()),
            ("wrong hashes", self.mismatches.to_string()),
            ("read back from", list(self.audited_members.clone())),
            (
                "took",
                format!(
                    "{:.1} s",
                    std::time::Duration::from_millis(self.elapsed_ms).as_secs_f64()
                ),
            ),
            (
                "proof",
                if self.ok {
                    "holds".to_owned()
                } else {
                    format!("FAILS: {}", self.problems.join("; "))
                },
            ),
        ])
    }
}
