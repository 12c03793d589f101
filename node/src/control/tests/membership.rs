//! Members that come back, come late, or do not belong.

use std::time::Duration;

use ringhold_control::{Command, MemberState, Response};
use ringhold_types::{ExecutorConfig, ExecutorName, MemberId, StartNonce};

use super::support::{PATIENCE, eventually, open, place, plan, three, three_voters};
use crate::control::ControlError;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_member_keeps_its_identity_and_gets_a_new_start_even_on_another_port() {
    let (directories, mut members, join) = three().await;
    for member in &members {
        three_voters(member).await;
    }
    let victim = members.remove(1);
    let id = victim.id;
    let store = victim.plane.view().cluster.members()[&id].store;
    victim.crash().await;
    let again = open(&directories[1], place(), &plan(id.0, 202, &join, 3)).await;
    again.plane.join().await.expect("joins again");
    for member in members.iter().chain([&again]) {
        let view = member
            .until("the new start", |view| {
                view.cluster.members()[&id].start == StartNonce(202)
            })
            .await;
        assert_eq!(view.cluster.members().len(), 3, "it is the same member");
        assert_eq!(
            view.cluster.members()[&id].store,
            store,
            "and its store the same store"
        );
    }
    again
        .until("up", |view| {
            view.cluster.members()[&id].state == MemberState::Up
        })
        .await;
    for member in members.into_iter().chain([again]) {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_cluster_that_was_killed_comes_back_on_other_ports() {
    let (directories, members, _) = three().await;
    for member in &members {
        three_voters(member).await;
    }
    let cluster = members[0].plane.view().cluster.id();
    for member in members {
        member.crash().await;
    }
    let places: Vec<_> = (0..3).map(|_| place()).collect();
    let join: Vec<String> = places.iter().map(|place| place.address.clone()).collect();
    let mut members = Vec::new();
    for ((number, place), directory) in (1_u64..).zip(places).zip(&directories) {
        members.push(open(directory, place, &plan(number, number * 100 + 2, &join, 3)).await);
    }
    for result in super::support::join_all(&members.iter().collect::<Vec<_>>()).await {
        result.expect("joins again");
    }
    for member in &members {
        assert_eq!(member.plane.view().cluster.id(), cluster);
    }
    for member in members {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_has_not_come_back_with_its_cluster_yet_is_starting() {
    let (directories, members, _) = three().await;
    for member in &members {
        three_voters(member).await;
    }
    // The last one is alone by then, and nobody can judge it.
    for member in members {
        member.crash().await;
    }
    let places: Vec<_> = (0..3).map(|_| place()).collect();
    let join: Vec<String> = places.iter().map(|place| place.address.clone()).collect();
    let mut places = (1_u64..).zip(places).zip(&directories);
    let mut open_next = async || {
        let ((number, place), directory) = places.next().expect("three");
        open(directory, place, &plan(number, number * 100 + 2, &join, 3)).await
    };
    let members = [open_next().await, open_next().await];
    for result in super::support::join_all(&members.each_ref()).await {
        result.expect("joins again");
    }
    let missing = MemberId(3);
    for member in &members {
        eventually("the third is waited for", || {
            member.plane.starting() == [missing].into()
        })
        .await;
        assert!(member.plane.view().cluster.members()[&missing].is_up());
    }
    let third = open_next().await;
    third.plane.join().await.expect("joins again");
    for member in members.iter().chain([&third]) {
        eventually("nobody is waited for", || {
            member.plane.starting().is_empty()
        })
        .await;
    }
    for member in members.into_iter().chain([third]) {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_with_an_emptied_directory_waits_for_its_death_and_joins_as_a_new_one() {
    let (_directories, mut members, join) = three().await;
    for member in &members {
        three_voters(member).await;
    }
    let victim = members.remove(1);
    let former = victim.id;
    victim.crash().await;
    let emptied = tempfile::tempdir().expect("a directory");
    let again = super::support::Plan {
        name: Some("m2"),
        ..plan(22, 2201, &join, 3)
    };
    let again = open(&emptied, place(), &again).await;
    again.plane.join().await.expect("joins");
    let view = again.plane.view();
    assert!(view.cluster.members()[&former].is_forgotten());
    assert!(view.cluster.members()[&again.id].is_up());
    for member in members.into_iter().chain([again]) {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_member_under_the_name_of_a_living_one_says_whom_it_waits_for() {
    let (_directories, members, join) = three().await;
    let directory = tempfile::tempdir().expect("a directory");
    let second = super::support::Plan {
        name: Some("m2"),
        ..plan(22, 2201, &join, 3)
    };
    let second = open(&directory, place(), &second).await;
    let namesake = members[1].id;
    let plane = second.plane.clone();
    let joining = crate::spawn::task("joins", async move { plane.join().await });
    eventually("it says why", || {
        let waiting = second.plane.waiting();
        waiting.is_some_and(|(why, _)| why.contains(&format!("that of member {namesake}")))
    })
    .await;
    let view = members[0].plane.view();
    assert!(view.cluster.members()[&namesake].is_up());
    assert!(!view.cluster.members().contains_key(&second.id));
    joining.abort();
    second.crash().await;
    for member in members {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_member_joins_as_a_learner_and_replaces_no_voter() {
    let (_directories, members, join) = three().await;
    for member in &members {
        three_voters(member).await;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let late = open(&directory, place(), &plan(4, 401, &join, 3)).await;
    late.plane.join().await.expect("joins");
    assert_eq!(late.plane.view().cluster.members().len(), 4);
    let summary = late.plane.summary();
    assert_eq!(summary.voters.len(), 3);
    assert_eq!(summary.learners, vec![MemberId(4)]);
    eventually("leases reach a learner, too", || {
        !late.log.lock().expect("not poisoned").leases.is_empty()
    })
    .await;
    for member in members.into_iter().chain([late]) {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_of_another_cluster_is_refused_with_both_ids() {
    let one_directory = tempfile::tempdir().expect("a directory");
    let other_directory = tempfile::tempdir().expect("a directory");
    let one_place = place();
    let join = vec![one_place.address.clone()];
    let one = open(&one_directory, one_place, &plan(1, 101, &[], 1)).await;
    one.plane.join().await.expect("joins");
    let other = open(&other_directory, place(), &plan(2, 201, &[], 1)).await;
    other.plane.join().await.expect("makes its own");
    let ids = [&one, &other].map(|member| member.plane.view().cluster.id().expect("an identity"));
    assert_ne!(ids[0], ids[1]);
    other.stop().await;

    let stray = open(&other_directory, place(), &plan(2, 202, &join, 1)).await;
    let error = stray.plane.join().await.expect_err("another cluster");
    assert!(
        matches!(error, ControlError::OtherCluster { .. }),
        "{error}"
    );
    for id in ids {
        assert!(error.to_string().contains(&id.to_string()), "{error}");
    }
    stray.crash().await;
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_cluster_name_is_refused_with_both_names() {
    let directories = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let one_place = place();
    let join = vec![one_place.address.clone()];
    let one = open(&directories[0], one_place, &plan(1, 101, &[], 1)).await;
    one.plane.join().await.expect("joins");
    let wrong = super::support::Plan {
        cluster_name: "typo",
        ..plan(2, 201, &join, 2)
    };
    let stray = open(&directories[1], place(), &wrong).await;
    let error = stray
        .plane
        .join()
        .await
        .expect_err("another name")
        .to_string();
    assert!(error.contains("typo") && error.contains("test"), "{error}");
    stray.crash().await;
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_cannot_join_says_whom_it_asked_and_what_each_answered() {
    let directory = tempfile::tempdir().expect("a directory");
    let own = place();
    let nobody = place();
    let join = vec![own.address.clone(), nobody.address.clone()];
    drop(nobody);
    let short = super::support::Plan {
        deadline: Some(Duration::from_millis(500)),
        ..plan(1, 101, &join, 2)
    };
    let alone = open(&directory, own, &short).await;
    let error = alone
        .plane
        .join()
        .await
        .expect_err("nobody is there")
        .to_string();
    assert!(
        error.contains(&join[0]) && error.contains(&join[1]),
        "{error}"
    );
    assert!(
        error.contains("no cluster") && error.contains("refused"),
        "{error}"
    );
    assert!(
        alone.plane.view().cluster.id().is_none(),
        "it makes no cluster by itself"
    );
    alone.crash().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copied_directory_is_refused_once_the_original_started_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let copy = tempfile::tempdir().expect("a directory");
    let (_directories, members, join) = three().await;
    let late = open(&directory, place(), &plan(4, 401, &join, 3)).await;
    late.plane.join().await.expect("joins");
    late.stop().await;
    let file = "metadata.redb";
    std::fs::copy(directory.path().join(file), copy.path().join(file)).expect("copied");
    let again = open(&directory, place(), &plan(4, 402, &join, 3)).await;
    again.plane.join().await.expect("the original starts again");
    again.stop().await;
    let clone = open(&copy, place(), &plan(4, 403, &join, 3)).await;
    let error = clone.plane.join().await.expect_err("a clone");
    assert!(matches!(error, ControlError::Refused { .. }), "{error}");
    clone.crash().await;
    for member in members {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_member_loses_its_vote_and_its_place_in_raft() {
    let (_directories, mut members, _) = three().await;
    for member in &members {
        three_voters(member).await;
    }
    let gone = members.pop().expect("three");
    let id = gone.id;
    gone.crash().await;
    let forget = Command::Forget {
        member: id,
        process_ended: true,
        at: ringhold_types::UnixMillis(1),
    };
    let mut answer = members[0].plane.propose(forget.clone(), PATIENCE).await;
    if answer.is_err() {
        // The dead member led, and the proposal went to it.
        answer = members[0].plane.propose(forget, PATIENCE).await;
    }
    assert!(
        matches!(answer, Ok(Response::Forgotten { .. })),
        "{answer:?}"
    );
    eventually("it is no node of raft", || {
        let summary = members[0].plane.summary();
        summary.voters.len() == 1 && !summary.learners.contains(&id)
    })
    .await;
    for member in members {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_needs_entries_long_purged_gets_a_snapshot_and_so_does_a_restart() {
    let directories = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let one_place = place();
    let join = vec![one_place.address.clone()];
    let one = open(&directories[0], one_place, &plan(1, 101, &[], 1)).await;
    one.plane.join().await.expect("joins");
    for number in 0..5 {
        let name = ExecutorName::new(format!("e{number}")).expect("a valid name");
        let config = ExecutorConfig {
            durability: 0,
            ..ExecutorConfig::with_name(name)
        };
        let command = Command::CreateExecutor { config };
        let answer = one.plane.propose(command, PATIENCE).await;
        assert!(
            matches!(answer, Ok(Response::Executor { .. })),
            "{answer:?}"
        );
    }
    let applied = one.plane.summary().applied_index;
    let raft = &one.plane.core.raft;
    raft.trigger().snapshot().await.expect("runs");
    eventually("a snapshot", || one.plane.core.metrics().snapshot.is_some()).await;
    raft.trigger().purge_log(applied).await.expect("runs");
    eventually("a purged log", || one.plane.core.metrics().purged.is_some()).await;

    let two = open(&directories[1], place(), &plan(2, 201, &join, 1)).await;
    two.plane.join().await.expect("joins");
    assert_eq!(two.plane.view().cluster.executors().len(), 5);
    {
        let log = two.log.lock().expect("not poisoned");
        let executors = log
            .applied
            .iter()
            .map(|(_, changes)| changes.executors.len());
        assert_eq!(
            executors.sum::<usize>(),
            5,
            "the snapshot announces what it brought"
        );
    }
    two.stop().await;
    one.stop().await;

    let again = open(&directories[0], place(), &plan(1, 102, &[], 1)).await;
    again.plane.join().await.expect("joins again");
    assert_eq!(again.plane.view().cluster.executors().len(), 5);
    again.stop().await;
}
