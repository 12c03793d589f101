//! Learners, swaps, degraded partitions, planned hand-overs, cut tails.

use crate::support::*;
use ringhold_replica::*;
use ringhold_types::*;

fn leading(members: u64, seats: u64, persistence: Persistence) -> World<Sound> {
    let mut world = World::new(members, seats, persistence);
    world.run(1_000);
    assert_eq!(world.role(1), Some(RoleView::Leading));
    world
}

fn write(world: &mut World<Sound>, member: u64, keys: std::ops::Range<u32>) -> Vec<u64> {
    let tokens: Vec<u64> = keys
        .map(|key| world.submit(member, &format!("k{key}")))
        .collect();
    world.settle();
    tokens
}

#[test]
fn a_learner_catches_up_while_writes_go_on_and_takes_the_dead_seat() {
    for persistence in [Persistence::Memory, Persistence::Fsync] {
        let mut world = leading(3, 2, persistence);
        write(&mut world, 1, 0..20);
        world.kill(2);
        world.down.insert(2);
        world.configure(|it| it.learners.push(replica(3)));
        let stored = write(&mut world, 1, 20..40);
        world.run(2_000);
        assert!(world.noted(1, Note::LearnerCounted(P)));
        assert_eq!(world.configuration.in_sync, [replica(1), replica(3)]);
        for token in stored {
            assert!(matches!(world.reply(token), Some(Reply::Submitted { .. })));
        }
        world.run(500);
        assert_eq!(world.at(3).committed(), world.at(1).committed());
        assert_eq!(world.at(3).ring().undisposed(), 40);
        world.assert_equal_rings();
    }
}

#[test]
fn a_learner_that_the_log_cannot_bring_up_gets_the_ring() {
    let mut config = executor(Persistence::Fsync, 1);
    config.capacity = 0;
    config.pool_size = 1;
    let mut world = World::with_rules(Sound, 3, 2, config);
    world.run(1_000);
    // More than the log's tail keeps in memory.
    for round in 0..60 {
        write(&mut world, 1, round * 100..(round + 1) * 100);
    }
    assert!(world.at(1).log_base() > Lsn(0));
    world.kill(2);
    world.down.insert(2);
    world.configure(|it| it.learners.push(replica(3)));
    world.run(3_000);
    assert!(world.noted(1, Note::SnapshotStarted(P)));
    assert!(world.noted(3, Note::SnapshotInstalled(P)));
    assert_eq!(world.configuration.in_sync, [replica(1), replica(3)]);
    let token = write(&mut world, 1, 9_000..9_001)[0];
    assert!(matches!(world.reply(token), Some(Reply::Submitted { .. })));
    world.run(500);
    world.assert_equal_rings();
    // What it installed survives its own restart.
    world.kill(3);
    world.restart(3);
    world.run(1_000);
    world.assert_equal_rings();
    assert_eq!(world.at(3).ring().undisposed(), 6_001);
}

#[test]
fn a_counted_learner_is_required_until_the_outcome_is_known() {
    let mut world = leading(3, 2, Persistence::Memory);
    world.proposals_pass = false;
    world.kill(2);
    world.down.insert(2);
    world.configure(|it| it.learners.push(replica(3)));
    world.run(500);
    assert_eq!(world.at(1).counted(), [replica(3)]);
    assert!(world.at(1).required().contains(&replica(2)));
    // Without an answer the primary forces the outcome.
    world.run(1_500);
    let kinds: Vec<_> = world
        .proposals
        .iter()
        .map(|change| change.kind.clone())
        .collect();
    assert!(kinds.contains(&ChangeKind::Bump), "{kinds:?}");
    assert_eq!(world.at(1).counted(), [replica(3)]);
    world.proposals_pass = true;
    world.run(3_000);
    assert_eq!(world.configuration.in_sync, [replica(1), replica(3)]);
    assert!(world.at(1).counted().is_empty());
}

