//! Retry policies, limits of programs, and where tasks come from.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use ringhold_types::{
    AtEnd, Backoff, CgroupPlace, Containment, ExecutorName, FailureKind, GrowthFactor, Jitter,
    Millis, OutputPolicy, PartitionNumber, Priority, ProcessLimits, RetryPolicy, Sequence, TaskId,
    TaskRef,
};

use super::number;

pub(crate) fn priority() -> impl Strategy<Value = Priority> {
    (-1000..=1000).prop_map(|number| Priority::new(number).expect("in range"))
}

pub(crate) fn at_end() -> impl Strategy<Value = AtEnd> {
    prop_oneof![Just(AtEnd::Fail), Just(AtEnd::DeadLetter)]
}

pub(crate) fn output_policy() -> impl Strategy<Value = OutputPolicy> {
    prop_oneof![Just(OutputPolicy::Truncate), Just(OutputPolicy::Fail)]
}

pub(crate) fn containment() -> impl Strategy<Value = Containment> {
    select(vec![
        Containment::ProcessGroup,
        Containment::Subreaper,
        Containment::CgroupV1,
        Containment::CgroupV2,
    ])
}

fn backoff() -> impl Strategy<Value = Backoff> {
    let span = || number().prop_map(Millis);
    prop_oneof![
        span().prop_map(Backoff::Fixed),
        (span(), span()).prop_map(|(first, step)| Backoff::Linear { first, step }),
        (span(), 1..=u32::MAX).prop_map(|(first, factor)| Backoff::Exponential {
            first,
            factor: GrowthFactor(factor),
        }),
    ]
}

prop_compose! {
    pub(crate) fn retry_policy()(
        max_attempts in any::<u32>(),
        backoff in backoff().boxed(),
        cap in number(),
        jitter in select(vec![Jitter::None, Jitter::Full, Jitter::Equal]),
        kinds in vec(select(FailureKind::ALL.to_vec()), 0..4),
        (retry_codes, final_codes) in (vec(any::<i32>(), 0..3), vec(any::<i32>(), 0..3)),
    ) -> RetryPolicy {
        RetryPolicy {
            max_attempts, backoff, cap: Millis(cap), jitter, kinds: kinds.into_iter().collect(),
            retry_codes, final_codes,
        }
    }
}

prop_compose! {
    pub(crate) fn process_limits()(
        cpu in option::of(number()),
        (memory_bytes, open_files, processes, file_bytes) in
            any::<(Option<u64>, Option<u64>, Option<u64>, Option<u64>)>(),
        nice in any::<Option<i32>>(),
        (umask, user, group) in any::<(Option<u32>, Option<u32>, Option<u32>)>(),
        no_new_privs in any::<Option<bool>>(),
        cgroup in option::of(cgroup()),
    ) -> ProcessLimits {
        ProcessLimits {
            cpu: cpu.map(Millis), memory_bytes, open_files, processes, file_bytes, nice, umask,
            user, group, no_new_privs, cgroup,
        }
    }
}

fn cgroup() -> impl Strategy<Value = CgroupPlace> {
    prop_oneof![
        Just(CgroupPlace::Auto),
        Just(CgroupPlace::Off),
        "/.{0,8}".prop_map(CgroupPlace::Below),
    ]
}

pub(crate) fn task_ref() -> impl Strategy<Value = TaskRef> {
    (any::<u32>(), number()).prop_map(|(partition, sequence)| TaskRef {
        partition: PartitionNumber(partition),
        sequence: Sequence::from_bits(sequence),
    })
}

pub(crate) fn task_id() -> impl Strategy<Value = TaskId> {
    ("[a-zA-Z0-9._:@-]{1,128}", task_ref()).prop_map(|(executor, task)| TaskId {
        executor: ExecutorName::new(executor).expect("the allowed form"),
        partition: task.partition,
        sequence: task.sequence,
    })
}
