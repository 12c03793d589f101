//! Bootstrap, proposals, leases, failure of the leader.

use std::time::{Duration, Instant};

use ringhold_control::{Command, MemberState, Response};
use ringhold_types::{
    ExecutorConfig, ExecutorName, ExecutorState, ExecutorWish, MemberId, UnixMillis,
};

use super::support::{PATIENCE, Running, eventually, open, place, plan, three, three_voters};

fn create(name: &str) -> Command {
    let name = ExecutorName::new(name).expect("a valid name");
    Command::CreateExecutor {
        config: ExecutorConfig::with_name(name),
    }
}

fn split_leader(members: Vec<Running>) -> (Running, Vec<Running>) {
    let leader = members[0].plane.leader().expect("a leader");
    let (mut leaders, others): (Vec<_>, Vec<_>) =
        members.into_iter().partition(|member| member.id == leader);
    (leaders.pop().expect("the leader is one of them"), others)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_started_at_once_form_one_cluster_with_three_voters() {
    let (_directories, members, _) = three().await;
    let cluster = members[0].plane.view().cluster.id().expect("an identity");
    for member in &members {
        assert_eq!(member.plane.waiting(), None);
        let view = member
            .until("all are up", |view| view.cluster.members().len() == 3)
            .await;
        assert_eq!(view.cluster.id(), Some(cluster));
        assert_eq!(view.cluster.name(), "test");
    }
    for member in &members {
        three_voters(member).await;
    }
    for member in members {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proposal_on_any_member_is_forwarded_and_seen_by_all() {
    let (_directories, members, _) = three().await;
    let (leader, others) = split_leader(members);
    let answer = others[0]
        .plane
        .propose(create("reports"), PATIENCE)
        .await
        .expect("answered");
    let Response::Executor { id } = answer else {
        panic!("{answer:?}")
    };
    let again = others[1]
        .plane
        .propose(create("reports"), PATIENCE)
        .await
        .expect("answered");
    assert_eq!(
        again,
        Response::Executor { id },
        "the same command again changes nothing"
    );
    for member in others.iter().chain([&leader]) {
        member
            .until("applied", |view| view.cluster.executors().contains_key(&id))
            .await;
        eventually("announced", || {
            let log = member.log.lock().expect("not poisoned");
            log.applied
                .iter()
                .any(|(_, changes)| changes.executors.contains(&id))
        })
        .await;
    }
    for member in others.into_iter().chain([leader]) {
        member.stop().await;
    }
}

/// Pauses the executor until then.
fn pause(name: &str, until: Option<UnixMillis>) -> Command {
    Command::SetExecutorState {
        name: ExecutorName::new(name).expect("a valid name"),
        wish: ExecutorWish::Pause {
            reason: "the printer is broken".into(),
            until,
        },
        expected: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_executor_paused_by_command_is_seen_by_all_members_until_its_time() {
    let (_directories, members, _) = three().await;
    for member in &members {
        member
            .until("at its level", |view| view.cluster.feature_level() == 2)
            .await;
    }
    let propose = |command| members[1].plane.propose(command, PATIENCE);
    propose(create("reports")).await.expect("answered");
    let paused = propose(pause("reports", None)).await.expect("answered");
    let Response::Executor { id } = paused else {
        panic!("{paused:?}")
    };
    for member in &members {
        let is_paused = |state: &ExecutorState| !state.starts_tasks();
        member
            .until("paused", |view| {
                let record = view.cluster.executors().get(&id);
                record.is_some_and(|record| is_paused(&record.state))
            })
            .await;
    }
    // A pause whose time has come already is ended by whoever leads.
    let over = pause("reports", Some(UnixMillis(1)));
    propose(over).await.expect("answered");
    for member in &members {
        member
            .until("resumed", |view| {
                view.cluster.executors()[&id].state == ExecutorState::Running
            })
            .await;
    }
    for member in members {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_leader_dies_another_leads_and_judges_it_down() {
    let (_directories, members, _) = three().await;
    for member in &members {
        three_voters(member).await;
    }
    let (leader, others) = split_leader(members);
    let dead = leader.id;
    let killed = Instant::now();
    leader.crash().await;
    for member in &others {
        member
            .until("judged down", |view| {
                view.cluster.members()[&dead].state == MemberState::Down
            })
            .await;
    }
    let took = killed.elapsed();
    assert!(
        took < Duration::from_secs(4),
        "took {took:?}; about 1.3 s on a quiet machine"
    );
    println!("down after {took:?}");
    assert_ne!(others[0].plane.leader(), Some(dead));
    for survivor in &others {
        assert_eq!(
            survivor.plane.view().cluster.members()[&survivor.id].state,
            MemberState::Up,
            "nobody else is judged"
        );
    }
    for member in others {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stops_in_good_order_hands_over_first() {
    let (_directories, members, _) = three().await;
    for member in &members {
        three_voters(member).await;
    }
    let (leader, others) = split_leader(members);
    let former = leader.id;
    let began = Instant::now();
    leader.stop().await;
    eventually("another leads", || {
        others.iter().any(|member| member.plane.is_leader())
    })
    .await;
    println!("handed over after {:?}", began.elapsed());
    assert_ne!(others[0].plane.leader(), Some(former));
    let answer = others[0].plane.propose(create("after"), PATIENCE).await;
    assert!(
        matches!(answer, Ok(Response::Executor { .. })),
        "{answer:?}"
    );
    for member in others {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_flow_to_every_member_and_cease_without_a_majority() {
    let (_directories, members, _) = three().await;
    for member in &members {
        three_voters(member).await;
        eventually("leases", || {
            member.log.lock().expect("not poisoned").leases.len() > 3
        })
        .await;
    }
    let (leader, others) = split_leader(members);
    for member in others {
        member.crash().await;
    }
    eventually("it does not count as leader", || !leader.plane.is_leader()).await;
    let count = || leader.log.lock().expect("not poisoned").leases.len();
    // A turn that was under way may still deliver one.
    tokio::time::sleep(Duration::from_millis(150)).await;
    let before = count();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(count(), before, "no lease without a quorum");
    let refused = leader
        .plane
        .propose(create("alone"), Duration::from_millis(400))
        .await;
    assert!(refused.is_err(), "{refused:?}");
    leader.crash().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_alone_is_a_cluster_and_comes_back_with_its_state() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = open(&directory, place(), &plan(1, 101, &[], 1)).await;
    first.plane.join().await.expect("joins");
    let cluster = first.plane.view().cluster.id();
    assert!(cluster.is_some());
    let name = ExecutorName::new("kept").expect("a valid name");
    let config = ExecutorConfig {
        durability: 0,
        ..ExecutorConfig::with_name(name)
    };
    let answer = first
        .plane
        .propose(Command::CreateExecutor { config }, PATIENCE)
        .await;
    assert!(
        matches!(answer, Ok(Response::Executor { .. })),
        "{answer:?}"
    );
    eventually("leases", || {
        !first.log.lock().expect("not poisoned").leases.is_empty()
    })
    .await;
    first.stop().await;

    let second = open(&directory, place(), &plan(1, 102, &[], 1)).await;
    second.plane.join().await.expect("joins");
    let view = second.plane.view();
    assert_eq!(view.cluster.id(), cluster);
    assert_eq!(view.cluster.members()[&MemberId(1)].start, second.fresh);
    assert_eq!(view.cluster.executors().len(), 1);
    second.stop().await;
}
