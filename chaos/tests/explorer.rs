//! A short exploration: fresh seeds are clean and old finds stay mended, every dropped rule is noticed, equal seeds give equal
//! runs. The long forms are commands: `ringhold-chaos explore --seeds 10000` and `ringhold-chaos sabotage --all`.

use std::process::Command;

use ringhold_chaos::explore::{Exploration, explore, run_plan, run_seed};
use ringhold_chaos::plan::{DiskModel, Plan};
use ringhold_chaos::sabotage::{ASSERTED, LIST, Sabotage, Watch};
use ringhold_chaos::schedule::{self, SCHEDULES};

/// Fresh seeds in every run; a red one is shown again by `ringhold-chaos replay --seed N`.
const FRESH_SEEDS: u64 = 200;
/// Seeds that broke an invariant once, each with what it found, while disks were lists of records.
const FOUND_ONCE: [(u64, &str); 19] = [
    (501_294, "a peer's log no longer held what a cut tail needs"),
    (
        1_001_967,
        "the mark of a log that was cut whole was forgotten",
    ),
    (
        1_001_970,
        "a receipt beside a removal that nobody had heard of",
    ),
    (
        1_002_700,
        "a receipt beside a removal that nobody had heard of",
    ),
    (1_004_562, "a start of a task that was kept over a loss"),
    (
        1_004_946,
        "a learner of a new primary led before an old lease had run out",
    ),
    (1_008_437, "an outcome that was kept over a loss"),
    (8_100_370, "a receipt that named a seat with a cut tail"),
    (
        844_645_646_301,
        "a log with a recorded loss, applied to the ring of the new generation",
    ),
    (
        1_036_559_263_299,
        "a new generation beside a primary on leases of ended processes",
    ),
    (10_667, "a receipt (by an earlier form of the plan)"),
    (20_334, "a receipt (by an earlier form of the plan)"),
    (
        962_578_104_459,
        "a cut mark that went before what was cut was on disk again",
    ),
    (
        35_961_715_097,
        "a late acknowledgement that brought a cut mark back for good",
    ),
    (
        55_948_353_601,
        "an outcome that was lost, and recorded so, while its task was kept",
    ),
    (
        1_048_194_125_784,
        "another outcome of a task that was kept over a recorded loss",
    ),
    (
        1_074_350_523_200,
        "a tail cut down to the own commit, since the peer no longer knew what it had there",
    ),
    (
        80_000_513,
        "a cut tail that was not asked for, since a loss before it was not applied yet",
    ),
    (
        205_457_677_228,
        "an answer under a lease that outlived its seat, taken for one after a recorded loss",
    ),
];
/// Seeds that broke an invariant since the segmented log itself is simulated, each with what it found.
const FOUND_WITH_THE_LOG: [(u64, &str); 5] = [
    (
        282_607_407_210,
        "what was flushed into a segment whose name a killed process had not made durable",
    ),
    (282_607_407_756, "the same"),
    (
        433_819_187_478,
        "an outcome that was kept over a recorded loss, which took its dispose",
    ),
    (
        910_212_080_978,
        "the explorer's control plane waited for a recorded process start that was never heard",
    ),
    (
        452_054_171_268,
        "a cut that an opening had dealt with before its process ended, taken for none",
    ),
];

fn fresh() -> u64 {
    getrandom::u64().expect("the system gives random numbers") >> 24
}

fn exploration(from: u64, seeds: u64, sabotage: Sabotage) -> Exploration {
    let sound = sabotage == Sabotage::None;
    Exploration {
        from,
        seeds,
        sabotage,
        watch: if sound { Watch::All } else { Watch::Outside },
        threads: 2,
        stop_at_first: sabotage != Sabotage::None,
    }
}

#[test]
fn fresh_seeds_break_no_invariant() {
    let report = explore(exploration(fresh(), FRESH_SEEDS, Sabotage::None));
    assert_eq!(report.violations, [], "from {}", report.from);
    assert_eq!(report.seeds, FRESH_SEEDS);
    let least = (
        report.events_least >= 500,
        report.crashes_least >= 1,
        report.losses_least >= 1,
        report.changes_least >= 1,
    );
    assert_eq!(
        least,
        (true, true, true, true),
        "a seed from {} on has too few happenings ({}), crashes ({}), losses ({}) or changes ({})",
        report.from,
        report.events_least,
        report.crashes_least,
        report.losses_least,
        report.changes_least
    );
}

