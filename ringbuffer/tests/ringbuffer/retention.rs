//! What is gone, and why: reasons, history, loss, and the end of all sequences.

use std::sync::Arc;

use crate::common::{Log, key, request, sequence, small_limits, task};
use ringhold_ringbuffer::{
    Absence, Admission, Applied, LostRange, Op, Refusal, Ring, RingHeader, RingPart,
};
use ringhold_types::limits::{DISPOSE_GRACE, DISPOSE_GRACE_ENTRIES_MAX, RESULT_BYTES_MAX};
use ringhold_types::{ErrorCode, Generation, Millis, RingTime, Sequence, UnixMillis};

fn first_of(generation: u64) -> Sequence {
    Sequence::first_of(Generation(generation)).expect("a small generation")
}

#[test]
fn each_way_to_go_has_its_own_answer() {
    let mut log = Log::new(small_limits());
    let tasks: Vec<_> = ["a", "b", "c"].iter().map(|key| log.succeed(key)).collect();
    log.dispose(tasks[0]);
    let sequences = vec![tasks[1]];
    log.apply(Op::Evict { sequences });
    let sequences = vec![tasks[2]];
    log.apply(Op::Expire { sequences });
    let found: Vec<_> = (0..4).map(|at| log.ring.look_up(sequence(at))).collect();
    let expected = [
        (Absence::Disposed, ErrorCode::Disposed),
        (Absence::Overwritten, ErrorCode::Overwritten),
        (Absence::Expired, ErrorCode::Expired),
        (Absence::NeverExisted, ErrorCode::NeverExisted),
    ];
    for (found, (absence, code)) in found.into_iter().zip(expected) {
        assert_eq!(found, Err(absence));
        assert_eq!(absence.code(), code);
    }
}

#[test]
fn reasons_are_kept_exactly_for_the_last_removed_and_older_ones_are_gone() {
    let mut log = Log::new(small_limits());
    for name in 0..10 {
        let task = log.succeed(&format!("k{name}"));
        log.dispose(task);
    }
    for at in 0..10 {
        let expected = if at < 2 {
            Absence::Gone
        } else {
            Absence::Disposed
        };
        assert_eq!(log.ring.look_up(sequence(at)), Err(expected), "{at}");
    }
}

#[test]
fn a_lower_history_takes_effect_at_once() {
    let mut log = Log::new(small_limits());
    for name in 0..3 {
        let task = log.succeed(&format!("k{name}"));
        log.dispose(task);
    }
    let mut limits = small_limits();
    limits.history = 1;
    log.apply(Op::Configure(limits));
    assert_eq!(log.ring.look_up(sequence(1)), Err(Absence::Gone));
    assert_eq!(log.ring.look_up(sequence(2)), Err(Absence::Disposed));
}

#[test]
fn only_outcomes_are_evicted_and_expired() {
    let mut log = Log::new(small_limits());
    let waiting = log.accept("a");
    let running = log.accept("b");
    log.start(running, 1);
    let sequences = vec![waiting, running, sequence(77)];
    let evict = Op::Evict {
        sequences: sequences.clone(),
    };
    assert_eq!(log.apply(evict), Applied::Nothing);
    assert_eq!(log.apply(Op::Expire { sequences }), Applied::Nothing);
    assert_eq!(log.ring.undisposed(), 2);
}

#[test]
fn outcomes_expire_by_a_logged_operation_when_their_time_has_come() {
    let mut log = Log::new(small_limits());
    log.now = RingTime(10);
    let task = log.succeed("a");
    assert_eq!(log.ring.next_housekeeping(), Some(RingTime(1_010)));
    assert_eq!(log.ring.due_housekeeping(RingTime(1_009), 10), vec![]);
    log.now = RingTime(1_010);
    let due = log.ring.due_housekeeping(log.now, 10);
    let sequences = vec![task];
    assert_eq!(due, vec![Op::Expire { sequences }]);
    assert!(log.ring.look_up(task).is_ok(), "nothing goes by itself");
    log.apply(due[0].clone());
    assert_eq!(log.ring.look_up(task), Err(Absence::Expired));
}

#[test]
fn a_new_generation_keeps_what_is_held_and_answers_data_loss_for_the_rest() {
    let mut log = Log::new(small_limits());
    let kept = log.succeed("a");
    let gone = log.succeed("b");
    log.dispose(gone);
    let lost = LostRange {
        first: sequence(2),
        end: first_of(3),
    };
    let applied = log.start_term(2, 3);
    assert_eq!(applied, Applied::TermStarted { lost: Some(lost) });
    assert_eq!(log.ring.next_sequence(), first_of(3));
    assert!(log.ring.look_up(kept).is_ok());
    assert_eq!(log.ring.look_up(gone), Err(Absence::Disposed));
    for id in [sequence(2), first_of(1), first_of(2)] {
        assert_eq!(log.ring.look_up(id), Err(Absence::DataLoss), "{id}");
    }
    for id in [first_of(3), first_of(4)] {
        assert_eq!(log.ring.look_up(id), Err(Absence::NeverExisted), "{id}");
    }
    assert_eq!(log.accept("c"), first_of(3));
}

#[test]
fn a_term_in_the_same_or_an_older_generation_loses_nothing() {
    let mut log = Log::new(small_limits());
    log.start_term(2, 3);
    let before = log.ring.clone();
    for generation in [3, 2, 0] {
        let applied = log.start_term(3, generation);
        assert_eq!(applied, Applied::TermStarted { lost: None });
    }
    assert_eq!(log.ring, before);
}

