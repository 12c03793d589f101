//! What time does to a ring: found here, and done by logged operations only (PROTOCOL I16).

use ringhold_types::{Millis, RingTime};

use crate::{Op, Ring};

/// Ring time is counted in milliseconds: "removed at" becomes "removed before" by one of them.
const ONE: Millis = Millis(1);

impl Ring {
    /// The operations that are due at ring time `now`, to be appended with a time of at least `now`: outcomes that
    /// outlived `result-ttl` and keys whose window ended, at most `most` of each (keys removed at one and the same
    /// time go together).
    #[must_use]
    pub fn due_housekeeping(&self, now: RingTime, most: usize) -> Vec<Op> {
        let mut due = Vec::new();
        let ttl = self.limits().result_ttl;
        let sequences = self.ended.until(|at| at.after(ttl) <= now, most);
        if !sequences.is_empty() {
            due.push(Op::Expire { sequences });
        }
        if most == 0 {
            return due;
        }
        let window = self.limits().dedup_window;
        let removed = self.keys.removed();
        let keys = removed.partition_point(|key| key.removed.after(window) <= now);
        let last = keys.min(most).checked_sub(1).and_then(|at| removed.get(at));
        let grace = self.grace.next_due().is_some_and(|at| at <= now);
        if last.is_some() || grace {
            let removed_before = last.map_or(RingTime(0), |key| key.removed.after(ONE));
            due.push(Op::ForgetKeys { removed_before });
        }
        due
    }

    /// The earliest ring time at which something is due.
    #[must_use]
    pub fn next_housekeeping(&self) -> Option<RingTime> {
        let limits = self.limits();
        let expiry = self.ended.oldest().map(|at| at.after(limits.result_ttl));
        let key = self.keys.removed().front();
        let window = key.map(|key| key.removed.after(limits.dedup_window));
        [expiry, window, self.grace.next_due()]
            .into_iter()
            .flatten()
            .min()
    }
}
