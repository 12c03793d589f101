//! Each checker against good and bad histories.

use ringhold_history::{
    Action, Event, Expectation, KeyWindow, Kind, Loss, NOT_FROM_A_RUN, Report, Run, Sighting,
    check, check_with_window, text,
};
use ringhold_types::ErrorCode;

/// Writes histories shortly.
#[derive(Default)]
struct Script {
    events: Vec<Event>,
    operations: u64,
}

impl Script {
    /// An operation from one time to another.
    fn asks(mut self, from: u64, to: u64, action: Action, seen: Sighting) -> Self {
        self.operations += 1;
        let operation = self.operations;
        let event = |at, kind| Event {
            at,
            process: 1,
            operation,
            kind,
        };
        self.events.push(event(from, Kind::Invoke(action)));
        self.events.push(event(to, Kind::Ok(seen)));
        self
    }

    fn submits(self, from: u64, to: u64, key: &str, id: &str, term: u64) -> Self {
        let action = Action::Submit {
            key: key.to_owned(),
            payload: 7,
        };
        let seen = Sighting::Stored {
            id: id.to_owned(),
            term,
            reused: false,
        };
        self.asks(from, to, action, seen)
    }

    fn reads(self, from: u64, to: u64, id: &str, seen: Sighting) -> Self {
        self.asks(from, to, Action::Retrieve { id: id.to_owned() }, seen)
    }

    fn ran(mut self, id: &str, attempt: u64, value: u64) -> Self {
        let run = Run {
            id: id.to_owned(),
            term: 1,
            attempt,
            value,
        };
        self.events.push(Event {
            at: 0,
            process: 0,
            operation: 0,
            kind: Kind::Ran(run),
        });
        self
    }

    /// The first partition loses copies, and another generation of it begins.
    fn loses(mut self, at: u64, generation: u64) -> Self {
        let loss = Loss {
            partition: "e/0".to_owned(),
            generation,
        };
        self.events.push(Event {
            at,
            process: 0,
            operation: 0,
            kind: Kind::Lost(loss),
        });
        self
    }

    fn check(&self) -> Report {
        check(&self.events, Expectation::default())
    }

    fn found_by(&self) -> Vec<&'static str> {
        self.check()
            .breaches
            .iter()
            .map(|breach| breach.checker)
            .collect()
    }
}

fn outcome(value: u64) -> Sighting {
    Sighting::Outcome { value }
}

fn absent(code: ErrorCode) -> Sighting {
    Sighting::Absent { code }
}

#[test]
fn an_ordinary_life_is_clean() {
    let script = Script::default()
        .submits(0, 10, "k", "e/0/1", 1)
        .reads(11, 12, "e/0/1", Sighting::Pending)
        .ran("e/0/1", 1, 55)
        .reads(20, 30, "e/0/1", outcome(55))
        .reads(40, 50, "e/0/1", absent(ErrorCode::Disposed))
        .submits(41, 60, "k", "e/0/1", 2);
    let report = script.check();
    assert_eq!(report.breaches, []);
    assert_eq!(
        (report.operations, report.acknowledged, report.runs),
        (5, 2, 1)
    );
}

#[test]
fn an_id_given_to_two_submits_is_found() {
    let script = Script::default()
        .submits(0, 1, "a", "e/0/1", 1)
        .submits(2, 3, "b", "e/0/1", 1);
    assert_eq!(script.found_by(), ["UniqueId"]);
}

#[test]
fn a_key_stored_twice_is_found_unless_its_first_life_was_lost() {
    let next_generation = (1_u64 << 44).to_string();
    let script = Script::default().submits(0, 1, "a", "e/0/1", 1).submits(
        2,
        3,
        "a",
        &format!("e/0/{next_generation}"),
        2,
    );
    assert_eq!(script.found_by(), ["Dedupe"]);
    let expectation = Expectation {
        losses: true,
        audited: false,
    };
    assert!(check(&script.events, expectation).is_clean());
}

#[test]
fn a_key_acknowledged_for_another_task_is_found() {
    let other = Action::Submit {
        key: "a".to_owned(),
        payload: 8,
    };
    let seen = Sighting::Stored {
        id: "e/0/1".to_owned(),
        term: 1,
        reused: true,
    };
    let script = Script::default()
        .submits(0, 1, "a", "e/0/1", 1)
        .asks(2, 3, other, seen);
    assert_eq!(script.found_by(), ["Dedupe"]);
}

