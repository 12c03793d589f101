//! Who is down: silence, judged by the Raft leader only (PROTOCOL §3).
//!
//! Pure: ticks come in, verdicts go out. Every member listens all the time, so that a new leader counts from what it heard
//! itself before it was elected.

use std::collections::{BTreeMap, BTreeSet};

use ringhold_types::limits::{FAILURE_TIMEOUT, HEARTBEAT, LEASE, RESTART_GRACE};
use ringhold_types::{MemberId, Millis, StartNonce, Tick};

/// A turn that comes this much after the one before it says that this process stalled; others' silence may be its own
/// deafness, so all silence counts anew.
const STALL: Millis = Millis(FAILURE_TIMEOUT.0 / 2);
/// A gap in a member's heartbeats that breaks its unbroken contact.
const GAP: Millis = Millis(FAILURE_TIMEOUT.0 / 2);
/// Unbroken contact that a member judged dead needs before it counts as up again, so that one with slow heartbeats does not
/// go up and down by turns.
const BACK_AFTER: Millis = Millis(5 * HEARTBEAT.0);
/// How long a verdict waits for members that fell silent at about the same time, so that several deaths are one command.
const GROUPING: Millis = Millis(HEARTBEAT.0 + HEARTBEAT.0 / 2);

/// A member as cluster state has it; forgotten ones are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Watched {
    /// Who.
    pub(crate) member: MemberId,
    /// Its recorded process start.
    pub(crate) start: StartNonce,
    /// Whether it counts as up.
    pub(crate) up: bool,
}

/// What a turn found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Members silent for too long, all to go into one command.
    pub(crate) down: Vec<(MemberId, StartNonce)>,
    /// Members judged dead that are heard again in the same process start.
    pub(crate) up: Vec<(MemberId, StartNonce)>,
}

/// The last that was heard of a member.
#[derive(Clone, Copy, Debug)]
struct Contact {
    start: StartNonce,
    at: Tick,
    /// Begin of the contact without a gap.
    since: Tick,
}

/// Listens to heartbeats and judges silence.
#[derive(Debug)]
pub(crate) struct Detector {
    own: MemberId,
    /// This process start.
    start: StartNonce,
    started: Tick,
    turned: Tick,
    /// Silence before this tick does not count: this process was deaf itself.
    rebased: Tick,
    leading_since: Option<Tick>,
    heard: BTreeMap<MemberId, Contact>,
    /// Since when each recorded process start is known here.
    known: BTreeMap<MemberId, (StartNonce, Tick)>,
}

impl Detector {
    /// A detector of member `own`, whose process starts now.
    pub(crate) fn new(own: MemberId, start: StartNonce, now: Tick) -> Self {
        Self {
            own,
            start,
            started: now,
            turned: now,
            rebased: Tick(0),
            leading_since: None,
            heard: BTreeMap::new(),
            known: BTreeMap::new(),
        }
    }

    /// A heartbeat came.
    pub(crate) fn hear(&mut self, member: MemberId, start: StartNonce, now: Tick) {
        let since = match self.heard.get(&member) {
            Some(contact) if contact.start == start && now.since(contact.at) <= GAP => {
                contact.since
            }
            _ => now,
        };
        self.heard.insert(
            member,
            Contact {
                start,
                at: now,
                since,
            },
        );
    }

    /// Since when this member leads, as far as turns have seen it.
    pub(crate) fn leading_since(&self) -> Option<Tick> {
        self.leading_since
    }

    /// Whether this process neither stalls now nor did so within a lease. openraft's own clock stands still while the machine
    /// is suspended; what it says about recent acknowledgements counts only while this holds.
    pub(crate) fn is_awake(&self, now: Tick) -> bool {
        now.since(self.turned) <= STALL
            && (self.rebased == Tick(0) || now.since(self.rebased) > LEASE)
    }

