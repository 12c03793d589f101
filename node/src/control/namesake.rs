//! A member with an emptied directory waits until its former identity is judged dead, since only then it may take its place.
//! Pure.

use std::time::Duration;

use ringhold_types::MemberId;
use tokio::time::Instant;

/// How long to wait for the judgement, once the leader listens for the former member: ten times the failure timeout, and room
/// for the election of another leader in between. Who counts as up after that lives.
const NAMESAKE_PATIENCE: Duration = Duration::from_secs(10);

/// A wait for the death of the member whose name this one has.
#[derive(Debug, Default)]
pub(crate) struct Namesake {
    since: Option<Instant>,
}

impl Namesake {
    /// Why to wait on for `member`, or nothing when it lives. Time counts only while it is judged: not while there is no leader,
    /// nor while the leader still waits for that one to start.
    pub(crate) fn wait(
        &mut self,
        member: MemberId,
        is_judged: bool,
        now: Instant,
    ) -> Option<String> {
        if !is_judged {
            self.since = None;
        }
        let since = *self.since.get_or_insert(now);
        let waited = now.saturating_duration_since(since);
        if !is_judged {
            return Some(format!(
                "its directory is new, and its name is that of member {member}, which nobody judges at present: there is no \
                 leader, for want of a majority of the voters perhaps, or the leader waits for that member to start"
            ));
        }
        (waited < NAMESAKE_PATIENCE).then(|| {
            format!(
                "its directory is new, and its name is that of member {member}, which is not judged dead yet; it joins as \
                 a new member once it is, and gives up if that member lives on for {} s",
                NAMESAKE_PATIENCE.as_secs()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMER: MemberId = MemberId(7);

    #[test]
    fn the_wait_for_a_member_that_lives_on_ends() {
        let began = crate::clock::Clock.instant();
        let mut namesake = Namesake::default();
        let why = namesake.wait(FORMER, true, began).expect("it waits");
        assert!(why.contains(&FORMER.to_string()), "{why}");
        let almost = began + NAMESAKE_PATIENCE - Duration::from_millis(1);
        assert!(namesake.wait(FORMER, true, almost).is_some());
        assert_eq!(namesake.wait(FORMER, true, began + NAMESAKE_PATIENCE), None);
    }

    #[test]
    fn time_in_which_the_leader_judges_nobody_does_not_count() {
        let began = crate::clock::Clock.instant();
        let mut namesake = Namesake::default();
        assert!(namesake.wait(FORMER, true, began).is_some());
        let judging = began + 3 * NAMESAKE_PATIENCE;
        assert!(namesake.wait(FORMER, false, judging).is_some());
        let almost = judging + NAMESAKE_PATIENCE - Duration::from_millis(1);
        assert!(namesake.wait(FORMER, true, almost).is_some());
        assert_eq!(
            namesake.wait(FORMER, true, judging + NAMESAKE_PATIENCE),
            None
        );
    }
}