#[test]
fn no_learner_is_counted_without_a_live_control_plane() {
    let mut world = leading(3, 2, Persistence::Memory);
    world.configure(|it| it.learners.push(replica(3)));
    world.kill(2);
    world.set_down(&[2]);
    world.nodes.get_mut(&1).unwrap().control = false;
    world.network.clear();
    world.run(700);
    let counted_early = world.at(1).counted();
    world.run(2_000);
    assert_eq!(world.at(1).counted(), counted_early);
}

#[test]
fn a_free_seat_is_filled_by_a_learner() {
    let mut world = leading(3, 2, Persistence::Memory);
    world.configure(|it| it.in_sync = vec![replica(1)]);
    world.configure(|it| it.learners.push(replica(3)));
    world.run(2_000);
    assert_eq!(world.configuration.in_sync, [replica(1), replica(3)]);
    assert!(world.configuration.learners.is_empty());
}

#[test]
fn a_seat_that_stays_empty_is_given_up_and_the_partition_works_degraded() {
    let mut world = leading(2, 2, Persistence::Memory);
    let stored = write(&mut world, 1, 0..1);
    let sequence = world.sequence(stored[0]);
    world.kill(2);
    world.set_down(&[2]);
    world.run(9_000);
    assert_eq!(world.configuration.in_sync.len(), 2);
    world.run(2_500);
    assert_eq!(world.configuration.in_sync, [replica(1)]);
    // Promised work is finished, new work is refused (I17).
    let attempt = world.started(1, sequence).unwrap();
    world.report(1, attempt, result("done"));
    world.run(300);
    let outcome = world.retrieve(1, sequence);
    world.settle();
    assert!(world.outcome(outcome).is_some());
    let token = world.submit(1, "more");
    world.settle();
    assert_eq!(world.refusal(token), Some(ErrorCode::NotEnoughCopies));
}