#[test]
fn an_acknowledged_task_that_is_denied_is_found() {
    let script = Script::default().submits(0, 10, "a", "e/0/1", 1).reads(
        11,
        12,
        "e/0/1",
        absent(ErrorCode::NeverExisted),
    );
    assert_eq!(script.found_by(), ["NoAckLost", "Monotone"]);
    let before = Script::default().submits(0, 10, "a", "e/0/1", 1).reads(
        5,
        12,
        "e/0/1",
        absent(ErrorCode::NeverExisted),
    );
    assert!(
        before.found_by().is_empty(),
        "it may not have been stored yet"
    );
}

#[test]
fn a_key_is_free_again_a_window_after_its_task_was_removed_and_not_before() {
    let window = |submitted: u64| {
        let id = "e/0/1".to_owned();
        let script = Script::default()
            .submits(0, 10, "a", "e/0/1", 1)
            .asks(100, 110, Action::Dispose { id }, Sighting::Done)
            .submits(submitted - 5, submitted, "a", "e/0/2", 1);
        let report = check_with_window(&script.events, Expectation::default(), KeyWindow(1_000));
        report.breaches.len()
    };
    // Ten per cent of the window are left to clocks.
    assert_eq!((window(999), window(1_000)), (1, 0));
    let never_removed = Script::default()
        .submits(0, 10, "a", "e/0/1", 1)
        .submits(5_000, 5_010, "a", "e/0/2", 1);
    let window = KeyWindow(1_000);
    let report = check_with_window(&never_removed.events, Expectation::default(), window);
    assert_eq!(report.breaches.len(), 1);
}

#[test]
fn data_loss_is_found_unless_the_run_expects_it() {
    let script = Script::default().submits(0, 10, "a", "e/0/1", 1).reads(
        11,
        12,
        "e/0/1",
        absent(ErrorCode::DataLoss),
    );
    assert_eq!(script.found_by(), ["NoAckLost"]);
    let expectation = Expectation {
        losses: true,
        audited: false,
    };
    assert!(check(&script.events, expectation).is_clean());
}

#[test]
fn an_audit_finds_what_nobody_has_seen_the_end_of() {
    let script =
        Script::default()
            .submits(0, 10, "a", "e/0/1", 1)
            .reads(11, 12, "e/0/1", Sighting::Pending);
    let audited = Expectation {
        losses: false,
        audited: true,
    };
    assert!(script.found_by().is_empty());
    assert_eq!(check(&script.events, audited).breaches.len(), 1);
}

#[test]
fn a_read_that_goes_back_is_found_and_one_at_the_same_time_is_not() {
    let back = Script::default()
        .ran("e/0/1", 1, 5)
        .reads(0, 10, "e/0/1", outcome(5))
        .reads(11, 12, "e/0/1", Sighting::Pending);
    assert_eq!(back.found_by(), ["Monotone"]);
    let together = Script::default()
        .ran("e/0/1", 1, 5)
        .reads(0, 10, "e/0/1", outcome(5))
        .reads(9, 12, "e/0/1", Sighting::Pending);
    assert!(together.found_by().is_empty());
}

#[test]
fn an_outcome_after_its_disposal_is_found_unless_its_taker_asks_again() {
    let id = || "e/0/1".to_owned();
    let disposed = Script::default()
        .ran("e/0/1", 1, 5)
        .asks(0, 10, Action::Dispose { id: id() }, Sighting::Done)
        .reads(11, 12, "e/0/1", outcome(5));
    assert_eq!(disposed.found_by(), ["Monotone"]);
    let taken = Script::default()
        .ran("e/0/1", 1, 5)
        .asks(0, 10, Action::Take { id: id() }, outcome(5))
        .asks(11, 12, Action::Take { id: id() }, outcome(5));
    assert!(taken.found_by().is_empty());
    let read = taken.reads(13, 14, "e/0/1", outcome(5));
    assert_eq!(read.found_by(), ["Monotone"]);
}

#[test]
fn an_outcome_that_changes_is_found() {
    let script = Script::default()
        .ran("e/0/1", 1, 5)
        .ran("e/0/1", 2, 6)
        .reads(0, 10, "e/0/1", outcome(5))
        .reads(0, 10, "e/0/1", outcome(6));
    assert_eq!(script.found_by(), ["Stable"]);
}

