//! Public messages come back as they were sent, through bytes.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use prost::Message;
use ringhold_proto::{SubmittedTask, v1};
use ringhold_types::{
    AffinityKey, ExecutorConfig, ExecutorName, Failure, FailureKind, IdempotencyKey, Millis,
    OnInterrupt, Outcome, PartitionCount, Persistence, ProcessCall, ProcessExit, Sequence,
    TaskCall, TaskLimits, TaskResult, TaskSpec, WhenFull,
};

fn through_bytes<M: Message + Default>(message: &M) -> M {
    M::decode(message.encode_to_vec().as_slice()).expect("just encoded")
}

fn data() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn span() -> impl Strategy<Value = Option<Millis>> {
    option::of(any::<u64>().prop_map(Millis))
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(".{0,8}", ".{0,8}", 0..4)
}

fn call() -> impl Strategy<Value = TaskCall> {
    let handler =
        (".{0,8}", data(), ".{0,8}").prop_map(|(name, payload, content_type)| TaskCall::Handler {
            name,
            payload,
            content_type,
        });
    let process = (
        vec(data(), 0..4),
        labels(),
        option::of(".{0,8}"),
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

fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 1..512)
}

prop_compose! {
    fn task()(
        call in call(),
        idempotency_key in key(),
        affinity_key in option::of(key()),
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
    fn exit()(
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

fn failure() -> impl Strategy<Value = Failure> {
    let kind = proptest::sample::select(FailureKind::ALL.to_vec());
    (kind, ".{0,20}", option::of(exit())).prop_map(|(kind, message, process)| Failure {
        kind,
        message,
        process,
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let result =
        (data(), ".{0,8}", option::of(exit())).prop_map(|(payload, content_type, process)| {
            TaskResult {
                payload,
                content_type,
                process,
            }
        });
    let sequences = vec(any::<u64>().prop_map(Sequence::from_bits), 0..4);
    prop_oneof![
        result.prop_map(Outcome::Succeeded),
        failure().prop_map(Outcome::Failed),
        Just(Outcome::Cancelled),
        sequences.prop_map(Outcome::Replaced),
        failure().prop_map(Outcome::DeadLettered),
    ]
}

prop_compose! {
    fn executor()(
        name in "[a-zA-Z0-9._:@-]{1,128}",
        (pool_size, durability, crash_limit) in (any::<u32>(), 0..=6_u32, any::<u32>()),
        (capacity, output_bytes_max) in any::<(u64, u64)>(),
        when_full in prop_oneof![Just(WhenFull::Reject), Just(WhenFull::Wait), Just(WhenFull::Overwrite)],
        partition_count in 1..=65_536_u32,
        persistence in prop_oneof![Just(Persistence::Memory), Just(Persistence::Fsync)],
        min_copies in option::of(any::<u32>()),
        (result_ttl, dedup_window, kill_grace) in any::<(u64, u64, u64)>(),
        allowed_binaries in vec(".{0,8}", 0..3),
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

proptest! {
    #[test]
    fn a_task_comes_back_as_it_was_submitted(task in task()) {
        let message = through_bytes(&v1::Task::from(&task));
        let read = SubmittedTask::read(message, || unreachable!("there is a key"));
        prop_assert_eq!(read, Ok(SubmittedTask { task, not_before: None, retry_safe: true }));
    }

    #[test]
    fn an_outcome_comes_back_as_it_was(outcome in outcome()) {
        let message = through_bytes(&v1::Outcome::from(&outcome));
        prop_assert_eq!(Outcome::try_from(message), Ok(outcome));
    }

    #[test]
    fn a_configuration_comes_back_as_it_was(config in executor()) {
        let message = through_bytes(&v1::ExecutorConfig::from(&config));
        prop_assert_eq!(ExecutorConfig::try_from(message), Ok(config));
    }
}
