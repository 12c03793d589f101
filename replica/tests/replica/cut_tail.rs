//! A new primary whose tail was cut, and what its peers still hold (PROTOCOL §5).

use crate::support::*;
use ringhold_replica::*;
use ringhold_types::*;

fn write(world: &mut World<Sound>, member: u64, keys: std::ops::Range<u32>) -> Vec<u64> {
    let tokens: Vec<u64> = keys
        .map(|key| world.submit(member, &format!("k{key}")))
        .collect();
    world.settle();
    tokens
}

#[test]
fn a_primary_whose_peer_dropped_what_the_cut_took_lets_that_peer_lead() {
    let mut config = executor(Persistence::Fsync, 2);
    config.capacity = 0;
    config.pool_size = 1;
    let mut world = World::with_rules(Sound, 3, 3, config);
    world.run(1_000);
    let first = write(&mut world, 1, 0..1)[0];
    let sequence = world.sequence(first);
    // More than the log's tail keeps in memory.
    for round in 1..60 {
        write(&mut world, 1, round * 100..(round + 1) * 100);
    }
    world.run(500);
    assert!(world.at(3).log_base() > Lsn(0));
    world.kill(2);
    world.nodes.get_mut(&2).unwrap().disk.clear();
    world.kill(1);
    world.down.insert(1);
    world.restart(2);
    world.configure(|it| it.in_sync.retain(|one| *one != replica(1)));
    world.nominate(2);
    world.run(4_000);
    assert!(world.noted(2, Note::TailOutOfReach(P)));
    assert_eq!(world.configuration.primary, Some(replica(3)));
    assert_eq!(world.role(3), Some(RoleView::Leading));
    let get = world.ask(3, Request::Get { sequence });
    world.run(100);
    assert!(matches!(world.reply(get), Some(Reply::Task(_))));
    // The one that was cut is brought up again.
    world.run(2_000);
    assert!(!world.at(2).cut_mark());
    assert_eq!(world.at(2).last(), world.at(3).last());
    world.assert_equal_rings();
}

#[test]
fn a_primary_cuts_nothing_where_its_peer_no_longer_knows_whether_the_logs_part() {
    let mut config = executor(Persistence::Fsync, 2);
    config.capacity = 0;
    config.pool_size = 1;
    let mut world = World::with_rules(Sound, 3, 3, config);
    world.run(1_000);
    write(&mut world, 1, 0..100);
    world.run(500);
    // What the third one has is a ring, written again, and nothing before it.
    world.event(3, Event::CopyForward(P));
    world.settle();
    world.kill(3);
    world.restart(3);
    world.run(500);
    world.kill(2);
    world.cut_to(2, 40);
    world.kill(1);
    world.down.insert(1);
    world.restart(2);
    let (left, commit) = (world.at(2).last(), world.at(2).committed());
    assert!(commit < left && left < world.at(3).log_base());
    world.configure(|it| it.in_sync.retain(|one| *one != replica(1)));
    world.nominate(2);
    world.run(4_000);
    assert!(world.noted(2, Note::TailOutOfReach(P)));
    assert!(!world.noted(2, Note::TailCut(P)));
    assert_eq!(world.role(3), Some(RoleView::Leading));
    world.run(2_000);
    assert_eq!(world.at(2).last(), world.at(3).last());
    world.assert_equal_rings();
}

#[test]
fn a_cut_tail_that_ends_in_entries_of_a_replaced_term_is_cut_further_back() {
    let mut world = World::new(3, 3, Persistence::Fsync);
    world.run(1_000);
    let stored = write(&mut world, 1, 0..3);
    let sequences: Vec<Sequence> = stored.iter().map(|token| world.sequence(*token)).collect();
    world.run(500);
    // The primary is cut off with an entry that nobody else has.
    world.isolate(1);
    write(&mut world, 1, 100..101);
    let with_own_entry = world.nodes[&1].disk.len();
    world.nominate(2);
    world.run(1_500);
    let later = write(&mut world, 2, 3..6);
    world.heal();
    world.run(2_000);
    assert!(world.noted(1, Note::TailCut(P)));
    let later: Vec<Sequence> = later.iter().map(|token| world.sequence(*token)).collect();
    // Its disk loses all that came after its own entry, so that entry is back; then it is named primary.
    world.kill(1);
    world.cut_to(1, with_own_entry);
    world.kill(2);
    world.down.insert(2);
    world.restart(1);
    world.configure(|it| it.in_sync.retain(|one| *one != replica(2)));
    world.nominate(1);
    world.run(4_000);
    assert_eq!(world.role(1), Some(RoleView::Leading));
    for sequence in sequences.into_iter().chain(later) {
        let get = world.ask(1, Request::Get { sequence });
        world.settle();
        assert!(
            matches!(world.reply(get), Some(Reply::Task(_))),
            "{sequence}"
        );
    }
    world.assert_equal_rings();
}