    /// One look at all members, every heartbeat interval, whether this member leads or not; only a leader judges.
    pub(crate) fn turn(&mut self, now: Tick, leading: bool, members: &[Watched]) -> Verdict {
        if now.since(self.turned) > STALL {
            self.rebased = now;
        }
        self.turned = now;
        self.leading_since = leading.then(|| self.leading_since.unwrap_or(now));
        self.remember(now, members);
        if !leading {
            return Verdict::default();
        }
        // A leader sends itself no heartbeats, and may have been judged dead by the one before it: while it was frozen, say.
        self.hear(self.own, self.start, now);
        Verdict {
            down: self.silent(now, members),
            up: self.returned(now, members),
        }
    }

    fn remember(&mut self, now: Tick, members: &[Watched]) {
        let former = std::mem::take(&mut self.known);
        for watched in members {
            let since = match former.get(&watched.member) {
                Some((start, since)) if *start == watched.start => *since,
                _ => now,
            };
            self.known.insert(watched.member, (watched.start, since));
        }
        let known = &self.known;
        self.heard.retain(|member, contact| {
            known.contains_key(member) || now.since(contact.at) <= RESTART_GRACE
        });
    }

    /// From when a member's silence counts; `None` while it may still be starting.
    fn silent_from(&self, watched: Watched, now: Tick) -> Option<Tick> {
        let known = self
            .known
            .get(&watched.member)
            .map_or(now, |(_, since)| *since);
        let from = match self.heard.get(&watched.member) {
            Some(contact) if contact.start == watched.start => contact.at,
            Some(_) => known,
            None if now.since(self.started) < RESTART_GRACE => return None,
            None => known.max(self.leading_since.unwrap_or(now)),
        };
        Some(from.max(self.rebased))
    }

    /// Members that count as up, though this process has never heard them and only the restart grace keeps it from judging.
    pub(crate) fn starting(&self, now: Tick, members: &[Watched]) -> BTreeSet<MemberId> {
        let unheard = members
            .iter()
            .filter(|it| it.up && it.member != self.own && self.silent_from(**it, now).is_none());
        unheard.map(|it| it.member).collect()
    }

    fn silent(&self, now: Tick, members: &[Watched]) -> Vec<(MemberId, StartNonce)> {
        let mut overdue = Vec::new();
        let mut longest = Millis(0);
        let mut suspects = 0_usize;
        for watched in members
            .iter()
            .filter(|watched| watched.up && watched.member != self.own)
        {
            let Some(from) = self.silent_from(*watched, now) else {
                continue;
            };
            let silence = now.since(from);
            if silence > FAILURE_TIMEOUT {
                overdue.push((watched.member, watched.start));
                longest = longest.max(silence);
            } else if silence > GAP {
                suspects += 1;
            }
        }
        let wait_for_others = suspects > 0 && longest <= Millis(FAILURE_TIMEOUT.0 + GROUPING.0);
        if wait_for_others { Vec::new() } else { overdue }
    }

