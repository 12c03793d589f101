//! How often somebody who polls polls: C.3 of the reference. All numbers are in `client/tests/paces.rs`.

use std::time::Duration;

use ringhold_client::{
    ExponentialPace, FixedPace, GrowthFactor, Jitter, LinearPace, Pace, PaceError,
};

use crate::row::{Row, row};
use crate::scene::Scene;

pub(crate) const ROWS: &[Row] = &[
    row!(
        "exec-C16",
        "how long a poller waits is a trait: anybody's own pace polls a cluster and is reset by what comes",
        c16_pace_is_a_trait
    ),
    row!(
        "exec-C17",
        "a fixed pace gives one wait, whatever happens",
        c17_fixed_never_changes
    ),
    row!(
        "exec-C18",
        "a linear pace has the peer's formula, numbers and refusals",
        c18_linear_equals_the_peers_numbers_and_refusals
    ),
    row!(
        "exec-C19",
        "an exponential pace multiplies up to its cap and stays within its jitter",
        c19_exponential_stays_within_its_jitter
    ),
];

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn waits(pace: &mut dyn Pace, count: usize) -> Vec<Duration> {
    (0..count).map(|_| pace.next()).collect()
}

/// Somebody's own pace: it counts what it is asked.
#[derive(Default)]
struct Counted {
    asked: u32,
    resets: u32,
}

impl Pace for Counted {
    fn next(&mut self) -> Duration {
        self.asked += 1;
        millis(5)
    }

    fn reset(&mut self) {
        self.resets += 1;
    }
}

async fn c16_pace_is_a_trait(scene: Scene) {
    let open = scene.directory.join("open");
    let script = format!("while ! test -e {}; do sleep 0.02; done", open.display());
    let id = scene
        .submitted(crate::scene::shell(&script))
        .await
        .id()
        .clone();
    let mut counted = Counted::default();
    let pace: &mut dyn Pace = &mut counted;
    for polls in 0_u32.. {
        let task = scene.client.get(&id).await.expect("it is stored");
        if !task.status.is_unfinished() {
            pace.reset();
            break;
        }
        if polls == 3 {
            std::fs::write(&open, "").expect("a writable directory");
        }
        tokio::time::sleep(pace.next()).await;
    }
    assert!(counted.asked > 3, "it was asked after each empty poll");
    assert_eq!(counted.resets, 1);
}

async fn c17_fixed_never_changes(_scene: Scene) {
    let mut pace = FixedPace::new(Duration::from_nanos(15));
    assert_eq!(waits(&mut pace, 20), [Duration::from_nanos(15); 20]);
    pace.reset();
    assert_eq!(pace.next(), Duration::from_nanos(15));
}

async fn c18_linear_equals_the_peers_numbers_and_refusals(_scene: Scene) {
    let new =
        |least, most, repeat| LinearPace::new(millis(least), millis(most), millis(250), repeat);
    let mut documented = new(1, 1000, 2).expect("a pace");
    let expected = [1, 1, 251, 251, 501, 501, 751, 751, 1000, 1000].map(millis);
    assert_eq!(waits(&mut documented, 10), expected);
    let mut default = LinearPace::default();
    assert_eq!(waits(&mut default, 11)[9..], [millis(1), millis(11)]);
    assert_eq!(waits(&mut default, 990).last(), Some(&millis(1000)));
    default.reset();
    assert_eq!(default.next(), millis(1));
    assert_eq!(new(1, 1000, 0), Err(PaceError::RepeatIsZero));
    let refused = new(10, 10, 1).expect_err("it would not grow");
    assert!(matches!(refused, PaceError::MostNotAboveLeast { .. }));
}

async fn c19_exponential_stays_within_its_jitter(_scene: Scene) {
    let of = |jitter| {
        ExponentialPace::new(millis(100), millis(500), GrowthFactor::TWO, jitter).expect("a pace")
    };
    let bare = waits(&mut of(Jitter::None), 5);
    assert_eq!(bare, [100, 200, 400, 500, 500].map(millis));
    for (jitter, part) in [(Jitter::Full, 0), (Jitter::Equal, 2)] {
        let mut pace = of(jitter);
        for _ in 0..50 {
            let drawn = waits(&mut pace, 5);
            for (drawn, whole) in drawn.iter().zip(&bare) {
                let least = whole.checked_div(part).unwrap_or_default();
                assert!((least..=*whole).contains(drawn), "{jitter:?}: {drawn:?}");
            }
            pace.reset();
        }
    }
}
