//! What came with retries, workers, lineage and limits of programs.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ringhold_control::Command;
use ringhold_ringbuffer::{EntryState, LogEntry, Op, RingPart, TaskEntry};
use ringhold_types::{
    AtEnd, Attempt, AttemptNumber, Backoff, CgroupPlace, Containment, ExecutorConfig, ExecutorName,
    FailureKind, GrowthFactor, IdempotencyKey, Jitter, LineageDepth, Lsn, Millis, OnInterrupt,
    Origin, OutputPolicy, PartitionNumber, Priority, ProcessCall, ProcessExit, ProcessLimits,
    RateLimit, RetryPolicy, RingTime, Sequence, SlotNumber, TaskCall, TaskRef, TaskResult,
    TaskSpec, Term, UnixMillis, WorkerId, WorkerRef,
};

use super::MEMBER;

const SEQUENCE: Sequence = Sequence::from_bits((2 << 44) | 9812);

pub(super) fn entries() -> Vec<(&'static str, LogEntry)> {
    let accept = |task| Op::Accept {
        sequence: SEQUENCE,
        task: Arc::new(task),
        accepted_at: UnixMillis(1_795_000_000_000),
    };
    let complete = Op::Complete {
        sequence: SEQUENCE,
        attempt_term: Term(41),
        attempt: AttemptNumber(2),
        result: Arc::new(TaskResult {
            process: Some(exit()),
            ..TaskResult::default()
        }),
    };
    let ops = [
        ("accept-handler-of-a-version", accept(handler_task())),
        ("accept-process-with-limits", accept(process_task())),
        ("complete-with-usage", complete),
    ];
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

pub(super) fn parts() -> Vec<(&'static str, RingPart)> {
    let waiting = TaskEntry {
        sequence: Sequence::from_bits(3),
        task: Arc::new(handler_task()),
        accepted_term: Term(1),
        accepted: RingTime(0),
        accepted_at: UnixMillis(1_795_000_000_000),
        state: EntryState::Waiting {
            due: Some(RingTime(86_405_000)),
            retry: true,
        },
        attempts: AttemptNumber(1),
        crashes: 0,
        history: vec![attempt()],
        checkpoint: None,
        retrieved: false,
    };
    vec![("entries-of-workers", RingPart::Entries(vec![waiting]))]
}

pub(super) fn commands() -> Vec<(&'static str, Command)> {
    let config = ExecutorConfig {
        priority: Priority::new(-7),
        serial: Some(true),
        wait_limit: Some(Millis(60_000)),
        total_limit: Some(Millis(3_600_000)),
        retry: Some(Box::new(RetryPolicy::default())),
        on_failure: Some(AtEnd::Fail),
        on_interrupt: Some(OnInterrupt::Fail),
        dead_letter_ttl: Some(Millis(86_400_000)),
        log_bytes_max: Some(0),
        worker_lease: Some(Millis(1_000)),
        rate_limit: Some(RateLimit {
            per_second: 10,
            burst: 20,
        }),
        default_binary: Some("sort".into()),
        environment: BTreeMap::from([("LANG".to_owned(), "C".to_owned())]),
        environment_deny: vec!["AWS_*".into()],
        inherit_environment: Some(false),
        output_policy: Some(OutputPolicy::Truncate),
        process_limits: Some(Box::new(limits())),
        ..ExecutorConfig::with_name(ExecutorName::new("reports").expect("valid"))
    };
    vec![(
        "create-executor-with-all",
        Command::CreateExecutor { config },
    )]
}

fn handler_task() -> TaskSpec {
    let call = TaskCall::Handler {
        name: "render".into(),
        version: Some("2.1".into()),
        payload: Bytes::from_static(b"{\"page\":7}"),
        content_type: "application/json".into(),
    };
    let retry = RetryPolicy {
        max_attempts: 5,
        backoff: Backoff::Exponential {
            first: Millis(250),
            factor: GrowthFactor(1_500),
        },
        cap: Millis(30_000),
        jitter: Jitter::Full,
        kinds: [FailureKind::Handler, FailureKind::LeaseLost]
            .into_iter()
            .collect(),
        retry_codes: vec![75, 99],
        final_codes: vec![64],
    };
    TaskSpec {
        metadata: Bytes::from_static(b"\0opaque\xff"),
        priority: Priority::new(-1000),
        serial: Some(false),
        retry: Some(Box::new(retry)),
        at_end: Some(AtEnd::DeadLetter),
        not_before_at: Some(UnixMillis(1_795_000_060_000)),
        origin: Some(Box::new(Origin {
            parent: "reports/113/9812".parse().ok(),
            depth: LineageDepth(3),
            retry_of: "old@1/0/7".parse().ok(),
            group: Some(TaskRef {
                partition: PartitionNumber(113),
                sequence: SEQUENCE,
            }),
            callback_of: Some(Sequence::from_bits(0)),
            earlier: vec![attempt()],
        })),
        ..TaskSpec::new(call, IdempotencyKey::new("run-1/8").expect("valid"))
    }
}

fn process_task() -> TaskSpec {
    let call = TaskCall::Process(ProcessCall {
        arguments: vec![Bytes::from_static(b"-u")],
        uses_default_binary: true,
        detach_ok: true,
        limits: Some(Box::new(limits())),
        output_policy: Some(OutputPolicy::Fail),
        ..ProcessCall::default()
    });
    let linear = RetryPolicy {
        backoff: Backoff::Linear {
            first: Millis(0),
            step: Millis(1_500),
        },
        jitter: Jitter::None,
        ..RetryPolicy::never()
    };
    TaskSpec {
        retry: Some(Box::new(linear)),
        at_end: Some(AtEnd::Fail),
        ..TaskSpec::new(call, IdempotencyKey::new("run-1/7").expect("valid"))
    }
}

fn limits() -> ProcessLimits {
    ProcessLimits {
        cpu: Some(Millis(10_500)),
        memory_bytes: Some(1 << 30),
        open_files: Some(64),
        processes: Some(8),
        file_bytes: Some(0),
        nice: Some(-5),
        umask: Some(0o077),
        user: Some(65_534),
        group: Some(0),
        no_new_privs: Some(true),
        cgroup: Some(CgroupPlace::Below("/tasks".into())),
    }
}

fn exit() -> ProcessExit {
    ProcessExit {
        signal: Some(6),
        process_id: 4_242,
        spawn: Millis(3),
        run: Millis(1_001),
        core_dumped: true,
        cpu_user: Millis(900),
        cpu_system: Millis(51),
        max_rss_bytes: 7 << 20,
        containment: Containment::CgroupV2,
        leftovers: 2,
        unreaped: true,
        ..ProcessExit::default()
    }
}

fn attempt() -> Attempt {
    Attempt {
        number: AttemptNumber(1),
        term: Term(1),
        member: MEMBER,
        started: RingTime(10),
        ended: Some(RingTime(20)),
        failure: Some(FailureKind::LeaseLost),
        worker: Some(Arc::new(WorkerRef {
            id: WorkerId(0x8899_aabb_ccdd_eeff),
            name: "resizer-1".into(),
        })),
        slot: Some(SlotNumber(0)),
        process_id: Some(4_242),
        message: Some("no heartbeat for 10 s".into()),
        tail: Bytes::from_static(b"half a line\xff"),
    }
}
