//! How many starts an executor with a rate limit has left, for the whole cluster: a token bucket that the Raft leader keeps and
//! shares among members ("Token bucket", Turner 1986).

use std::collections::BTreeMap;

use ringhold_types::{MemberId, RateLimit, Tick};

/// Parts of a token that come each microsecond at one token a second: no rounding, whatever the rate.
const PARTS_PER_TOKEN: u64 = 1_000_000;

/// Tokens that come at a steady rate and are kept up to a bound.
///
/// It begins empty: a new leader does not know what the one before gave away, and an empty bucket gives never more than the
/// rate allows, over any change of leaders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    limit: RateLimit,
    parts: u64,
    at: Tick,
    /// Who got the last token that could not be shared evenly.
    favoured: Option<MemberId>,
}

impl Bucket {
    /// An empty bucket.
    #[must_use]
    pub const fn new(limit: RateLimit, now: Tick) -> Self {
        Self {
            limit,
            parts: 0,
            at: now,
            favoured: None,
        }
    }

    /// Up to `wanted` tokens, which are gone then.
    pub fn take(&mut self, now: Tick, wanted: u32) -> u32 {
        self.fill(now);
        let there = u32::try_from(self.parts / PARTS_PER_TOKEN).unwrap_or(u32::MAX);
        let taken = there.min(wanted);
        self.parts -= u64::from(taken) * PARTS_PER_TOKEN;
        taken
    }

    /// Goes on under another limit; what has come until now came under the old one.
    pub fn reconfigure(&mut self, limit: RateLimit, now: Tick) {
        self.fill(now);
        self.limit = limit;
        self.parts = self.parts.min(self.most());
    }

    /// Takes what members want together and gives it to them: nobody gets less than another one who wants more, save for what
    /// cannot be shared evenly, which goes to the members in turn.
    pub fn share(&mut self, now: Tick, wants: &BTreeMap<MemberId, u32>) -> BTreeMap<MemberId, u32> {
        let together: u64 = wants.values().map(|&want| u64::from(want)).sum();
        let wanted = u32::try_from(together).unwrap_or(u32::MAX);
        let mut left = self.take(now, wanted);
        let mut shares: BTreeMap<MemberId, u32> = BTreeMap::new();
        loop {
            let unmet = wants.iter().filter_map(|(&member, &want)| {
                let lacks = want - shares.get(&member).copied().unwrap_or(0);
                (lacks > 0).then_some((member, lacks))
            });
            let unmet: Vec<(MemberId, u32)> = unmet.collect();
            let members = u32::try_from(unmet.len()).unwrap_or(u32::MAX);
            let even = left.checked_div(members).unwrap_or(0);
            if even == 0 {
                self.give_rest(left, &unmet, &mut shares);
                return shares;
            }
            for (member, lacks) in unmet {
                let share = even.min(lacks);
                *shares.entry(member).or_default() += share;
                left -= share;
            }
        }
    }

    /// One token each, beginning after the member that got the last one of these.
    fn give_rest(
        &mut self,
        left: u32,
        unmet: &[(MemberId, u32)],
        shares: &mut BTreeMap<MemberId, u32>,
    ) {
        let next = unmet.partition_point(|(member, _)| Some(*member) <= self.favoured);
        let (before, after) = unmet.split_at(next);
        let in_turn = after.iter().chain(before);
        let count = usize::try_from(left).unwrap_or(usize::MAX);
        for (member, _) in in_turn.take(count) {
            *shares.entry(*member).or_default() += 1;
            self.favoured = Some(*member);
        }
    }

    fn fill(&mut self, now: Tick) {
        let come = now
            .micros_since(self.at)
            .saturating_mul(u64::from(self.limit.per_second));
        self.parts = self.parts.saturating_add(come).min(self.most());
        self.at = self.at.max(now);
    }

    fn most(&self) -> u64 {
        u64::from(self.limit.burst) * PARTS_PER_TOKEN
    }
}
