//! What a demo has seen so far: at its end, or where it broke off.

use std::time::{Duration, Instant};

use super::audit::Findings;
use super::kill::Killed;
use super::report::Report;
use super::tracker::Tracker;
use crate::arguments::DemoArguments;
use crate::failure::Failure;
use crate::json;
use crate::map::{Ended, LineOutcome, Totals};

/// Lines without an outcome that are named one by one.
const LINES_NAMED: usize = 3;

/// All that was seen; what a demo did not come to is not there.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) tracker: Option<Tracker>,
    pub(super) totals: Option<Totals>,
    pub(super) killed: Option<Killed>,
    pub(super) findings: Option<Findings>,
    pub(super) audited: Vec<String>,
    pub(super) fallen: Option<String>,
}

impl Seen {
    /// The report of a demo that ended, or that broke off with a failure.
    pub(super) fn report(
        self,
        arguments: &DemoArguments,
        failure: Option<&Failure>,
        started: Instant,
    ) -> Report {
        let tasks = self
            .tracker
            .as_ref()
            .map(Tracker::tasks)
            .unwrap_or_default();
        let outcomes = self.tracker.as_ref().map(Tracker::take_outcomes);
        let outcomes = outcomes.unwrap_or_default();
        let acknowledged = number(tasks.len());
        let totals = self.totals.unwrap_or(Totals {
            lines: acknowledged,
            ..Totals::default()
        });
        let findings = self.findings.unwrap_or_default();
        let finished = outcomes
            .iter()
            .filter(|line| matches!(line.ended, Ended::Outcome(_)));
        let finished = number(finished.count());
        let lost = findings.lost.max(totals.lost);
        let failovers = self
            .killed
            .as_ref()
            .map(|killed| killed.failovers(tasks.values()));
        let failovers = failovers.unwrap_or_default();
        let problems = match failure {
            Some(failure) => broken_off(failure, lost, &findings),
            None => self.problems(&outcomes, &failovers, lost),
        };
        let kills = self.killed.map(|killed| killed.kills).unwrap_or_default();
        Report {
            schema: "ringhold.demo/1",
            ok: problems.is_empty(),
            seed: arguments.seed,
            members: arguments.members,
            durability: arguments.durability,
            persistence: json::persistence(arguments.persistence),
            submitted: totals.lines,
            acknowledged,
            finished,
            failed: findings.failed,
            rerun: findings.rerun,
            lost,
            mismatches: findings.mismatches,
            killed_members: kills.len(),
            kills,
            failover_ms: failovers.into_iter().map(|span| span.map(millis)).collect(),
            audited_members: self.audited,
            elapsed_ms: millis(started.elapsed()),
            problems,
        }
    }

    /// Why a demo that came to its end proves nothing, or the wrong thing.
    fn problems(
        &self,
        outcomes: &[LineOutcome],
        failovers: &[Option<Duration>],
        lost: u64,
    ) -> Vec<String> {
        let findings = self.findings.unwrap_or_default();
        let unended = outcomes.iter().filter_map(without_outcome);
        let mut problems: Vec<String> = unended.take(LINES_NAMED).collect();
        let not_stored = outcomes
            .iter()
            .any(|line| matches!(line.ended, Ended::NotSubmitted(_)));
        let in_window = self.killed.as_ref().is_some_and(|killed| killed.in_window);
        let mut require = |holds: bool, problem: &str| {
            if !holds {
                problems.push(problem.to_owned());
            }
        };
        require(
            in_window,
            "the kill missed its window, so it proves nothing",
        );
        require(findings.failed == 0, "tasks failed");
        require(!not_stored, "tasks could not be submitted");
        let kills = self.killed.iter().flat_map(|killed| &killed.kills);
        let silent = kills
            .zip(failovers)
            .filter(|(_, failover)| failover.is_none());
        problems.extend(broken_promises(lost, &findings));
        problems.extend(silent.map(|(kill, _)| {
            format!(
                "no submit was acknowledged anew in a partition that {} led",
                kill.member
            )
        }));
        problems.extend(self.fallen.clone());
        problems
    }
}

/// Why a demo broke off, and what it had found by then.
fn broken_off(failure: &Failure, lost: u64, findings: &Findings) -> Vec<String> {
    let causes = failure.causes.iter();
    let why = causes.fold(failure.what.clone(), |text, cause| {
        format!("{text}: {cause}")
    });
    std::iter::once(why)
        .chain(broken_promises(lost, findings))
        .collect()
}

/// What was promised and not kept.
fn broken_promises(lost: u64, findings: &Findings) -> impl Iterator<Item = String> + use<> {
    let promises = [
        (lost == 0, "acknowledged tasks are lost"),
        (findings.mismatches == 0, "outcomes are wrong"),
    ];
    let broken = promises.into_iter().filter(|(holds, _)| !holds);
    broken.map(|(_, problem)| problem.to_owned())
}

/// A line that has no outcome, in words.
fn without_outcome(line: &LineOutcome) -> Option<String> {
    let number = line.line.number.0;
    match &line.ended {
        Ended::Outcome(_) => None,
        Ended::Lost(error) => Some(format!("line {number}: {error}")),
        Ended::NotSubmitted(error) => Some(format!("line {number}: {error}")),
    }
}

fn number(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
