//! What callers ask of a partition, and what they are answered.

use std::sync::Arc;

use ringhold_ringbuffer::TaskEntry;
use ringhold_types::{
    ErrorCode, IdempotencyKey, MemberId, Millis, Outcome, PartitionKey, RequestId, RingTime,
    Sequence, TaskSpec, TaskStatus, Term, Tick, UnixMillis,
};

/// Names a request between shell and machine; the shell keeps who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestToken(pub u64);

/// What a caller asks of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Store this task; answered once it is committed.
    Submit(Submission),
    /// The task's outcome; parks until there is one, or the deadline.
    Retrieve {
        /// The task.
        sequence: Sequence,
        /// With a request id the outcome is disposed as well (RetrieveAndDispose).
        dispose: Option<RequestId>,
        /// Answer at once even without an outcome when `false`.
        wait: bool,
        /// The reader wants to read it again: this read does not count as retrieved (PROTOCOL §4).
        keep: bool,
    },
    /// The task that is stored under this key: answered as a repeat of its submit would be, and with NOT_FOUND, without
    /// storing anything, where there is none.
    Find {
        /// The key.
        key: IdempotencyKey,
    },
    /// The task as it is.
    Get {
        /// The task.
        sequence: Sequence,
    },
    /// A page of tasks in sequence order.
    List {
        /// Only sequences after this one.
        after: Option<Sequence>,
        /// Only these statuses; empty means all.
        statuses: Vec<TaskStatus>,
        /// Only tasks accepted at least this long ago.
        older_than: Option<Millis>,
        /// At most this many, at most [`ringhold_types::limits::LIST_PAGE_MAX`].
        most: usize,
    },
    /// Remove the outcome.
    Dispose {
        /// The task.
        sequence: Sequence,
    },
    /// End the task as cancelled.
    Cancel {
        /// The task.
        sequence: Sequence,
    },
    /// The outcomes of these tasks have reached their caller; answered at once, logged in batches.
    ConfirmRetrieved {
        /// The tasks.
        sequences: Vec<Sequence>,
    },
}

/// A task to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The task; its `not_before` is still empty.
    pub task: Arc<TaskSpec>,
    /// Delay until the first attempt may start, from the caller's `not_before` and the member's wall clock.
    pub delay: Option<Millis>,
    /// The member's wall clock, for people.
    pub now: UnixMillis,
}

/// A request on its way into the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Names it.
    pub token: RequestToken,
    /// Connection it came by; waiters are bounded per connection.
    pub connection: u64,
    /// The partition.
    pub partition: PartitionKey,
    /// When it must be answered.
    pub deadline: Tick,
    /// What is asked.
    pub request: Request,
}

/// The one answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The task is stored.
    Submitted {
        /// Where.
        sequence: Sequence,
        /// In which term.
        term: Term,
        /// On which members of the committed in-sync set.
        members: Vec<MemberId>,
        /// Whether an earlier submit had stored it.
        reused: bool,
    },
    /// The outcome.
    Outcome {
        /// The task.
        sequence: Sequence,
        /// How it ended.
        outcome: Arc<Outcome>,
        /// Attempts it took.
        attempts: u32,
    },
    /// The task has no outcome yet (a retrieve without waiting, or at its deadline).
    NotYet {
        /// Where it is.
        status: TaskStatus,
    },
    /// The task as it is.
    Task(Box<TaskView>),
    /// A page of tasks.
    Page(TaskPage),
    /// Done (dispose, cancel, confirm).
    Done,
    /// Not done.
    Refused(Refusal),
}

/// A task as shown by get and list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskView {
    /// Its entry.
    pub entry: TaskEntry,
    /// Its status.
    pub status: TaskStatus,
    /// Ring time of the answer, to tell ages from.
    pub now: RingTime,
}

/// A page of tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskPage {
    /// The tasks, in sequence order.
    pub tasks: Vec<TaskView>,
    /// Where the next page begins, if there is one.
    pub next_after: Option<Sequence>,
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code.
    pub code: ErrorCode,
    /// What happened, for a person.
    pub message: String,
    /// When it may work.
    pub retry_after: Option<Millis>,
    /// Who leads, for [`ErrorCode::NotPrimary`].
    pub primary: Option<MemberId>,
}
