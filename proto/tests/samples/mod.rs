//! One fixed sample of every stored thing; its bytes are in `proto/vectors/stored.json`. Never change one: add another.

mod control;
mod raft;
mod ring;

pub(crate) use control::{clusters, commands};
pub(crate) use raft::{identities, log_ids, raft_entries, raft_snapshots, votes};
pub(crate) use ring::{entries, parts};

use ringhold_types::{Incarnation, MemberId, ReplicaId};

pub(crate) const MEMBER: MemberId = MemberId(0x0123_4567_89ab_cdef);
pub(crate) const OTHER: MemberId = MemberId(0xfedc_ba98_7654_3210);

pub(crate) fn replica(member: MemberId) -> ReplicaId {
    ReplicaId {
        member,
        incarnation: Incarnation(3),
    }
}
