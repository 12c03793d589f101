//! Sequences: positions of tasks, never reused.

use crate::Generation;

/// Bits of a sequence that hold the counter; the 20 above hold the generation.
const COUNTER_BITS: u32 = 44;
const COUNTER_MASK: u64 = (1 << COUNTER_BITS) - 1;
const GENERATION_LIMIT: u64 = 1 << (64 - COUNTER_BITS);

/// Position of a task within one generation of its partition: 44 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counter(u64);

impl Counter {
    /// The number itself, below 2^44.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// 64-bit position of a task in its partition: generation in the upper 20 bits, counter in the lower 44.
///
/// Ordered first by generation. Never reused, not even after the loss of every copy (DESIGN G5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(u64);

/// A counter or generation at its end: it refuses, it never wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sequence space of this partition is used up at {at}")]
pub struct SequenceExhausted {
    /// The last sequence that exists.
    pub at: Sequence,
}

impl Sequence {
    /// The first sequence of a generation (counter 0).
    ///
    /// # Errors
    /// [`SequenceExhausted`] when the generation needs more than 20 bits.
    pub const fn first_of(generation: Generation) -> Result<Self, SequenceExhausted> {
        if generation.0 >= GENERATION_LIMIT {
            return Err(SequenceExhausted { at: Self(u64::MAX) });
        }
        Ok(Self(generation.0 << COUNTER_BITS))
    }

    /// The last sequence that a generation can have.
    ///
    /// # Errors
    /// [`SequenceExhausted`] when the generation needs more than 20 bits.
    pub const fn last_of(generation: Generation) -> Result<Self, SequenceExhausted> {
        match Self::first_of(generation) {
            Ok(first) => Ok(Self(first.0 | COUNTER_MASK)),
            Err(exhausted) => Err(exhausted),
        }
    }

    /// Rebuilds a sequence from its 64 bits.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The 64 bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The generation it belongs to.
    #[must_use]
    pub const fn generation(self) -> Generation {
        Generation(self.0 >> COUNTER_BITS)
    }

    /// The position within its generation.
    #[must_use]
    pub const fn counter(self) -> Counter {
        Counter(self.0 & COUNTER_MASK)
    }

    /// The sequence after this one in the same generation.
    ///
    /// # Errors
    /// [`SequenceExhausted`] at the last counter of the generation: counters refuse, they never wrap.
    pub const fn next(self) -> Result<Self, SequenceExhausted> {
        if self.0 & COUNTER_MASK == COUNTER_MASK {
            return Err(SequenceExhausted { at: self });
        }
        Ok(Self(self.0 + 1))
    }
}

impl std::fmt::Display for Sequence {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_keeps_generation_and_counter_apart() {
        let first = Sequence::first_of(Generation(3)).expect("3 fits 20 bits");
        let second = first.next().expect("there is room");
        assert_eq!(second.generation(), Generation(3));
        assert_eq!(second.counter().get(), 1);
        assert!(Sequence::first_of(Generation(4)).expect("fits") > second);
    }

    #[test]
    fn a_sequence_at_its_end_refuses_and_does_not_wrap() {
        let last = Sequence::from_bits(COUNTER_MASK);
        assert_eq!(last.next(), Err(SequenceExhausted { at: last }));
        assert!(Sequence::first_of(Generation(GENERATION_LIMIT)).is_err());
        assert!(Sequence::first_of(Generation(GENERATION_LIMIT - 1)).is_ok());
    }
}
