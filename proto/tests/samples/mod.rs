//! One fixed sample of every stored thing; its bytes are in `proto/vectors/stored.json`. Never change one: add another.

mod control;
mod execution;
mod raft;
mod ring;

pub(crate) use control::clusters;
pub(crate) use raft::{identities, log_ids, raft_entries, raft_snapshots, votes};

use ringhold_control::Command;
use ringhold_ringbuffer::{LogEntry, RingPart};
use ringhold_types::{Incarnation, MemberId, ReplicaId};

pub(crate) fn entries() -> Vec<(&'static str, LogEntry)> {
    let mut all = ring::entries();
    all.extend(execution::entries());
    all
}

pub(crate) fn parts() -> Vec<(&'static str, RingPart)> {
    let mut all = ring::parts();
    all.extend(execution::parts());
    all
}

pub(crate) fn commands() -> Vec<(&'static str, Command)> {
    let mut all = control::commands();
    all.extend(execution::commands());
    all
}

pub(crate) const MEMBER: MemberId = MemberId(0x0123_4567_89ab_cdef);
pub(crate) const OTHER: MemberId = MemberId(0xfedc_ba98_7654_3210);

pub(crate) fn replica(member: MemberId) -> ReplicaId {
    ReplicaId {
        member,
        incarnation: Incarnation(3),
    }
}
