//! Paces of pollers: the tables of ppacer's package `pace` with its numbers, and the bounds of jitter.

use std::time::Duration;

use ringhold_client::{
    ExponentialPace, FixedPace, GrowthFactor, Jitter, LinearPace, Pace, PaceError,
};

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn waits(pace: &mut dyn Pace, count: usize) -> Vec<Duration> {
    (0..count).map(|_| pace.next()).collect()
}

#[test]
fn a_fixed_pace_never_changes() {
    for wait in [millis(1), Duration::from_nanos(15), Duration::from_mins(15)] {
        let mut pace = FixedPace::new(wait);
        assert_eq!(waits(&mut pace, 50), [wait; 50]);
        pace.reset();
        assert_eq!(pace.next(), wait);
    }
}

#[test]
fn a_linear_pace_gives_each_wait_as_often_as_it_says() {
    let mut pace = LinearPace::new(millis(1), millis(1000), millis(250), 2).expect("a pace");
    let expected = [1, 1, 251, 251, 501, 501, 751, 751, 1000, 1000, 1000, 1000].map(millis);
    assert_eq!(waits(&mut pace, 12), expected);
    let mut default = LinearPace::default();
    let waits = waits(&mut default, 1010);
    let formula = |place: u64| millis(1000.min(1 + (place / 10) * 10));
    let expected: Vec<Duration> = (0..1010).map(formula).collect();
    assert_eq!(waits, expected);
    let until_longest = waits.iter().position(|it| *it == millis(1000));
    assert_eq!(until_longest, Some(1000), "the 1001st wait is the longest");
}

#[test]
fn a_linear_pace_refuses_what_would_not_grow() {
    let step = millis(10);
    let new = |least, most, repeat| LinearPace::new(millis(least), millis(most), step, repeat);
    assert_eq!(new(1, 1000, 0), Err(PaceError::RepeatIsZero));
    for (least, most) in [(10, 10), (10, 9), (0, 0)] {
        let refused = PaceError::MostNotAboveLeast {
            least: millis(least),
            most: millis(most),
        };
        assert_eq!(new(least, most, 1), Err(refused));
    }
    let mut from_nothing = new(0, 20, 1).expect("a shortest wait of nothing");
    assert_eq!(waits(&mut from_nothing, 4), [0, 10, 20, 20].map(millis));
    let still = LinearPace::new(millis(1), millis(2), Duration::ZERO, 1);
    let mut still = still.expect("a step of nothing is one of the peer's, too");
    assert_eq!(waits(&mut still, 3), [millis(1); 3]);
}

#[test]
fn a_linear_pace_rises_until_its_longest_wait_and_stays_there() {
    let mut pace = LinearPace::new(millis(3), millis(500), millis(7), 1).expect("a pace");
    let waits = waits(&mut pace, 200);
    let risen = waits.iter().take_while(|it| **it < millis(500)).count();
    assert!(waits[..=risen].is_sorted_by(|left, right| left < right));
    assert!(risen < 200 && waits[risen..].iter().all(|it| *it == millis(500)));
    let huge = LinearPace::new(Duration::ZERO, Duration::MAX, Duration::MAX / 2, 1);
    let mut huge = huge.expect("a pace");
    assert_eq!(huge.next(), Duration::ZERO);
    for _ in 0..10 {
        huge.next();
    }
    assert_eq!(huge.next(), Duration::MAX);
}

#[test]
fn a_reset_brings_the_first_wait_back() {
    let mut linear = LinearPace::default();
    let mut exponential =
        ExponentialPace::new(millis(1), millis(900), GrowthFactor::TWO, Jitter::None)
            .expect("a pace");
    let paces: [&mut dyn Pace; 2] = [&mut linear, &mut exponential];
    for pace in paces {
        for count in [0, 1, 2, 10, 11, 500] {
            waits(pace, count);
            pace.reset();
            assert_eq!(pace.next(), millis(1), "after {count} waits");
            pace.reset();
        }
    }
}

#[test]
fn an_exponential_pace_multiplies_up_to_its_cap() {
    let new = |least, factor| {
        ExponentialPace::new(least, millis(1000), GrowthFactor(factor), Jitter::None)
            .expect("a pace")
    };
    let doubled = waits(&mut new(millis(30), 2000), 7);
    assert_eq!(doubled, [30, 60, 120, 240, 480, 960, 1000].map(millis));
    let halves = waits(&mut new(millis(8), 1500), 4);
    assert_eq!(halves, [8, 12, 18, 27].map(millis));
    let mut shortest = new(Duration::from_nanos(1), 1100);
    let all = waits(&mut shortest, 400);
    assert_eq!(all[399], millis(1000), "even the shortest wait grows");
    assert!(all.is_sorted());
}

#[test]
fn jitter_stays_within_its_part_and_draws_all_of_it() {
    for (jitter, least) in [(Jitter::Full, 0), (Jitter::Equal, 400)] {
        let mut pace = ExponentialPace::new(millis(800), millis(801), GrowthFactor::TWO, jitter)
            .expect("a pace");
        let mut drawn = Vec::new();
        for _ in 0..500 {
            drawn.push(pace.next());
            pace.reset();
        }
        assert!(
            drawn
                .iter()
                .all(|it| (millis(least)..=millis(800)).contains(it))
        );
        // Of 500 even draws none in one tenth of the span: less likely than 1 in 10^22.
        let tenth = millis((800 - least) / 10);
        assert!(
            drawn.iter().any(|it| *it < millis(least) + tenth),
            "{jitter:?}"
        );
        assert!(
            drawn.iter().any(|it| *it > millis(800) - tenth),
            "{jitter:?}"
        );
    }
}

#[test]
fn an_exponential_pace_refuses_what_would_not_grow() {
    let new = |least, most, factor| {
        ExponentialPace::new(least, most, GrowthFactor(factor), Jitter::Equal)
    };
    let (least, most) = (millis(1), millis(2));
    assert_eq!(new(Duration::ZERO, most, 2000), Err(PaceError::LeastIsZero));
    let refused = PaceError::MostNotAboveLeast { least: most, most };
    assert_eq!(new(most, most, 2000), Err(refused));
    for factor in [0, 999, 1000] {
        let factor = GrowthFactor(factor);
        let refused = Err(PaceError::FactorDoesNotGrow { factor });
        assert_eq!(new(least, most, factor.0), refused);
    }
    let text = new(least, most, 1000)
        .expect_err("it would not grow")
        .to_string();
    assert_eq!(text, "the factor must be above 1000 thousandths, not 1000");
}
