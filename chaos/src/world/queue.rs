//! What happens when: the one queue of the simulation, in true time and, at equal times, in order of insertion.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use ringhold_replica::{PeerMessage, Reply, RequestToken};
use ringhold_types::{AttemptToken, ControlIndex, MemberId, StartNonce};

use super::clients::Question;
use super::control::{ControlAnswer, ControlMail};

/// Something that happens at a time.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    /// A process works on what has arrived.
    Turn { slot: usize, start: StartNonce },
    /// A process wanted to be woken.
    Timer {
        slot: usize,
        start: StartNonce,
        at: u64,
    },
    /// A message reaches a member.
    Message {
        to: MemberId,
        from: MemberId,
        message: Box<PeerMessage>,
    },
    /// Writes of a disk are flushed.
    Flushed {
        slot: usize,
        start: StartNonce,
        batch: usize,
    },
    /// A process tells the control plane that it lives.
    Beat { slot: usize, start: StartNonce },
    /// A process asks the control plane to record its start.
    Present { slot: usize, start: StartNonce },
    /// Mail reaches the control plane.
    Mail(Box<ControlMail>),
    /// An answer of the control plane reaches a member.
    Answer {
        to: MemberId,
        start: StartNonce,
        answer: Box<ControlAnswer>,
    },
    /// A process applies the next control state.
    Notice { slot: usize, start: StartNonce },
    /// The control plane looks for silent members and steps to take.
    Watch,
    /// A client does its next thing.
    Client { client: usize },
    /// A client's patience with one try is over.
    Impatience { client: usize, token: RequestToken },
    /// A question reaches a member.
    Question {
        to: MemberId,
        question: Box<Question>,
    },
    /// A member hears that a caller is gone.
    Gone { to: MemberId, token: RequestToken },
    /// An answer reaches a client.
    Reply {
        client: usize,
        token: RequestToken,
        reply: Box<Reply>,
    },
    /// The handler of an attempt begins, later than its attempt.
    HandlerBegins {
        slot: usize,
        start: StartNonce,
        token: AttemptToken,
    },
    /// An attempt ends.
    AttemptEnds {
        slot: usize,
        start: StartNonce,
        token: AttemptToken,
    },
    /// A handler that was given up returns.
    HandlerReturns {
        slot: usize,
        start: StartNonce,
        token: AttemptToken,
    },
    /// A fault is due.
    Fault,
    /// A disk is due to fail or to fill up.
    DiskFault,
    /// A process ends because its log failed.
    LogFailed { slot: usize, start: StartNonce },
    /// A process starts.
    Start { slot: usize },
    /// A drain begins, which ends at a time.
    Drain { slot: usize, until: u64 },
    /// The time that a drain leaves to attempts is over, or begins anew.
    DrainOver {
        slot: usize,
        drain: ControlIndex,
        over: bool,
    },
    /// A drain ends.
    DrainEnds { member: MemberId },
    /// An operator says that a member does not come back.
    Forget { member: MemberId },
    /// All faults end.
    Heal,
    /// The director of a directed schedule looks.
    Look,
    /// Is everything well?
    Check,
}

struct Entry {
    at: u64,
    order: u64,
    happening: Happening,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives its largest: the earliest must be the largest.
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// The queue.
#[derive(Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Entry>,
    order: u64,
}

impl Queue {
    /// Lets something happen at a time.
    pub(crate) fn push(&mut self, at: u64, happening: Happening) {
        self.order += 1;
        let order = self.order;
        self.heap.push(Entry {
            at,
            order,
            happening,
        });
    }

    /// What happens next, and when.
    pub(crate) fn pop(&mut self) -> Option<(u64, Happening)> {
        self.heap.pop().map(|entry| (entry.at, entry.happening))
    }
}
