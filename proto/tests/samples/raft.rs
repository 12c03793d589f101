//! Records of the control plane's log store.

use ringhold_proto::internal as wire;

use super::{MEMBER, OTHER, commands};

fn leader() -> Option<wire::RaftLeader> {
    let member = MEMBER.0;
    Some(wire::RaftLeader { term: 42, member })
}

fn log_id(index: u64) -> Option<wire::RaftLogId> {
    let leader = leader();
    Some(wire::RaftLogId { leader, index })
}

/// Votes: given, and the zero one of a store that never voted.
pub(crate) fn votes() -> Vec<(&'static str, wire::RaftVote)> {
    let vote = |leader, committed| wire::RaftVote { leader, committed };
    vec![
        ("granted", vote(leader(), false)),
        ("committed", vote(leader(), true)),
        ("none", vote(Some(wire::RaftLeader::default()), false)),
    ]
}

/// What is committed, and what was purged.
pub(crate) fn log_ids() -> Vec<(&'static str, wire::RaftLogId)> {
    vec![
        ("first", wire::RaftLogId::default()),
        ("later", log_id(1_200).expect("some")),
    ]
}

/// Two sets of voters, as in the middle of a change, and a learner.
fn membership() -> wire::RaftMembership {
    let set = |members: &[u64]| wire::RaftVoterSet {
        members: members.to_vec(),
    };
    let node = |member, address: &str| wire::RaftNode {
        member,
        address: address.to_owned(),
    };
    wire::RaftMembership {
        voter_sets: vec![set(&[MEMBER.0]), set(&[MEMBER.0, OTHER.0])],
        nodes: vec![
            node(MEMBER.0, "127.0.0.1:7401"),
            node(OTHER.0, "127.0.0.1:7411"),
            node(7, "[::1]:7421"),
        ],
    }
}

/// One entry of every kind; commands have golden bytes of their own.
pub(crate) fn raft_entries() -> Vec<(&'static str, wire::RaftEntry)> {
    use wire::raft_entry::Payload;
    let entry = |index, payload| wire::RaftEntry {
        log_id: log_id(index),
        payload: Some(payload),
    };
    let (_, command) = commands().swap_remove(0);
    vec![
        ("blank", entry(1, Payload::Blank(wire::RaftDone {}))),
        ("command", entry(2, Payload::Command((&command).into()))),
        ("membership", entry(3, Payload::Membership(membership()))),
    ]
}

/// A snapshot; the state in it has golden bytes of its own.
pub(crate) fn raft_snapshots() -> Vec<(&'static str, wire::RaftStoredSnapshot)> {
    let meta = wire::RaftSnapshotMeta {
        last: log_id(1_200),
        membership: Some(wire::RaftStoredMembership {
            log_id: log_id(3),
            membership: Some(membership()),
        }),
    };
    let state = b"encoded elsewhere".as_slice();
    let full = wire::RaftStoredSnapshot {
        meta: Some(meta),
        state: state.into(),
    };
    vec![("full", full)]
}

/// What a directory knows of itself: at its first start, and later.
pub(crate) fn identities() -> Vec<(&'static str, wire::RaftIdentity)> {
    let first = wire::RaftIdentity {
        presented_starts: vec![u64::MAX],
        ..wire::RaftIdentity::default()
    };
    let later = wire::RaftIdentity {
        cluster_id: 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff_u128
            .to_be_bytes()
            .to_vec()
            .into(),
        accepted_start: 0x1122_3344_5566_7788,
        presented_starts: vec![1, 0x1122_3344_5566_7789],
    };
    vec![("first", first), ("later", later)]
}
