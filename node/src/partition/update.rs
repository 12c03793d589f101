//! Carries cluster state from the control plane's machine to the replicas' machine, which never see each other.

use std::sync::Arc;

use ringhold_control::MemberState;
use ringhold_control::{Changes, Cluster};
use ringhold_replica::{ControlUpdate, Note, Registration};
use ringhold_types::{Configuration, ControlIndex, MemberId, PartitionKey, ReplicaId, StartNonce};

/// Hand-overs asked for at a time: each moves live work, so a drain goes step by step.
const HAND_OVERS_MOST: usize = 16;

/// What was applied, and for whom.
pub(super) struct Applied<'a> {
    pub(super) index: ControlIndex,
    pub(super) changes: &'a Changes,
    pub(super) cluster: &'a Arc<Cluster>,
    pub(super) member: MemberId,
    pub(super) start: StartNonce,
    /// Whether the machine knows nothing yet, so that all state goes to it, not only the changes.
    pub(super) whole: bool,
}

/// Says which partitions were lost with all their copies since a command was applied, and how many (DESIGN G5).
pub(super) fn tell_of_losses(cluster: &Cluster, since: ControlIndex) -> u64 {
    let mut count = 0;
    for loss in cluster.losses().iter().filter(|loss| loss.at > since) {
        count += 1;
        tracing::error!(
            partition = %loss.partition, generation = %loss.generation, cause = ?loss.cause, last = ?loss.last,
            "every copy is gone: ids of this generation that nobody holds answer DATA_LOSS, and its partition begins anew"
        );
    }
    count
}

/// The part of the cluster's state that the replicas' machine needs.
pub(super) fn control_update(applied: Applied<'_>) -> ControlUpdate {
    let cluster = applied.cluster;
    let executors = cluster.executors();
    let changed_executors = if applied.whole {
        executors
            .iter()
            .map(|(id, record)| (*id, Arc::clone(&record.config)))
            .collect()
    } else {
        let known = |id| {
            executors
                .get(id)
                .map(|record| (*id, Arc::clone(&record.config)))
        };
        applied.changes.executors.iter().filter_map(known).collect()
    };
    let members = cluster.members();
    let in_state = |wanted: fn(MemberState) -> bool| {
        members
            .iter()
            .filter(|(_, r)| wanted(r.state))
            .map(|(id, _)| *id)
            .collect::<Vec<_>>()
    };
    ControlUpdate {
        index: applied.index,
        registered: registration(cluster, applied.member, applied.start),
        executors: changed_executors,
        configurations: configurations(&applied),
        deleted: applied.changes.deleted.clone(),
        starts: members
            .iter()
            .map(|(id, record)| (*id, record.start))
            .collect(),
        down: Some(in_state(|state| state != MemberState::Up)),
        draining: Some(
            members
                .iter()
                .filter(|(_, record)| record.drains())
                .map(|(id, _)| *id)
                .collect(),
        ),
        drain: members.get(&applied.member).and_then(|it| it.drain),
    }
}

fn configurations(applied: &Applied<'_>) -> Vec<Configuration> {
    let cluster = applied.cluster;
    if applied.whole {
        let partitions = cluster.executors().iter().flat_map(|(id, record)| {
            let count = record.config.partition_count.get();
            (0..count).map(move |number| PartitionKey {
                executor: *id,
                partition: ringhold_types::PartitionNumber(number),
            })
        });
        return partitions
            .filter_map(|partition| cluster.configuration(partition))
            .collect();
    }
    let changed = applied.changes.configurations.iter();
    changed
        .filter_map(|partition| cluster.configuration(*partition))
        .collect()
}

/// The record of this process start, once it is there (PROTOCOL I18).
fn registration(cluster: &Cluster, member: MemberId, start: StartNonce) -> Option<Registration> {
    let record = cluster.members().get(&member)?;
    (record.start == start).then_some(Registration {
        start,
        store: record.store,
        memory: record.memory,
    })
}

/// Primaries of this member that the plan wants elsewhere.
pub(super) fn hand_overs(cluster: &Cluster, member: MemberId) -> Vec<(PartitionKey, ReplicaId)> {
    let leads_here = |partition: &PartitionKey| {
        let primary = cluster.configuration(*partition).and_then(|c| c.primary);
        primary.is_some_and(|primary| primary.member == member)
    };
    // All that the plan wants first: those of a member that makes no progress must not keep the others from theirs.
    let mut wanted = cluster.hand_overs(usize::MAX);
    wanted.retain(|(partition, _)| leads_here(partition));
    wanted.truncate(HAND_OVERS_MOST);
    wanted
}

/// The name under which a note is counted.
pub(super) fn note_name(note: Note) -> &'static str {
    match note {
        Note::TookOver(_) => "took_over",
        Note::SteppedDown(_) => "stepped_down",
        Note::TailCut(_) => "tail_cut",
        Note::Fenced(_) => "fenced",
        Note::ReportRefused(_) => "report_refused",
        Note::LearnerCounted(_) => "learner_counted",
        Note::SnapshotInstalled(_) => "snapshot_installed",
        Note::SnapshotStarted(_) => "snapshot_started",
        Note::CatchUpRestarted(_) => "catch_up_restarted",
        Note::WaitedForLease(_) => "waited_for_lease",
        Note::TooFewCopies(_) => "too_few_copies",
        Note::RingsFull(_) => "rings_full",
        Note::DuplicateFound(_) => "duplicate_found",
        Note::Rerun(_) => "rerun",
        Note::Adopted(_) => "adopted",
        Note::HandedOver(_) => "handed_over",
        Note::TailTaken(_) => "tail_taken",
        Note::TailOutOfReach(_) => "tail_out_of_reach",
        Note::SlowEjected(_) => "slow_ejected",
        Note::StandInWanted(_) => "stand_in_wanted",
        Note::SlowPrimary(_) => "slow_primary",
        Note::LearnerGivenUp(_) => "learner_given_up",
        Note::RemovalWaitsForMark(_) => "removal_waits_for_mark",
        Note::Lost(_) => "lost",
        Note::Poisoned(_) => "poisoned",
    }
}