#[test]
fn seeds_that_found_something_once_find_nothing_more() {
    for (seed, found) in FOUND_ONCE {
        let plan = Plan::with_records(seed);
        let report = run_plan(plan, Sabotage::None, Watch::All);
        assert_eq!(report.violation, None, "seed {seed}: {found}");
    }
    for (seed, found) in FOUND_WITH_THE_LOG {
        let plan = Plan::with_sound_disks(seed);
        assert_ne!(plan.disk.model, DiskModel::Records, "seed {seed}");
        let report = run_plan(plan, Sabotage::None, Watch::All);
        assert_eq!(report.violation, None, "seed {seed}: {found}");
    }
}

#[test]
fn every_dropped_rule_is_noticed_within_its_stated_number_of_fresh_seeds() {
    for listed in LIST {
        if schedule::of(listed.sabotage).is_some() {
            continue;
        }
        let report = explore(exploration(fresh(), listed.needed.stated, listed.sabotage));
        assert!(
            !report.violations.is_empty(),
            "{} was not noticed in {} seeds from {}",
            listed.name,
            report.seeds,
            report.from
        );
    }
}

#[test]
fn every_named_assertion_fires_under_a_sabotage_of_its_rule() {
    /// Seeds between looks.
    const AT_A_TIME: u64 = 20;
    for (name, rule) in ASSERTED {
        let listed = Sabotage::named(name).expect("a sabotage");
        let from = fresh();
        let fires = |begin: u64| {
            let mut part = exploration(from + begin, AT_A_TIME, listed.sabotage);
            part.watch = Watch::All;
            part.stop_at_first = false;
            let violations = explore(part).violations;
            violations
                .iter()
                .any(|violation| violation.invariant == rule)
        };
        let mut begins = (0..listed.needed.stated).step_by(AT_A_TIME as usize);
        assert!(begins.any(fires), "{name} never broke {rule} from {from}");
    }
}

#[test]
fn every_directed_schedule_is_clean_and_breaks_under_its_sabotage() {
    for schedule in SCHEDULES {
        let sound = schedule.under(Sabotage::None).violation;
        assert_eq!(sound, None, "{}", schedule.name);
        assert!(
            schedule.under(schedule.sabotage).violation.is_some(),
            "{}",
            schedule.name
        );
    }
}

#[test]
fn a_seed_gives_the_same_run_each_time() {
    let first = fresh();
    for seed in first..first + 10 {
        let once = run_seed(seed, Sabotage::None, Watch::All);
        let again = run_seed(seed, Sabotage::None, Watch::All);
        assert_eq!(once.trace, again.trace, "seed {seed}");
        assert_eq!(once.events, again.events, "seed {seed}");
        assert_eq!(once.coverage, again.coverage, "seed {seed}");
    }
}

fn ringhold_chaos(arguments: &[&str]) -> (Option<i32>, serde_json::Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_ringhold-chaos"))
        .args(arguments)
        .output()
        .expect("the explorer runs");
    let document = serde_json::from_slice(&output.stdout).expect("one JSON document");
    (output.status.code(), document)
}

#[test]
fn an_exploration_that_met_too_little_ends_with_code_8() {
    let (code, report) =
        ringhold_chaos(&["explore", "--seeds", "1", "--from", "400000", "-o", "json"]);
    assert_eq!(code, Some(8), "{report}");
    assert_eq!(report["schema"], "ringhold.explore/1");
    assert_ne!(report["zero_coverage"].as_array().map(Vec::len), Some(0));
}

#[test]
fn a_sabotage_that_is_not_noticed_ends_with_code_1() {
    let arguments = ["sabotage", "no-lease", "--max-seeds", "0", "-o", "json"];
    let (code, report) = ringhold_chaos(&arguments);
    assert_eq!(code, Some(1), "{report}");
    assert_eq!(report[0]["caught"], false);
}
