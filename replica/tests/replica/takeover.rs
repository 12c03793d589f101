//! Takeover: what was acknowledged stays, what was not may go, and the deposed primary does nothing more.

use crate::support::*;
use ringhold_replica::*;
use ringhold_types::*;

fn leading(members: u64, seats: u64, persistence: Persistence) -> World<Sound> {
    let mut world = World::new(members, seats, persistence);
    world.run(1_000);
    assert_eq!(world.role(1), Some(RoleView::Leading));
    world
}

/// The control plane sees member 1 die: member 2 leads, member 1 loses its seat.
fn fail_over(world: &mut World<Sound>) {
    let start = world.nodes[&2].start;
    world.down.insert(1);
    world.configure(|it| {
        it.term = it.term.next();
        it.primary = Some(replica(2));
        it.primary_start = start;
        it.in_sync.retain(|one| *one != replica(1));
    });
}

#[test]
fn a_takeover_keeps_every_acknowledged_task_and_outcome() {
    for persistence in [Persistence::Memory, Persistence::Fsync] {
        let mut world = leading(3, 3, persistence);
        let tokens: Vec<u64> = (0..5)
            .map(|key| world.submit(1, &format!("k{key}")))
            .collect();
        world.settle();
        let sequences: Vec<Sequence> = tokens.iter().map(|token| world.sequence(*token)).collect();
        let attempt = world.started(1, sequences[0]).unwrap();
        world.report(1, attempt, result("done"));
        let seen = world.retrieve(1, sequences[0]);
        assert!(world.outcome(seen).is_some());
        world.kill(1);
        fail_over(&mut world);
        world.run(1_500);
        assert_eq!(world.role(2), Some(RoleView::Leading));
        for sequence in &sequences {
            let get = world.ask(
                2,
                Request::Get {
                    sequence: *sequence,
                },
            );
            world.settle();
            assert!(
                matches!(world.reply(get), Some(Reply::Task(_))),
                "{sequence}"
            );
        }
        let again = world.retrieve(2, sequences[0]);
        world.settle();
        assert_eq!(world.outcome(again), world.outcome(seen));
        world.assert_equal_rings();
    }
}

#[test]
fn a_deposed_primary_commits_nothing_and_answers_nothing() {
    let mut world = leading(3, 3, Persistence::Memory);
    let stored = world.submit(1, "a");
    world.settle();
    let sequence = world.sequence(stored);
    // Member 1 is cut off from everybody, the control plane included, and does not know that it is deposed.
    world.isolate(1);
    world.nodes.get_mut(&1).unwrap().control = false;
    let stale = world.submit(1, "b");
    fail_over(&mut world);
    world.run(2_000);
    assert_eq!(world.role(2), Some(RoleView::Leading));
    let before = world.at(1).committed();
    let read = world.ask(1, Request::Get { sequence });
    let more = world.submit(1, "c");
    world.run(2_000);
    assert_eq!(world.at(1).committed(), before);
    for token in [stale, read, more] {
        assert_eq!(world.reply(token), None, "request {token}");
    }
    // Once it hears of it, everybody who waits is sent on.
    world.nodes.get_mut(&1).unwrap().control = true;
    world.publish();
    for token in [stale, read, more] {
        assert_eq!(
            world.refusal(token),
            Some(ErrorCode::NotPrimary),
            "request {token}"
        );
    }
}

#[test]
fn a_new_primary_waits_for_the_lease_of_the_old_one() {
    let mut world = leading(3, 3, Persistence::Memory);
    world.isolate(1);
    let deposed_at = world.now;
    fail_over(&mut world);
    world.run(400);
    assert_eq!(world.role(2), Some(RoleView::TakingOver));
    let waits_until = world.at(2).waits_until().unwrap();
    assert!(
        waits_until > deposed_at.after(Millis(500)),
        "{waits_until:?}"
    );
    // By then the old primary, cut off, answers nothing any more.
    while world.now < waits_until {
        let old = &world.nodes[&1].member;
        let new = &world.nodes[&2].member;
        assert!(!(old.is_answering(P, world.now) && new.is_answering(P, world.now)));
        world.run(10);
    }
    assert!(!world.nodes[&1].member.is_answering(P, world.now));
    world.run(300);
    assert_eq!(world.role(2), Some(RoleView::Leading));
}

#[test]
fn a_takeover_after_a_crash_waits_for_no_lease() {
    let mut world = leading(3, 3, Persistence::Memory);
    world.kill(1);
    world.run(900);
    let at = world.now;
    fail_over(&mut world);
    assert!(world.at(2).waits_until().unwrap() <= at);
    world.settle();
    assert_eq!(world.role(2), Some(RoleView::Leading));
}

