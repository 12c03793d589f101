//! One member's share of the replication protocol (PROTOCOL.md) as a pure machine.
//!
//! [`Member::step`] takes one event and fills [`Effects`]; it never blocks, reads no clock, draws no random number. The shell
//! performs the effects in this order: persist, send, reply, start. Requests are named by token, so a machine can be cloned,
//! compared and replayed.
//!
//! Where things are:
//!
//! | file | what |
//! | --- | --- |
//! | `member`, `control`, `views` | the machine: events in, effects out; applied cluster state; what others see |
//! | `replica`, `core` | one replica: its role; what it is in every role |
//! | `primary`, `progress`, `commit` | leading: the parts together, how far peers are, the commit rule |
//! | `takeover`, `cut_tail`, `handover`, `membership` | how a partition changes hands |
//! | `slow`, `ejection` | who is slow, and what follows from it |
//! | `admission`, `read`, `committed`, `waiters`, `requests` | callers: asked, committed, answered once |
//! | `schedule`, `adoption`, `attempts`, `pool` | attempts: started, adopted, reported |
//! | `backup`, `learner`, `divergence`, `log`, `persistence` | following: what fits, what is cut, what is on disk |
//! | `lease`, `housekeeping`, `invariant`, `timing` | leases, what time does, what must always hold |

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod admission;
mod adoption;
mod attempts;
mod backup;
mod commit;
mod committed;
mod context;
mod control;
mod core;
mod cut_mark;
mod cut_tail;
mod divergence;
mod drain;
pub mod effect;
mod ejection;
pub mod event;
mod handover;
mod housekeeping;
mod invariant;
mod learner;
mod lease;
mod log;
mod member;
mod membership;
pub mod message;
mod persistence;
mod pool;
mod primary;
mod progress;
mod read;
mod renewal;
mod replica;
pub mod request;
mod requests;
pub mod ring_bytes;
mod rules;
mod schedule;
mod slow;
mod takeover;
mod timing;
mod views;
mod waiters;

pub use effect::{Effects, Note, PersistToken, Record, StartAttempt};
pub use event::{AttemptEnd, ControlUpdate, Event, RecoveredReplica, Registration};
pub use member::{Member, MemberOptions};
pub use message::{
    Ack, AttemptAnswer, AttemptOffer, AttemptVerdict, Fence, Heartbeat, HeartbeatReply, LogSummary,
    PeerMessage, Prepare, SnapshotPart, TailReply, TailRequest,
};
pub use replica::{Replica, RoleView};
pub use request::{Asked, Refusal, Reply, Request, RequestToken, Submission, TaskPage, TaskView};
pub use rules::{Rule, Rules, Sound};
pub use timing::Timing;
