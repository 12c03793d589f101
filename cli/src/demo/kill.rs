//! The kill: waits for its window, chooses the members that hurt most, and measures how long the cluster needs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ringhold_client::{Client, MemberInfo, PartitionInfo, PartitionNumber, Term};
use serde::Serialize;

use super::EXECUTOR;
use super::processes::Processes;
use super::tracker::{Acknowledged, Tracker};
use crate::failure::Failure;
use crate::output;

/// A kill counts only with at least this part of the tasks finished, and at least this part not, in percent.
const WINDOW_PERCENT: u64 = 25;

/// One killed member, as it is reported.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Kill {
    /// Its name.
    pub(super) member: String,
    /// Its process id.
    pub(super) pid: u32,
    /// What it was killed with.
    pub(super) signal: &'static str,
    /// Whether it led the control plane.
    pub(super) was_raft_leader: bool,
    /// Partitions in use that it led.
    pub(super) primary_partitions: usize,
    /// Tasks that had ended before.
    pub(super) finished_before: u64,
    /// Tasks that had not.
    pub(super) unfinished_before: u64,
}

/// All that was killed at one instant.
pub(super) struct Killed {
    pub(super) kills: Vec<Kill>,
    /// Whether tasks had ended, tasks had not, and submits still flowed.
    pub(super) in_window: bool,
    at: Instant,
    /// For each killed member the partitions that it led, with their terms.
    led: Vec<BTreeMap<PartitionNumber, Term>>,
}

/// The moment of the kill: 26 to 45 percent of the tasks, as the seed says.
pub(super) fn moment(seed: u64, total: u64) -> u64 {
    let percent = WINDOW_PERCENT + 1 + seed % 20;
    (total * percent).div_ceil(100)
}

/// Whether a kill at this moment proves anything.
fn is_in_window(finished: u64, acknowledged: u64, total: u64) -> bool {
    let part = (total * WINDOW_PERCENT).div_ceil(100);
    finished >= part && total.saturating_sub(finished) >= part && acknowledged < total
}

/// Waits for the moment, then kills the `kills` members that lead the most unfinished tasks.
pub(super) async fn kill(
    client: &Client,
    processes: &mut Processes,
    tracker: &Tracker,
    kills: u32,
    (seed, total): (u64, u64),
) -> Result<Killed, Failure> {
    tracker.reaches(moment(seed, total)).await;
    let cluster = client.cluster();
    let (members, partitions) =
        tokio::try_join!(cluster.members(), cluster.partitions(EXECUTOR, None))?;
    let finished = tracker.finished();
    let in_window = is_in_window(finished, tracker.acknowledged(), total);
    let victims = victims(&members, &partitions, &tracker.unfinished(), kills);
    let names: Vec<String> = victims.iter().map(|member| member.name.clone()).collect();
    let at = processes.kill(&names)?;
    let led: Vec<_> = victims
        .iter()
        .map(|victim| led_by(victim, &partitions))
        .collect();
    let kills: Vec<Kill> = victims
        .iter()
        .zip(&led)
        .map(|(victim, led)| Kill {
            member: victim.name.clone(),
            pid: processes
                .members
                .iter()
                .find(|member| member.name == victim.name)
                .map_or(0, |member| member.pid),
            signal: "SIGKILL",
            was_raft_leader: victim.control_leader,
            primary_partitions: led.len(),
            finished_before: finished,
            unfinished_before: total.saturating_sub(finished),
        })
        .collect();
    for kill in &kills {
        output::say(format_args!(
            "SIGKILL to {} (process {}), primary of {} partitions{}: {finished} of {total} tasks are finished",
            kill.member,
            kill.pid,
            kill.primary_partitions,
            if kill.was_raft_leader {
                " and leader of the control plane"
            } else {
                ""
            },
        ));
    }
    Ok(Killed {
        kills,
        in_window,
        at,
        led,
    })
}

/// The members that lead the most unfinished tasks, the worst first.
fn victims<'a>(
    members: &'a [MemberInfo],
    partitions: &[PartitionInfo],
    unfinished: &BTreeMap<PartitionNumber, u64>,
    kills: u32,
) -> Vec<&'a MemberInfo> {
    let weight = |member: &MemberInfo| -> (u64, usize) {
        let led = led_by(member, partitions);
        let tasks = led
            .keys()
            .filter_map(|partition| unfinished.get(partition))
            .sum();
        (tasks, led.len())
    };
    let mut by_weight: Vec<&MemberInfo> = members.iter().collect();
    by_weight.sort_by_key(|member| std::cmp::Reverse(weight(member)));
    by_weight.truncate(usize::try_from(kills).unwrap_or(usize::MAX));
    by_weight
}

/// Partitions in use that a member leads, with their terms.
fn led_by(member: &MemberInfo, partitions: &[PartitionInfo]) -> BTreeMap<PartitionNumber, Term> {
    let leads = |partition: &&PartitionInfo| {
        let primary = partition.primary.as_ref();
        partition.in_use && primary.is_some_and(|primary| primary.member == member.id)
    };
    let named = |partition: &PartitionInfo| (PartitionNumber(partition.partition), partition.term);
    partitions.iter().filter(leads).map(named).collect()
}

impl Killed {
    /// For each killed member the time from the signal to the first acknowledgement in a partition whose primary it had
    /// been: one of a later term, so that none that was on its way counts. `None` if no submit met such a partition.
    pub(super) fn failovers<'a>(
        &self,
        tasks: impl Iterator<Item = &'a Acknowledged> + Clone,
    ) -> Vec<Option<Duration>> {
        let first = |led: &BTreeMap<PartitionNumber, Term>| {
            let new = |task: &&Acknowledged| {
                task.at >= self.at
                    && led
                        .get(&task.id.partition)
                        .is_some_and(|old| task.term > *old)
            };
            tasks
                .clone()
                .filter(new)
                .map(|task| task.at.duration_since(self.at))
                .min()
        };
        self.led.iter().map(first).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_counts_only_between_a_quarter_and_three_quarters_while_submits_flow() {
        assert!(is_in_window(75, 100, 300));
        assert!(!is_in_window(74, 100, 300), "too early");
        assert!(!is_in_window(226, 290, 300), "too late");
        assert!(
            !is_in_window(100, 300, 300),
            "everything was submitted already"
        );
    }

    #[test]
    fn the_moment_lies_well_inside_the_window_for_every_seed() {
        for seed in 0..100 {
            let moment = moment(seed, 300);
            assert!((75..=150).contains(&moment), "{moment}");
        }
    }
}
