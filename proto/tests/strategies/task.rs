//! Tasks, outcomes and executors.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use ringhold_types::{
    AffinityKey, ExecutorConfig, ExecutorName, Failure, FailureKind, IdempotencyKey, Millis,
    OnInterrupt, Origin, Outcome, PartitionCount, Persistence, ProcessCall, ProcessExit, RateLimit,
    Sequence, TaskCall, TaskLimits, TaskResult, TaskSpec, WhenFull,
};

use super::execution::{
    at_end, containment, output_policy, priority, process_limits, retry_policy, task_id, task_ref,
};
use super::{data, key_bytes, number, text};

pub(crate) fn span() -> impl Strategy<Value = Option<Millis>> {
    option::of(number().prop_map(Millis))
}

pub(crate) fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(text(), text(), 0..4)
}

pub(crate) fn call() -> impl Strategy<Value = TaskCall> {
    let handler = (text(), option::of(text()), data(), text()).prop_map(
        |(name, version, payload, content_type)| TaskCall::Handler {
            name,
            version,
            payload,
            content_type,
        },
    );
    let later = (
        any::<(bool, bool)>(),
        option::of(process_limits().boxed()),
        option::of(output_policy()),
    )
        .boxed();
    let process = (
        vec(data(), 0..4),
        labels(),
        option::of(text()),
        option::of(data()),
        later,
    )
        .prop_map(
            |(arguments, environment, working_directory, standard_input, later)| {
                let ((uses_default_binary, detach_ok), limits, output_policy) = later;
                TaskCall::Process(ProcessCall {
                    arguments,
                    environment,
                    working_directory,
                    standard_input,
                    uses_default_binary,
                    detach_ok,
                    limits: limits.map(Box::new),
                    output_policy,
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
        later in later_parts().boxed(),
        (parent, group) in (option::of(task_id().boxed()), option::of(task_ref().boxed())),
    ) -> TaskSpec {
        let origin = Origin { parent, group, ..Origin::default() };
        TaskSpec {
            call,
            idempotency_key: IdempotencyKey::new(idempotency_key).expect("1 to 512 bytes"),
            affinity_key: affinity_key.map(|key| AffinityKey::new(key).expect("1 to 512 bytes")),
            labels,
            limits: TaskLimits { wait, run, total },
            on_interrupt: if fails { OnInterrupt::Fail } else { OnInterrupt::Rerun },
            dispose_on_success,
            origin: (origin != Origin::default()).then(|| Box::new(origin)),
            ..later
        }
    }
}

prop_compose! {
    /// What came with retries and order; the other parts are as nobody said them.
    fn later_parts()(
        metadata in data(),
        (priority, serial) in (option::of(priority()), option::of(any::<bool>())),
        retry in option::of(retry_policy().boxed()),
        at_end in option::of(at_end()),
    ) -> TaskSpec {
        let nothing = TaskCall::Process(ProcessCall::default());
        TaskSpec {
            metadata, priority, serial, at_end,
            retry: retry.map(Box::new),
            ..TaskSpec::new(nothing, IdempotencyKey::new("k").expect("1 to 512 bytes"))
        }
    }
}

prop_compose! {
    /// What a program used; the other parts are as nobody said them.
    fn usage()(
        (core_dumped, unreaped, leftovers) in any::<(bool, bool, u32)>(),
        (cpu_user, cpu_system, max_rss_bytes) in any::<(u64, u64, u64)>(),
        containment in containment(),
    ) -> ProcessExit {
        ProcessExit {
            core_dumped, unreaped, leftovers, containment, max_rss_bytes,
            cpu_user: Millis(cpu_user), cpu_system: Millis(cpu_system),
            ..ProcessExit::default()
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
        usage in usage().boxed(),
    ) -> ProcessExit {
        ProcessExit {
            exit_code, signal, process_id, spawn: Millis(spawn), run: Millis(run),
            standard_output, standard_error, output_truncated, error_truncated,
            ..usage
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
        later in later_settings().boxed(),
    ) -> ExecutorConfig {
        ExecutorConfig {
            name: ExecutorName::new(name).expect("the allowed form"),
            pool_size, durability, capacity, when_full,
            partition_count: PartitionCount::new(partition_count).expect("in range"),
            persistence, min_copies,
            result_ttl: Millis(result_ttl), dedup_window: Millis(dedup_window),
            crash_limit, allowed_binaries, run_limit, kill_grace: Millis(kill_grace),
            output_bytes_max, statistics_enabled,
            ..later
        }
    }
}

prop_compose! {
    /// The settings that came with retries, workers and limits of programs; the others have their defaults.
    fn later_settings()(
        (priority, serial, inherit_environment) in
            (option::of(priority()), option::of(any::<bool>()), option::of(any::<bool>())),
        (wait_limit, total_limit, dead_letter_ttl, worker_lease) in (span(), span(), span(), span()),
        retry in option::of(retry_policy().boxed()),
        (on_failure, fails) in (option::of(at_end()), option::of(any::<bool>())),
        log_bytes_max in option::of(any::<u64>()),
        rate in option::of(any::<(u32, u32)>()),
        default_binary in option::of(text()),
        (environment, environment_deny) in (labels().boxed(), vec(text(), 0..3).boxed()),
        (output_policy, limits) in (option::of(output_policy()), option::of(process_limits().boxed())),
    ) -> ExecutorConfig {
        let on_interrupt = |fails| if fails { OnInterrupt::Fail } else { OnInterrupt::Rerun };
        ExecutorConfig {
            priority, serial, wait_limit, total_limit, retry: retry.map(Box::new), on_failure,
            on_interrupt: fails.map(on_interrupt),
            dead_letter_ttl, log_bytes_max, worker_lease,
            rate_limit: rate.map(|(per_second, burst)| RateLimit { per_second, burst }),
            default_binary, environment, environment_deny, inherit_environment, output_policy,
            process_limits: limits.map(Box::new),
            ..ExecutorConfig::with_name(ExecutorName::new("later").expect("the allowed form"))
        }
    }
}
