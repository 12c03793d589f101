//! An operator's drain with an end of time.

use std::time::Duration;

use ringhold_node::{ExecutorConfig, Member};
use ringhold_proto::convert::duration_from_millis;
use ringhold_proto::v1;
use ringhold_types::{ErrorCode, Millis};
use tonic::{Code, Status};

use super::support::{
    PATIENCE, Three, cluster, eventually, executors, patient, refusal, task, three,
};

async fn three_with(durability: u32) -> Three {
    let three = three(|_, builder| {
        let executor = ExecutorConfig::new("work").partition_count(3);
        builder.executor(executor.durability(durability))
    })
    .await;
    let seats = 3 * (durability + 1);
    eventually("every partition has its copies", || async {
        let members = list(&three.members[0]).await;
        members.iter().map(|member| member.seats).sum::<u32>() == seats
    })
    .await;
    three
}

async fn list(member: &Member) -> Vec<v1::Member> {
    let request = patient(v1::ListMembersRequest::default());
    let listed = cluster(member).await.list_members(request).await;
    listed.expect("listed").into_inner().members
}

/// Stores a task: a partition without one has nothing that would have to be moved.
async fn hold_a_task(member: &Member) {
    let request = v1::SubmitRequest {
        executor: "work".to_owned(),
        task: Some(task("ringhold.echo", "1".to_owned(), "key")),
        ..v1::SubmitRequest::default()
    };
    let stored = executors(member).await.submit(patient(request)).await;
    stored.expect("stored");
}

async fn drain(asked: &Member, undo: bool, wait: Option<Duration>) -> Result<v1::Member, Status> {
    let millis = |wait: Duration| Millis(u64::try_from(wait.as_millis()).expect("short"));
    let request = v1::DrainMemberRequest {
        cluster_id: None,
        member: "m2".to_owned(),
        undo,
        wait: wait.map(millis).map(duration_from_millis),
    };
    let answer = cluster(asked).await.drain_member(patient(request)).await?;
    Ok(answer.into_inner().member.expect("a member"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_that_cannot_end_says_after_its_time_what_is_left_and_goes_on() {
    // Three copies on three members: nobody can take the seats of the second.
    let three = three_with(2).await;
    let asked = &three.members[0];
    hold_a_task(asked).await;
    let late = drain(asked, false, Some(Duration::from_millis(100))).await;
    let late = late.expect_err("it cannot be over");
    assert_eq!(late.code(), Code::DeadlineExceeded);
    let late = refusal(&late);
    assert_eq!(late.code, ErrorCode::DrainTimeout);
    assert_eq!(late.metadata["left_seats"], "1", "{late}");
    assert!(late.metadata.contains_key("left_primaries"));
    assert!(late.message.contains("goes on draining"), "{late}");
    assert!(late.message.contains("member drain m2 --undo"), "{late}");
    let draining = |members: Vec<v1::Member>| members.iter().any(|it| it.draining);
    assert!(draining(list(asked).await));
    let back = drain(asked, true, None).await.expect("it is ended");
    assert!(!back.draining);
    let both = drain(asked, true, Some(PATIENCE)).await;
    let both = refusal(&both.expect_err("there is nothing to wait for"));
    assert_eq!(both.code, ErrorCode::InvalidArgument);
    three.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_that_is_waited_for_is_answered_when_the_member_has_nothing_left() {
    let three = three_with(1).await;
    hold_a_task(&three.members[0]).await;
    let drained = drain(&three.members[0], false, Some(PATIENCE)).await;
    let drained = drained.expect("the others take everything");
    assert!(drained.draining);
    assert_eq!((drained.primaries, drained.seats), (0, 0));
    three.stop().await;
}