#[test]
fn the_mark_of_a_log_that_was_cut_whole_outlives_further_starts() {
    let mut world = World::new(3, 3, Persistence::Fsync);
    world.run(1_000);
    write(&mut world, 1, 0..6);
    world.kill(2);
    world.nodes.get_mut(&2).unwrap().disk.clear();
    world.isolate(2);
    world.restart(2);
    world.run(300);
    assert!(world.at(2).cut_mark());
    world.kill(2);
    world.restart(2);
    world.run(300);
    assert!(world.at(2).cut_mark());
    world.heal();
    world.run(3_000);
    assert!(!world.at(2).cut_mark());
    world.kill(2);
    world.restart(2);
    assert!(!world.at(2).cut_mark());
}

#[test]
fn a_late_acknowledgement_does_not_bring_a_cut_mark_back() {
    let mut world = World::new(3, 2, Persistence::Fsync);
    world.run(1_000);
    write(&mut world, 1, 0..6);
    world.proposals_pass = false;
    world.kill(2);
    world.down.insert(2);
    world.configure(|it| {
        it.in_sync = vec![replica(1)];
        it.learners.push(replica(3));
    });
    world.run(500);
    assert_eq!(world.at(1).counted(), [replica(3)]);
    let (primary, learner) = (&world.nodes[&1], &world.nodes[&3]);
    let late = Ack {
        fence: Fence {
            partition: P,
            generation: world.configuration.generation,
            term: world.configuration.term,
            from: replica(3),
            to: replica(1),
            to_start: primary.start,
        },
        start: learner.start,
        matched: Lsn(0),
        mismatch: None,
        needs_snapshot: false,
        snapshot: 0,
        snapshot_parts: 0,
        version: world.configuration.version,
        cut_mark: true,
    };
    let message = PeerMessage::Ack(late);
    let from = MemberId(3);
    world.event(1, Event::Message { from, message });
    world.proposals_pass = true;
    world.run(15_000);
    assert_eq!(world.configuration.in_sync, [replica(1), replica(3)]);
}

#[test]
fn a_learner_whose_whole_log_was_cut_is_marked_and_gets_no_seat_before_it_is_whole() {
    let mut world = World::new(3, 2, Persistence::Fsync);
    world.run(1_000);
    write(&mut world, 1, 0..6);
    // The learner has acknowledged all that, and its seat is on the way.
    world.proposals_pass = false;
    world.kill(2);
    world.down.insert(2);
    world.configure(|it| it.learners.push(replica(3)));
    world.run(500);
    assert_eq!(world.at(1).counted(), [replica(3)]);
    world.kill(3);
    world.nodes.get_mut(&3).unwrap().disk.clear();
    world.isolate(3);
    world.restart(3);
    world.run(100);
    assert!(world.at(3).cut_mark());
    // The proposal arrives, and then the primary dies.
    world.configure(|it| {
        it.learners.clear();
        it.in_sync = vec![replica(1), replica(3)];
    });
    world.kill(1);
    world.down.insert(1);
    world.nominate(3);
    world.run(3_000);
    assert_eq!(world.role(3), Some(RoleView::TakingOver), "it asks first");
    world.heal();
    world.restart(1);
    world.run(4_000);
    assert_eq!(world.role(3), Some(RoleView::Leading));
    assert_eq!(world.at(3).ring().undisposed(), 6);
}

/// Tasks of the long tail, each of which is a piece of its own.
const LONG_TAIL: u64 = 8;

/// Members 1 and 3 hold several pieces that member 2 may have acknowledged, for its tail was cut; nobody has heard yet that
/// they are committed, else they would not keep as much.
fn asks_for_a_long_tail() -> World<Sound> {
    let mut world = World::new(3, 3, Persistence::Fsync);
    world.run(1_000);
    world.isolate(2);
    for key in 0..LONG_TAIL {
        let mut long = task(&format!("k{key}"));
        if let TaskCall::Handler { payload, .. } = &mut long.call {
            *payload = vec![7; limits::PREPARE_BYTES_MAX * 2 / 3].into();
        }
        world.submit_task(1, long);
        world.settle();
    }
    world.kill(2);
    world.nodes.get_mut(&2).unwrap().cut_mark = true;
    world.restart(2);
    world.heal();
    world
}

/// Delivers one message after the other until member 2 has a piece of the tail, and says whose it is.
fn deliver_until_a_piece_is_taken(world: &mut World<Sound>) -> u64 {
    loop {
        let (from, to, message) = world.network.pop_front().unwrap();
        world.event(to.0, Event::Message { from, message });
        if world.noted(2, Note::TailTaken(P)) {
            return from.0;
        }
    }
}

