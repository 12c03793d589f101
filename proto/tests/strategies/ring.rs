//! Log entries and parts of rings.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use ringhold_ringbuffer::{
    Absence, DisposedOutcome, EntryState, KeyHit, LogEntry, LostRange, Op, RemovedKey,
    RemovedSequence, RingHeader, RingLimits, RingPart, TaskEntry,
};
use ringhold_types::{
    Attempt, AttemptNumber, FailureKind, Generation, IdempotencyKey, Incarnation, LineageDepth,
    Lsn, MemberId, Millis, Origin, Outcome, ReplicaId, RequestId, RingTime, Sequence, SlotNumber,
    TaskResult, TaskSpec, Term, UnixMillis, WhenFull, WorkerId, WorkerRef,
};

use super::execution::{task_id, task_ref};
use super::task::{failure, outcome, task};
use super::{data, key_bytes, number, text};

pub(crate) fn sequence() -> impl Strategy<Value = Sequence> {
    number().prop_map(Sequence::from_bits)
}

pub(crate) fn sequences() -> impl Strategy<Value = Vec<Sequence>> {
    vec(sequence(), 0..4)
}

pub(crate) fn time() -> impl Strategy<Value = RingTime> {
    number().prop_map(RingTime)
}

pub(crate) fn replica() -> impl Strategy<Value = ReplicaId> {
    (number(), number()).prop_map(|(member, incarnation)| ReplicaId {
        member: MemberId(member),
        incarnation: Incarnation(incarnation),
    })
}

/// A sequence, a term and an attempt's number.
pub(crate) fn token() -> impl Strategy<Value = (Sequence, Term, AttemptNumber)> {
    (sequence(), number(), number())
        .prop_map(|(sequence, term, attempt)| (sequence, Term(term), AttemptNumber(attempt)))
}

pub(crate) fn stored_task() -> BoxedStrategy<Arc<TaskSpec>> {
    let times = (option::of(time()), option::of(number()));
    (task(), times, option::of(origin().boxed()))
        .prop_map(|(task, (not_before, at), origin)| {
            Arc::new(TaskSpec {
                not_before,
                not_before_at: at.map(UnixMillis),
                origin: origin.map(Box::new),
                ..task
            })
        })
        .boxed()
}

pub(crate) fn result() -> impl Strategy<Value = Arc<TaskResult>> {
    outcome().prop_filter_map("a success", |outcome| match outcome {
        Outcome::Succeeded(result) => Some(Arc::new(result)),
        _ => None,
    })
}

pub(crate) fn request() -> impl Strategy<Value = RequestId> {
    key_bytes().prop_map(|bytes| RequestId::new(bytes).expect("1 to 512 bytes"))
}

prop_compose! {
    pub(crate) fn limits()(
        (capacity, bytes, dedup_keys, history) in (number(), number(), number(), number()),
        (result_ttl, dedup_window) in (number(), number()),
        when_full in prop_oneof![Just(WhenFull::Reject), Just(WhenFull::Wait), Just(WhenFull::Overwrite)],
        crash_limit in any::<u32>(),
    ) -> RingLimits {
        RingLimits {
            capacity, when_full, bytes, dedup_keys, history, crash_limit,
            result_ttl: Millis(result_ttl), dedup_window: Millis(dedup_window),
        }
    }
}

fn ring_op() -> BoxedStrategy<Op> {
    let accept =
        (sequence(), stored_task(), number()).prop_map(|(sequence, task, at)| Op::Accept {
            sequence,
            task,
            accepted_at: UnixMillis(at),
        });
    prop_oneof![
        (replica(), number()).prop_map(|(primary, generation)| Op::TermStart {
            primary,
            generation: Generation(generation),
        }),
        limits().boxed().prop_map(Op::Configure),
        accept,
        sequences().prop_map(|sequences| Op::MarkRetrieved { sequences }),
        (sequence(), option::of(request()))
            .prop_map(|(sequence, request)| Op::Dispose { sequence, request }),
        sequences().prop_map(|sequences| Op::Evict { sequences }),
        sequences().prop_map(|sequences| Op::Expire { sequences }),
        time().prop_map(|removed_before| Op::ForgetKeys { removed_before }),
        (replica(), vec(token(), 0..3)).prop_map(|(to, running)| Op::HandOver { to, running }),
        sequence().prop_map(|sequence| Op::Cancel { sequence }),
    ]
    .boxed()
}

fn attempt_op() -> BoxedStrategy<Op> {
    let member = || number().prop_map(MemberId);
    prop_oneof![
        (token(), member()).prop_map(|((sequence, _, attempt), member)| Op::Start {
            sequence,
            attempt,
            member,
        }),
        (token(), member()).prop_map(|((sequence, attempt_term, attempt), member)| Op::Adopt {
            sequence,
            attempt_term,
            attempt,
            member,
        }),
        (token(), data()).prop_map(
            |((sequence, attempt_term, attempt), bytes)| Op::Checkpoint {
                sequence,
                attempt_term,
                attempt,
                bytes,
            }
        ),
        (token(), result()).prop_map(|((sequence, attempt_term, attempt), result)| Op::Complete {
            sequence,
            attempt_term,
            attempt,
            result,
        }),
        (token(), any::<bool>(), failure(), any::<bool>()).prop_map(
            |((sequence, term, attempt), reported, failure, dead_letter)| Op::Fail {
                sequence,
                attempt: reported.then_some((term, attempt)),
                failure: Arc::new(failure),
                dead_letter,
            }
        ),
        (token(), failure(), time()).prop_map(
            |((sequence, attempt_term, attempt), failure, due)| {
                Op::RetryAt {
                    sequence,
                    attempt_term,
                    attempt,
                    failure: Arc::new(failure),
                    due,
                }
            }
        ),
        token().prop_map(|(sequence, attempt_term, attempt)| Op::HandBack {
            sequence,
            attempt_term,
            attempt,
        }),
    ]
    .boxed()
}

