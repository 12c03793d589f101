//! Snapshots that are damaged or foreign.

use ringhold_control::{Cluster, ClusterSnapshot};
use ringhold_types::{Incarnation, MemberId, StartNonce};

use crate::world::{World, config};

fn contradiction(spoil: impl FnOnce(&mut ClusterSnapshot)) -> String {
    let (world, _) = World::with_executor(3, &config(1));
    let mut snapshot = world.cluster.snapshot();
    assert_eq!(Cluster::restore(snapshot.clone()).unwrap(), world.cluster);
    spoil(&mut snapshot);
    Cluster::restore(snapshot).unwrap_err().contradiction
}

#[test]
fn a_snapshot_that_contradicts_itself_is_refused_with_the_rule_that_it_breaks() {
    let gone = contradiction(|snapshot| {
        snapshot.members.remove(&MemberId(2));
    });
    assert!(gone.contains("unknown member"), "{gone}");
    let older = contradiction(|snapshot| {
        let member = snapshot.members.get_mut(&MemberId(2)).unwrap();
        member.store = Incarnation(9);
        member.last_incarnation = Incarnation(9);
    });
    assert!(older.contains("I9"), "{older}");
    let restarted = contradiction(|snapshot| {
        snapshot.members.get_mut(&MemberId(2)).unwrap().start = StartNonce(4242);
    });
    assert!(restarted.contains("I18"), "{restarted}");
    let unplaced = contradiction(|snapshot| snapshot.layouts.clear());
    assert!(unplaced.contains("target placement"), "{unplaced}");
    let short = contradiction(|snapshot| {
        snapshot.executors.values_mut().for_each(|record| {
            record.partitions.pop();
        });
    });
    assert!(short.contains("number of partitions"), "{short}");
}