#[test]
fn a_peer_that_dies_while_its_tail_is_taken_is_not_waited_for() {
    let mut world = asks_for_a_long_tail();
    let last = world.at(1).last();
    world.nominate(2);
    let giver = deliver_until_a_piece_is_taken(&mut world);
    assert!(world.at(2).last() < last, "there is more to take");
    world.kill(giver);
    world.run(2_000);
    assert!(world.at(2).last() > last, "another peer gave the rest");
    // And again, where its seat is taken away meanwhile.
    world.down.insert(giver);
    world.configure(|it| it.in_sync.retain(|one| *one != replica(giver)));
    world.run(4_000);
    assert_eq!(world.role(2), Some(RoleView::Leading));
    assert_eq!(world.at(2).ring().undisposed(), LONG_TAIL);
    world.assert_equal_rings();
}

#[test]
fn a_peer_that_restarts_with_a_cut_tail_of_its_own_no_longer_counts_as_whole() {
    let mut world = asks_for_a_long_tail();
    let last = world.at(1).last();
    world.nominate(2);
    let giver = deliver_until_a_piece_is_taken(&mut world);
    let other = 4 - giver;
    // The giver loses as much, and what it says now reaches the asker before anybody else does.
    world.kill(giver);
    let short = world.nodes[&2].disk.clone();
    let node = world.nodes.get_mut(&giver).unwrap();
    node.disk = short;
    node.cut_mark = true;
    world.cut.insert((2, other));
    world.cut.insert((other, 2));
    world.restart(giver);
    world.run(1_000);
    assert_eq!(
        world.role(2),
        Some(RoleView::TakingOver),
        "one peer may still hold more"
    );
    assert!(!world.noted(2, Note::TookOver(P)));
    world.heal();
    world.run(4_000);
    assert_eq!(world.role(2), Some(RoleView::Leading));
    assert!(world.at(2).last() > last);
    assert_eq!(world.at(2).ring().undisposed(), LONG_TAIL);
    world.assert_equal_rings();
}

#[test]
fn a_cut_tail_is_asked_for_also_when_the_log_of_a_recorded_loss_is_not_applied_yet() {
    let mut world = World::new(2, 2, Persistence::Fsync);
    world.run(1_000);
    write(&mut world, 1, 0..3);
    world.configure(|it| {
        it.term = it.term.next();
        it.generation = Generation(1);
        it.kept_by = Some(replica(1));
    });
    world.run(3_000);
    let stored = write(&mut world, 1, 3..6);
    let stored: Vec<Sequence> = stored.iter().map(|it| world.sequence(*it)).collect();
    world.run(500);
    // Its tail is cut after the new generation's first entry, and nothing says how much of the rest is committed.
    world.kill(2);
    world.cut_tail(2, 3);
    world.forget_commits(2);
    world.restart(2);
    world.nominate(2);
    world.run(4_000);
    assert_eq!(world.role(2), Some(RoleView::Leading));
    for sequence in stored {
        let get = world.ask(2, Request::Get { sequence });
        world.settle();
        assert!(
            matches!(world.reply(get), Some(Reply::Task(_))),
            "{sequence}"
        );
    }
    world.assert_equal_rings();
}

/// One member alone, whose log was cut, and the loss of what the cut took is recorded. Tells how many records its disk then
/// held, and how many tasks.
fn kept_after_a_loss() -> (World<Sound>, usize, u64) {
    let mut world = World::new(1, 1, Persistence::Fsync);
    world.run(1_000);
    write(&mut world, 1, 0..3);
    world.kill(1);
    world.cut_tail(1, 1);
    let left = world.nodes[&1].disk.len();
    world.restart(1);
    world.run(2_000);
    assert_eq!(world.configuration.generation, Generation(1));
    let tasks = world.at(1).ring().undisposed();
    assert!(tasks > 0);
    (world, left, tasks)
}

#[test]
fn a_cut_that_takes_all_of_the_life_after_a_loss_is_a_loss_again() {
    let (mut world, left, tasks) = kept_after_a_loss();
    let lost = write(&mut world, 1, 3..4);
    let lost = world.sequence(lost[0]);
    world.kill(1);
    world.cut_to(1, left);
    world.restart(1);
    world.run(2_000);
    assert_eq!(world.configuration.generation, Generation(2));
    assert_eq!(world.at(1).ring().undisposed(), tasks, "the rest is kept");
    let stored = write(&mut world, 1, 4..5);
    assert_ne!(world.sequence(stored[0]), lost, "no id is given twice");
}

