//! The bound of the bytes of all rings that a member holds.

use crate::support::*;
use ringhold_replica::*;
use ringhold_types::*;

/// Room for some forty small tasks: what a task takes beside its few bytes is [`limits::ENTRY_BYTES`].
const MOST: u64 = 40 * 1024;

/// A cluster of two copies without a limit by count; the members named have the bound.
fn bounded(members: &[u64], when_full: WhenFull) -> World<Sound> {
    let mut config = executor(Persistence::Memory, 1);
    config.capacity = 0;
    config.when_full = when_full;
    config.pool_size = 100;
    let mut world = World::with_rules(Sound, 2, 2, config);
    for id in [1, 2] {
        if members.contains(&id) {
            world.ring_bytes_max.insert(id, MOST);
        }
        world.boot(id, StartNonce(100 + id), Vec::new());
    }
    world.configure(|_| {});
    world.run(1_000);
    world
}

/// Submits until one is refused; what was stored, and the refusal.
fn fill(world: &mut World<Sound>) -> (Vec<Sequence>, Refusal) {
    let mut stored = Vec::new();
    for number in 0..1_000 {
        let token = world.submit(1, &format!("task {number}"));
        world.run(150);
        match world.reply(token) {
            Some(Reply::Submitted { sequence, .. }) => stored.push(*sequence),
            Some(Reply::Refused(refusal)) => return (stored, refusal.clone()),
            other => panic!("the submit was answered {other:?}"),
        }
    }
    panic!("nothing bounds the rings");
}

fn succeed(world: &mut World<Sound>, sequence: Sequence, text: &str) {
    let token = world.started(1, sequence).expect("it runs on the primary");
    world.report(1, token, result(text));
    world.run(150);
}

fn held(world: &World<Sound>, id: u64) -> u64 {
    world.nodes[&id].member.ring_bytes().0
}

#[test]
fn a_member_whose_rings_are_full_takes_no_new_task_and_is_named_whatever_the_capacity() {
    for full in [1, 2] {
        let mut world = bounded(&[full], WhenFull::Reject);
        let (stored, refusal) = fill(&mut world);
        assert!((30..40).contains(&stored.len()), "{}", stored.len());
        assert!(held(&world, full) <= MOST);
        assert_eq!(held(&world, 1), held(&world, 2));
        assert_eq!(refusal.code, ErrorCode::ExecutorFull);
        assert!(refusal.retry_after.is_some());
        let text = &refusal.message;
        assert!(
            text.contains(&format!("member {}", MemberId(full))),
            "{text}"
        );
        assert!(text.contains("ring-bytes-max"), "{text}");
        assert!(world.noted(1, Note::RingsFull(P)));
        // What is stored already is found all the same.
        let found = world.submit(1, "task 0");
        world.run(150);
        assert_eq!(world.sequence(found), stored[0]);
        // Room that is made is given again.
        for sequence in stored[..8].iter().copied() {
            succeed(&mut world, sequence, "done");
            world.ask(1, Request::Dispose { sequence });
        }
        world.run(200);
        let taken = world.submit(1, "new");
        world.run(200);
        world.sequence(taken);
    }
}

#[test]
fn an_outcome_is_never_refused_for_want_of_room_and_counts() {
    let mut world = bounded(&[1, 2], WhenFull::Reject);
    let (stored, _) = fill(&mut world);
    let large = "x".repeat(64 * 1024);
    succeed(&mut world, stored[0], &large);
    assert!(held(&world, 1) > MOST && held(&world, 2) > MOST);
    let read = world.retrieve(1, stored[0]);
    world.run(100);
    assert!(matches!(world.outcome(read), Some(Outcome::Succeeded(_))));
    let refused = world.submit(1, "new");
    world.run(150);
    assert_eq!(world.refusal(refused), Some(ErrorCode::ExecutorFull));
    // Once it was retrieved it may give way, as in any full ring.
    let sequences = vec![stored[0]];
    world.ask(1, Request::ConfirmRetrieved { sequences });
    world.run(200);
    let taken = world.submit(1, "new");
    world.run(150);
    world.sequence(taken);
    let gone = world.retrieve(1, stored[0]);
    world.run(100);
    assert_eq!(world.refusal(gone), Some(ErrorCode::Overwritten));
    assert!(held(&world, 1) <= MOST);
}

#[test]
fn a_submit_that_waits_for_room_on_a_member_gets_it_or_hears_of_that_member() {
    for full in [1, 2] {
        let mut world = bounded(&[full], WhenFull::Wait);
        let mut stored = Vec::new();
        let waiting = loop {
            let token = world.submit(1, &format!("task {}", stored.len()));
            world.run(150);
            if world.reply(token).is_none() {
                break token;
            }
            stored.push(world.sequence(token));
        };
        let submission = Submission {
            task: std::sync::Arc::new(task("impatient")),
            delay: None,
            now: UnixMillis(0),
        };
        let impatient = world.ask_within(1, Request::Submit(submission), 500);
        world.run(1_000);
        let Some(Reply::Refused(refusal)) = world.reply(impatient) else {
            panic!("it waits for ever");
        };
        assert_eq!(refusal.code, ErrorCode::ExecutorFull);
        let text = &refusal.message;
        assert!(
            text.contains(&format!("member {}", MemberId(full))),
            "{text}"
        );
        for sequence in stored[..8].iter().copied() {
            succeed(&mut world, sequence, "done");
            world.ask(1, Request::Dispose { sequence });
        }
        world.run(500);
        world.sequence(waiting);
    }
}

#[test]
fn a_replica_that_leaves_gives_its_room_back_and_a_started_member_counts_what_it_holds() {
    let mut config = executor(Persistence::Fsync, 1);
    config.capacity = 0;
    let mut world = World::with_rules(Sound, 3, 2, config);
    world.run(1_000);
    for number in 0..5 {
        world.submit(1, &format!("task {number}"));
    }
    world.run(500);
    let before = held(&world, 2);
    assert!(before > 5 * limits::ENTRY_BYTES);
    world.kill(2);
    world.restart(2);
    world.run(2_000);
    assert_eq!((held(&world, 1), held(&world, 2)), (before, before));
    world.configure(|it| it.learners.push(replica(3)));
    world.run(2_000);
    world.configure(|it| it.in_sync.retain(|seat| *seat != replica(2)));
    world.run(500);
    assert_eq!((held(&world, 2), held(&world, 3)), (0, before));
}