#[test]
fn a_submit_caught_by_a_shrink_is_answered_once_there_are_copies_again() {
    let mut world = leading(3, 2, Persistence::Memory);
    world.isolate(2);
    let token = world.submit(1, "a");
    world.settle();
    world.configure(|it| it.in_sync = vec![replica(1)]);
    world.run(300);
    assert!(world.at(1).committed() == world.at(1).last());
    assert_eq!(world.reply(token), None);
    world.configure(|it| it.learners.push(replica(3)));
    world.run(2_000);
    match world.reply(token) {
        Some(Reply::Submitted { members, .. }) => {
            assert_eq!(*members, [MemberId(1), MemberId(3)]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_drained_seat_moves_to_a_learner() {
    let mut world = leading(3, 2, Persistence::Memory);
    write(&mut world, 1, 0..5);
    world.draining.insert(2);
    world.configure(|it| it.learners.push(replica(3)));
    world.run(2_000);
    assert_eq!(world.configuration.in_sync, [replica(1), replica(3)]);
    assert_eq!(world.role(2), None);
}

#[test]
fn a_hand_over_moves_the_partition_and_runs_nothing_again() {
    let mut world = leading(3, 3, Persistence::Fsync);
    let stored = write(&mut world, 1, 0..1);
    let sequence = world.sequence(stored[0]);
    let attempt = world.started(1, sequence).unwrap();
    let at = world.now;
    world.event(
        1,
        Event::HandOver {
            partition: P,
            to: replica(2),
        },
    );
    world.settle();
    world.run(50);
    assert!(world.noted(1, Note::HandedOver(P)));
    assert_eq!(
        world.role(2),
        Some(RoleView::Leading),
        "it waits for no lease"
    );
    assert!(world.now <= at.after(Millis(100)));
    let submitted = world.submit(2, "new");
    world.run(100);
    assert!(matches!(
        world.reply(submitted),
        Some(Reply::Submitted { .. })
    ));
    // The attempt goes on where it runs, as the new primary's.
    let waiting = world.retrieve(2, sequence);
    world.report(1, attempt, result("done"));
    world.run(1_000);
    assert!(matches!(
        world.outcome(waiting),
        Some(Outcome::Succeeded(_))
    ));
    world.run(5_000);
    assert_eq!(world.count_starts(sequence), 1);
    world.assert_equal_rings();
}

#[test]
fn a_primary_that_released_its_lease_answers_nothing_more_in_its_term() {
    let mut world = leading(3, 3, Persistence::Memory);
    let stored = write(&mut world, 1, 0..1);
    let sequence = world.sequence(stored[0]);
    world.proposals_pass = false;
    world.event(
        1,
        Event::HandOver {
            partition: P,
            to: replica(2),
        },
    );
    world.run(100);
    assert_eq!(world.role(1), Some(RoleView::Passive));
    let get = world.ask(1, Request::Get { sequence });
    let submit = world.submit(1, "late");
    world.run(1_000);
    assert_eq!(world.reply(get), None);
    assert_eq!(world.reply(submit), None);
    world.proposals_pass = true;
    world.run(3_000);
    assert_eq!(world.refusal(get), Some(ErrorCode::NotPrimary));
    assert_eq!(world.refusal(submit), Some(ErrorCode::NotPrimary));
    assert_eq!(world.role(2), Some(RoleView::Leading));
}

#[test]
fn a_hand_over_whose_receiver_dies_before_it_holds_it_does_not_keep_the_dead_seat() {
    let mut world = leading(3, 2, Persistence::Memory);
    let stored = world.submit(1, "a");
    world.run(100);
    let sequence = world.sequence(stored);
    // It is appended, and the receiver never hears of it, nor comes back.
    world.kill(2);
    let to = replica(2);
    world.event(1, Event::HandOver { partition: P, to });
    world.run(500);
    world.set_down(&[2]);
    world.configure(|it| it.learners.push(replica(3)));
    world.run(5_000);
    assert_eq!(world.configuration.in_sync, [replica(1), replica(3)]);
    assert_eq!(world.role(1), Some(RoleView::Leading));
    let get = world.ask(1, Request::Get { sequence });
    let later = world.submit(1, "b");
    world.run(200);
    assert!(matches!(world.reply(get), Some(Reply::Task(_))));
    assert!(matches!(world.reply(later), Some(Reply::Submitted { .. })));
    world.assert_equal_rings();
}

#[test]
fn a_hand_over_that_cannot_finish_in_time_is_given_up() {
    let mut world = leading(3, 3, Persistence::Memory);
    world.cut.insert((1, 3));
    let stuck = world.submit(1, "stuck");
    world.event(
        1,
        Event::HandOver {
            partition: P,
            to: replica(2),
        },
    );
    let held = world.submit(1, "held");
    world.run(450);
    assert_eq!(world.role(1), Some(RoleView::Leading));
    world.run(200);
    world.heal();
    world.run(2_000);
    assert_eq!(world.role(1), Some(RoleView::Leading));
    for token in [stuck, held] {
        assert!(matches!(world.reply(token), Some(Reply::Submitted { .. })));
    }
}

#[test]
fn a_drained_member_hands_over_what_it_leads() {
    let mut world = leading(3, 3, Persistence::Memory);
    world.draining.insert(1);
    world.event(1, Event::Drain(true));
    world.run(500);
    assert_ne!(world.configuration.primary, Some(replica(1)));
    assert_eq!(world.role(1), Some(RoleView::Backup));
}

#[test]
fn a_new_primary_with_a_cut_tail_takes_it_from_its_peer_first() {
    let mut world = leading(3, 3, Persistence::Fsync);
    let stored = write(&mut world, 1, 0..6);
    let sequences: Vec<Sequence> = stored.iter().map(|token| world.sequence(*token)).collect();
    // Member 2 loses the end of its log, and the primary dies.
    world.kill(2);
    world.cut_tail(2, 5);
    world.kill(1);
    world.down.insert(1);
    world.restart(2);
    assert!(world.at(2).cut_mark());
    world.cut.insert((2, 3));
    world.nominate(2);
    world.configure(|it| it.in_sync.retain(|one| *one != replica(1)));
    world.run(1_500);
    assert_eq!(world.role(2), Some(RoleView::TakingOver));
    world.heal();
    world.run(2_000);
    assert_eq!(world.role(2), Some(RoleView::Leading));
    assert!(world.noted(2, Note::TailTaken(P)));
    assert!(!world.at(2).cut_mark());
    for sequence in sequences {
        let get = world.ask(2, Request::Get { sequence });
        world.settle();
        assert!(
            matches!(world.reply(get), Some(Reply::Task(_))),
            "{sequence}"
        );
    }
}

#[test]
fn a_replica_with_a_cut_tail_and_nobody_to_ask_leads_only_after_a_recorded_loss() {
    let mut world = leading(2, 2, Persistence::Fsync);
    write(&mut world, 1, 0..6);
    world.kill(2);
    world.cut_tail(2, 3);
    world.kill(1);
    world.restart(2);
    world.proposals_pass = false;
    let start = world.nodes[&2].start;
    world.configure(|it| {
        it.term = it.term.next();
        it.primary = Some(replica(2));
        it.primary_start = start;
        it.in_sync = vec![replica(2)];
    });
    world.run(3_000);
    assert_eq!(world.role(2), Some(RoleView::TakingOver));
    // A recorded loss lets it: ids that it does not hold answer DATA_LOSS, new ones go on above them.
    let lost = Sequence::from_bits(1_000);
    world.proposals_pass = true;
    world.configuration.min_copies = 1;
    world.run(3_000);
    assert_eq!(world.configuration.generation, Generation(1));
    assert_eq!(world.role(2), Some(RoleView::Leading));
    assert!(world.noted(2, Note::Lost(P)));
    let get = world.ask(2, Request::Get { sequence: lost });
    let submitted = world.submit(2, "new");
    world.run(100);
    assert_eq!(world.refusal(get), Some(ErrorCode::DataLoss));
    assert_eq!(world.sequence(submitted).generation(), Generation(1));
}

#[test]
fn a_learner_that_is_given_the_whole_log_of_a_partition_with_a_recorded_loss_has_the_same_ring() {
    let mut world = leading(3, 2, Persistence::Fsync);
    write(&mut world, 1, 0..6);
    // The last one left goes on in a new generation, with what it holds.
    world.kill(1);
    world.begin_generation(2, |it| it.kept_by = Some(replica(2)));
    world.run(2_000);
    // When it hears the empty learner it does not know yet what is committed.
    world.kill(2);
    world.forget_commits(2);
    world.configure(|it| it.learners.push(replica(3)));
    world.restart(2);
    world.run(3_000);
    assert_eq!(world.role(2), Some(RoleView::Leading));
    assert!(world.at(2).ring().undisposed() > 0, "it kept what it held");
    assert_eq!(world.at(3).applied(), world.at(2).applied());
    world.assert_equal_rings();
}

#[test]
fn a_backups_cut_mark_goes_once_the_primary_has_brought_its_log_to_full_length() {
    let mut world = leading(2, 2, Persistence::Fsync);
    write(&mut world, 1, 0..6);
    world.kill(2);
    world.cut_tail(2, 3);
    world.restart(2);
    assert!(world.at(2).cut_mark());
    world.run(1_000);
    assert!(!world.at(2).cut_mark());
    assert_eq!(world.at(2).last(), world.at(1).last());
}

#[test]
fn a_cut_mark_is_carried_until_what_was_cut_is_on_disk_again() {
    let mut world = leading(2, 2, Persistence::Fsync);
    write(&mut world, 1, 0..6);
    world.kill(2);
    world.cut_tail(2, 3);
    world.restart(2);
    world.nodes.get_mut(&2).unwrap().hold_disk = true;
    world.run(1_000);
    assert_eq!(world.at(2).last(), world.at(1).last());
    assert!(world.at(2).durable() < world.at(2).last());
    assert!(
        world.at(2).cut_mark(),
        "the next crash may take it all again"
    );
    world.nodes.get_mut(&2).unwrap().hold_disk = false;
    world.run(500);
    assert!(!world.at(2).cut_mark());
}

#[test]
fn a_receipt_waits_for_a_seat_that_lost_the_task_to_a_cut_tail_and_does_not_hold_it_yet_again() {
    let mut world = leading(2, 2, Persistence::Fsync);
    let first = world.submit(1, "a");
    world.run(100);
    assert!(matches!(world.reply(first), Some(Reply::Submitted { .. })));
    world.kill(2);
    world.cut_to(2, 1);
    world.restart(2);
    // It grants leases again, but what it lost and gets anew is not on its disk yet.
    world.nodes.get_mut(&2).unwrap().hold_disk = true;
    world.run(1_000);
    let again = world.submit(1, "a");
    world.run(200);
    assert_eq!(world.reply(again), None);
    world.nodes.get_mut(&2).unwrap().hold_disk = false;
    world.run(500);
    let Some(Reply::Submitted {
        members, reused, ..
    }) = world.reply(again)
    else {
        panic!("it is acknowledged once it is held");
    };
    assert_eq!((members.len(), *reused), (2, true));
}

#[test]
fn copying_forward_writes_what_a_restart_needs() {
    let mut world = leading(2, 2, Persistence::Fsync);
    write(&mut world, 1, 0..10);
    let before = world.nodes[&2].disk.len();
    world.event(2, Event::CopyForward(P));
    world.settle();
    // Everything older may go; only the reset of the replica's beginning is kept by the test's replay.
    let node = world.nodes.get_mut(&2).unwrap();
    node.disk.drain(1..before);
    world.kill(2);
    world.restart(2);
    world.run(1_500);
    assert_eq!(world.at(2).ring().undisposed(), 10);
    world.assert_equal_rings();
}

#[test]
fn a_new_generation_begins_to_work_only_when_every_lease_of_the_old_one_has_run_out() {
    let mut world = leading(3, 2, Persistence::Memory);
    write(&mut world, 1, 0..3);
    // The primary is cut off, but lives on leases of processes that have ended. Nobody who begins the new life has granted
    // it any.
    world.isolate(1);
    world.begin_generation(3, |_| {});
    world.run(600);
    assert_eq!(world.role(3), Some(RoleView::TakingOver));
    world.run(200);
    assert_eq!(world.role(3), Some(RoleView::Leading));
}

#[test]
fn a_new_generation_makes_what_an_outsider_held_void() {
    let mut world = leading(3, 2, Persistence::Fsync);
    write(&mut world, 1, 0..5);
    world.configure(|it| it.learners.push(replica(3)));
    world.run(500);
    assert_eq!(world.at(3).ring().undisposed(), 5);
    // Both seats are lost for good; the learner's member gets the partition's new life, empty.
    world.kill(1);
    world.kill(2);
    world.begin_generation(3, |it| it.learners.clear());
    world.run(2_000);
    assert_eq!(world.role(3), Some(RoleView::Leading));
    assert_eq!(world.at(3).ring().undisposed(), 0);
    let get = world.ask(
        3,
        Request::Get {
            sequence: Sequence::from_bits(0),
        },
    );
    world.settle();
    assert_eq!(world.refusal(get), Some(ErrorCode::DataLoss));
    // Nor does a restart bring the old life back.
    world.kill(3);
    world.restart(3);
    world.run(2_000);
    assert_eq!(world.at(3).ring().undisposed(), 0);
}

#[test]
fn a_seat_that_the_placement_wants_to_leave_is_swapped_or_given_up() {
    let mut world = leading(3, 2, Persistence::Memory);
    write(&mut world, 1, 0..5);
    world.event(1, Event::SurplusSeats(vec![(P, replica(2))]));
    world.configure(|it| it.learners.push(replica(3)));
    world.run(2_000);
    assert_eq!(world.configuration.in_sync, [replica(1), replica(3)]);
    world.configure(|it| it.in_sync.push(replica(2)));
    world.run(2_000);
    assert_eq!(world.configuration.in_sync, [replica(1), replica(3)]);
}

#[test]
fn a_hand_over_whose_receiver_dies_brings_the_primary_back_in_a_new_term() {
    let mut world = leading(2, 2, Persistence::Memory);
    world.proposals_pass = false;
    world.event(
        1,
        Event::HandOver {
            partition: P,
            to: replica(2),
        },
    );
    world.run(100);
    assert_eq!(world.role(1), Some(RoleView::Passive));
    let term = world.at(1).term();
    world.kill(2);
    world.set_down(&[2]);
    world.proposals_pass = true;
    world.run(3_000);
    assert_eq!(world.configuration.primary, Some(replica(1)));
    assert!(world.at(1).term() > term);
    world.run(12_000);
    assert_eq!(world.role(1), Some(RoleView::Leading));
}

#[test]
fn a_seat_whose_whole_log_was_cut_from_the_disk_asks_its_peers_before_it_leads() {
    let mut world = leading(3, 3, Persistence::Fsync);
    let stored = write(&mut world, 1, 0..6);
    let sequences: Vec<Sequence> = stored.iter().map(|token| world.sequence(*token)).collect();
    world.kill(2);
    world.nodes.get_mut(&2).unwrap().disk.clear();
    world.kill(1);
    world.down.insert(1);
    world.restart(2);
    world.nominate(2);
    world.configure(|it| it.in_sync.retain(|one| *one != replica(1)));
    world.run(3_000);
    assert_eq!(world.role(2), Some(RoleView::Leading));
    for sequence in sequences {
        let get = world.ask(2, Request::Get { sequence });
        world.settle();
        assert!(
            matches!(world.reply(get), Some(Reply::Task(_))),
            "{sequence}"
        );
    }
}

#[test]
fn a_lone_seat_whose_whole_log_was_cut_records_one_loss_and_leads() {
    let mut config = executor(Persistence::Fsync, 0);
    config.min_copies = Some(1);
    let mut world = World::with_rules(Sound, 1, 1, config);
    world.run(1_000);
    write(&mut world, 1, 0..3);
    world.kill(1);
    world.nodes.get_mut(&1).unwrap().disk.clear();
    world.restart(1);
    world.run(3_000);
    assert_eq!(world.configuration.generation, Generation(1));
    assert_eq!(world.role(1), Some(RoleView::Leading));
}

#[test]
fn what_a_replica_keeps_over_a_recorded_loss_survives_a_crash_before_it_leads_again() {
    let mut config = executor(Persistence::Fsync, 0);
    config.min_copies = Some(1);
    let mut world = World::with_rules(Sound, 1, 1, config);
    world.run(1_000);
    write(&mut world, 1, 0..6);
    world.kill(1);
    world.cut_tail(1, 3);
    let left = world.nodes[&1].disk.len();
    world.restart(1);
    world.nodes.get_mut(&1).unwrap().hold_disk = true;
    world.run(3_000);
    assert_eq!(world.configuration.generation, Generation(1));
    let kept = world.at(1).last();
    world.kill(1);
    assert_eq!(
        world.nodes[&1].disk.len(),
        left,
        "nothing of the new life is on disk"
    );
    world.nodes.get_mut(&1).unwrap().hold_disk = false;
    world.restart(1);
    world.run(3_000);
    assert_eq!(world.configuration.generation, Generation(1), "one loss");
    assert_eq!(world.role(1), Some(RoleView::Leading));
    assert!(world.at(1).last() >= kept);
    assert!(world.at(1).ring().undisposed() > 0, "it kept what it held");
}
