//! A measurement, printed and not asserted: times of a machine shared with others prove nothing.

use std::time::{Duration, Instant};

use ringhold_control::{Cluster, Command, MemberStart, StoreReport};
use ringhold_types::{
    ClusterId, ControlIndex, ExecutorConfig, ExecutorId, MemberId, PartitionCount, PartitionNumber,
    StartNonce, UnixMillis,
};

use crate::world::{info, named};

/// The best of so many rounds is printed, since other tests run at the same time.
const ROUNDS: usize = 10;

/// Six members and 100 000 partitions in `executors` executors, all holding something.
fn large(executors: u32) -> Cluster {
    let mut cluster = Cluster::new();
    let mut index = 0;
    let mut apply = |command: Command| {
        index += 1;
        cluster.apply(ControlIndex(index), &command);
    };
    apply(Command::Initialise {
        cluster: ClusterId(1),
        name: "large".into(),
    });
    for id in 1..=6 {
        apply(Command::Start(MemberStart {
            member: info(id),
            last_accepted: StartNonce::ZERO,
            fresh: StartNonce(id),
            store: StoreReport::Empty,
            at: UnixMillis(0),
        }));
    }
    let count = 100_000 / executors;
    for number in 0..executors {
        let config = ExecutorConfig {
            partition_count: PartitionCount::new(count).unwrap(),
            ..named(&format!("e{number}"), 2)
        };
        apply(Command::CreateExecutor { config });
        let partitions = (0..count).map(PartitionNumber).collect();
        apply(Command::Materialise {
            executor: ExecutorId(number),
            partitions,
        });
    }
    cluster
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "it measures; the crate itself reads no clock"
)]
fn one_command_fails_over_a_hundred_thousand_partitions() {
    for executors in [2, 100] {
        let before = large(executors);
        let members = vec![(MemberId(2), StartNonce(2))];
        let down = Command::MembersDown { members };
        let mut best = Duration::MAX;
        for _ in 0..ROUNDS {
            let mut cluster = before.clone();
            let began = Instant::now();
            let (_, changes) = cluster.apply(ControlIndex(before.index().0 + 1), &down);
            best = best.min(began.elapsed());
            assert!(
                changes.configurations.len() > 45_000,
                "about half have a seat on each member"
            );
        }
        println!("100 000 partitions in {executors} executors: MembersDown takes {best:?}");
    }
}
