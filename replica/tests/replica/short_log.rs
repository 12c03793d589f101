//! A replica that comes back with less than it acknowledged (PROTOCOL §5, old directories).

use crate::support::*;
use ringhold_replica::*;
use ringhold_types::*;

fn with_tasks(members: u64) -> World<Sound> {
    let mut world = World::new(members, members, Persistence::Fsync);
    world.run(1_000);
    for key in ["a", "b", "c"] {
        world.submit(1, key);
    }
    world.settle();
    world.run(300);
    world
}

/// Takes the last entries off a disk, as one that lied about its flushes, or was put back from a backup.
fn shorten(world: &mut World<Sound>, id: u64, entries: usize) {
    let disk = &mut world.nodes.get_mut(&id).unwrap().disk;
    for _ in 0..entries {
        let is_entry = |record: &Record| matches!(record, Record::Entry { .. });
        let last = disk.iter().rposition(is_entry).unwrap();
        disk.truncate(last);
    }
}

fn doubted(world: &World<Sound>) -> Vec<ChangeKind> {
    let kinds = world.proposals.iter().map(|change| change.kind.clone());
    kinds
        .filter(|kind| matches!(kind, ChangeKind::ShortLog { .. }))
        .collect()
}

#[test]
fn a_log_shorter_than_what_it_acknowledged_is_doubted() {
    let mut world = with_tasks(3);
    world.kill(2);
    shorten(&mut world, 2, 2);
    world.restart(2);
    world.run(1_000);
    let replica = replica(2);
    assert_eq!(doubted(&world), [ChangeKind::ShortLog { replica }]);
    assert!(!world.configuration.is_in_sync(replica));
}

#[test]
fn a_log_that_holds_all_that_it_acknowledged_is_not_doubted() {
    let mut world = with_tasks(3);
    world.kill(2);
    world.submit(1, "d");
    world.run(200);
    world.restart(2);
    world.run(1_000);
    assert_eq!(doubted(&world), []);
    assert!(world.configuration.is_in_sync(replica(2)));
    assert_eq!(world.at(2).committed(), world.at(1).committed());
}

#[test]
fn a_cut_tail_with_its_mark_is_not_doubted() {
    let mut world = with_tasks(3);
    world.kill(2);
    shorten(&mut world, 2, 2);
    world.nodes.get_mut(&2).unwrap().cut_mark = true;
    world.restart(2);
    world.run(1_000);
    assert_eq!(doubted(&world), []);
    assert!(world.configuration.is_in_sync(replica(2)));
    assert_eq!(world.at(2).committed(), world.at(1).committed());
    assert!(!world.nodes[&2].member.carries_marks());
}

#[test]
fn a_cut_where_the_logs_of_two_terms_part_is_not_doubted() {
    let mut world = with_tasks(3);
    // Only member 2 acknowledges the last entries of the first term.
    world.isolate(3);
    world.submit(1, "d");
    world.submit(1, "e");
    world.settle();
    let longest = world.at(2).last();
    world.kill(1);
    world.heal();
    world.down.insert(1);
    world.nominate(3);
    world.run(2_000);
    assert!(world.noted(2, Note::TailCut(P)));
    world.kill(2);
    world.restart(2);
    world.run(1_000);
    assert!(world.at(2).last() < longest);
    assert_eq!(doubted(&world), []);
    assert_eq!(world.at(2).committed(), world.at(3).committed());
}

#[test]
fn a_doubted_store_goes_on_as_its_new_incarnation_without_a_restart() {
    let mut world = with_tasks(2);
    let new = ReplicaId {
        member: MemberId(2),
        incarnation: Incarnation(12),
    };
    let configuration = Configuration {
        version: world.configuration.version.next(),
        in_sync: vec![replica(1)],
        learners: vec![new],
        ..world.configuration.clone()
    };
    let update = ControlUpdate {
        index: ControlIndex(1_000),
        registered: Some(Registration {
            start: world.nodes[&2].start,
            store: Incarnation(12),
            memory: Incarnation(2),
        }),
        executors: Vec::new(),
        configurations: vec![configuration],
        deleted: Vec::new(),
        starts: Vec::new(),
        down: None,
        draining: None,
        drain: None,
    };
    world.event(2, Event::Control(update));
    world.settle();
    assert_eq!(world.at(2).id(), new);
    assert_eq!(world.at(2).last(), Lsn(0), "it begins empty");
    let found = recover(&world.nodes[&2].disk);
    assert_eq!((found[0].replica, found[0].entries.len()), (new, 0));
}
