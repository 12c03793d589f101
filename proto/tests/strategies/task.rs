//! Tasks, outcomes and executors.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use ringhold_types::{
    AffinityKey, ExecutorConfig, ExecutorName, Failure, FailureKind, IdempotencyKey, Millis,
    OnInterrupt, Outcome, PartitionCount, Persistence, ProcessCall, ProcessExit, Sequence,
    TaskCall, TaskLimits, TaskResult, TaskSpec, WhenFull,
};

use super::{data, key_bytes, number, text};

pub(crate) fn span() -> impl Strategy<Value = Option<Millis>> {
    option::of(number().prop_map(Millis))
}

pub(crate) fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(text(), text(), 0..4)
}

pub(crate) fn call() -> impl Strategy<Value = TaskCall> {
    let handler =
        (text(), data(), text()).prop_map(|(name, payload, content_type)| TaskCall::Handler {
            name,
            payload,
            content_type,
        });
    let process = (
        vec(data(), 0..4),
        labels(),
        option::of(text()),
        option::of(data()),
    )
        .prop_map(
            |(arguments, environment, working_directory, standard_input)| {
                TaskCall::Process(ProcessCall {
                    arguments,
                    environment,
                    working_directory,
                    standard_input,
                })
            },
        );
    prop_oneof![handler, process]
}

prop_compose! {
    pub(crate) fn task()(
        call in call().boxed(),
        idempotency_key in key_bytes(),
        affinity_key in option::of(key_bytes()),
        labels in labels(),
        (wait, run, total) in (span(), span(), span()),
        fails in any::<bool>(),
        dispose_on_success in any::<bool>(),
    ) -> TaskSpec {
        TaskSpec {
            call,
            idempotency_key: IdempotencyKey::new(idempotency_key).expect("1 to 512 bytes"),
            affinity_key: affinity_key.map(|key| AffinityKey::new(key).expect("1 to 512 bytes")),
            labels,
            limits: TaskLimits { wait, run, total },
            on_interrupt: if fails { OnInterrupt::Fail } else { OnInterrupt::Rerun },
            not_before: None,
            dispose_on_success,
        }
    }
}

prop_compose! {
    pub(crate) fn exit()(
        exit_code in option::of(any::<i32>()),
        signal in option::of(any::<i32>()),
        process_id in any::<u32>(),
        (spawn, run) in (any::<u64>(), any::<u64>()),
        (standard_output, standard_error) in (data(), data()),
        (output_truncated, error_truncated) in any::<(bool, bool)>(),
    ) -> ProcessExit {
        ProcessExit {
            exit_code, signal, process_id, spawn: Millis(spawn), run: Millis(run),
            standard_output, standard_error, output_truncated, error_truncated,
        }
    }
}

pub(crate) fn failure() -> BoxedStrategy<Failure> {
    let kind = proptest::sample::select(FailureKind::ALL.to_vec());
    (kind, ".{0,20}", option::of(exit().boxed()))
        .prop_map(|(kind, message, process)| Failure {
            kind,
            message,
            process,
        })
        .boxed()
}

pub(crate) fn outcome() -> BoxedStrategy<Outcome> {
    let result = (data(), text(), option::of(exit().boxed())).prop_map(
        |(payload, content_type, process)| TaskResult {
            payload,
            content_type,
            process,
        },
    );
    let sequences = vec(any::<u64>().prop_map(Sequence::from_bits), 0..4);
    prop_oneof![
        result.prop_map(Outcome::Succeeded),
        failure().prop_map(Outcome::Failed),
        Just(Outcome::Cancelled),
        sequences.prop_map(Outcome::Replaced),
        failure().prop_map(Outcome::DeadLettered),
    ]
    .boxed()
}

prop_compose! {
    pub(crate) fn executor()(
        name in "[a-zA-Z0-9._:@-]{1,128}",
        (pool_size, durability, crash_limit) in (any::<u32>(), 0..=6_u32, any::<u32>()),
        (capacity, output_bytes_max) in any::<(u64, u64)>(),
        when_full in prop_oneof![Just(WhenFull::Reject), Just(WhenFull::Wait), Just(WhenFull::Overwrite)],
        partition_count in 1..=65_536_u32,
        persistence in prop_oneof![Just(Persistence::Memory), Just(Persistence::Fsync)],
        min_copies in option::of(any::<u32>()),
        (result_ttl, dedup_window, kill_grace) in any::<(u64, u64, u64)>(),
        allowed_binaries in vec(text(), 0..3),
        run_limit in span(),
        statistics_enabled in any::<bool>(),
    ) -> ExecutorConfig {
        ExecutorConfig {
            name: ExecutorName::new(name).expect("the allowed form"),
            pool_size, durability, capacity, when_full,
            partition_count: PartitionCount::new(partition_count).expect("in range"),
            persistence, min_copies,
            result_ttl: Millis(result_ttl), dedup_window: Millis(dedup_window),
            crash_limit, allowed_binaries, run_limit, kill_grace: Millis(kill_grace),
            output_bytes_max, statistics_enabled,
        }
    }
}