/// A task's id in a generation of the first partition.
fn id_in(generation: u64) -> String {
    format!("e/0/{}", (generation << 44) + 1)
}

#[test]
fn an_outcome_may_differ_on_the_two_sides_of_a_recorded_loss_and_on_neither() {
    let ran = || Script::default().ran("e/0/1", 1, 5).ran("e/0/1", 2, 6);
    let reads =
        |script: Script, from: u64, value| script.reads(from, from + 10, "e/0/1", outcome(value));
    let lost = |script: Script| script.loses(100, 1);
    let across = reads(lost(reads(ran(), 0, 5)), 100, 6);
    assert!(across.found_by().is_empty());
    let before = lost(reads(reads(ran(), 0, 5), 90, 6));
    assert_eq!(before.found_by(), ["Stable"], "both before");
    let after = reads(reads(lost(ran()), 100, 5), 120, 6);
    assert_eq!(after.found_by(), ["Stable"], "both after");
    let back = reads(reads(lost(reads(ran(), 0, 5)), 100, 6), 120, 5);
    assert_eq!(back.found_by(), ["Stable"], "there and back");
}

#[test]
fn a_read_across_a_recorded_loss_shows_one_of_its_sides() {
    let script = |value| {
        Script::default()
            .ran("e/0/1", 1, 5)
            .ran("e/0/1", 2, 6)
            .ran("e/0/1", 3, 7)
            .reads(0, 10, "e/0/1", outcome(5))
            .reads(20, 110, "e/0/1", outcome(value))
            .loses(100, 1)
            .reads(120, 130, "e/0/1", outcome(6))
    };
    assert!(script(5).found_by().is_empty());
    assert!(script(6).found_by().is_empty());
    assert_eq!(script(7).found_by(), ["Stable"]);
}

#[test]
fn reads_may_go_back_over_a_recorded_loss_and_not_on_one_side_of_it() {
    let ended = || {
        Script::default()
            .ran("e/0/1", 1, 5)
            .reads(0, 10, "e/0/1", outcome(5))
    };
    let pending = |script: Script, from| script.reads(from, from + 10, "e/0/1", Sighting::Pending);
    assert!(pending(ended().loses(100, 1), 100).found_by().is_empty());
    assert!(
        pending(ended().loses(100, 1), 95).found_by().is_empty(),
        "it took effect after the loss, maybe"
    );
    assert_eq!(pending(ended(), 90).loses(100, 1).found_by(), ["Monotone"]);
    let later = ended().loses(100, 1).reads(100, 110, "e/0/1", outcome(5));
    assert_eq!(pending(later, 120).found_by(), ["Monotone"]);
}

#[test]
fn a_recorded_loss_forgives_nothing_of_what_came_after_it_or_lies_elsewhere() {
    for id in [id_in(1), id_in(2), "e/1/1".to_owned()] {
        let script = Script::default()
            .ran(&id, 1, 5)
            .ran(&id, 2, 6)
            .reads(0, 10, &id, outcome(5))
            .loses(100, 1)
            .reads(100, 110, &id, outcome(6))
            .reads(120, 130, &id, Sighting::Pending)
            .submits(140, 150, "k", &id, 1)
            .reads(160, 170, &id, absent(ErrorCode::DataLoss));
        assert_eq!(
            script.found_by(),
            ["NoAckLost", "Monotone", "Stable"],
            "{id}"
        );
    }
}

#[test]
fn a_stored_task_is_never_denied_also_after_a_recorded_loss() {
    let script = Script::default()
        .reads(0, 10, "e/0/1", Sighting::Pending)
        .loses(100, 1)
        .reads(100, 110, "e/0/1", absent(ErrorCode::NeverExisted));
    assert_eq!(script.found_by(), ["Monotone"]);
}

#[test]
fn data_loss_is_answered_after_a_recorded_loss_and_not_before() {
    let script = |loss: u64| {
        Script::default()
            .submits(0, 10, "a", "e/0/1", 1)
            .reads(20, 30, "e/0/1", absent(ErrorCode::DataLoss))
            .loses(loss, 1)
    };
    assert!(script(25).found_by().is_empty());
    assert_eq!(script(40).found_by(), ["NoAckLost"]);
}