pub(crate) fn log_entry() -> BoxedStrategy<LogEntry> {
    let op = prop_oneof![ring_op(), attempt_op()];
    (number(), number(), time(), op)
        .prop_map(|(term, lsn, time, op)| LogEntry {
            term: Term(term),
            lsn: Lsn(lsn),
            time,
            op,
        })
        .boxed()
}

prop_compose! {
    fn attempt()(
        (number, term, member) in (number(), number(), number()),
        started in time(),
        ended in option::of(time()),
        failure in option::of(proptest::sample::select(FailureKind::ALL.to_vec())),
        worker in option::of((number(), text()).boxed()),
        (slot, process_id) in any::<(Option<u16>, Option<u32>)>(),
        (message, tail) in (option::of(text()), data()).boxed(),
    ) -> Attempt {
        let worker = worker.map(|(id, name)| WorkerRef { id: WorkerId(id), name: name.into() });
        Attempt {
            number: AttemptNumber(number), term: Term(term), member: MemberId(member),
            started, ended, failure, worker: worker.map(Arc::new), slot: slot.map(SlotNumber),
            process_id, message: message.map(Into::into), tail,
        }
    }
}

prop_compose! {
    fn origin()(
        (parent, retry_of) in (option::of(task_id().boxed()), option::of(task_id().boxed())),
        depth in any::<u8>(),
        group in option::of(task_ref()),
        callback_of in option::of(sequence()),
        earlier in vec(attempt().boxed(), 0..3),
    ) -> Origin {
        Origin { parent, depth: LineageDepth(depth), retry_of, group, callback_of, earlier }
    }
}

fn state() -> impl Strategy<Value = EntryState> {
    prop_oneof![
        (option::of(time()), any::<bool>())
            .prop_map(|(due, retry)| EntryState::Waiting { due, retry }),
        (number(), number(), number()).prop_map(|(attempt, term, member)| EntryState::Running {
            attempt: AttemptNumber(attempt),
            term: Term(term),
            member: MemberId(member),
        }),
        (outcome(), time()).prop_map(|(outcome, at)| EntryState::Ended {
            outcome: Arc::new(outcome),
            at,
        }),
    ]
}

prop_compose! {
    pub(crate) fn task_entry()(
        sequence in sequence(),
        task in stored_task(),
        accepted in time(),
        (accepted_term, accepted_at, attempts) in (number(), number(), number()),
        state in state().boxed(),
        crashes in any::<u32>(),
        history in vec(attempt().boxed(), 0..3),
        checkpoint in option::of(data()),
        retrieved in any::<bool>(),
    ) -> TaskEntry {
        TaskEntry {
            sequence, task, accepted_term: Term(accepted_term), accepted,
            accepted_at: UnixMillis(accepted_at), state, attempts: AttemptNumber(attempts),
            crashes, history, checkpoint, retrieved,
        }
    }
}

prop_compose! {
    fn header()(
        (generation, next_sequence, time) in (number(), sequence(), time()),
        limits in limits().boxed(),
        lost in vec((sequence(), sequence()), 0..3),
        (entries, keys, history, disposed) in (number(), number(), number(), number()),
    ) -> RingHeader {
        RingHeader {
            generation: Generation(generation), next_sequence, time, limits,
            lost: lost.into_iter().map(|(first, end)| LostRange { first, end }).collect(),
            entries, keys, history, disposed,
        }
    }
}

fn removed_key() -> impl Strategy<Value = RemovedKey> {
    (key_bytes(), sequence(), number(), time()).prop_map(|(key, sequence, identity, removed)| {
        RemovedKey {
            key: IdempotencyKey::new(key).expect("1 to 512 bytes"),
            hit: KeyHit { sequence, identity },
            removed,
        }
    })
}

fn removed_sequence() -> impl Strategy<Value = RemovedSequence> {
    let reasons = vec![
        Absence::NeverExisted,
        Absence::Disposed,
        Absence::Overwritten,
        Absence::Expired,
        Absence::Gone,
        Absence::DataLoss,
    ];
    (sequence(), proptest::sample::select(reasons))
        .prop_map(|(sequence, why)| RemovedSequence { sequence, why })
}

fn disposed() -> impl Strategy<Value = DisposedOutcome> {
    (sequence(), request(), outcome(), any::<u64>(), time()).prop_map(
        |(sequence, request, outcome, attempts, disposed)| DisposedOutcome {
            sequence,
            request,
            outcome: Arc::new(outcome),
            attempts: AttemptNumber(attempts),
            disposed,
        },
    )
}

pub(crate) fn ring_part() -> BoxedStrategy<RingPart> {
    prop_oneof![
        header().prop_map(RingPart::Header).boxed(),
        vec(task_entry().boxed(), 0..3).prop_map(RingPart::Entries),
        vec(removed_key().boxed(), 0..3).prop_map(RingPart::Keys),
        vec(removed_sequence(), 0..3).prop_map(RingPart::History),
        vec(disposed().boxed(), 0..3).prop_map(RingPart::Disposed),
    ]
    .boxed()
}
