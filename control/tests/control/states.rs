//! Executors: paused, resumed, shut down.

use ringhold_control::{Cluster, Command, Refused, Response};
use ringhold_types::{ControlIndex, ExecutorId, ExecutorState, ExecutorWish, UnixMillis, limits};

use crate::world::{World, config, named};

fn set(wish: ExecutorWish, expected: Option<ControlIndex>) -> Command {
    Command::SetExecutorState {
        name: config(1).name,
        wish,
        expected,
    }
}

fn pause(reason: &str, until: Option<UnixMillis>) -> ExecutorWish {
    let reason = reason.to_owned();
    ExecutorWish::Pause { reason, until }
}

fn shutdown(reason: &str) -> ExecutorWish {
    let reason = reason.to_owned();
    ExecutorWish::ShutDown { reason }
}

fn at_level() -> (World, ExecutorId) {
    let (mut world, executor) = World::with_executor(2, &config(1));
    let raise = world.cluster.level_step().expect("a new cluster");
    world.done(&raise);
    (world, executor)
}

fn state(world: &World, executor: ExecutorId) -> &ExecutorState {
    &world.cluster.executors()[&executor].state
}

#[test]
fn a_paused_executor_is_paused_on_every_member_and_after_a_snapshot() {
    let (mut world, executor) = at_level();
    assert_eq!(state(&world, executor), &ExecutorState::Running);
    let until = Some(UnixMillis(99));
    let changes = world.done(&set(pause("the printer is broken", until), None));
    assert_eq!(changes.executors, [executor]);
    let since = world.cluster.index();
    let paused = ExecutorState::Paused {
        reason: "the printer is broken".into(),
        until,
        since,
    };
    world.join(3);
    assert_eq!(state(&world, executor), &paused);
    let restored = Cluster::restore(world.cluster.snapshot()).unwrap();
    assert_eq!(restored.executors()[&executor].state, paused);
    assert!(!paused.starts_tasks() && paused.takes_tasks());

    // The same again changes nothing; another reason is another pause.
    let (response, changes) = world.apply(&set(pause("the printer is broken", until), None));
    assert_eq!(response, Response::Executor { id: executor });
    assert_eq!(changes, Default::default());
    world.done(&set(pause("still broken", None), None));
    assert_eq!(state(&world, executor).since(), Some(world.cluster.index()));
    world.done(&set(ExecutorWish::Run, None));
    assert_eq!(state(&world, executor), &ExecutorState::Running);
}

#[test]
fn shutting_down_is_final_and_repeated_without_harm() {
    let (mut world, executor) = at_level();
    world.done(&set(pause("a while", None), None));
    world.done(&set(shutdown("replaced by another"), None));
    let down = state(&world, executor).clone();
    assert!(down.starts_tasks() && !down.takes_tasks());
    let (_, changes) = world.apply(&set(shutdown("another reason"), None));
    assert_eq!(changes, Default::default());
    assert_eq!(state(&world, executor), &down, "the first reason stands");
    for wish in [ExecutorWish::Run, pause("a while", None)] {
        let reason = "replaced by another".into();
        let refused = world.refused(&set(wish, None));
        assert_eq!(refused, Refused::ShutDown { reason });
        let text = refused.to_string();
        assert!(
            text.contains("replaced by another") && text.contains("destroy"),
            "{text}"
        );
    }
    // Its configuration may change all the same, and its name is free once it is destroyed.
    let name = config(1).name;
    let mut wider = config(1);
    wider.pool_size += 1;
    world.done(&Command::UpdateExecutor { config: wider });
    assert_eq!(state(&world, executor), &down);
    world.done(&Command::DeleteExecutor { name });
    let again = world.create(&config(1));
    assert_eq!(state(&world, again), &ExecutorState::Running);
}

#[test]
fn the_end_of_a_pause_by_its_time_ends_no_other_pause() {
    let (mut world, executor) = at_level();
    world.done(&set(pause("first", Some(UnixMillis(5))), None));
    let first = state(&world, executor).since();
    world.done(&set(pause("second", None), None));
    assert_eq!(
        world.refused(&set(ExecutorWish::Run, first)),
        Refused::StateChanged
    );
    let second = state(&world, executor).since();
    world.done(&set(ExecutorWish::Run, second));
    let (repeated, changes) = world.apply(&set(ExecutorWish::Run, second));
    assert_eq!(repeated, Response::Executor { id: executor });
    assert_eq!(changes, Default::default());
    let late = world.refused(&set(pause("third", None), second));
    assert_eq!(late, Refused::StateChanged);
}

#[test]
fn a_state_needs_an_executor_and_a_reason_of_bounded_length() {
    let (mut world, _) = at_level();
    let unknown = Command::SetExecutorState {
        name: named("unknown", 1).name,
        wish: ExecutorWish::Run,
        expected: None,
    };
    assert_eq!(world.refused(&unknown), Refused::Unknown);
    let most = "a".repeat(limits::STATE_REASON_BYTES_MAX);
    let refused = world.refused(&set(pause(&format!("{most}a"), None), None));
    let Refused::Invalid { violation } = refused else {
        panic!("{refused:?}");
    };
    assert!(
        violation.contains("512") && violation.contains("513"),
        "{violation}"
    );
    world.done(&set(pause(&most, None), None));
}

#[test]
fn pauses_end_at_their_time_and_others_go_on() {
    let (mut world, executor) = at_level();
    let other = world.create(&named("other", 1));
    let of_other = |wish| Command::SetExecutorState {
        name: named("other", 1).name,
        wish,
        expected: None,
    };
    world.done(&of_other(pause("no end", None)));
    world.done(&set(pause("a while", Some(UnixMillis(1_000))), None));
    let since = state(&world, executor).since();
    assert_eq!(world.cluster.ended_pauses(UnixMillis(999)), []);
    let ends = world.cluster.ended_pauses(UnixMillis(1_000));
    assert_eq!(ends, [set(ExecutorWish::Run, since)]);
    world.done(&ends[0]);
    assert_eq!(state(&world, executor), &ExecutorState::Running);
    assert_eq!(world.cluster.ended_pauses(UnixMillis(u64::MAX)), []);
    assert!(!state(&world, other).starts_tasks());
}

#[test]
fn a_cluster_with_an_older_member_changes_no_state() {
    let (mut world, executor) = World::with_executor(2, &config(1));
    let refused = world.refused(&set(pause("a while", None), None));
    assert!(refused.to_string().contains("every member"), "{refused}");
    assert_eq!(state(&world, executor), &ExecutorState::Running);
}
