//! Names that callers give to tasks, as idempotency keys: one that sorts by time, and one that is made of what the task is about.

use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::random;

/// Bytes of the hash that a stable name shows: two of a billion names are alike with a chance of 3 in 100.
const HASH_BYTES: usize = 8;

/// A new name, `prefix-TIME-RANDOM`: the wall clock in nanoseconds since 1970 as 16 hexadecimal digits, and 8 random ones. Names
/// of one prefix sort by the time at which they were made, as far as the clocks of those who make them agree.
///
/// Give it to [`crate::Submit::idempotency_key`] and write it down before the submit: whoever submits under it again finds the task.
/// As Drakkar's `make_task_id`.
///
/// ```
/// let name = ringhold_client::make_task_id("resize");
/// assert_eq!(name.len(), "resize-18a2f9c3d1e4b507-9f3c21ab".len());
/// ```
#[must_use]
pub fn make_task_id(prefix: &str) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before 1970 is set wrong: then the random digits alone tell names apart.
    let nanos = since.map_or(0, |it| u64::try_from(it.as_nanos()).unwrap_or(u64::MAX));
    named(prefix, nanos, random::below(1 << 32))
}

fn named(prefix: &str, nanos: u64, drawn: u64) -> String {
    format!("{prefix}-{nanos:016x}-{drawn:08x}")
}

/// A name without parts would be the same for everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a stable name needs at least one part: without one it would be the same for every task")]
pub struct NoParts;

/// The name of what a task is about, `prefix-HASH`: the same parts give the same name, in any process and at any time. The hash
/// is the first 16 hexadecimal digits of SHA-256 over the parts, each after its length as eight bytes, the highest first: so
/// `["ab", "c"]` and `["a", "bc"]` have different names. Golden values are in `proto/vectors/task_name.json`.
///
/// Give it to [`crate::Submit::idempotency_key`], and submitting the same work twice stores one task. As Drakkar's
/// `make_stable_task_id`.
///
/// # Errors
/// [`NoParts`] if there is none.
///
/// ```
/// let name = ringhold_client::make_stable_task_id("resize", ["photo-17.jpg", "320x200"])?;
/// # Ok::<(), ringhold_client::NoParts>(())
/// ```
pub fn make_stable_task_id<Part: AsRef<[u8]>>(
    prefix: &str,
    parts: impl IntoIterator<Item = Part>,
) -> Result<String, NoParts> {
    let mut hash = Sha256::new();
    let mut count = 0_u64;
    for part in parts {
        let part = part.as_ref();
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        hash.update(length.to_be_bytes());
        hash.update(part);
        count += 1;
    }
    if count == 0 {
        return Err(NoParts);
    }
    let digits: String = hash.finalize()[..HASH_BYTES]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(format!("{prefix}-{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_the_time_at_which_they_were_made() {
        let made: Vec<String> = [0, 1, 0xff, 0x100, u64::MAX]
            .map(|nanos| named("a", nanos, u64::MAX >> 32))
            .to_vec();
        assert!(made.is_sorted_by(|left, right| left < right), "{made:?}");
        assert_eq!(made[3], "a-0000000000000100-ffffffff");
    }

    #[test]
    fn two_names_differ_and_follow_the_clock() {
        let before = named("a", now(), 0);
        let names: std::collections::BTreeSet<String> =
            (0..1000).map(|_| make_task_id("a")).collect();
        assert_eq!(names.len(), 1000);
        assert!(
            names
                .iter()
                .all(|it| *it >= before && it.len() == before.len())
        );
    }

    fn now() -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        u64::try_from(since.expect("after 1970").as_nanos()).expect("before 2554")
    }
}
