//! What always holds of cluster state, and of each step from one state to the next. Checked by the tests, by the explorer
//! and when a snapshot is restored.

use std::collections::BTreeSet;

use ringhold_types::{ExecutorState, MemberId, PartitionKey, Persistence, StartNonce};

use crate::layout::LayoutKey;
use crate::record::copies_of;
use crate::{Cluster, ExecutorRecord, PartitionRecord};

/// Checks one state.
///
/// # Errors
/// The first rule that is broken, and where.
pub fn check(cluster: &Cluster) -> Result<(), String> {
    check_members(cluster)?;
    if cluster.by_name.len() != cluster.executors.len() {
        return Err("two executors share a name".into());
    }
    for (id, executor) in &cluster.executors {
        if cluster.next_executor <= *id {
            return Err(format!("executor number {} would be given again", id.0));
        }
        if executor.partitions.len() as u64 != u64::from(executor.config.partition_count.get()) {
            return Err(format!(
                "executor {} has another number of partitions",
                id.0
            ));
        }
        if !cluster
            .layouts
            .contains_key(&LayoutKey::of(&executor.config))
        {
            return Err(format!("executor {} has no target placement", id.0));
        }
    }
    for key in cluster.keys() {
        let broken = |rule: String| format!("partition {key}: {rule}");
        if let (Some(executor), Some(partition)) =
            (cluster.executors.get(&key.executor), cluster.partition(key))
        {
            check_replicas(cluster, executor, partition).map_err(broken)?;
            check_lead(cluster, partition).map_err(broken)?;
            check_counts(cluster, key, executor, partition).map_err(broken)?;
        }
    }
    Ok(())
}

fn check_members(cluster: &Cluster) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for (id, record) in &cluster.members {
        let broken = |rule: &str| Err(format!("member {} ({id}): {rule}", record.info.name));
        if record.info.id != *id {
            return broken("it is filed under another id");
        }
        if record.start == StartNonce::ZERO {
            return broken("it never started");
        }
        if record.store == record.memory
            || record.last_incarnation < record.store.max(record.memory)
        {
            return broken("an incarnation would be given again");
        }
        if !record.is_forgotten() && !names.insert(&record.info.name) {
            return broken("another member has its name");
        }
    }
    Ok(())
}

/// I9: every replica exists, once per member, on a member that holds data.
fn check_replicas(
    cluster: &Cluster,
    executor: &ExecutorRecord,
    partition: &PartitionRecord,
) -> Result<(), String> {
    let mut holders: BTreeSet<MemberId> = BTreeSet::new();
    for replica in partition.replicas() {
        let Some(record) = cluster.members.get(&replica.member) else {
            return Err(format!("replica {replica} is on an unknown member"));
        };
        if record.is_forgotten() {
            return Err(format!("replica {replica} is on a forgotten member"));
        }
        if record.info.witness {
            return Err(format!("replica {replica} is on a witness"));
        }
        if record.replica(executor.config.persistence) != *replica {
            return Err(format!("replica {replica} is of an older incarnation (I9)"));
        }
        if !holders.insert(replica.member) {
            return Err(format!("member {} holds it twice", replica.member));
        }
    }
    Ok(())
}

/// The primary leads by right, and there is one if there can be.
fn check_lead(cluster: &Cluster, partition: &PartitionRecord) -> Result<(), String> {
    let up = |member: MemberId| cluster.members.get(&member).filter(|record| record.is_up());
    match partition.primary {
        Some(primary) => {
            if !partition.in_sync.contains(&primary) {
                return Err(format!("primary {primary} is not in sync (I2)"));
            }
            match up(primary.member) {
                Some(record) if record.start == partition.primary_start => Ok(()),
                Some(_) => Err(format!("primary {primary} leads for an older start (I18)")),
                None => Err(format!("primary {primary} is down")),
            }
        }
        None if partition.primary_start != StartNonce::ZERO => {
            Err("it names a start without a primary".into())
        }
        None => match partition
            .in_sync
            .iter()
            .find(|seat| up(seat.member).is_some())
        {
            Some(seat) => Err(format!("it has no primary though {seat} could lead")),
            None => Ok(()),
        },
    }
}