#[test]
fn an_empty_ring_of_a_later_generation_answers_data_loss_for_the_earlier_ones() {
    let ring = Ring::new(Generation(2), small_limits());
    assert_eq!(ring.look_up(sequence(0)), Err(Absence::DataLoss));
    assert_eq!(ring.look_up(first_of(1)), Err(Absence::DataLoss));
    assert_eq!(ring.look_up(first_of(2)), Err(Absence::NeverExisted));
}

#[test]
fn two_losses_with_tasks_between_them_are_told_apart_from_what_is_gone() {
    let mut log = Log::new(small_limits());
    log.start_term(2, 1);
    let mut limits = small_limits();
    limits.history = 0;
    log.apply(Op::Configure(limits));
    let gone = log.succeed("a");
    log.dispose(gone);
    log.start_term(3, 2);
    assert_eq!(log.ring.look_up(sequence(5)), Err(Absence::DataLoss));
    assert_eq!(log.ring.look_up(gone), Err(Absence::Gone));
    let after = Sequence::from_bits(gone.bits() + 1);
    assert_eq!(log.ring.look_up(after), Err(Absence::DataLoss));
}

#[test]
fn sequences_at_their_end_refuse_and_never_wrap() {
    let end = Sequence::from_bits(first_of(1).bits() - 1);
    let header = RingHeader {
        generation: Generation(0),
        next_sequence: Sequence::from_bits(end.bits() - 1),
        time: RingTime(0),
        limits: small_limits(),
        lost: Vec::new(),
        entries: 0,
        keys: 0,
        history: 0,
        disposed: 0,
    };
    let mut log = Log::new(small_limits());
    log.ring = Ring::restore([RingPart::Header(header)]).expect("an empty ring");
    assert!(matches!(log.admission(1), Admission::Admit { .. }));
    log.accept("last");
    assert_eq!(log.admission(1), Admission::Full);
    let why = log.refusal(Op::Accept {
        sequence: end,
        task: Arc::new(task("more", "in")),
        accepted_at: UnixMillis(0),
    });
    assert_eq!(why, Refusal::SequencesExhausted);
    assert_eq!(log.ring.next_sequence(), end);
    assert_eq!(log.ring.look_up(end), Err(Absence::NeverExisted));
    log.start_term(2, 1);
    assert_eq!(log.accept("more"), first_of(1));
}

#[test]
fn a_generation_beyond_its_bits_admits_nothing() {
    let ring = Ring::new(Generation(1 << 20), small_limits());
    let mut log = Log::new(small_limits());
    log.ring = ring;
    assert_eq!(log.admission(1), Admission::Full);
}

#[test]
fn an_accept_out_of_turn_changes_nothing() {
    let mut log = Log::new(small_limits());
    log.accept("a");
    let before = log.ring.digest();
    for at in [0, 2] {
        let why = log.refusal(Op::Accept {
            sequence: sequence(at),
            task: Arc::new(task("b", "in")),
            accepted_at: UnixMillis(0),
        });
        let next = sequence(1);
        assert_eq!(why, Refusal::NotNextSequence { next });
    }
    assert_eq!(log.ring.digest(), before);
}

#[test]
fn a_disposed_outcome_is_kept_for_its_request_until_the_grace_ends() {
    let mut log = Log::new(small_limits());
    let task = log.succeed("a");
    log.apply(Op::Dispose {
        sequence: task,
        request: Some(request("r")),
    });
    let found = log.ring.disposed_outcome(task, &request("r"));
    assert_eq!(found.map(|it| it.attempts.get()), Some(1));
    let kept = |log: &Log| log.ring.disposed_outcome(task, &request("r")).is_some();
    log.now = RingTime(0).after(Millis(DISPOSE_GRACE.0 - 1));
    let removed_before = RingTime(0);
    log.apply(Op::ForgetKeys { removed_before });
    assert!(kept(&log));
    log.now = RingTime(0).after(DISPOSE_GRACE);
    assert!(!log.ring.due_housekeeping(log.now, 1).is_empty());
    log.apply(Op::ForgetKeys { removed_before });
    assert!(!kept(&log));
}

#[test]
fn outcomes_kept_after_their_dispose_are_bounded_by_count_and_bytes() {
    let mut log = Log::new(small_limits());
    let mut dispose = |result: &str| {
        let task = log.accept("a");
        let token = log.start(task, 1);
        log.complete(task, token, result);
        log.apply(Op::Dispose {
            sequence: task,
            request: Some(request("r")),
        });
        let read = |at: u64| log.ring.disposed_outcome(sequence(at), &request("r"));
        (0..=task.bits()).filter(|at| read(*at).is_some()).count()
    };
    for at in 0..=DISPOSE_GRACE_ENTRIES_MAX {
        let kept = dispose("x");
        assert_eq!(kept, (at + 1).min(DISPOSE_GRACE_ENTRIES_MAX));
    }
    let large = "x".repeat(RESULT_BYTES_MAX);
    let kept = (0..20).map(|_| dispose(&large)).last();
    assert_eq!(
        kept,
        Some(7),
        "16 MiB hold seven of 2 MiB and their requests"
    );
}

#[test]
fn a_removed_entry_leaves_no_bytes_behind() {
    let mut log = Log::new(small_limits());
    let task = log.succeed("a");
    assert!(log.ring.bytes() > 0);
    log.dispose(task);
    assert_eq!(log.ring.bytes(), 0);
    assert!(log.ring.find_key(&key("a")).is_some());
}
