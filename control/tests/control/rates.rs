//! Rate limits: what comes, what is kept, how it is shared.

use std::collections::BTreeMap;

use proptest::prelude::*;
use ringhold_control::rate::Bucket;
use ringhold_types::{MemberId, RateLimit, Tick};

const SECOND: u64 = 1_000_000;

fn limit(per_second: u32, burst: u32) -> RateLimit {
    RateLimit { per_second, burst }
}

fn wants(of: &[u32]) -> BTreeMap<MemberId, u32> {
    (1..).map(MemberId).zip(of.iter().copied()).collect()
}

fn shared(bucket: &mut Bucket, now: u64, of: &[u32]) -> Vec<u32> {
    let shares = bucket.share(Tick(now), &wants(of));
    wants(of)
        .keys()
        .map(|member| shares.get(member).copied().unwrap_or(0))
        .collect()
}

#[test]
fn a_new_leader_begins_empty() {
    let start = 77 * SECOND;
    let mut bucket = Bucket::new(limit(5, 20), Tick(start));
    assert_eq!(bucket.take(Tick(start), 100), 0);
    assert_eq!(bucket.take(Tick(start + SECOND / 5 - 1), 100), 0);
    assert_eq!(bucket.take(Tick(start + SECOND / 5), 100), 1);
    assert_eq!(
        bucket.take(Tick(start + 100 * SECOND), 100),
        20,
        "no more than the burst"
    );
    // A clock that stands still or goes back brings nothing, and takes nothing away.
    assert_eq!(bucket.take(Tick(start), 100), 0);
    assert_eq!(bucket.take(Tick(start + 101 * SECOND), 100), 5);
}

#[test]
fn another_limit_holds_from_its_moment_on() {
    let mut bucket = Bucket::new(limit(10, 100), Tick(0));
    bucket.reconfigure(limit(1, 5), Tick(2 * SECOND));
    assert_eq!(
        bucket.take(Tick(2 * SECOND), 100),
        5,
        "20 had come, 5 are kept"
    );
    assert_eq!(bucket.take(Tick(4 * SECOND), 100), 2);
}

#[test]
fn shares_add_up_and_take_turns() {
    let mut bucket = Bucket::new(limit(10, 10), Tick(0));
    assert_eq!(shared(&mut bucket, SECOND, &[1, 100, 100]), [1, 5, 4]);
    // One token, three who want it: each gets it in turn, the one after the last first.
    let mut given = [0; 3];
    for tenth in 1..=9 {
        let shares = shared(&mut bucket, SECOND + tenth * SECOND / 10, &[9, 9, 9]);
        assert_eq!(shares.iter().sum::<u32>(), 1);
        given
            .iter_mut()
            .zip(&shares)
            .for_each(|(sum, share)| *sum += share);
        if tenth == 1 {
            assert_eq!(shares, [0, 0, 1], "the second got the last one");
        }
    }
    assert_eq!(given, [3, 3, 3]);
    let mut full = Bucket::new(limit(100, 100), Tick(0));
    assert_eq!(shared(&mut full, SECOND, &[3, 0, 2]), [3, 0, 2]);
    assert_eq!(shared(&mut full, SECOND, &[]), [0; 0]);
    assert_eq!(full.take(Tick(SECOND), 1000), 95, "nobody wanted these");
}

proptest! {
    /// Over any times, wants and changes of leaders.
    #[test]
    fn a_bucket_never_gives_more_than_its_rate_and_burst(
        per_second in 1_u32..2_000,
        burst in 1_u32..50,
        steps in prop::collection::vec(
            (0_u64..3 * SECOND, prop::collection::vec(0_u32..60, 0..5), prop::bool::weighted(0.1)),
            1..80,
        ),
    ) {
        let limit = limit(per_second, burst);
        let mut bucket = Bucket::new(limit, Tick(0));
        let (mut now, mut windows) = (0, Vec::<(u64, u64)>::new());
        for (pause, wanted, new_leader) in steps {
            now += pause;
            if new_leader {
                bucket = Bucket::new(limit, Tick(now));
            }
            let wants = wants(&wanted);
            let shares = bucket.share(Tick(now), &wants);
            let given: u64 = shares.values().map(|&share| u64::from(share)).sum();
            for (member, share) in &shares {
                prop_assert!(share <= &wants[member]);
                let poorest = wants.iter().filter(|(it, want)| {
                    **want > shares.get(it).copied().unwrap_or(0)
                });
                for (poor, _) in poorest {
                    let theirs = shares.get(poor).copied().unwrap_or(0);
                    prop_assert!(*share <= theirs + 1, "{shares:?} of {wants:?}");
                }
            }
            windows.push((now, given));
            // From every moment on: no more than what comes in that time, and what was kept.
            let mut sum = 0;
            for (at, given) in windows.iter().rev() {
                sum += given;
                let come = u128::from(now - at) * u128::from(per_second) / u128::from(SECOND);
                prop_assert!(u128::from(sum) <= come + u128::from(burst) + 1);
            }
        }
    }
}