#[test]
fn the_losers_tail_is_cut_where_the_logs_part() {
    let mut world = leading(3, 3, Persistence::Fsync);
    let kept = world.submit(1, "kept");
    world.settle();
    // What member 1 appends now reaches nobody.
    world.isolate(1);
    for key in ["x", "y", "z"] {
        world.submit(1, key);
    }
    world.run(50);
    let tail = world.at(1).last();
    let start = world.nodes[&2].start;
    world.configure(|it| {
        it.term = it.term.next();
        it.primary = Some(replica(2));
        it.primary_start = start;
    });
    world.run(1_000);
    // Member 1 keeps its seat, so nothing commits without it.
    assert_eq!(world.role(2), Some(RoleView::TakingOver));
    world.heal();
    world.run(3_000);
    assert_eq!(world.role(2), Some(RoleView::Leading));
    assert!(world.noted(1, Note::TailCut(P)));
    assert!(world.at(1).committed() > Lsn(0) && tail > Lsn(0));
    assert_eq!(world.at(1).last(), world.at(2).last());
    let found = world.submit(2, "kept");
    world.settle();
    assert_eq!(world.sequence(found), world.sequence(kept));
    let new = world.submit(2, "x");
    world.settle();
    assert!(matches!(
        world.reply(new),
        Some(Reply::Submitted { reused: false, .. })
    ));
    world.run(500);
    world.assert_equal_rings();
}

#[test]
fn a_task_acknowledged_before_a_takeover_is_found_by_its_key_after_it() {
    let mut world = leading(2, 2, Persistence::Memory);
    let first = world.submit(1, "a");
    world.settle();
    world.kill(1);
    fail_over(&mut world);
    world.configure(|it| it.min_copies = 1);
    world.run(1_500);
    let again = world.submit(2, "a");
    world.settle();
    assert_eq!(world.sequence(again), world.sequence(first));
    assert!(matches!(
        world.reply(again),
        Some(Reply::Submitted { reused: true, .. })
    ));
}

