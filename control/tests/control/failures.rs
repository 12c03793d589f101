//! Members judged dead, and their return.

use ringhold_control::{Command, MemberState, StoreReport};
use ringhold_types::{ExecutorConfig, MemberId, StartNonce};

use crate::world::{World, config, key, keys};

#[test]
fn one_command_fails_over_every_partition_of_the_dead() {
    let (mut world, executor) = World::with_executor(4, &config(2));
    let before = world.cluster.clone();
    world.down(&[1]);
    for key in keys(&world.cluster, executor) {
        let (old, new) = (before.partition(key).unwrap(), world.partition(key));
        let primary = new.primary.unwrap();
        assert_ne!(primary.member, MemberId(1));
        assert!(old.in_sync.contains(&primary));
        let led = old.primary.unwrap().member == MemberId(1);
        assert_eq!(new.term, if led { old.term.next() } else { old.term });
    }
}

#[test]
fn a_dead_seat_goes_at_once_only_if_min_copies_does_not_need_it() {
    let (mut world, executor) = World::with_executor(4, &config(2));
    world.down(&[1]);
    for key in keys(&world.cluster, executor) {
        let partition = world.partition(key);
        assert!(
            partition
                .in_sync
                .iter()
                .all(|seat| seat.member != MemberId(1))
        );
        assert!(partition.in_sync.len() >= 2);
    }
    let (mut world, executor) = World::with_executor(3, &config(1));
    let before = world.cluster.clone();
    world.down(&[1]);
    for key in keys(&world.cluster, executor) {
        assert_eq!(
            world.partition(key).in_sync,
            before.partition(key).unwrap().in_sync
        );
    }
}

#[test]
fn the_same_command_names_a_replacement_learner_where_a_member_is_spare() {
    let (mut world, executor) = World::with_executor(3, &config(1));
    world.down(&[1]);
    for key in keys(&world.cluster, executor) {
        let partition = world.partition(key);
        let had_one = partition
            .in_sync
            .iter()
            .any(|seat| seat.member == MemberId(1));
        assert_eq!(partition.learners.len(), usize::from(had_one));
    }
    let (mut world, executor) = World::with_executor(2, &config(1));
    world.down(&[1]);
    assert!(
        world.partition(key(executor, 0)).learners.is_empty(),
        "nobody is spare"
    );
}

#[test]
fn two_deaths_in_one_command_leave_each_partition_a_living_primary_or_none() {
    let (mut world, executor) = World::with_executor(4, &config(1));
    world.down(&[1, 2]);
    let mut waiting = 0;
    for key in keys(&world.cluster, executor) {
        let partition = world.partition(key);
        let both_dead = partition
            .in_sync
            .iter()
            .all(|seat| seat.member <= MemberId(2));
        assert_eq!(partition.primary.is_none(), both_dead);
        assert_eq!(partition.in_sync.len(), 2, "min-copies needs both seats");
        waiting += usize::from(both_dead);
    }
    assert!(waiting > 0 && world.cluster.losses().is_empty());
}

#[test]
fn a_judgement_about_an_older_start_touches_nothing() {
    let (mut world, _) = World::with_executor(3, &config(1));
    let old = world.start_nonce(1);
    world.restart(1, StoreReport::Intact);
    let members = vec![(MemberId(1), old), (MemberId(99), StartNonce(1))];
    let changes = world.done(&Command::MembersDown { members });
    assert_eq!(changes, Default::default());
}

#[test]
fn a_partition_whose_holders_are_all_away_waits_in_its_term_for_one_to_return() {
    let (mut world, executor) = World::with_executor(2, &config(1));
    let before = world.partition(key(executor, 0)).clone();
    world.down(&[1, 2]);
    let away = world.partition(key(executor, 0)).clone();
    assert_eq!((away.primary, away.primary_start), (None, StartNonce::ZERO));
    assert_eq!((away.term, away.in_sync.len()), (before.term, 2));
    world.up(2);
    let back = world.partition(key(executor, 0));
    assert_eq!(back.primary.unwrap().member, MemberId(2));
    assert_eq!(back.term, before.term.next());
    assert_eq!(back.primary_start, world.start_nonce(2));
}