#[test]
fn a_task_that_was_seen_after_a_recorded_loss_is_not_in_it() {
    let stored = || Script::default().submits(0, 10, "a", "e/0/1", 1);
    let lost =
        |script: Script, from| script.reads(from, from + 5, "e/0/1", absent(ErrorCode::DataLoss));
    let views: [fn(Script) -> Script; 5] = [
        |script| script.reads(120, 130, "e/0/1", Sighting::Pending),
        |script| {
            script
                .ran("e/0/1", 1, 5)
                .reads(120, 130, "e/0/1", outcome(5))
        },
        |script| script.reads(120, 130, "e/0/1", absent(ErrorCode::Disposed)),
        |script| script.submits(120, 130, "a", "e/0/1", 2),
        |script| {
            let id = "e/0/1".to_owned();
            script.asks(120, 130, Action::Cancel { id }, Sighting::Done)
        },
    ];
    for (number, seen) in views.into_iter().enumerate() {
        let kept = lost(seen(stored().loses(100, 1)), 140);
        assert_eq!(kept.found_by(), ["NoAckLost"], "view {number}");
        let again = lost(seen(stored().loses(100, 1)).loses(135, 2), 140);
        assert!(
            again.found_by().is_empty(),
            "another loss, view {number}: {:?}",
            again.check().breaches
        );
    }
}

#[test]
fn a_view_of_a_task_on_its_way_at_a_recorded_loss_does_not_tell_that_it_was_kept() {
    let script = Script::default()
        .submits(0, 10, "a", "e/0/1", 1)
        .reads(90, 130, "e/0/1", Sighting::Pending)
        .loses(100, 1)
        .reads(140, 150, "e/0/1", absent(ErrorCode::DataLoss));
    assert!(script.found_by().is_empty());
}

#[test]
fn a_task_that_was_kept_over_a_recorded_loss_was_not_lost_by_it_before() {
    let script = Script::default()
        .submits(0, 10, "a", "e/0/1", 1)
        .loses(100, 1)
        .reads(110, 120, "e/0/1", absent(ErrorCode::DataLoss))
        .loses(130, 2)
        .reads(140, 150, "e/0/1", Sighting::Pending);
    assert_eq!(script.found_by(), ["NoAckLost"]);
}

#[test]
fn a_task_of_which_nobody_heard_that_it_is_stored_is_lost_only_by_a_loss_after_it_was_seen() {
    let script = |loss| {
        Script::default()
            .reads(0, 10, "e/0/1", Sighting::Pending)
            .reads(20, 30, "e/0/1", absent(ErrorCode::DataLoss))
            .loses(loss, 1)
    };
    assert!(script(15).found_by().is_empty());
    assert_eq!(script(40).found_by(), ["NoAckLost"]);
}

#[test]
fn a_key_of_a_task_that_was_seen_after_a_recorded_loss_is_not_free() {
    let stored = || {
        Script::default()
            .submits(0, 10, "a", "e/0/1", 1)
            .loses(100, 1)
    };
    let anew = |script: Script, from| script.submits(from, from + 10, "a", &id_in(1), 1);
    let seen = |script: Script, from, seen| script.reads(from, from + 10, "e/0/1", seen);
    let pending = anew(seen(stored(), 100, Sighting::Pending), 120);
    assert_eq!(pending.found_by(), ["Dedupe"]);
    let ended = anew(seen(stored().ran("e/0/1", 1, 5), 100, outcome(5)), 120);
    assert_eq!(ended.found_by(), ["Dedupe"]);
    let later = seen(anew(stored(), 100), 120, Sighting::Pending);
    assert_eq!(later.found_by(), ["Dedupe"], "it was there all the time");
    let across = anew(seen(stored(), 95, Sighting::Pending), 120);
    assert!(across.found_by().is_empty(), "it may be of before the loss");
    let gone = anew(seen(stored(), 100, absent(ErrorCode::Gone)), 120);
    assert!(
        gone.found_by().is_empty(),
        "a key ends some time after its task"
    );
    let again = anew(seen(stored(), 100, Sighting::Pending).loses(115, 2), 120);
    assert_eq!(
        again.found_by(),
        ["Dedupe"],
        "the new id is of the first loss"
    );
    let second = seen(stored(), 100, Sighting::Pending)
        .loses(115, 2)
        .submits(120, 130, "a", &id_in(2), 1);
    assert!(second.found_by().is_empty(), "lost by the second");
}

