//! Random operations, legal and illegal, on the ring and on a naive reference: both must agree after every one.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::common::{failure, key, request, result, small_limits, task};
use crate::reference::Reference;
use crate::statuses::assert_legal;
use bytes::Bytes;
use proptest::prelude::*;
use ringhold_ringbuffer::{InFlight, LogEntry, Op, Ring, RingLimits};
use ringhold_types::{
    AttemptNumber, FailureKind, Generation, Lsn, MemberId, Millis, ReplicaId, RingTime, Sequence,
    Term, UnixMillis, WhenFull,
};

/// One random step, made into an operation with the state it meets, so that most are legal and many just not.
#[derive(Clone, Debug)]
struct Step {
    kind: u8,
    /// Which task, counted from the newest.
    back: u8,
    /// A second task for operations on several.
    other: u8,
    /// How the token is wrong: mostly not at all.
    wrong: u8,
    /// Payload bytes, delays, limits: whatever the operation needs.
    amount: u8,
    /// How far time goes on, in milliseconds.
    wait: u16,
    /// Whether the ring is replaced by its own restored snapshot.
    restore: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wait = prop_oneof![6 => 0_u16..5, 2 => 5_u16..200, 1 => 20_000_u16..40_000];
    let step = (
        0_u8..40,
        0_u8..8,
        0_u8..8,
        0_u8..12,
        any::<u8>(),
        wait,
        prop::bool::weighted(0.05),
    )
        .prop_map(|(kind, back, other, wrong, amount, wait, restore)| Step {
            kind,
            back,
            other,
            wrong,
            amount,
            wait,
            restore,
        });
    prop::collection::vec(step, 1..160)
}

fn limits(amount: u8) -> RingLimits {
    RingLimits {
        capacity: u64::from(amount % 6),
        when_full: [WhenFull::Reject, WhenFull::Wait, WhenFull::Overwrite][usize::from(amount % 3)],
        bytes: 100 + u64::from(amount) * 2,
        result_ttl: Millis(50 + u64::from(amount)),
        dedup_window: Millis(u64::from(amount)),
        dedup_keys: u64::from(amount % 7),
        history: u64::from(amount % 11),
        ..small_limits()
    }
}

/// Both rings and what a primary would keep beside them.
struct Pair {
    ring: Ring,
    /// Applies the same and is never restored: shows that a snapshot loses nothing.
    replica: Ring,
    reference: Reference,
    term: Term,
    lsn: Lsn,
    now: RingTime,
}

impl Pair {
    fn new() -> Self {
        let limits = small_limits();
        Self {
            ring: Ring::new(Generation(0), limits.clone()),
            replica: Ring::new(Generation(0), limits.clone()),
            reference: Reference::new(limits),
            term: Term(1),
            lsn: Lsn::ZERO,
            now: RingTime(0),
        }
    }

    /// A live task, or a sequence near the newest one that may or may not have a task.
    fn pick(&self, back: u8) -> Sequence {
        let tasks = &self.reference.tasks;
        if back < 4 && !tasks.is_empty() {
            return tasks[usize::from(back) % tasks.len()].sequence;
        }
        let newest = self.reference.next.bits() + 5;
        Sequence::from_bits(newest.saturating_sub(u64::from(back)))
    }

    /// The token of the newest attempt, or one that is wrong.
    fn token(&self, sequence: Sequence, wrong: u8) -> (Term, AttemptNumber) {
        let task = self.reference.look_up(sequence).ok();
        let running = task.and_then(|task| task.running);
        let (term, attempt, _) = running.unwrap_or((self.term, AttemptNumber(1), MemberId(0)));
        match wrong {
            0 => (term, attempt.next()),
            1 => (term, attempt.previous()),
            2 => (term.next(), attempt),
            3 => (term.previous(), attempt),
            _ => (term, attempt),
        }
    }

