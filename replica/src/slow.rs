//! Who is slow (PROTOCOL §3, "Suspicion replaces"): outliers among the times that the replicas of a partition take to make an
//! entry safe, the primary's own disk included. A decision only: what follows from it is in `ejection`.
//!
//! One position at a time is timed per replica, so the cost is a few numbers; what is on the way counts by its age, so a
//! silent replica is a slow one. An outlier is compared with the others of its partition, never with a fixed time alone: when
//! everybody is slow, nobody is.

use ringhold_types::{Lsn, Millis, ReplicaId, Tick};

use crate::timing::Timing;

/// How many times the median of the others an outlier takes at least: twice or thrice is an ordinary bad minute.
const OUTLIER_FACTOR: u64 = 4;
/// Weight of one sample in the smoothed latency is one in this many.
const SMOOTHING: u64 = 8;

/// How long a replica takes to make an entry safe, as its primary sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Latency {
    /// The position that is timed, and since when.
    timed: Option<(Lsn, Tick)>,
    /// Microseconds, times [`SMOOTHING`].
    smoothed: u64,
    /// When the last sample was taken.
    sampled_at: Option<Tick>,
    /// Since when it is an outlier.
    outlier_since: Option<Tick>,
}

impl Latency {
    /// Entries up to `lsn` are on their way.
    pub(crate) fn begin(&mut self, lsn: Lsn, now: Tick) {
        self.timed.get_or_insert((lsn, now));
    }

    /// Everything up to `lsn` is safe.
    pub(crate) fn reached(&mut self, lsn: Lsn, now: Tick) {
        let Some((_, since)) = self.timed.filter(|(timed, _)| *timed <= lsn) else {
            return;
        };
        self.timed = None;
        let sample = now.micros_since(since);
        self.smoothed = match self.sampled_at {
            None => sample * SMOOTHING,
            Some(_) => self.smoothed - self.smoothed / SMOOTHING + sample,
        };
        self.sampled_at = Some(now);
    }

    /// The latency now: the smoothed one, or the age of what is on the way if that is more. `None` if nothing recent is
    /// known.
    fn at(&self, now: Tick, timing: &Timing) -> Option<u64> {
        let age = self.timed.map(|(_, since)| now.micros_since(since));
        let recent = |at: &Tick| now.since(*at) < timing.slow_after;
        let known = age.is_some() || self.sampled_at.as_ref().is_some_and(recent);
        known.then(|| (self.smoothed / SMOOTHING).max(age.unwrap_or(0)))
    }

    /// When it may become an outlier, or has been one for long enough, without any event.
    pub(crate) fn deadline(&self, now: Tick, timing: &Timing) -> Option<Tick> {
        let ripe = self.outlier_since.map(|at| at.after(timing.slow_after));
        let old = self.timed.map(|(_, at)| at.after(timing.slow_latency));
        let at = ripe.or(old)?;
        (at > now).then_some(at)
    }
}

/// One replica to be judged.
pub(crate) struct Judged<'a> {
    pub(crate) replica: ReplicaId,
    pub(crate) latency: &'a mut Latency,
}

/// Whom the latencies accuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suspect {
    /// The primary: its disk is the outlier, or it accuses more than half of several peers.
    Itself {
        /// The quickest of the others.
        instead: ReplicaId,
    },
    /// A peer.
    Peer(ReplicaId),
}

/// Judges the primary's `own` disk and its `peers`. Accused is who has been an outlier for [`Timing::slow_after`].
///
/// A primary with one peer cannot tell by a majority whether it is itself the cause; there its own disk alone speaks against
/// it.
pub(crate) fn judge(
    own: &mut Latency,
    peers: &mut [Judged<'_>],
    now: Tick,
    timing: &Timing,
) -> Option<Suspect> {
    let own_value = own.at(now, timing).unwrap_or(0);
    let values: Vec<u64> = peers
        .iter()
        .map(|peer| peer.latency.at(now, timing).unwrap_or(0))
        .collect();
    let least = timing.slow_latency.as_micros();
    if own_value.max(values.iter().copied().max().unwrap_or(0)) < least {
        own.outlier_since = None;
        for peer in peers {
            peer.latency.outlier_since = None;
        }
        return None;
    }
    let is_outlier = |value: u64, others: Vec<u64>| {
        value >= least && value >= median(others).saturating_mul(OUTLIER_FACTOR)
    };
    let own_accused = note(own, is_outlier(own_value, values.clone()), now, timing);
    let mut accused = Vec::new();
    for (index, peer) in peers.iter_mut().enumerate() {
        let mut others = values.clone();
        others[index] = own_value;
        if note(peer.latency, is_outlier(values[index], others), now, timing) {
            accused.push((values[index], peer.replica));
        }
    }
    let too_many = peers.len() > 1 && accused.len() * 2 > peers.len();
    if own_accused || too_many {
        let quickest = values
            .iter()
            .zip(peers.iter())
            .min_by_key(|(value, _)| **value);
        return quickest.map(|(_, peer)| Suspect::Itself {
            instead: peer.replica,
        });
    }
    accused.into_iter().max().map(|(_, it)| Suspect::Peer(it))
}

/// Notes whether a latency is an outlier now. Tells whether it has been one for long enough.
fn note(latency: &mut Latency, is_outlier: bool, now: Tick, timing: &Timing) -> bool {
    if !is_outlier {
        latency.outlier_since = None;
        return false;
    }
    let since = *latency.outlier_since.get_or_insert(now);
    now >= since.after(timing.slow_after)
}

/// The lower median; zero of none.
fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    let middle = values.len().saturating_sub(1) / 2;
    values.get(middle).copied().unwrap_or(0)
}

