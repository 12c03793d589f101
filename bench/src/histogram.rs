//! Times in buckets of equal relative width (after Tene's HdrHistogram): constant memory, an error below one percent.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Buckets of one power of two, as a power of two: a bucket is at most 1/128 of its value wide.
const SUB_BITS: u32 = 7;
const SUB: u64 = 1 << SUB_BITS;
/// Powers of two above the exact range; together 2^37 µs, which is 38 hours.
const OCTAVES: u64 = 30;

/// Counts of times, in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
}

/// What a program reads of a histogram, in microseconds. The names are a public contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LatencyMicros {
    /// Half of all are at most this.
    pub(crate) p50: u64,
    /// 99 of 100.
    pub(crate) p99: u64,
    /// 999 of 1000.
    pub(crate) p999: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        let buckets = usize::try_from(SUB * (OCTAVES + 1)).expect("a few thousand");
        Self {
            buckets: vec![0; buckets],
            count: 0,
        }
    }
}

impl Histogram {
    /// Counts a time; one longer than the last bucket counts there.
    pub(crate) fn record(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let place = place_of(micros).min(self.buckets.len() - 1);
        self.buckets[place] += 1;
        self.count += 1;
    }

    /// How many were counted.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    /// The smallest time that at least `parts` of `of` are not longer than, in microseconds; 0 for none.
    pub(crate) fn quantile(&self, parts: u64, of: u64) -> u64 {
        let rank = (self.count * parts).div_ceil(of).max(1);
        let mut seen = 0;
        for (place, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_end_of(place);
            }
        }
        0
    }

    /// The figures of the interface.
    pub(crate) fn latency(&self) -> LatencyMicros {
        LatencyMicros {
            p50: self.quantile(50, 100),
            p99: self.quantile(99, 100),
            p999: self.quantile(999, 1000),
        }
    }
}

fn place_of(micros: u64) -> usize {
    let octave = u64::from((micros | (SUB - 1)).ilog2() + 1 - SUB_BITS);
    // Below 2 × SUB every value has its own bucket; above, each octave has SUB of them.
    let place = if octave == 0 {
        micros
    } else {
        octave * SUB + ((micros >> (octave - 1)) - SUB)
    };
    usize::try_from(place).unwrap_or(usize::MAX)
}

fn upper_end_of(place: usize) -> u64 {
    let place = u64::try_from(place).unwrap_or(u64::MAX);
    let (octave, sub) = (place / SUB, place % SUB);
    if octave == 0 {
        sub
    } else {
        ((SUB + sub + 1) << (octave - 1)) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_its_own_upper_end_and_is_narrower_than_one_percent() {
        for place in 0..usize::try_from(SUB * (OCTAVES + 1)).expect("small") {
            assert_eq!(place_of(upper_end_of(place)), place);
        }
        for micros in [0, 1, 127, 128, 255, 256, 1000, 65_535, 65_536, 123_456_789] {
            let end = upper_end_of(place_of(micros));
            assert!(end >= micros, "{micros} is counted below itself, at {end}");
            assert!(end - micros <= micros / 100, "{micros} is counted at {end}");
        }
    }

    #[test]
    fn quantiles_are_nearest_ranks() {
        let mut histogram = Histogram::default();
        for micros in 1..=100 {
            histogram.record(Duration::from_micros(micros));
        }
        let latency = histogram.latency();
        assert_eq!((latency.p50, latency.p99, latency.p999), (50, 99, 100));
        assert_eq!(histogram.count(), 100);
    }

    #[test]
    fn nothing_and_the_longest_time_have_quantiles_too() {
        assert_eq!(Histogram::default().latency(), LatencyMicros::default());
        let mut histogram = Histogram::default();
        histogram.record(Duration::MAX);
        assert!(histogram.latency().p50 > 1_000_000_000);
    }
}