#[test]
fn a_key_is_stored_anew_once_for_each_recorded_loss_of_its_task() {
    let submits = |script: Script, from: u64, generation| {
        script.submits(from, from + 10, "a", &id_in(generation), 1)
    };
    let stored = || submits(Script::default(), 0, 0);
    let anew = submits(stored().loses(100, 1), 100, 1);
    assert!(anew.found_by().is_empty());
    assert_eq!(
        submits(stored(), 50, 1).loses(100, 1).found_by(),
        ["Dedupe"],
        "before the loss"
    );
    assert_eq!(submits(stored(), 50, 1).found_by(), ["Dedupe"], "no loss");
    let kept = submits(submits(stored().loses(100, 1), 100, 0), 120, 1);
    assert_eq!(kept.found_by(), ["Dedupe"], "it was kept over the loss");
    let twice =
        submits(stored().loses(100, 1), 100, 1).submits(120, 130, "a", "e/0/17592186044419", 1);
    assert_eq!(twice.found_by(), ["Dedupe"], "twice after the loss");
}

#[test]
fn a_result_of_no_run_or_of_another_tasks_run_is_found() {
    let none = Script::default().reads(0, 1, "e/0/1", outcome(5));
    assert_eq!(none.found_by(), ["Ledger"]);
    let other = Script::default()
        .ran("e/0/2", 1, 5)
        .reads(0, 1, "e/0/1", outcome(5));
    assert_eq!(other.found_by(), ["Ledger"]);
    let cancelled = Script::default().reads(0, 1, "e/0/1", outcome(NOT_FROM_A_RUN + 1));
    assert!(cancelled.found_by().is_empty());
}

#[test]
fn a_fencing_token_given_to_two_runs_is_found() {
    let script = Script::default().ran("e/0/1", 1, 5).ran("e/0/1", 1, 6);
    assert_eq!(script.found_by(), ["Ledger"]);
}

#[test]
fn an_acknowledgement_of_a_followed_term_is_found() {
    let script = Script::default()
        .submits(0, 10, "a", "e/0/1", 2)
        .submits(11, 20, "b", "e/0/2", 1)
        .submits(11, 20, "c", "e/1/2", 1);
    assert_eq!(script.found_by(), ["Fence"]);
    let together = Script::default()
        .submits(0, 10, "a", "e/0/1", 2)
        .submits(9, 20, "b", "e/0/2", 1);
    assert!(together.found_by().is_empty());
}

#[test]
fn an_operation_without_an_answer_proves_nothing() {
    let mut script = Script::default().submits(0, 10, "a", "e/0/1", 1);
    script.events.push(Event {
        at: 11,
        process: 1,
        operation: 99,
        kind: Kind::Invoke(Action::Retrieve {
            id: "e/0/1".to_owned(),
        }),
    });
    script.events.push(Event {
        at: 12,
        process: 1,
        operation: 99,
        kind: Kind::Unknown,
    });
    assert!(script.found_by().is_empty());
}

#[test]
fn a_history_reads_back_from_its_lines() {
    let script = Script::default()
        .submits(0, 10, "a\tkey\\with\nall", "e/0/1", 2)
        .ran("e/0/1", 1, 5)
        .asks(
            1,
            2,
            Action::Cancel {
                id: "e/0/1".to_owned(),
            },
            Sighting::Done,
        )
        .asks(1, 2, Action::Other, Sighting::Pending)
        .reads(3, 4, "e/0/1", outcome(5))
        .reads(5, 6, "e/0/1", absent(ErrorCode::Gone))
        .loses(7, 3);
    let lines: Vec<String> = script.events.iter().map(text::to_line).collect();
    assert!(lines.iter().all(|line| !line.contains('\n')));
    assert_eq!(text::from_text(&lines.join("\n")), Ok(script.events));
    assert!(text::from_line("1\t2\t3\tinvoke\tsing").is_err());
}

#[test]
fn a_long_history_is_checked_in_a_moment() {
    let mut script = Script::default();
    for number in 0..20_000 {
        let id = format!("e/0/{number}");
        script = script
            .submits(number * 10, number * 10 + 1, &format!("k{number}"), &id, 1)
            .ran(&id, 1, number)
            .reads(number * 10 + 2, number * 10 + 3, &id, outcome(number));
    }
    let audited = Expectation {
        losses: false,
        audited: true,
    };
    assert!(check(&script.events, audited).is_clean());
}
