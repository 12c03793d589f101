//! What primaries and the leader propose for one partition.

use ringhold_control::{Command, Refused};
use ringhold_types::{
    ChangeKind, ConfigurationVersion, MemberId, PartitionKey, Sequence, Term, UnixMillis,
};

use crate::world::{World, config, key};

/// Four members, one partition's key of an executor with one backup, all materialised.
fn world() -> (World, PartitionKey) {
    let (world, executor) = World::with_executor(4, &config(1));
    (world, key(executor, 0))
}

fn forbidden(refused: Refused) -> String {
    match refused {
        Refused::Forbidden { rule } => rule.into_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_change_applies_only_on_the_version_it_expects() {
    let (mut world, key) = world();
    let stale = world.proposal(key, ChangeKind::Bump);
    world.done(&stale);
    let current = world.partition(key).version;
    assert_eq!(world.refused(&stale), Refused::StaleVersion { current });
}

#[test]
fn only_the_primary_of_the_current_term_proposes() {
    let (mut world, key) = world();
    let Command::Change(good) = world.proposal(key, ChangeKind::Bump) else {
        unreachable!("a proposal is a change")
    };
    let mut backup = good.clone();
    backup.proposer = world.partition(key).in_sync[1];
    let mut late = good;
    late.term = Term::ZERO;
    for change in [backup, late] {
        assert_eq!(world.refused(&Command::Change(change)), Refused::NotPrimary);
    }
}

#[test]
fn a_swap_gives_the_seat_of_one_to_another_in_one_step() {
    let (mut world, key) = world();
    let learner = world.add_learner(key, world.spare(key));
    let before = world.partition(key).clone();
    let removed = before.in_sync[1];
    let swap = world.proposal(key, ChangeKind::Swap { learner, removed });
    world.done(&swap);
    let after = world.partition(key);
    assert_eq!(after.in_sync, vec![before.primary.unwrap(), learner]);
    assert!(after.learners.is_empty());
    assert_eq!(
        (after.term, after.version),
        (before.term, before.version.next())
    );
}

#[test]
fn a_seat_beyond_the_number_of_copies_is_refused() {
    let (mut world, key) = world();
    let learner = world.add_learner(key, world.spare(key));
    let promote = world.proposal(key, ChangeKind::Promote { learner });
    assert!(forbidden(world.refused(&promote)).contains("as many seats as copies"));
}

#[test]
fn a_seat_goes_only_to_a_learner_that_is_there() {
    let (mut world, key) = world();
    let mut learner = world.add_learner(key, world.spare(key));
    let removed = world.partition(key).in_sync[1];
    learner.incarnation = learner.incarnation.next();
    for kind in [
        ChangeKind::Promote { learner },
        ChangeKind::Swap { learner, removed },
    ] {
        let proposal = world.proposal(key, kind);
        assert!(forbidden(world.refused(&proposal)).contains("learners"));
    }
}

#[test]
fn a_primary_degrades_to_itself_but_never_removes_itself() {
    let (mut world, key) = world();
    let (primary, removed) = (
        world.partition(key).in_sync[0],
        world.partition(key).in_sync[1],
    );
    let degrade = world.proposal(key, ChangeKind::Degrade { removed });
    world.done(&degrade);
    assert_eq!(world.partition(key).in_sync, vec![primary]);
    let suicide = world.proposal(key, ChangeKind::Degrade { removed: primary });
    assert!(forbidden(world.refused(&suicide)).contains("itself"));
    let again = world.proposal(key, ChangeKind::Degrade { removed });
    assert!(forbidden(world.refused(&again)).contains("seat"));
}

#[test]
fn a_bump_changes_the_version_and_nothing_else() {
    let (mut world, key) = world();
    let before = world.partition(key).clone();
    let bump = world.proposal(key, ChangeKind::Bump);
    world.done(&bump);
    let mut after = world.partition(key).clone();
    assert_eq!(after.version, before.version.next());
    after.version = before.version;
    assert_eq!(after, before);
}

#[test]
fn a_hand_over_names_an_in_sync_replica_and_its_start_in_a_new_term() {
    let (mut world, key) = world();
    let before = world.partition(key).clone();
    let to = before.in_sync[1];
    let hand_over = world.proposal(key, ChangeKind::HandOver { to });
    world.done(&hand_over);
    let after = world.partition(key);
    assert_eq!((after.primary, after.term), (Some(to), before.term.next()));
    assert_eq!(after.primary_start, world.start_nonce(to.member.0));
    assert_eq!(after.in_sync, before.in_sync);
}

#[test]
fn a_hand_over_to_a_learner_or_a_dead_replica_is_refused() {
    let (mut world, key) = world();
    let learner = world.add_learner(key, world.spare(key));
    let to_learner = world.proposal(key, ChangeKind::HandOver { to: learner });
    assert!(forbidden(world.refused(&to_learner)).contains("in-sync"));
    let backup = world.partition(key).in_sync[1];
    world.down(&[backup.member.0]);
    let to_dead = world.proposal(key, ChangeKind::HandOver { to: backup });
    assert!(forbidden(world.refused(&to_dead)).contains("up"));
}

#[test]
fn a_primary_that_gave_its_lease_away_may_lead_again_in_a_new_term() {
    let (mut world, key) = world();
    let before = world.partition(key).clone();
    let to = before.in_sync[0];
    let again = world.proposal(key, ChangeKind::HandOver { to });
    world.done(&again);
    let after = world.partition(key);
    assert_eq!((after.primary, after.term), (Some(to), before.term.next()));
}

#[test]
fn a_loss_is_recorded_by_the_only_seat_and_begins_a_new_generation() {
    let (mut world, key) = world();
    let from = Sequence::from_bits(17);
    let at = Some(UnixMillis(9));
    let loss = world.proposal(key, ChangeKind::RecordLoss { from, at });
    assert!(forbidden(world.refused(&loss)).contains("asks the others"));
    let removed = world.partition(key).in_sync[1];
    let degrade = world.proposal(key, ChangeKind::Degrade { removed });
    world.done(&degrade);
    let before = world.partition(key).clone();
    let loss = world.proposal(key, ChangeKind::RecordLoss { from, at });
    world.done(&loss);
    let recorded = world.cluster.losses().last().unwrap();
    let to = Sequence::last_of(before.generation).unwrap();
    assert_eq!((recorded.from, recorded.to, recorded.time), (from, to, at));
    let after = world.partition(key);
    assert_eq!(after.generation, before.generation.next());
    assert_eq!(after.term, before.term.next());
    assert_eq!(after.in_sync, before.in_sync);
}

#[test]
fn a_store_that_lost_what_was_durable_becomes_a_new_incarnation() {
    let (mut world, key) = world();
    let primary = world.partition(key).in_sync[0];
    let itself = world.proposal(key, ChangeKind::ShortLog { replica: primary });
    assert!(forbidden(world.refused(&itself)).contains("doubts"));
    let replica = world.partition(key).in_sync[1];
    let short = world.proposal(key, ChangeKind::ShortLog { replica });
    world.done(&short);
    let record = &world.cluster.members()[&replica.member];
    assert!(record.store > replica.incarnation && record.is_up());
    for key in crate::world::keys(&world.cluster, key.executor) {
        let partition = world.partition(key);
        assert!(!partition.replicas().any(|held| *held == replica));
    }
    let again = world.proposal(key, ChangeKind::ShortLog { replica });
    assert!(forbidden(world.refused(&again)).contains("doubts"));
}

#[test]
fn a_learner_is_a_spare_member_that_is_up() {
    let (mut world, key) = world();
    let holder = world.partition(key).in_sync[1].member;
    let spare = world.spare(key);
    let add = |world: &World, member| Command::AddLearner {
        partition: key,
        expected: world.partition(key).version,
        member,
    };
    let twice = add(&world, holder);
    assert!(forbidden(world.refused(&twice)).contains("once"));
    world.down(&[spare.0]);
    let dead = add(&world, spare);
    assert!(forbidden(world.refused(&dead)).contains("up"));
    world.up(spare.0);
    world.drain(spare.0, true);
    let draining = add(&world, spare);
    assert!(forbidden(world.refused(&draining)).contains("drain"));
    let unknown = add(&world, MemberId(77));
    assert_eq!(world.refused(&unknown), Refused::Unknown);
}

#[test]
fn a_learner_is_given_up_by_member_and_version() {
    let (mut world, key) = world();
    let learner = world.add_learner(key, world.spare(key));
    let remove = |expected| Command::RemoveLearner {
        partition: key,
        expected,
        member: learner.member,
    };
    let stale = world.refused(&remove(ConfigurationVersion::ZERO));
    assert!(matches!(stale, Refused::StaleVersion { .. }));
    let expected = world.partition(key).version;
    world.done(&remove(expected));
    assert!(world.partition(key).learners.is_empty());
}

#[test]
fn nobody_is_nominated_over_a_primary() {
    let (mut world, key) = world();
    let partition = world.partition(key);
    let nominate = Command::Nominate {
        partition: key,
        expected: partition.version,
        member: partition.in_sync[1].member,
    };
    assert!(forbidden(world.refused(&nominate)).contains("without a primary"));
}
