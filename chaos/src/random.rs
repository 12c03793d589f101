//! Randomness of the explorer: one counter-based stream per concern, so that a change in what one part draws leaves the
//! others as they were, and a seed says everything.

/// What a stream is drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Concern {
    /// What the seed explores: sizes, faults, intensities.
    Plan,
    /// Delays and losses of messages.
    Network,
    /// Times of disks, and what a crash leaves on them.
    Disk,
    /// When members apply control state, and mail to the control plane.
    Control,
    /// Which faults happen when.
    Faults,
    /// What clients ask.
    Clients,
    /// How long tasks run and how they end.
    Execution,
    /// Clocks and process start nonces.
    Processes,
    /// What plans gained later: older seeds keep what they drew before.
    PlanGrown,
    /// Who does not come back in the end.
    LastDeath,
    /// How disks are simulated.
    PlanDisk,
    /// What a crash does to a segmented log.
    Log,
    /// Which disks fail and fill up, and how often.
    PlanDiskFaults,
    /// When they do.
    DiskFaults,
    /// Which handlers begin late, and which do not listen.
    Handlers,
}

/// One stream (splitmix64 over a counter).
#[derive(Clone, Debug)]
pub struct Stream {
    key: u64,
    counter: u64,
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finaliser of splitmix64 (Steele, Lea, Flood 2014): a good hash of 64 bits.
#[must_use]
pub const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

impl Stream {
    /// The stream of a seed for one concern.
    #[must_use]
    pub const fn new(seed: u64, concern: Concern) -> Self {
        Self {
            key: mix(mix(seed).wrapping_add((concern as u64 + 1).wrapping_mul(GOLDEN))),
            counter: 0,
        }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.counter += 1;
        mix(self.key.wrapping_add(self.counter.wrapping_mul(GOLDEN)))
    }

    /// A number below `limit`; zero if `limit` is zero.
    pub fn below(&mut self, limit: u64) -> u64 {
        let wide = u128::from(self.bits()) * u128::from(limit);
        (wide >> 64) as u64
    }

    /// An index below `length`; zero if `length` is zero.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// A number from `low` to `high`, mostly near `low`: delays have long tails.
    pub fn skewed(&mut self, low: u64, high: u64) -> u64 {
        let once = self.below(1 << 16);
        let twice = (once * once) >> 16;
        let fourth = (twice * twice) >> 16;
        low + ((high.saturating_sub(low) * fourth) >> 16)
    }

    /// A number from `low` to `high`, rather near `low`.
    pub fn sloped(&mut self, low: u64, high: u64) -> u64 {
        let once = self.below(1 << 16);
        let twice = (once * once) >> 16;
        low + ((high.saturating_sub(low) * twice) >> 16)
    }

    /// Whether something of this probability, in millionths, happens.
    pub fn chance(&mut self, millionths: u32) -> bool {
        self.below(1_000_000) < u64::from(millionths)
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let index = self.index(items.len());
        items.get(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_different_concerns_differ_and_of_equal_ones_agree() {
        let mut network = Stream::new(7, Concern::Network);
        let mut disk = Stream::new(7, Concern::Disk);
        let mut again = Stream::new(7, Concern::Network);
        let drawn: Vec<u64> = (0..8).map(|_| network.bits()).collect();
        assert!((0..8).all(|index| disk.bits() != drawn[index]));
        assert!((0..8).all(|index| again.bits() == drawn[index]));
    }

    #[test]
    fn ranges_are_kept_at_both_ends() {
        let mut stream = Stream::new(1, Concern::Plan);
        for _ in 0..10_000 {
            assert!((3..=5).contains(&stream.between(3, 5)));
            assert!((10..=20).contains(&stream.skewed(10, 20)));
            assert!(stream.below(1) == 0);
        }
    }
}
