//! Outcomes that wait to be handed on, since an earlier line has not ended.

use std::collections::BTreeMap;

use super::{LineNumber, LineOutcome};

/// Lines whose outcome may wait for an earlier line to be handed on. With ordered output a line that takes long holds up
/// those behind it; this many go on meanwhile.
const HELD_LINES_MAX: usize = 4096;
/// Bytes of outcomes that may wait so.
const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Outcomes that wait for an earlier line.
pub(super) struct Held {
    next: u64,
    outcomes: BTreeMap<LineNumber, LineOutcome>,
    bytes: usize,
}

impl Default for Held {
    fn default() -> Self {
        Self {
            next: 1,
            outcomes: BTreeMap::new(),
            bytes: 0,
        }
    }
}

impl Held {
    pub(super) fn has_room(&self) -> bool {
        self.outcomes.len() < HELD_LINES_MAX && self.bytes < HELD_BYTES_MAX
    }

    pub(super) fn hold(&mut self, outcome: LineOutcome) {
        self.bytes += outcome.bytes();
        self.outcomes.insert(outcome.line.number, outcome);
    }

    pub(super) fn release(&mut self) -> Option<LineOutcome> {
        let outcome = self.outcomes.remove(&LineNumber(self.next))?;
        self.bytes = self.bytes.saturating_sub(outcome.bytes());
        self.next += 1;
        Some(outcome)
    }
}

#[cfg(test)]
mod tests {
    use ringhold_client::RetrieveError;

    use super::super::{Ended, Line};
    use super::*;

    fn outcome(number: u64) -> LineOutcome {
        LineOutcome {
            line: Line {
                number: LineNumber(number),
                text: "text".into(),
            },
            ended: Ended::Lost(RetrieveError::NeverExisted),
        }
    }

    #[test]
    fn outcomes_are_released_in_the_order_of_their_lines_and_give_their_room_back() {
        let mut held = Held::default();
        for number in [3, 1, 4] {
            held.hold(outcome(number));
        }
        let mut released = Vec::new();
        while let Some(outcome) = held.release() {
            released.push(outcome.line.number.0);
        }
        assert_eq!(released, [1]);
        held.hold(outcome(2));
        while let Some(outcome) = held.release() {
            released.push(outcome.line.number.0);
        }
        assert_eq!(released, [1, 2, 3, 4]);
        assert_eq!(held.bytes, 0);
        assert!(held.has_room());
    }

    #[test]
    fn a_line_that_waits_for_another_one_takes_room() {
        let mut held = Held::default();
        for number in 2..2 + HELD_LINES_MAX as u64 {
            held.hold(outcome(number));
        }
        assert!(!held.has_room());
    }
}