#[test]
fn what_was_kept_after_a_loss_is_kept_when_its_process_ends_before_it_goes_on() {
    let mut world = World::new(1, 1, Persistence::Fsync);
    world.run(1_000);
    write(&mut world, 1, 0..3);
    let tasks = world.at(1).ring().undisposed();
    world.kill(1);
    world.nodes.get_mut(&1).unwrap().cut_mark = true;
    world.configure(|it| {
        it.generation = Generation(1);
        it.kept_by = Some(replica(1));
    });
    world.restart(1);
    world.run(2_000);
    assert_eq!(world.role(1), Some(RoleView::Leading));
    assert_eq!(world.at(1).ring().undisposed(), tasks);
    world.kill(1);
    world.restart(1);
    world.run(2_000);
    assert_eq!(world.at(1).ring().undisposed(), tasks);
}

#[test]
fn a_cut_that_takes_all_of_the_life_after_a_loss_is_asked_for_where_a_peer_holds_it() {
    let mut world = World::new(2, 2, Persistence::Fsync);
    world.run(1_000);
    write(&mut world, 1, 0..3);
    let left = world.nodes[&1].disk.len();
    world.configure(|it| {
        it.term = it.term.next();
        it.generation = Generation(1);
        it.kept_by = Some(replica(1));
    });
    world.run(3_000);
    let stored = write(&mut world, 1, 3..6);
    let stored: Vec<Sequence> = stored.iter().map(|it| world.sequence(*it)).collect();
    world.run(500);
    world.kill(1);
    world.cut_to(1, left);
    world.forget_commits(1);
    world.restart(1);
    world.run(4_000);
    let leader = world.configuration.primary.unwrap().member.0;
    assert_eq!(world.role(leader), Some(RoleView::Leading));
    for sequence in stored {
        let get = world.ask(leader, Request::Get { sequence });
        world.settle();
        let found = matches!(world.reply(get), Some(Reply::Task(_)));
        assert!(found, "{sequence}");
    }
    world.assert_equal_rings();
}

/// Member 2's disk has only so many records left and member 3 is dead, while all three seats are needed; then member 2 is named
/// primary. Tells what members 1 and 3 hold.
fn leads_beside_a_dead_third_seat(left: usize, peer_is_marked: bool) -> (World<Sound>, Lsn) {
    let mut config = executor(Persistence::Fsync, 2);
    config.min_copies = Some(3);
    let mut world = World::with_rules(Sound, 3, 3, config);
    world.run(1_000);
    write(&mut world, 1, 0..6);
    let last = world.at(1).last();
    world.kill(3);
    world.kill(2);
    world.cut_to(2, left);
    world.set_down(&[3]);
    if peer_is_marked {
        world.kill(1);
        world.nodes.get_mut(&1).unwrap().cut_mark = true;
        world.restart(1);
    }
    world.isolate(2);
    world.restart(2);
    world.nominate(2);
    world.heal();
    (world, last)
}

#[test]
fn a_marked_primary_that_took_all_from_a_whole_peer_gives_a_dead_third_seat_up() {
    let (mut world, last) = leads_beside_a_dead_third_seat(4, false);
    assert!(world.at(2).cut_mark() && world.at(2).last() < last);
    world.run(30_000);
    assert_eq!(world.configuration.in_sync, [replica(1), replica(2)]);
    assert_eq!(world.role(2), Some(RoleView::Leading));
    assert!(!world.at(2).cut_mark());
    assert_eq!(world.at(2).ring().undisposed(), 6);
    world.assert_equal_rings();
}

#[test]
fn a_marked_primary_with_marked_peers_only_gives_no_seat_up() {
    let (mut world, _) = leads_beside_a_dead_third_seat(4, true);
    world.run(30_000);
    assert!(world.at(2).cut_mark());
    assert_eq!(world.role(2), Some(RoleView::TakingOver));
    assert_eq!(world.configuration.in_sync.len(), 3);
}

#[test]
fn a_disk_without_the_mark_holds_all_that_a_whole_peer_held_wherever_it_ends() {
    let (world, _) = leads_beside_a_dead_third_seat(4, false);
    let records = world.nodes[&1].disk.len();
    let mut cleared = 0;
    for left in 1..records {
        let (mut world, last) = leads_beside_a_dead_third_seat(left, false);
        world.run(3_000);
        let disk = &world.nodes[&2].disk;
        let gone = |record: &Record| matches!(record, Record::CutMarkCleared { .. });
        let Some(removal) = disk.iter().position(gone) else {
            continue;
        };
        cleared += 1;
        for end in removal + 1..=disk.len() {
            let found = recover(&disk[..end]);
            assert!(
                found[0].last() >= last,
                "{left} records were left, {end} now"
            );
        }
    }
    assert!(cleared > 0, "the mark goes before the term begins");
}