#[test]
fn a_step_down_tells_every_waiter_once_who_leads() {
    let mut world = leading(3, 3, Persistence::Memory);
    let stored = world.submit(1, "a");
    world.settle();
    let sequence = world.sequence(stored);
    let waiting: Vec<u64> = (0..3).map(|_| world.retrieve(1, sequence)).collect();
    world.nominate(2);
    for token in waiting {
        match world.reply(token) {
            Some(Reply::Refused(refusal)) => {
                assert_eq!(refusal.code, ErrorCode::NotPrimary);
                assert_eq!(refusal.primary, Some(MemberId(2)));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(world.nodes[&1].member.waiters(), 0);
    assert_eq!(world.nodes[&1].member.open_requests(), 0);
}

#[test]
fn requests_are_held_during_a_takeover_and_answered_after_it() {
    let mut world = leading(3, 3, Persistence::Memory);
    let stored = world.submit(1, "a");
    world.settle();
    let sequence = world.sequence(stored);
    world.kill(1);
    fail_over(&mut world);
    let get = world.ask(2, Request::Get { sequence });
    let submit = world.submit(2, "b");
    assert_eq!(world.at(2).held(), 2);
    world.run(1_500);
    assert!(matches!(world.reply(get), Some(Reply::Task(_))));
    assert!(matches!(world.reply(submit), Some(Reply::Submitted { .. })));
    assert_eq!(world.at(2).held(), 0);
}

#[test]
fn an_expired_lease_holds_answers_until_it_is_renewed() {
    let mut world = leading(2, 2, Persistence::Memory);
    let stored = world.submit(1, "a");
    world.settle();
    let sequence = world.sequence(stored);
    world.isolate(1);
    world.run(700);
    let get = world.ask(1, Request::Get { sequence });
    let missing = world.ask(
        1,
        Request::Get {
            sequence: Sequence::from_bits(77),
        },
    );
    world.run(500);
    assert_eq!(world.reply(get), None);
    assert_eq!(world.reply(missing), None);
    assert!(world.noted(1, Note::WaitedForLease(P)));
    world.heal();
    world.run(300);
    assert!(matches!(world.reply(get), Some(Reply::Task(_))));
    assert_eq!(world.refusal(missing), Some(ErrorCode::NeverExisted));
}

#[test]
fn nothing_starts_without_a_lease() {
    let mut config = executor(Persistence::Memory, 1);
    config.pool_size = 1;
    let mut world = World::with_rules(Sound, 2, 2, config);
    world.run(1_000);
    for key in ["a", "b"] {
        world.submit(1, key);
    }
    world.settle();
    assert_eq!(world.starts.len(), 1);
    let first = world.starts[0].1.token;
    // Prepares and acknowledgements pass, heartbeats do not: the lease runs out, commits go on.
    for _ in 0..80 {
        world.now = world.now.after(Millis(10));
        for id in [1, 2] {
            world.event(id, Event::Timer);
        }
        world.network.retain(|(_, _, message)| {
            !matches!(
                message,
                PeerMessage::Heartbeat(_) | PeerMessage::HeartbeatReply(_)
            )
        });
        world.settle();
    }
    world.report(1, first, result("done"));
    world.network.clear();
    assert_eq!(world.starts.len(), 1);
    world.run(300);
    assert_eq!(world.starts.len(), 2);
}

#[test]
fn a_lone_primary_answers_only_under_the_control_planes_lease() {
    let mut config = executor(Persistence::Memory, 0);
    config.min_copies = Some(1);
    let mut world = World::with_rules(Sound, 1, 1, config);
    world.run(1_000);
    let first = world.submit(1, "a");
    world.settle();
    assert!(matches!(world.reply(first), Some(Reply::Submitted { .. })));
    world.nodes.get_mut(&1).unwrap().control = false;
    world.run(800);
    let second = world.submit(1, "b");
    world.run(200);
    assert_eq!(world.reply(second), None);
    world.nodes.get_mut(&1).unwrap().control = true;
    world.run(300);
    assert!(matches!(world.reply(second), Some(Reply::Submitted { .. })));
}

#[test]
fn a_grant_of_a_member_that_knows_of_the_successor_is_of_no_use_to_the_old_primary() {
    let mut world = leading(3, 3, Persistence::Memory);
    // Member 1 no longer hears the control plane, but its peers answer its heartbeats.
    world.nodes.get_mut(&1).unwrap().control = false;
    world.nominate(2);
    world.run(1_000);
    assert!(!world.nodes[&1].member.is_answering(P, world.now));
    assert!(world.nodes[&2].member.is_answering(P, world.now));
}

#[test]
fn a_restarted_member_leads_only_in_a_new_term_and_after_the_leases_of_its_past() {
    let mut world = leading(2, 2, Persistence::Fsync);
    let stored = world.submit(1, "a");
    world.settle();
    let term = world.at(1).term();
    world.kill(1);
    world.nodes.get_mut(&1).unwrap().control = false;
    world.restart(1);
    // Its start is not applied yet where it runs: it has no part in anything.
    world.run(200);
    assert_eq!(world.role(1), None);
    let restarted_at = world.now;
    world.nodes.get_mut(&1).unwrap().control = true;
    world.publish();
    world.settle();
    assert_eq!(world.role(1), Some(RoleView::TakingOver));
    assert!(world.at(1).waits_until().unwrap() >= restarted_at.after(Millis(400)));
    world.run(1_000);
    assert_eq!(world.role(1), Some(RoleView::Leading));
    assert!(world.at(1).term() > term);
    let again = world.submit(1, "a");
    world.settle();
    assert_eq!(world.sequence(again), world.sequence(stored));
}

#[test]
fn a_nomination_for_an_older_start_is_not_taken() {
    let mut world = leading(2, 2, Persistence::Fsync);
    world.configure(|it| {
        it.term = it.term.next();
        it.primary = Some(replica(2));
        it.primary_start = StartNonce(9);
    });
    world.run(2_000);
    assert_eq!(world.role(2), Some(RoleView::Backup));
}

#[test]
fn acks_of_an_older_term_are_not_counted() {
    let mut world = leading(2, 2, Persistence::Memory);
    world.submit(1, "a");
    // The acknowledgement is on the way while the term changes.
    let (from, to, prepare) = world.network.pop_front().unwrap();
    world.event(
        to.0,
        Event::Message {
            from,
            message: prepare,
        },
    );
    let old: Vec<_> = world.network.drain(..).collect();
    let start = world.nodes[&1].start;
    world.configure(|it| {
        it.term = it.term.next();
        it.primary = Some(replica(1));
        it.primary_start = start;
    });
    let before = world.at(1).committed();
    world.network.clear();
    world.network.extend(old);
    world.settle();
    assert_eq!(world.at(1).committed(), before);
    assert!(world.noted(1, Note::Fenced(P)));
}

#[test]
fn a_new_store_lost_nothing_though_its_partition_changed_before_it_first_heard_of_it() {
    let mut config = executor(Persistence::Fsync, 1);
    config.min_copies = Some(2);
    let mut world = World::with_rules(Sound, 3, 2, config);
    // Member 2 hears of the partition only after its first primary has died: both came in one.
    world.nodes.remove(&2);
    world.boot(2, StartNonce(102), Vec::new());
    world.network.clear();
    world.nodes.get_mut(&2).unwrap().control = false;
    world.kill(1);
    world.down.insert(1);
    world.configure(|it| it.learners.push(replica(3)));
    world.nodes.get_mut(&2).unwrap().control = true;
    world.nominate(2);
    world.run(5_000);
    assert_eq!(world.role(2), Some(RoleView::Leading));
    assert_eq!(world.configuration.in_sync, [replica(2), replica(3)]);
}
