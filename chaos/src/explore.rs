//! Many seeds, on a few threads.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use serde::Serialize;

use crate::coverage::Coverage;
use crate::plan::Plan;
use crate::random::mix;
use crate::sabotage::{Sabotage, Watch};
use crate::schedule::SCHEDULES;
use crate::world::{Met, RunReport, Violation, World};

/// Violations listed in a report at most: more tell nothing new.
pub const VIOLATIONS_MAX: usize = 1_000;

/// What to explore.
#[derive(Clone, Copy, Debug)]
pub struct Exploration {
    /// The first seed.
    pub from: u64,
    /// How many.
    pub seeds: u64,
    /// What is broken on purpose.
    pub sabotage: Sabotage,
    /// Whose judgement ends a run.
    pub watch: Watch,
    /// Threads.
    pub threads: usize,
    /// Whether to stop at the first violation.
    pub stop_at_first: bool,
}

/// A broken invariant, as reports name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeedViolation {
    /// The seed that shows it again.
    pub seed: u64,
    /// The invariant.
    pub invariant: String,
    /// What was seen.
    pub detail: String,
}

/// What an exploration showed.
#[derive(Clone, Debug, Serialize)]
pub struct ExplorationReport {
    /// `ringhold.explore/1`.
    pub schema: &'static str,
    /// The first seed.
    pub from: u64,
    /// Seeds run.
    pub seeds: u64,
    /// Speed, all threads together.
    pub seeds_per_second: f64,
    /// Broken invariants, by seed.
    pub violations: Vec<SeedViolation>,
    /// How often each thing was met.
    pub coverage: BTreeMap<String, u64>,
    /// What was never met.
    pub zero_coverage: Vec<String>,
    /// Hash over all that happened in all seeds: the same for the same seeds.
    pub trace_hash: String,
    /// Happenings in all seeds.
    pub events: u64,
    /// Happenings of the shortest seed that ran to its end.
    pub events_least: u64,
    /// Crashes, lost messages and changes of configurations in the seed that had the fewest of each.
    pub crashes_least: u64,
    /// See `crashes_least`.
    pub losses_least: u64,
    /// See `crashes_least`.
    pub changes_least: u64,
}

/// What the threads gather.
#[derive(Default)]
struct Gathered {
    violations: Vec<SeedViolation>,
    coverage: Coverage,
    trace: u64,
    events: u64,
    events_least: Option<u64>,
    met_least: Option<Met>,
    seeds: u64,
}

impl Gathered {
    /// Plays the directed schedules. A broken one is named as seed 0: `ringhold-chaos replay --schedule` shows it again.
    fn add_schedules(&mut self) {
        for schedule in SCHEDULES {
            let played = schedule.under(Sabotage::None);
            self.coverage.add(&played.coverage);
            self.violations
                .extend(played.violation.map(|it| SeedViolation {
                    seed: 0,
                    invariant: it.invariant.to_owned(),
                    detail: format!("{}: {}", schedule.name, it.detail),
                }));
        }
    }

    fn add(&mut self, seed: u64, report: RunReport) {
        self.coverage.add(&report.coverage);
        // Commutative, since threads end in any order.
        self.trace ^= mix(seed ^ mix(report.trace));
        self.events += report.events;
        self.seeds += 1;
        match report.violation {
            Some(violation) if self.violations.len() < VIOLATIONS_MAX => {
                self.violations.push(SeedViolation {
                    seed,
                    invariant: violation.invariant.to_owned(),
                    detail: violation.detail,
                });
            }
            Some(_) => {}
            None => {
                let least = self.events_least.unwrap_or(u64::MAX);
                self.events_least = Some(least.min(report.events));
                let least = self.met_least.unwrap_or(report.met);
                self.met_least = Some(Met {
                    crashes: least.crashes.min(report.met.crashes),
                    losses: least.losses.min(report.met.losses),
                    changes: least.changes.min(report.met.changes),
                });
            }
        }
    }
}

/// Runs one seed; a panic is a violation like any other.
#[must_use]
pub fn run_seed(seed: u64, sabotage: Sabotage, watch: Watch) -> RunReport {
    run_plan(Plan::of_seed(seed), sabotage, watch)
}

/// Runs one plan, as [`run_seed`].
#[must_use]
pub fn run_plan(plan: Plan, sabotage: Sabotage, watch: Watch) -> RunReport {
    let run = AssertUnwindSafe(|| World::run(plan, sabotage, watch));
    catch_unwind(run).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|it| (*it).to_owned()));
        RunReport {
            violation: Some(Violation {
                invariant: "Panic",
                detail: text.unwrap_or_else(|| "a panic without a text".to_owned()),
                at: 0,
            }),
            coverage: Coverage::default(),
            trace: 0,
            events: 0,
            ended: 0,
            met: Met::default(),
        }
    })
}

/// Runs many seeds; beside sound ones the directed schedules too, once, for what seeds meet too rarely.
#[must_use]
pub fn explore(exploration: Exploration) -> ExplorationReport {
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let mut gathered = Gathered::default();
    if exploration.sabotage == Sabotage::None {
        gathered.add_schedules();
    }
    let gathered = Mutex::new(gathered);
    std::thread::scope(|scope| {
        for _ in 0..exploration.threads.max(1) {
            scope.spawn(|| work(exploration, &next, &stop, &gathered));
        }
    });
    let mut gathered = gathered
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    gathered.violations.sort_by_key(|violation| violation.seed);
    let met = gathered.met_least.unwrap_or_default();
    let seconds = begun.elapsed().as_secs_f64().max(0.001);
    ExplorationReport {
        schema: "ringhold.explore/1",
        from: exploration.from,
        seeds: gathered.seeds,
        seeds_per_second: (gathered.seeds as f64 / seconds * 10.0).round() / 10.0,
        violations: gathered.violations,
        coverage: gathered.coverage.by_name(),
        zero_coverage: gathered.coverage.missing(),
        trace_hash: format!("{:016x}", gathered.trace),
        events: gathered.events,
        events_least: gathered.events_least.unwrap_or(0),
        crashes_least: met.crashes,
        losses_least: met.losses,
        changes_least: met.changes,
    }
}

fn work(exploration: Exploration, next: &AtomicU64, stop: &AtomicBool, gathered: &Mutex<Gathered>) {
    while !stop.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= exploration.seeds {
            return;
        }
        let seed = exploration.from.wrapping_add(number);
        let report = run_seed(seed, exploration.sabotage, exploration.watch);
        if report.violation.is_some() && exploration.stop_at_first {
            stop.store(true, Ordering::Relaxed);
        }
        let mut gathered = gathered
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        gathered.add(seed, report);
    }
}
