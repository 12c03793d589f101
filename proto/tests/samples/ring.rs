//! Log entries and parts of rings.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ringhold_ringbuffer::{
    Absence, DisposedOutcome, EntryState, KeyHit, LogEntry, LostRange, Op, RemovedKey,
    RemovedSequence, RingHeader, RingLimits, RingPart, TaskEntry,
};
use ringhold_types::{
    AffinityKey, Attempt, AttemptNumber, Failure, FailureKind, Generation, IdempotencyKey, Lsn,
    Millis, OnInterrupt, Outcome, ProcessCall, ProcessExit, RequestId, RingTime, Sequence,
    TaskCall, TaskLimits, TaskResult, TaskSpec, Term, UnixMillis, WhenFull,
};

use super::{MEMBER, OTHER, replica};

const SEQUENCE: Sequence = Sequence::from_bits((2 << 44) | 9812);
const ATTEMPT: AttemptNumber = AttemptNumber(2);
const TERM: Term = Term(41);

/// One entry of every operation, and the variants of those that have optional parts.
pub(crate) fn entries() -> Vec<(&'static str, LogEntry)> {
    let mut ops = ring_ops();
    ops.extend(task_ops());
    ops.extend(attempt_ops());
    let entry = |(name, op)| {
        let entry = LogEntry {
            term: Term(42),
            lsn: Lsn(1_000_000),
            time: RingTime(86_400_000),
            op,
        };
        (name, entry)
    };
    ops.into_iter().map(entry).collect()
}

fn ring_ops() -> Vec<(&'static str, Op)> {
    let sequences = || vec![SEQUENCE, Sequence::from_bits(0)];
    let dispose = |request| Op::Dispose {
        sequence: SEQUENCE,
        request,
    };
    vec![
        (
            "term-start",
            Op::TermStart {
                primary: replica(MEMBER),
                generation: Generation(2),
            },
        ),
        ("configure", Op::Configure(limits())),
        (
            "mark-retrieved",
            Op::MarkRetrieved {
                sequences: sequences(),
            },
        ),
        ("dispose", dispose(None)),
        ("dispose-with-request", dispose(Some(request()))),
        (
            "evict",
            Op::Evict {
                sequences: sequences(),
            },
        ),
        (
            "expire",
            Op::Expire {
                sequences: sequences(),
            },
        ),
        (
            "forget-keys",
            Op::ForgetKeys {
                removed_before: RingTime(85_800_000),
            },
        ),
        (
            "hand-over",
            Op::HandOver {
                to: replica(OTHER),
                running: vec![(SEQUENCE, TERM, ATTEMPT)],
            },
        ),
    ]
}

fn task_ops() -> Vec<(&'static str, Op)> {
    let accept = |task| Op::Accept {
        sequence: SEQUENCE,
        task: Arc::new(task),
        accepted_at: UnixMillis(1_795_000_000_000),
    };
    vec![
        ("accept-process", accept(process_task())),
        ("accept-handler", accept(handler_task())),
        (
            "start",
            Op::Start {
                sequence: SEQUENCE,
                attempt: ATTEMPT,
                member: MEMBER,
            },
        ),
        (
            "adopt",
            Op::Adopt {
                sequence: SEQUENCE,
                attempt_term: TERM,
                attempt: ATTEMPT,
                member: MEMBER,
            },
        ),
        ("cancel", Op::Cancel { sequence: SEQUENCE }),
    ]
}

fn attempt_ops() -> Vec<(&'static str, Op)> {
    let fail = |attempt, dead_letter| Op::Fail {
        sequence: SEQUENCE,
        attempt,
        failure: Arc::new(failure()),
        dead_letter,
    };
    vec![
        (
            "checkpoint",
            Op::Checkpoint {
                sequence: SEQUENCE,
                attempt_term: TERM,
                attempt: ATTEMPT,
                bytes: Bytes::from_static(b"\0half way\xff"),
            },
        ),
        (
            "complete",
            Op::Complete {
                sequence: SEQUENCE,
                attempt_term: TERM,
                attempt: ATTEMPT,
                result: Arc::new(result()),
            },
        ),
        ("fail", fail(Some((TERM, ATTEMPT)), false)),
        ("fail-without-attempt", fail(None, true)),
        (
            "retry-at",
            Op::RetryAt {
                sequence: SEQUENCE,
                attempt_term: TERM,
                attempt: ATTEMPT,
                failure: Arc::new(Failure::new(FailureKind::Handler, "no luck")),
                due: RingTime(86_405_000),
            },
        ),
        (
            "hand-back",
            Op::HandBack {
                sequence: SEQUENCE,
                attempt_term: TERM,
                attempt: ATTEMPT,
            },
        ),
    ]
}

/// One part of every kind.
pub(crate) fn parts() -> Vec<(&'static str, RingPart)> {
    let key = IdempotencyKey::new("run-1/7").expect("valid");
    vec![
        ("header", RingPart::Header(header())),
        (
            "entries",
            RingPart::Entries(vec![waiting(), running(), ended()]),
        ),
        (
            "keys",
            RingPart::Keys(vec![RemovedKey {
                hit: KeyHit {
                    sequence: SEQUENCE,
                    identity: 0x8899_aabb_ccdd_eeff,
                },
                key,
                removed: RingTime(86_399_999),
            }]),
        ),
        ("history", RingPart::History(history())),
        (
            "disposed",
            RingPart::Disposed(vec![DisposedOutcome {
                sequence: SEQUENCE,
                request: request(),
                outcome: Arc::new(Outcome::Replaced(vec![Sequence::from_bits(7)])),
                attempts: AttemptNumber(0),
                disposed: RingTime(86_399_000),
            }]),
        ),
        (
            "disposed-after-two-attempts",
            RingPart::Disposed(vec![DisposedOutcome {
                sequence: SEQUENCE,
                request: request(),
                outcome: Arc::new(Outcome::Replaced(vec![Sequence::from_bits(7)])),
                attempts: AttemptNumber(2),
                disposed: RingTime(86_399_000),
            }]),
        ),
    ]
}

