//! Members as operators see them.

use std::collections::BTreeMap;

use ringhold_control::{Cluster, MemberRecord, MemberState};
use ringhold_proto::v1;
use ringhold_types::MemberId;

use super::super::api::Api;

/// What a member holds.
#[derive(Clone, Copy, Debug, Default)]
struct Holdings {
    primaries: u32,
    seats: u32,
    learners: u32,
}

/// All members that were not forgotten.
pub(super) fn members(api: &Api) -> Vec<v1::Member> {
    let cluster = api.cluster();
    let holdings = holdings(&cluster);
    let living = cluster
        .members()
        .iter()
        .filter(|(_, r)| r.state != MemberState::Forgotten);
    living
        .map(|(id, record)| member(api, *id, record, holdings.get(id)))
        .collect()
}

/// One member, by name or by number.
pub(super) fn member_named(api: &Api, name: &str) -> Option<v1::Member> {
    let cluster = api.cluster();
    let id = find(&cluster, name)?;
    let record = cluster.members().get(&id)?;
    Some(member(api, id, record, holdings(&cluster).get(&id)))
}

/// The id of a member, by name or by number. Of those that were forgotten under a name that nobody has any more it is
/// the last one.
pub(super) fn find(cluster: &Cluster, name: &str) -> Option<MemberId> {
    let living = cluster.member_by_name(name);
    let forgotten = || {
        let named = cluster.members().values().filter(|r| r.info.name == name);
        named.max_by_key(|record| record.since)
    };
    let by_name = living.or_else(forgotten).map(|record| record.info.id);
    by_name.or_else(|| {
        cluster
            .members()
            .keys()
            .copied()
            .find(|id| id.to_string() == name)
    })
}

fn member(
    api: &Api,
    id: MemberId,
    record: &MemberRecord,
    holdings: Option<&Holdings>,
) -> v1::Member {
    let holdings = holdings.copied().unwrap_or_default();
    let info = &record.info;
    v1::Member {
        id: id.0,
        name: info.name.clone(),
        zone: info.zone.clone(),
        client_address: info.client_address.clone(),
        peer_address: info.peer_address.clone(),
        http_address: info.http_address.clone(),
        state: state(record.state, api.control.starting().contains(&id)).into(),
        draining: record.drains(),
        witness: info.witness,
        voter: api.control.summary().voters.contains(&id),
        control_leader: api.control.leader() == Some(id),
        primaries: holdings.primaries,
        seats: holdings.seats,
        learners: holdings.learners,
        feature_level: info.feature_level,
    }
}

/// The state as people see it; `is_starting` while the leader waits for it after a start of its own (PROTOCOL §6).
fn state(recorded: MemberState, is_starting: bool) -> v1::MemberState {
    match recorded {
        MemberState::Up if is_starting => v1::MemberState::Starting,
        MemberState::Up => v1::MemberState::Up,
        MemberState::Down => v1::MemberState::Down,
        MemberState::Forgotten => v1::MemberState::Forgotten,
    }
}

/// Partitions that a member leads, and those of which it has a seat.
pub(super) fn left_of(cluster: &Cluster, member: MemberId) -> (u32, u32) {
    let held = holdings(cluster).get(&member).copied().unwrap_or_default();
    (held.primaries, held.seats)
}

fn holdings(cluster: &Cluster) -> BTreeMap<MemberId, Holdings> {
    let mut all: BTreeMap<MemberId, Holdings> = BTreeMap::new();
    for partition in cluster
        .executors()
        .values()
        .flat_map(|executor| &executor.partitions)
    {
        if let Some(primary) = partition.primary {
            all.entry(primary.member).or_default().primaries += 1;
        }
        for replica in &partition.in_sync {
            all.entry(replica.member).or_default().seats += 1;
        }
        for replica in &partition.learners {
            all.entry(replica.member).or_default().learners += 1;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_the_leader_still_waits_for_is_starting_and_not_up() {
        assert_eq!(state(MemberState::Up, true), v1::MemberState::Starting);
        assert_eq!(state(MemberState::Up, false), v1::MemberState::Up);
        // The judgement came while this member had not heard of it.
        assert_eq!(state(MemberState::Down, true), v1::MemberState::Down);
    }
}
