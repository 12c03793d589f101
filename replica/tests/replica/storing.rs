//! What the shared log is told besides entries: what no longer lives here, and what is copied forward.

use crate::support::*;
use ringhold_replica::*;
use ringhold_types::*;

fn stored() -> World<Sound> {
    let mut world = World::new(2, 2, Persistence::Fsync);
    world.run(1_000);
    let token = world.submit(1, "a");
    world.settle();
    world.sequence(token);
    world
}

fn forgotten(world: &World<Sound>, id: u64) -> bool {
    recover(&world.nodes[&id].disk).is_empty()
}

#[test]
fn a_replica_that_lost_its_seat_is_forgotten_on_disk() {
    let mut world = stored();
    assert!(!forgotten(&world, 2));
    world.configure(|it| it.in_sync = vec![replica(1)]);
    world.settle();
    assert!(forgotten(&world, 2));
    assert!(!forgotten(&world, 1));
    // As a learner it begins anew.
    world.configure(|it| it.learners.push(replica(2)));
    world.run(2_000);
    assert!(!forgotten(&world, 2));
    assert_eq!(world.configuration.in_sync, [replica(1), replica(2)]);
}

#[test]
fn a_replica_that_lost_its_seat_while_it_was_down_is_forgotten_at_its_start() {
    let mut world = stored();
    world.kill(2);
    world.configure(|it| it.in_sync = vec![replica(1)]);
    world.restart(2);
    world.settle();
    assert!(forgotten(&world, 2));
}

#[test]
fn replicas_of_a_deleted_executor_are_forgotten() {
    let mut world = stored();
    let update = ControlUpdate {
        index: ControlIndex(1_000),
        registered: None,
        executors: Vec::new(),
        configurations: Vec::new(),
        deleted: vec![P.executor],
        starts: Vec::new(),
        down: None,
        draining: None,
        drain: None,
    };
    world.event(1, Event::Control(update.clone()));
    world.settle();
    assert!(forgotten(&world, 1));
    // The other one is down meanwhile, and starts into a cluster that knows no such executor.
    let found = recover(&world.nodes[&2].disk);
    assert_eq!(found.len(), 1);
    let options = MemberOptions {
        id: MemberId(2),
        start: StartNonce(9),
        rules: Sound,
        timing: Timing::default(),
        unlisted_cut: false,
        ring_bytes_max: u64::MAX,
    };
    let mut member = Member::new(options, found, world.now);
    let mut effects = Effects::default();
    let registered = Registration {
        start: StartNonce(9),
        store: Incarnation(2),
        memory: Incarnation(3),
    };
    let update = ControlUpdate {
        registered: Some(registered),
        deleted: Vec::new(),
        ..update
    };
    member.step(world.now, Event::Control(update), &mut effects);
    let forgotten = Record::Forgotten {
        partition: P,
        replica: replica(2),
    };
    assert_eq!(effects.persist, [forgotten]);
}

#[test]
fn a_copy_of_a_partition_that_is_not_here_forgets_it() {
    let mut world = World::new(3, 2, Persistence::Fsync);
    world.run(1_000);
    world.event(3, Event::CopyForward(P));
    world.settle();
    let record = &world.nodes[&3].disk[..];
    assert!(
        matches!(record, [Record::Forgotten { partition: P, .. }]),
        "{record:?}"
    );
}

#[test]
fn a_copy_writes_the_ring_and_copies_of_what_is_not_applied() {
    let mut world = stored();
    // Acknowledged by the backup, and not known there to be committed.
    world.nodes.get_mut(&1).unwrap().hold_disk = true;
    world.submit(1, "b");
    world.settle();
    let before = world.nodes[&2].disk.clone();
    let found = recover(&before);
    world.event(2, Event::CopyForward(P));
    let (_, copy) = world.nodes[&2].unflushed.back().unwrap().clone();
    assert!(copy.iter().any(|it| matches!(it, Record::Copied { .. })));
    assert!(!copy.iter().any(|it| matches!(it, Record::Entry { .. })));
    // Whatever prefix of it a crash leaves, the log is as long as before.
    for length in 0..=copy.len() {
        let torn = [&before[..], &copy[..length]].concat();
        let last = |found: &[RecoveredReplica]| found[0].entries.last().map(|it| it.lsn);
        assert_eq!(last(&recover(&torn)), last(&found), "{length} records");
    }
}

#[test]
fn a_member_whose_disk_is_nearly_full_takes_no_new_task_and_is_named() {
    for full in [1, 2] {
        let mut world = World::new(3, 2, Persistence::Fsync);
        world.run(1_000);
        let stored = world.submit(1, "stored");
        world.run(200);
        world.event(full, Event::DiskFull(true));
        world.run(200);
        let refused = world.submit(1, "new");
        let found = world.submit(1, "stored");
        world.run(200);
        let Some(Reply::Refused(refusal)) = world.reply(refused) else {
            panic!("member {full} has no room");
        };
        assert_eq!(refusal.code, ErrorCode::DiskFull);
        assert!(refusal.retry_after.is_some());
        let named = MemberId(full).to_string();
        assert!(refusal.message.contains(&named), "{}", refusal.message);
        assert_eq!(world.sequence(found), world.sequence(stored));
        world.event(full, Event::DiskFull(false));
        world.run(200);
        let taken = world.submit(1, "new");
        world.run(200);
        assert!(matches!(world.reply(taken), Some(Reply::Submitted { .. })));
    }
}

#[test]
fn a_full_disk_refuses_nothing_that_is_not_kept_there() {
    let mut world = World::new(3, 2, Persistence::Memory);
    world.run(1_000);
    for member in [1, 2, 3] {
        world.event(member, Event::DiskFull(true));
    }
    world.run(200);
    let taken = world.submit(1, "new");
    world.run(200);
    assert!(matches!(world.reply(taken), Some(Reply::Submitted { .. })));
    let mut world = World::new(3, 2, Persistence::Fsync);
    world.run(1_000);
    world.event(3, Event::DiskFull(true));
    world.run(200);
    let taken = world.submit(1, "new");
    world.run(200);
    assert!(matches!(world.reply(taken), Some(Reply::Submitted { .. })));
}