    fn spec(&self, step: &Step) -> Arc<ringhold_types::TaskSpec> {
        let payload = "x".repeat(usize::from(step.amount / 8));
        let mut spec = task(&format!("key-{}", step.other), &payload);
        spec.dispose_on_success = step.amount.is_multiple_of(7);
        spec.not_before = step
            .amount
            .is_multiple_of(5)
            .then(|| self.now.after(Millis(20)));
        Arc::new(spec)
    }

    fn op(&mut self, step: &Step) -> Op {
        let sequence = self.pick(step.back);
        let (attempt_term, attempt) = self.token(sequence, step.wrong);
        let member = MemberId(u64::from(step.other));
        let kind = FailureKind::ALL[usize::from(step.amount) % FailureKind::ALL.len()];
        match step.kind {
            0..=8 => Op::Accept {
                sequence: match step.wrong {
                    0 => sequence,
                    _ => self.reference.next,
                },
                task: self.spec(step),
                accepted_at: UnixMillis(self.now.0),
            },
            9..=14 => Op::Start {
                sequence,
                attempt: match step.wrong {
                    0 => attempt,
                    _ => self
                        .reference
                        .look_up(sequence)
                        .map_or(attempt, |task| task.attempts.next()),
                },
                member,
            },
            15 => Op::Adopt {
                sequence,
                attempt_term,
                attempt,
                member,
            },
            16 => Op::Checkpoint {
                sequence,
                attempt_term,
                attempt,
                bytes: Bytes::from(vec![1; usize::from(step.amount)]),
            },
            17..=21 => Op::Complete {
                sequence,
                attempt_term,
                attempt,
                result: result(&"r".repeat(usize::from(step.amount / 4))),
            },
            22..=23 => Op::Fail {
                sequence,
                attempt: (!step.amount.is_multiple_of(3)).then_some((attempt_term, attempt)),
                failure: failure(kind),
                dead_letter: step.amount.is_multiple_of(2),
            },
            24 => Op::RetryAt {
                sequence,
                attempt_term,
                attempt,
                failure: failure(kind),
                due: self.now.after(Millis(u64::from(step.amount))),
            },
            25 => Op::Cancel { sequence },
            26 => Op::HandBack {
                sequence,
                attempt_term,
                attempt,
            },
            _ => self.rare_op(step, sequence),
        }
    }

    fn rare_op(&mut self, step: &Step, sequence: Sequence) -> Op {
        let sequences = vec![sequence, self.pick(step.other)];
        match step.kind {
            27..=29 => Op::MarkRetrieved { sequences },
            30..=31 => Op::Dispose {
                sequence,
                request: (!step.amount.is_multiple_of(3))
                    .then(|| request(&format!("r{}", step.amount % 2))),
            },
            32..=33 => Op::Evict { sequences },
            34 => Op::Expire { sequences },
            35 => Op::ForgetKeys {
                removed_before: RingTime(self.now.0.saturating_sub(u64::from(step.amount))),
            },
            36 => Op::Configure(limits(step.amount)),
            37 => Op::HandOver {
                to: ReplicaId::default(),
                running: Vec::new(),
            },
            _ => {
                self.term = self.term.next();
                let raised = self.reference.generation.next();
                Op::TermStart {
                    primary: ReplicaId::default(),
                    generation: match step.amount % 3 {
                        0 => raised,
                        _ => self.reference.generation,
                    },
                }
            }
        }
    }

    fn apply(&mut self, op: Op) {
        self.lsn = self.lsn.next();
        let entry = LogEntry {
            term: self.term,
            lsn: self.lsn,
            time: self.now,
            op,
        };
        let before = (self.ring.clone(), self.ring.digest());
        let applied = self.ring.apply(&entry);
        assert_eq!(applied, self.reference.apply(&entry), "{entry:?}");
        assert_eq!(applied, self.replica.apply(&entry));
        assert_legal(&before.0, &entry.op, &self.ring);
        let is_same = before.0 == self.ring;
        assert_eq!(is_same, before.1 == self.ring.digest(), "digest and state");
    }