#[test]
fn a_pause_that_ended_gives_back_what_was_kept_and_asks_for_nothing_more() {
    let (mut world, executor) = World::with_executor(3, &config(1));
    world.down(&[1]);
    world.up(1);
    assert_eq!(world.cluster.members()[&MemberId(1)].state, MemberState::Up);
    for key in keys(&world.cluster, executor) {
        assert_eq!(world.partition(key).in_sync.len(), 2);
    }
    world.run_until_settled();
    assert!(keys(&world.cluster, executor).all(|key| world.partition(key).learners.is_empty()));
}

#[test]
fn a_return_is_for_the_start_that_was_judged() {
    let mut world = World::with_members(2);
    world.down(&[1]);
    let member = MemberId(1);
    let start = StartNonce(4242);
    assert_eq!(
        world.done(&Command::MemberUp { member, start }),
        Default::default()
    );
    assert_eq!(world.cluster.members()[&member].state, MemberState::Down);
}

#[test]
fn the_primaries_of_a_dead_member_spread_over_the_survivors() {
    let wide = ExecutorConfig {
        partition_count: ringhold_types::PartitionCount::DEFAULT,
        ..config(2)
    };
    let (mut world, executor) = World::with_executor(5, &wide);
    world.down(&[3]);
    for (id, _, led) in world.loads(executor) {
        if id != MemberId(3) {
            assert!((56..=80).contains(&led), "{id} leads {led} of 271");
        }
    }
}

#[test]
fn suspicion_never_takes_the_last_living_hope() {
    let single = ExecutorConfig {
        min_copies: Some(1),
        ..config(1)
    };
    let (mut world, executor) = World::with_executor(2, &single);
    world.down(&[1, 2]);
    assert_eq!(
        world.partition(key(executor, 0)).in_sync.len(),
        2,
        "either may return first"
    );
    world.up(1);
    world.down(&[1]);
    assert!(!world.partition(key(executor, 0)).in_sync.is_empty());
}

/// Three seats, two of them on members that started with a cut tail; then the third dies.
fn two_marked_of_three() -> (World, ringhold_types::ExecutorId) {
    let (mut world, executor) = World::with_executor(3, &config(2));
    world.restart(1, StoreReport::Torn);
    world.restart(2, StoreReport::Torn);
    world.down(&[3]);
    (world, executor)
}

fn has_seat(world: &World, executor: ringhold_types::ExecutorId, id: u64) -> bool {
    keys(&world.cluster, executor).into_iter().all(|key| {
        let mut seats = world.partition(key).in_sync.iter();
        seats.any(|seat| seat.member == MemberId(id))
    })
}

fn marks_cleared(world: &World, id: u64) -> Command {
    Command::MarksCleared {
        member: MemberId(id),
        start: world.start_nonce(id),
    }
}

#[test]
fn a_dead_seat_stays_while_only_replicas_with_cut_tails_would_be_left() {
    let (mut world, executor) = two_marked_of_three();
    assert!(has_seat(&world, executor, 3));
    // What an earlier process says does not count.
    let stale = Command::MarksCleared {
        member: MemberId(1),
        start: StartNonce(u64::MAX),
    };
    world.done(&stale);
    assert!(has_seat(&world, executor, 3));
    // One whole replica is enough.
    let cleared = marks_cleared(&world, 1);
    world.done(&cleared);
    assert!(!has_seat(&world, executor, 3));
    assert!(has_seat(&world, executor, 1) && has_seat(&world, executor, 2));
}

#[test]
fn a_restart_without_a_cut_tail_ends_the_mark() {
    let (mut world, _) = two_marked_of_three();
    assert!(world.cluster.members()[&MemberId(1)].marked);
    world.restart(1, StoreReport::Intact);
    assert!(!world.cluster.members()[&MemberId(1)].marked);
}
