//! Which status may follow which: every step of a task's life, whoever takes it. The ring's property test holds each applied
//! operation against it, and `docs/protocol.md` shows it as a table.

use TaskStatus::{
    Cancelled, DataLoss, DeadLettered, Delayed, Disposed, Expired, Failed, Overwritten, Pending,
    Replaced, RetryWait, Running, Succeeded,
};

use crate::TaskStatus;

impl TaskStatus {
    /// Whether a task may begin its life so. It is accepted to run (Pending, or Delayed until its time), as an open group
    /// (Running), or with its outcome already (Succeeded or Failed; Disposed at once if it was fire and forget).
    #[must_use]
    pub const fn may_begin(self) -> bool {
        matches!(
            self,
            Pending | Delayed | Running | Succeeded | Failed | Disposed
        )
    }

    /// Whether a task of this status may have `next` after one operation, or after its due time has come.
    ///
    /// A status follows itself only where something happened: a further attempt over a running one.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            // Ends without an attempt: wait or total limit, poison, interrupted.
            Pending => matches!(next, Running | Failed | DeadLettered | Cancelled | DataLoss),
            // Running: an adopted start may be of a moment at which the new term's time has not arrived.
            Delayed | RetryWait => matches!(
                next,
                Pending | Running | Failed | DeadLettered | Cancelled | DataLoss
            ),
            // Pending: handed back, or tried again without a wait. Disposed: succeeded and disposed in one step.
            Running => matches!(
                next,
                Running
                    | Pending
                    | RetryWait
                    | Succeeded
                    | Failed
                    | DeadLettered
                    | Cancelled
                    | Replaced
                    | Disposed
                    | DataLoss
            ),
            Succeeded | Failed | Cancelled | Replaced | DeadLettered => {
                matches!(next, Disposed | Expired | Overwritten | DataLoss)
            }
            // The reason of a removed outcome is lost with the copies that knew it.
            Disposed | Expired | Overwritten => matches!(next, DataLoss),
            DataLoss => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row a status in the order of [`TaskStatus::ALL`], one column a status that follows: `x` where it may.
    const TABLE: [(&str, &str); 13] = [
        //                PDRWSFCRDDEOD
        ("Pending", "..x..xx.x...x"),
        ("Delayed", "x.x..xx.x...x"),
        ("Running", "x.xxxxxxxx..x"),
        ("RetryWait", "x.x..xx.x...x"),
        ("Succeeded", ".........xxxx"),
        ("Failed", ".........xxxx"),
        ("Cancelled", ".........xxxx"),
        ("Replaced", ".........xxxx"),
        ("DeadLettered", ".........xxxx"),
        ("Disposed", "............x"),
        ("Expired", "............x"),
        ("Overwritten", "............x"),
        ("DataLoss", "............."),
    ];

    #[test]
    fn every_pair_of_statuses_is_as_the_table_says() {
        for (from, (name, row)) in TaskStatus::ALL.into_iter().zip(TABLE) {
            assert_eq!(from.as_str(), name);
            assert_eq!(row.len(), TaskStatus::ALL.len());
            for (to, mark) in TaskStatus::ALL.into_iter().zip(row.chars()) {
                assert_eq!(from.may_become(to), mark == 'x', "{from} to {to}");
            }
        }
    }

    #[test]
    fn an_ended_task_never_runs_again() {
        for ended in TaskStatus::ALL.into_iter().filter(|it| !it.is_unfinished()) {
            for unfinished in TaskStatus::ALL.into_iter().filter(|it| it.is_unfinished()) {
                assert!(!ended.may_become(unfinished), "{ended} to {unfinished}");
            }
        }
    }

    #[test]
    fn no_task_begins_as_one_that_was_tried() {
        for status in [RetryWait, Cancelled, Replaced, DeadLettered, DataLoss] {
            assert!(!status.may_begin(), "{status}");
        }
        assert!(Pending.may_begin() && Delayed.may_begin());
    }

    /// The cells of the documented table: a status, and those that may follow it.
    fn documented() -> Vec<(&'static str, Vec<&'static str>)> {
        let section = include_str!("../../docs/protocol.md")
            .split("\n## ")
            .find(|section| section.starts_with("A task's statuses"))
            .expect("the section is there");
        let cells = |line: &'static str| {
            let line = line.strip_prefix("| ")?.strip_suffix(" |")?;
            let (from, followers) = line.split_once(" | ")?;
            let followers = followers.split(", ").filter(|it| *it != "nothing");
            Some((from, followers.collect()))
        };
        // Without the heading and the line below it.
        section.lines().filter_map(cells).skip(2).collect()
    }

    #[test]
    fn the_documented_table_of_statuses_is_that_of_the_code() {
        let words = |may: &dyn Fn(TaskStatus) -> bool| -> Vec<&'static str> {
            let statuses = TaskStatus::ALL.into_iter().filter(|status| may(*status));
            statuses.map(TaskStatus::as_str).collect()
        };
        let mut expected = vec![("(none)", words(&TaskStatus::may_begin))];
        for from in TaskStatus::ALL {
            expected.push((from.as_str(), words(&|to| from.may_become(to))));
        }
        assert_eq!(documented(), expected);
    }
}