    fn compare(&self, step: &Step) {
        let (ring, reference) = (&self.ring, &self.reference);
        assert_eq!(ring.next_sequence(), reference.next);
        assert_eq!(ring.generation(), reference.generation);
        assert_eq!(ring.time(), reference.time);
        assert_eq!(ring.undisposed(), reference.tasks.len() as u64);
        assert_eq!(ring.bytes(), reference.bytes());
        let firsts = (0..=reference.generation.get())
            .map(|it| Sequence::first_of(Generation(it)).expect("small"));
        let last =
            (0..12).map(|n| Sequence::from_bits((reference.next.bits() + 2).saturating_sub(n)));
        let starts = firsts.flat_map(|it| (0..24).map(move |n| Sequence::from_bits(it.bits() + n)));
        for sequence in last.chain(starts) {
            self.compare_task(sequence);
        }
        for name in 0..8 {
            let key = key(&format!("key-{name}"));
            assert_eq!(ring.find_key(&key), reference.find_key(&key), "{key:?}");
        }
        self.compare_admission(step);
    }

    fn compare_task(&self, sequence: Sequence) {
        let found = self.ring.look_up(sequence);
        let expected = self.reference.look_up(sequence);
        assert_eq!(found.err(), expected.as_ref().err().copied(), "{sequence}");
        if let (Ok(found), Ok(expected)) = (found, expected) {
            assert_eq!(found.status(self.now), expected.status(self.now));
            assert_eq!(found.attempts, expected.attempts);
            assert_eq!(found.crashes, expected.crashes);
            assert_eq!(found.retrieved, expected.retrieved);
            assert_eq!(found.bytes(), expected.bytes());
            let outcome = expected.outcome.as_ref().map(|(outcome, _)| outcome);
            assert_eq!(found.outcome(), outcome);
        }
        for id in ["r0", "r1"] {
            let found = self.ring.disposed_outcome(sequence, &request(id));
            let expected = self.reference.disposed_outcome(sequence, &request(id));
            assert_eq!(found.map(|it| it.outcome.as_ref()), expected);
        }
    }

    fn compare_admission(&self, step: &Step) {
        let evictions: BTreeSet<_> = (0..step.other % 4)
            .map(|n| self.pick(n + step.back))
            .collect();
        for accepts in 0..3 {
            let in_flight = InFlight {
                accepts,
                bytes: accepts * 20,
                evictions: &evictions,
            };
            let bytes = u64::from(step.amount);
            let found = self.ring.admission(in_flight, bytes);
            assert_eq!(found, self.reference.admission(in_flight, bytes));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_ring_agrees_with_a_naive_one_after_every_operation(steps in steps()) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.now = pair.now.after(Millis(u64::from(step.wait)));
            let op = pair.op(step);
            pair.apply(op);
            pair.compare(step);
            if step.restore {
                pair.ring = Ring::restore(pair.ring.snapshot()).expect("its own snapshot");
            }
            prop_assert_eq!(&pair.ring, &pair.replica);
            prop_assert_eq!(pair.ring.digest(), pair.replica.digest());
        }
    }

    #[test]
    fn housekeeping_is_due_exactly_from_its_announced_time_and_leaves_nothing_due(
        steps in steps(),
        most in 1_usize..4,
    ) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.now = pair.now.after(Millis(u64::from(step.wait)));
            let op = pair.op(step);
            pair.apply(op);
            if let Some(next) = pair.ring.next_housekeeping() {
                let early = RingTime(next.0.saturating_sub(1));
                prop_assert_eq!(next.0 == 0, !pair.ring.due_housekeeping(early, most).is_empty());
                prop_assert!(!pair.ring.due_housekeeping(next, most).is_empty());
            }
            let held = pair.ring.undisposed() as usize + 400;
            for _ in 0..held {
                let due = pair.ring.due_housekeeping(pair.now, most);
                if due.is_empty() {
                    break;
                }
                for op in due {
                    pair.apply(op);
                }
            }
            prop_assert_eq!(pair.ring.due_housekeeping(pair.now, most), vec![]);
            prop_assert!(pair.ring.next_housekeeping().is_none_or(|next| next > pair.now));
        }
    }
}