fn history() -> Vec<RemovedSequence> {
    let reasons = [Absence::Disposed, Absence::Overwritten, Absence::Expired];
    (1..)
        .zip(reasons)
        .map(|(bits, why)| RemovedSequence {
            sequence: Sequence::from_bits(bits),
            why,
        })
        .collect()
}

fn limits() -> RingLimits {
    RingLimits {
        capacity: u64::MAX,
        when_full: WhenFull::Overwrite,
        bytes: 268_435_456,
        result_ttl: Millis(86_400_000),
        dedup_window: Millis(600_000),
        dedup_keys: 10_000,
        history: 40_000,
        crash_limit: 5,
    }
}

fn header() -> RingHeader {
    RingHeader {
        generation: Generation(2),
        next_sequence: SEQUENCE,
        time: RingTime(86_400_000),
        limits: limits(),
        lost: vec![LostRange {
            first: Sequence::from_bits(5),
            end: Sequence::from_bits(1 << 44),
        }],
        entries: 3,
        keys: 1,
        history: 3,
        disposed: 1,
    }
}

fn request() -> RequestId {
    RequestId::new("read-1").expect("valid")
}

fn handler_task() -> TaskSpec {
    let call = TaskCall::Handler {
        name: "render".into(),
        version: None,
        payload: Bytes::from_static(b"{\"page\":7}"),
        content_type: "application/json".into(),
    };
    let key = IdempotencyKey::new("run-1/8").expect("valid");
    TaskSpec {
        dispose_on_success: true,
        ..TaskSpec::new(call, key)
    }
}

fn process_task() -> TaskSpec {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let call = TaskCall::Process(ProcessCall {
        arguments: vec![
            Bytes::from_static(b"sha256sum"),
            Bytes::from_static(b"/tmp/\xff"),
        ],
        environment: BTreeMap::from([pair("B", "2"), pair("A", "")]),
        working_directory: Some("/srv".into()),
        standard_input: Some(Bytes::new()),
        ..ProcessCall::default()
    });
    let key = IdempotencyKey::new("run-1/7").expect("valid");
    TaskSpec {
        affinity_key: Some(AffinityKey::new("user-42").expect("valid")),
        labels: BTreeMap::from([pair("run", "1"), pair("grüße", "日本語")]),
        limits: TaskLimits {
            wait: Some(Millis(0)),
            run: Some(Millis(30_000)),
            total: Some(Millis(u64::MAX)),
        },
        on_interrupt: OnInterrupt::Fail,
        not_before: Some(RingTime(86_460_000)),
        ..TaskSpec::new(call, key)
    }
}

fn exit() -> ProcessExit {
    ProcessExit {
        exit_code: Some(-1),
        signal: Some(9),
        process_id: 4_242,
        spawn: Millis(3),
        run: Millis(1_001),
        standard_output: Bytes::from_static(b"out"),
        standard_error: Bytes::from_static(b"error\n"),
        output_truncated: true,
        error_truncated: false,
        ..ProcessExit::default()
    }
}

fn result() -> TaskResult {
    TaskResult {
        payload: Bytes::from_static(b"e3b0c442  /tmp/x\n"),
        content_type: "text/plain".into(),
        process: Some(exit()),
    }
}

fn failure() -> Failure {
    Failure {
        kind: FailureKind::NonzeroExit,
        message: "it ended with 1".into(),
        process: Some(exit()),
    }
}

fn waiting() -> TaskEntry {
    TaskEntry {
        sequence: Sequence::from_bits(0),
        task: Arc::new(handler_task()),
        accepted_term: Term(1),
        accepted: RingTime(0),
        accepted_at: UnixMillis(1_795_000_000_000),
        state: EntryState::Waiting {
            due: Some(RingTime(86_405_000)),
            retry: true,
        },
        attempts: AttemptNumber(1),
        crashes: 1,
        history: vec![Attempt {
            number: AttemptNumber(1),
            term: Term(1),
            member: OTHER,
            started: RingTime(10),
            ended: Some(RingTime(20)),
            failure: Some(FailureKind::TimedOut),
            ..Attempt::default()
        }],
        checkpoint: Some(Bytes::from_static(b"half way")),
        retrieved: false,
    }
}

fn running() -> TaskEntry {
    TaskEntry {
        sequence: Sequence::from_bits(1),
        state: EntryState::Running {
            attempt: ATTEMPT,
            term: TERM,
            member: MEMBER,
        },
        attempts: ATTEMPT,
        ..waiting()
    }
}

fn ended() -> TaskEntry {
    TaskEntry {
        sequence: Sequence::from_bits(2),
        task: Arc::new(process_task()),
        state: EntryState::Ended {
            outcome: Arc::new(Outcome::DeadLettered(failure())),
            at: RingTime(86_000_000),
        },
        checkpoint: None,
        retrieved: true,
        ..waiting()
    }
}