    fn returned(&self, now: Tick, members: &[Watched]) -> Vec<(MemberId, StartNonce)> {
        let is_back = |watched: &&Watched| {
            !watched.up
                && self.heard.get(&watched.member).is_some_and(|contact| {
                    contact.start == watched.start
                        && now.since(contact.at) <= GAP
                        && contact.at.since(contact.since) >= BACK_AFTER
                })
        };
        members
            .iter()
            .filter(is_back)
            .map(|watched| (watched.member, watched.start))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: MemberId = MemberId(1);
    const OTHER: MemberId = MemberId(2);
    const THIRD: MemberId = MemberId(3);
    const START: StartNonce = StartNonce(70);

    fn at(millis: u64) -> Tick {
        Tick(1_000_000).after(Millis(millis))
    }

    fn up(member: MemberId) -> Watched {
        Watched {
            member,
            start: START,
            up: true,
        }
    }

    /// Runs turns every heartbeat from `from` to `to`; `beating` members send a heartbeat before each.
    fn run(
        detector: &mut Detector,
        from: u64,
        to: u64,
        leading: bool,
        members: &[Watched],
        beating: &[MemberId],
    ) -> Option<(u64, Verdict)> {
        let mut first = None;
        for millis in (from..=to).step_by(100) {
            for member in beating {
                detector.hear(*member, START, at(millis));
            }
            let verdict = detector.turn(at(millis), leading, members);
            if verdict != Verdict::default() && first.is_none() {
                first = Some((millis, verdict));
            }
        }
        first
    }

    #[test]
    fn a_silent_member_is_down_after_the_failure_timeout_and_not_before() {
        let mut detector = Detector::new(OWN, START, at(0));
        let members = [up(OWN), up(OTHER)];
        assert_eq!(run(&mut detector, 0, 1000, true, &members, &[OTHER]), None);
        let (when, verdict) =
            run(&mut detector, 1100, 3000, true, &members, &[]).expect("silence is judged");
        assert_eq!(
            when, 2000,
            "last heard at 1000, so 1900 is exactly the timeout"
        );
        assert_eq!(verdict.down, vec![(OTHER, START)]);
    }

    #[test]
    fn a_follower_judges_nobody_and_counts_from_its_own_contact_once_elected() {
        let mut detector = Detector::new(OWN, START, at(0));
        let members = [up(OWN), up(OTHER)];
        run(&mut detector, 0, 1000, false, &members, &[OTHER]);
        assert_eq!(run(&mut detector, 1100, 5000, false, &members, &[]), None);
        let verdict = detector.turn(at(5100), true, &members);
        assert_eq!(
            verdict.down,
            vec![(OTHER, START)],
            "silent since 1000, elected at 5100"
        );
    }

    #[test]
    fn a_leader_that_stalled_does_not_judge_on_the_silence_of_its_stall() {
        let mut detector = Detector::new(OWN, START, at(0));
        let members = [up(OWN), up(OTHER)];
        run(&mut detector, 0, 1000, true, &members, &[OTHER]);
        assert_eq!(
            detector.turn(at(11_000), true, &members),
            Verdict::default()
        );
        assert_eq!(
            run(&mut detector, 11_100, 11_900, true, &members, &[]),
            None
        );
        assert!(run(&mut detector, 12_000, 12_100, true, &members, &[]).is_some());
    }

    #[test]
    fn a_process_that_stalled_counts_as_awake_only_after_a_lease_without_another_stall() {
        let mut detector = Detector::new(OWN, START, at(0));
        run(&mut detector, 0, 1000, true, &[up(OWN)], &[]);
        assert!(detector.is_awake(at(1100)));
        assert!(
            !detector.is_awake(at(60_000)),
            "the stall is seen before the next turn"
        );
        run(&mut detector, 60_000, 60_600, true, &[up(OWN)], &[]);
        assert!(!detector.is_awake(at(60_600)));
        assert!(detector.is_awake(at(60_601)));
    }

    #[test]
    fn a_member_never_heard_by_this_process_is_starting_for_the_restart_grace() {
        let mut detector = Detector::new(OWN, START, at(0));
        let members = [up(OWN), up(OTHER)];
        assert_eq!(run(&mut detector, 0, 29_900, true, &members, &[]), None);
        assert_eq!(
            detector.starting(at(29_900), &members),
            BTreeSet::from([OTHER])
        );
        let (when, verdict) =
            run(&mut detector, 30_000, 31_000, true, &members, &[]).expect("the grace ends");
        assert!(detector.starting(at(31_000), &members).is_empty());
        assert_eq!(when, 30_000);
        assert_eq!(verdict.down, vec![(OTHER, START)]);
    }

    #[test]
    fn a_member_is_starting_until_it_is_heard_and_one_that_is_known_to_be_dead_is_not() {
        let mut detector = Detector::new(OWN, START, at(0));
        let dead = Watched {
            up: false,
            ..up(THIRD)
        };
        let members = [up(OWN), up(OTHER), dead];
        run(&mut detector, 0, 1000, true, &members, &[]);
        assert_eq!(
            detector.starting(at(1000), &members),
            BTreeSet::from([OTHER])
        );
        run(&mut detector, 1100, 1200, true, &members, &[OTHER]);
        assert!(detector.starting(at(1200), &members).is_empty());
    }

    #[test]
    fn heartbeats_of_another_process_start_do_not_keep_the_recorded_one_alive() {
        let mut detector = Detector::new(OWN, START, at(0));
        let members = [up(OWN), up(OTHER)];
        run(&mut detector, 0, 1000, true, &members, &[OTHER]);
        for millis in (1100..=2000).step_by(100) {
            detector.hear(OTHER, StartNonce(71), at(millis));
            detector.turn(at(millis), true, &members);
        }
        let verdict = detector.turn(at(2100), true, &members);
        assert_eq!(verdict.down, vec![(OTHER, START)]);
    }

    #[test]
    fn a_start_recorded_just_now_has_the_whole_timeout_to_be_heard() {
        let mut detector = Detector::new(OWN, START, at(0));
        run(
            &mut detector,
            0,
            5000,
            true,
            &[up(OWN), up(OTHER)],
            &[OTHER],
        );
        let restarted = [
            up(OWN),
            Watched {
                member: OTHER,
                start: StartNonce(71),
                up: true,
            },
        ];
        assert_eq!(run(&mut detector, 5100, 6000, true, &restarted, &[]), None);
        assert!(run(&mut detector, 6100, 6100, true, &restarted, &[]).is_some());
    }

    #[test]
    fn deaths_at_about_the_same_time_are_one_verdict() {
        let mut detector = Detector::new(OWN, START, at(0));
        let members = [up(OWN), up(OTHER), up(THIRD)];
        run(&mut detector, 0, 1000, true, &members, &[OTHER, THIRD]);
        detector.hear(THIRD, START, at(1090));
        let (_, verdict) =
            run(&mut detector, 1100, 3000, true, &members, &[]).expect("silence is judged");
        assert_eq!(verdict.down, vec![(OTHER, START), (THIRD, START)]);
    }

    #[test]
    fn a_leader_that_was_judged_dead_before_it_was_elected_is_up_again() {
        let mut detector = Detector::new(OWN, START, at(0));
        let down = Watched {
            up: false,
            ..up(OWN)
        };
        let members = [down, up(OTHER)];
        assert_eq!(run(&mut detector, 0, 1000, false, &members, &[OTHER]), None);
        let found = run(&mut detector, 1100, 3000, true, &members, &[OTHER]);
        let (when, verdict) = found.expect("it hears itself");
        assert_eq!(when, 1600);
        assert_eq!(verdict.up, vec![(OWN, START)]);
        // Not for another process start than its own: that one is recorded when it has ended.
        let mut restarted = Detector::new(OWN, StartNonce(71), at(0));
        let found = run(&mut restarted, 0, 3000, true, &members, &[OTHER]);
        assert_eq!(found, None);
    }

    #[test]
    fn a_member_judged_dead_is_up_again_after_unbroken_contact_in_the_same_start() {
        let mut detector = Detector::new(OWN, START, at(0));
        let down = [
            up(OWN),
            Watched {
                member: OTHER,
                start: START,
                up: false,
            },
        ];
        run(&mut detector, 0, 1000, true, &down, &[]);
        let (when, verdict) =
            run(&mut detector, 1100, 3000, true, &down, &[OTHER]).expect("it is back");
        assert_eq!(when, 1600);
        assert_eq!(verdict.up, vec![(OTHER, START)]);
        let other_start = [
            up(OWN),
            Watched {
                member: OTHER,
                start: StartNonce(9),
                up: false,
            },
        ];
        assert_eq!(
            run(&mut detector, 3100, 5000, true, &other_start, &[OTHER]),
            None
        );
    }
}
