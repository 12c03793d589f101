//! Process starts: nonces, names, incarnations, terms.

use ringhold_control::{Command, LossCause, MemberState, Refused, Response, StoreReport};
use ringhold_types::{Generation, MemberId, StartNonce};

use crate::world::{World, config, in_memory, info, key, keys};

fn reason(refused: Refused) -> String {
    match refused {
        Refused::Identity { reason } => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_happens_before_the_cluster_has_its_identity() {
    let mut world = World::with_members(1);
    let start = world.start_of(2, StoreReport::Empty);
    let mut cluster = ringhold_control::Cluster::new();
    let (response, _) = cluster.apply(ringhold_types::ControlIndex(1), &Command::Start(start));
    assert_eq!(response, Response::Refused(Refused::Initialised));
    let again = Command::Initialise {
        cluster: ringhold_types::ClusterId(8),
        name: "other".into(),
    };
    assert_eq!(world.refused(&again), Refused::Initialised);
}

#[test]
fn a_retried_start_is_answered_alike_and_changes_nothing() {
    let mut world = World::with_members(2);
    let start = Command::Start(world.start_of(1, StoreReport::Intact));
    let (first, _) = world.apply(&start);
    let (second, changes) = world.apply(&start);
    assert_eq!(first, second);
    assert_eq!(changes, Default::default());
}

#[test]
fn a_cloned_directory_is_refused_by_name() {
    let mut world = World::with_members(2);
    let mut clone = world.start_of(1, StoreReport::Intact);
    world.restart(1, StoreReport::Intact);
    clone.fresh = world.fresh_nonce();
    let reason = reason(world.refused(&Command::Start(clone)));
    assert!(reason.contains("m1") && reason.contains("copy"), "{reason}");
}

#[test]
fn a_directory_of_another_cluster_is_refused() {
    let mut world = World::with_members(1);
    let mut start = world.start_of(9, StoreReport::Intact);
    start.last_accepted = StartNonce(5);
    let reason = reason(world.refused(&Command::Start(start)));
    assert!(reason.contains("does not know it"), "{reason}");
}

#[test]
fn a_second_member_of_a_living_name_is_refused_by_name() {
    let mut world = World::with_members(2);
    let mut start = world.start_of(3, StoreReport::Intact);
    start.member.name = "m1".into();
    let reason = reason(world.refused(&Command::Start(start)));
    assert!(reason.contains("m1"), "{reason}");
}

#[test]
fn an_emptied_directory_whose_member_counts_as_up_is_told_whose_its_name_is() {
    let mut world = World::with_members(2);
    let mut start = world.start_of(3, StoreReport::Empty);
    start.member.name = "m1".into();
    let refused = world.refused(&Command::Start(start.clone()));
    let in_use = Refused::NameInUse {
        name: "m1".into(),
        member: MemberId(1),
    };
    assert_eq!(refused, in_use);
    world.down(&[1]);
    world.done(&Command::Start(start));
}

#[test]
fn the_drain_of_a_planned_stop_ends_with_the_next_start_and_an_operators_drain_does_not() {
    for by_operator in [false, true] {
        let mut world = World::with_members(2);
        let leave = Command::Leave {
            member: MemberId(1),
            start: world.start_nonce(1),
        };
        world.done(&leave);
        assert!(world.cluster.members()[&MemberId(1)].drains());
        if by_operator {
            // It came while the member was stopping.
            world.drain(1, true);
        }
        world.restart(1, StoreReport::Intact);
        let record = &world.cluster.members()[&MemberId(1)];
        assert_eq!(record.drains(), by_operator);
        assert_eq!(record.takes_seats(), !by_operator);
    }
}

#[test]
fn an_operator_who_ends_a_drain_does_not_end_that_of_a_planned_stop() {
    let mut world = World::with_members(2);
    world.drain(1, true);
    world.done(&Command::Leave {
        member: MemberId(1),
        start: world.start_nonce(1),
    });
    world.drain(1, false);
    assert!(world.cluster.members()[&MemberId(1)].drains());
}

#[test]
fn a_planned_stop_of_an_earlier_process_that_is_heard_late_drains_nobody() {
    let mut world = World::with_members(2);
    let leave = Command::Leave {
        member: MemberId(1),
        start: world.start_nonce(1),
    };
    world.restart(1, StoreReport::Intact);
    assert_eq!(world.done(&leave), Default::default());
    assert!(!world.cluster.members()[&MemberId(1)].drains());
}

#[test]
fn a_member_that_leaves_gives_up_its_primaries() {
    let (mut world, executor) = World::with_executor(2, &config(1));
    world.done(&Command::Leave {
        member: MemberId(1),
        start: world.start_nonce(1),
    });
    let wanted = world.cluster.hand_overs(1000);
    let led = keys(&world.cluster, executor)
        .filter(|key| world.partition(*key).primary.map(|led| led.member) == Some(MemberId(1)));
    for key in led {
        assert!(wanted.iter().any(|(partition, _)| *partition == key));
    }
    assert!(!wanted.is_empty());
}

#[test]
fn an_emptied_directory_of_a_dead_member_replaces_it_and_takes_its_seats() {
    let (mut world, executor) = World::with_executor(2, &config(1));
    world.down(&[1]);
    let mut start = world.start_of(3, StoreReport::Empty);
    start.member.name = "m1".into();
    world.done(&Command::Start(start));
    assert_eq!(
        world.cluster.members()[&MemberId(1)].state,
        MemberState::Forgotten
    );
    for key in keys(&world.cluster, executor) {
        let partition = world.partition(key);
        assert_eq!(partition.in_sync.len(), 1);
        assert_eq!(partition.in_sync[0].member, MemberId(2));
        assert_eq!(partition.learners[0].member, MemberId(3));
        assert_eq!(partition.generation, Generation(0));
    }
    assert!(world.cluster.losses().is_empty());
}

#[test]
fn a_dead_members_name_is_not_given_to_a_directory_that_holds_something() {
    let mut world = World::with_members(2);
    world.down(&[1]);
    let mut start = world.start_of(3, StoreReport::Intact);
    start.member.name = "m1".into();
    assert!(reason(world.refused(&Command::Start(start))).contains("forget"));
}

#[test]
fn a_member_does_not_become_a_witness_and_a_witness_holds_nothing() {
    let (mut world, _) = World::with_executor(2, &config(1));
    let mut start = world.start_of(1, StoreReport::Intact);
    start.member.witness = true;
    assert!(reason(world.refused(&Command::Start(start))).contains("witness"));
    let mut witness = world.start_of(3, StoreReport::Empty);
    witness.member.witness = true;
    world.done(&Command::Start(witness));
    world.down(&[1]);
    world.run_until_settled();
    assert!(
        world.cluster.next_steps(100).is_empty(),
        "a witness takes no seat"
    );
}

#[test]
fn an_intact_store_keeps_its_incarnation_and_every_start_has_a_new_one_for_memory() {
    let mut world = World::with_members(1);
    let before = world.cluster.members()[&MemberId(1)].clone();
    world.restart(1, StoreReport::Intact);
    let intact = world.cluster.members()[&MemberId(1)].clone();
    assert_eq!(intact.store, before.store);
    assert!(intact.memory > before.memory);
    world.restart(1, StoreReport::Doubtful);
    let doubtful = world.cluster.members()[&MemberId(1)].clone();
    assert!(doubtful.store > intact.memory && doubtful.memory > doubtful.store);
}

#[test]
fn a_restarted_primary_gives_way_to_an_in_sync_replica_in_a_new_term() {
    let (mut world, executor) = World::with_executor(3, &config(1));
    let before = world.cluster.clone();
    world.restart(1, StoreReport::Intact);
    for key in keys(&world.cluster, executor) {
        let (old, new) = (before.partition(key).unwrap(), world.partition(key));
        let led = old.primary.unwrap().member == MemberId(1);
        assert_eq!(new.term > old.term, led);
        assert_ne!(new.primary.unwrap().member, MemberId(1));
        assert_eq!(new.in_sync, old.in_sync, "an intact store keeps its seats");
    }
}

#[test]
fn a_lone_primary_that_restarts_leads_again_in_a_new_term_for_its_new_start() {
    let (mut world, executor) = World::with_executor(1, &config(0));
    let before = world.partition(key(executor, 0)).clone();
    world.restart(1, StoreReport::Intact);
    let after = world.partition(key(executor, 0));
    assert_eq!(after.primary, before.primary);
    assert_eq!(after.term, before.term.next());
    assert_eq!(after.primary_start, world.start_nonce(1));
    assert!(world.cluster.losses().is_empty());
}

#[test]
fn a_doubtful_store_loses_its_seats_in_the_command_of_its_start_and_learns_anew() {
    let (mut world, executor) = World::with_executor(2, &config(1));
    let old = world.partition(key(executor, 0)).clone();
    world.restart(1, StoreReport::Doubtful);
    for key in keys(&world.cluster, executor) {
        let partition = world.partition(key);
        assert_eq!(partition.in_sync.len(), 1, "proof may go below min-copies");
        assert_eq!(partition.primary.unwrap().member, MemberId(2));
        assert_eq!(partition.learners.len(), 1);
        assert_eq!(partition.learners[0].member, MemberId(1));
        assert!(!old.in_sync.contains(&partition.learners[0]));
        assert_eq!(partition.min_copies, 2);
    }
    assert!(world.cluster.losses().is_empty());
}

#[test]
fn the_last_holder_in_memory_that_restarts_is_a_recorded_loss() {
    let (mut world, executor) = World::with_executor(2, &in_memory(0));
    let before = world.cluster.clone();
    world.restart(1, StoreReport::Intact);
    let mut lost = 0;
    for key in keys(&world.cluster, executor) {
        let (old, new) = (before.partition(key).unwrap(), world.partition(key));
        if old.primary.unwrap().member == MemberId(1) {
            lost += 1;
            assert_eq!(new.generation, Generation(1));
            assert!(new.term > old.term && new.primary.is_some());
        } else {
            assert_eq!(new, old);
        }
    }
    assert_eq!(world.cluster.losses().len(), lost);
    assert!(lost > 0);
    let loss = &world.cluster.losses()[0];
    assert_eq!(
        (loss.cause, loss.generation),
        (LossCause::ProcessEnded, Generation(0))
    );
    assert_eq!(loss.last.len(), 1);
    assert_eq!(loss.last[0].member, MemberId(1));
}

#[test]
fn a_partition_that_holds_nothing_is_placed_again_without_a_loss() {
    let mut world = World::with_members(1);
    let executor = world.create(&config(0));
    world.restart(1, StoreReport::Empty);
    for key in keys(&world.cluster, executor) {
        let partition = world.partition(key);
        assert_eq!(partition.generation, Generation(0));
        assert_eq!(
            partition.in_sync[0].incarnation,
            world.cluster.members()[&MemberId(1)].store
        );
    }
    assert!(world.cluster.losses().is_empty());
}

#[test]
fn a_member_too_old_for_the_feature_level_is_refused() {
    let mut world = World::with_members(2);
    let too_high = Command::RaiseFeatureLevel { level: 3 };
    assert!(matches!(
        world.refused(&too_high),
        Refused::Forbidden { .. }
    ));
    world.done(&Command::RaiseFeatureLevel { level: 2 });
    let mut old = world.start_of(3, StoreReport::Empty);
    old.member.feature_level = 1;
    assert!(reason(world.refused(&Command::Start(old))).contains("newer version"));
    assert_eq!(info(3).feature_level, 2);
}

#[test]
fn a_new_cluster_begins_at_its_level_and_an_older_one_waits_for_its_last_member() {
    let mut world = World::empty();
    assert_eq!(world.cluster.level_step(), None, "nobody is there");
    let mut old = world.start_of(1, StoreReport::Empty);
    old.member.feature_level = 1;
    world.done(&Command::Start(old));
    world.join(2);
    let one = Command::RaiseFeatureLevel { level: 1 };
    assert_eq!(world.cluster.level_step(), Some(one.clone()));
    world.done(&one);
    assert_eq!(
        world.cluster.level_step(),
        None,
        "one member cannot do more"
    );
    let mut new = world.start_of(1, StoreReport::Intact);
    new.member.feature_level = 2;
    world.done(&Command::Start(new));
    let two = Command::RaiseFeatureLevel { level: 2 };
    assert_eq!(world.cluster.level_step(), Some(two.clone()));
    world.done(&two);
    assert_eq!(world.cluster.feature_level(), 2);
    assert_eq!(world.cluster.level_step(), None);
}
