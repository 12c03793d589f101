//! Randomness of the operating system: for idempotency keys, which must never repeat, and for jitter.

use std::time::Duration;

use bytes::Bytes;

/// Bytes of a key that the SDK draws: at 2^128 values two clients never draw the same one.
const KEY_BYTES: usize = 16;

/// A fresh key.
pub(crate) fn key() -> Bytes {
    let mut bytes = [0; KEY_BYTES];
    fill(&mut bytes);
    Bytes::copy_from_slice(&bytes)
}

/// A span from zero to `most`, evenly drawn.
pub(crate) fn up_to(most: Duration) -> Duration {
    let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(below(micros.saturating_add(1)))
}

/// A number below `bound`, evenly drawn to within 2^-32 for small bounds; zero for a bound of zero.
pub(crate) fn below(bound: u64) -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes).checked_rem(bound).unwrap_or(0)
}

fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gives random bytes");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_draws_stay_below_their_bound() {
        let keys: std::collections::BTreeSet<_> = (0..1000).map(|_| key()).collect();
        assert_eq!(keys.len(), 1000);
        assert!((0..1000).all(|_| below(7) < 7));
        assert_eq!(below(0), 0);
    }
}