/// What a primary remembers of slowness in its term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slowness {
    /// Its own disk.
    pub(crate) own: Latency,
    /// Nobody is ejected before: one ejection per partition in [`Timing::eject_every`], also over a takeover.
    pub(crate) quiet_until: Tick,
    /// The slow replica for whose seat a learner was asked for, or was there already: that seat may be swapped in the quiet time
    /// too.
    pub(crate) asked: Option<ReplicaId>,
}

impl Slowness {
    /// A primary begins: whoever led before may just have ejected somebody.
    pub(crate) fn new(now: Tick, timing: &Timing) -> Self {
        Self {
            own: Latency::default(),
            quiet_until: now.after(timing.eject_every),
            asked: None,
        }
    }

    /// Somebody is ejected now.
    pub(crate) fn ejected(&mut self, now: Tick, every: Millis) {
        self.quiet_until = now.after(every);
    }
}

#[cfg(test)]
mod tests {
    use ringhold_types::{Incarnation, MemberId};

    use super::*;

    fn replica(member: u64) -> ReplicaId {
        ReplicaId {
            member: MemberId(member),
            incarnation: Incarnation(1),
        }
    }

    /// Judges for ten seconds in which every replica takes its number of milliseconds for each entry.
    fn judged(own: u64, peers: &[u64]) -> Option<Suspect> {
        let timing = Timing::default();
        let mut latencies = vec![Latency::default(); peers.len() + 1];
        let mut now = Tick(1_000_000);
        let mut suspect = None;
        for lsn in 1..=100 {
            for (latency, takes) in latencies.iter_mut().zip([own].iter().chain(peers)) {
                latency.begin(Lsn(lsn), now);
                latency.reached(Lsn(lsn), now.after(Millis(*takes)));
            }
            now = now.after(Millis(100));
            let (first, rest) = latencies.split_first_mut().expect("the own one");
            let mut peers: Vec<Judged<'_>> = (2..)
                .zip(rest)
                .map(|(member, latency)| Judged {
                    replica: replica(member),
                    latency,
                })
                .collect();
            suspect = judge(first, &mut peers, now, &timing);
        }
        suspect
    }

    #[test]
    fn an_outlier_among_quick_replicas_is_accused() {
        assert_eq!(judged(2, &[3, 900]), Some(Suspect::Peer(replica(3))));
        assert_eq!(judged(2, &[900]), Some(Suspect::Peer(replica(2))));
    }

    #[test]
    fn nobody_is_accused_when_all_are_slow_or_none_is_slow_enough() {
        assert_eq!(judged(700, &[900, 800]), None);
        assert_eq!(judged(2, &[3, 400]), None);
    }

    #[test]
    fn a_primary_with_a_slow_disk_accuses_itself() {
        assert_eq!(
            judged(900, &[3, 2]),
            Some(Suspect::Itself {
                instead: replica(3)
            })
        );
    }

    #[test]
    fn a_primary_that_accuses_more_than_half_its_peers_is_itself_the_suspect() {
        assert_eq!(
            judged(2, &[900, 950, 3]),
            Some(Suspect::Itself {
                instead: replica(4)
            })
        );
    }

    #[test]
    fn a_short_stall_accuses_nobody() {
        let timing = Timing::default();
        let mut own = Latency::default();
        let mut slow = Latency::default();
        slow.begin(Lsn(1), Tick(0));
        let stalled = Tick(0).after(Millis(4_000));
        let mut judge_at = |now, slow: &mut Latency| {
            let mut peers = [Judged {
                replica: replica(2),
                latency: slow,
            }];
            judge(&mut own, &mut peers, now, &timing)
        };
        assert_eq!(judge_at(Tick(0).after(Millis(600)), &mut slow), None);
        assert_eq!(judge_at(stalled, &mut slow), None);
        slow.reached(Lsn(1), stalled);
        for lsn in 2..60 {
            let now = stalled.after(Millis(lsn * 50));
            slow.begin(Lsn(lsn), now);
            slow.reached(Lsn(lsn), now.after(Millis(2)));
            assert_eq!(judge_at(now.after(Millis(2)), &mut slow), None);
        }
        assert_eq!(slow.outlier_since, None);
    }
}