fn check_counts(
    cluster: &Cluster,
    key: PartitionKey,
    executor: &ExecutorRecord,
    partition: &PartitionRecord,
) -> Result<(), String> {
    let copies = copies_of(&executor.config);
    // The lone primary of a partition without backups moves by one seat more.
    let most = if copies == 1 { 2 } else { copies };
    let seats = partition.in_sync.len();
    if seats > most {
        return Err(format!("{seats} seats for {copies} copies"));
    }
    if partition.learners.len() > copies {
        return Err(format!("{} learners", partition.learners.len()));
    }
    if partition.min_copies < 1 || partition.min_copies > executor.config.copies() {
        return Err(format!("min-copies is {}", partition.min_copies));
    }
    if !partition.materialised && !partition.learners.is_empty() {
        return Err("it learns though it holds nothing".into());
    }
    if seats == 0 && !cluster.target(&executor.config, key.partition).is_empty() {
        return Err("it has no seat though members could hold it".into());
    }
    Ok(())
}

/// Checks a step from the state before one command to the state after it.
///
/// # Errors
/// The first rule that is broken, and where.
pub fn check_step(before: &Cluster, after: &Cluster) -> Result<(), String> {
    for key in after.keys() {
        let broken = |rule: String| format!("partition {key}: {rule}");
        let (Some(old), Some(new)) = (before.partition(key), after.partition(key)) else {
            continue;
        };
        if old == new {
            continue;
        }
        check_chain(old, new).map_err(broken)?;
        check_succession(after, key, old, new).map_err(broken)?;
    }
    check_states(before, after)?;
    check_incarnations(before, after)
}

/// I1, and counters that only grow.
fn check_chain(old: &PartitionRecord, new: &PartitionRecord) -> Result<(), String> {
    if new.version != old.version.next() {
        return Err(format!(
            "version {} follows {} (I1)",
            new.version, old.version
        ));
    }
    if new.term < old.term || new.term > old.term.next() {
        return Err(format!("term {} follows {}", new.term, old.term));
    }
    let led_anew = new.primary.is_some()
        && (new.primary != old.primary || new.primary_start != old.primary_start);
    if led_anew && new.term == old.term {
        return Err("another primary or start in the same term (I18)".into());
    }
    if old.materialised && !new.materialised {
        return Err("it forgot that it may hold something".into());
    }
    Ok(())
}

/// I2 and G5: copies come from copies, unless a loss is recorded or there is nothing to copy.
fn check_succession(
    after: &Cluster,
    key: PartitionKey,
    old: &PartitionRecord,
    new: &PartitionRecord,
) -> Result<(), String> {
    if new.generation != old.generation {
        let recorded = after.losses.iter().any(|loss| {
            loss.partition == key && loss.generation == old.generation && loss.at == after.index
        });
        if new.generation != old.generation.next() || !recorded {
            return Err("a new generation without a recorded loss (G5)".into());
        }
        return Ok(());
    }
    if !old.materialised || old.in_sync.is_empty() {
        return Ok(());
    }
    if new
        .primary
        .is_some_and(|primary| !old.in_sync.contains(&primary))
    {
        return Err("the new primary was not in sync before (I2)".into());
    }
    if let Some(seat) = new
        .in_sync
        .iter()
        .find(|seat| !old.in_sync.contains(seat) && !old.learners.contains(seat))
    {
        return Err(format!("{seat} got a seat without having learned"));
    }
    if new.in_sync.is_empty() {
        return Err("its last seat went without a recorded loss (G5)".into());
    }
    Ok(())
}

/// An executor's state changes by its own command, and the end of one is for good.
fn check_states(before: &Cluster, after: &Cluster) -> Result<(), String> {
    for (id, new) in &after.executors {
        let Some(old) = before.executors.get(id) else {
            if new.state != ExecutorState::Running {
                return Err(format!("executor {} was created without running", id.0));
            }
            continue;
        };
        if old.state == new.state {
            continue;
        }
        if !old.state.takes_tasks() {
            return Err(format!("executor {} came back from its shutdown", id.0));
        }
        if new.state.since().is_some_and(|since| since != after.index) {
            return Err(format!("executor {} changed its state in the past", id.0));
        }
    }
    Ok(())
}

/// I9, I18: a start brings a new memory incarnation, and incarnations never return.
fn check_incarnations(before: &Cluster, after: &Cluster) -> Result<(), String> {
    for (id, new) in &after.members {
        let Some(old) = before.members.get(id) else {
            continue;
        };
        let memory = |record: &crate::MemberRecord| record.replica(Persistence::Memory).incarnation;
        if new.start != old.start && memory(new) <= old.last_incarnation {
            return Err(format!(
                "member {id}: a start without a new incarnation (I9)"
            ));
        }
        if new.store != old.store && new.store <= old.last_incarnation {
            return Err(format!("member {id}: a store incarnation returned (I9)"));
        }
        if old.is_forgotten() && !new.is_forgotten() {
            return Err(format!("member {id}: it came back though it was forgotten"));
        }
    }
    Ok(())
}
