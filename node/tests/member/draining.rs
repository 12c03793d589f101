//! An operator's drain with an end of time.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ringhold_node::{
    AttemptContext, ExecutorConfig, Handler, HandlerError, HandlerInput, HandlerOutput, Member,
};
use ringhold_proto::convert::duration_from_millis;
use ringhold_proto::v1;
use ringhold_types::{ErrorCode, Millis};
use tokio::sync::mpsc;
use tonic::{Code, Status};

use super::support::{
    PATIENCE, Three, cluster, eventually, executors, patient, refusal, task, three,
};

/// A moment.
const MOMENT: Duration = Duration::from_millis(100);

/// A handler on one member that says so when it begins, and never ends by itself.
struct Endless {
    member: usize,
    begins: mpsc::UnboundedSender<usize>,
}

impl Handler for Endless {
    fn run(
        &self,
        _context: AttemptContext,
        _input: HandlerInput,
    ) -> BoxFuture<'_, Result<HandlerOutput, HandlerError>> {
        // Whoever does not listen any more does not want to know.
        let _gone = self.begins.send(self.member);
        std::future::pending().boxed()
    }
}

async fn three_with(durability: u32) -> Three {
    three_that_run(3, durability, mpsc::unbounded_channel().0).await
}

/// Three members with a few partitions, all of their copies there.
async fn three_that_run(
    partitions: u32,
    durability: u32,
    begins: mpsc::UnboundedSender<usize>,
) -> Three {
    let three = three(|member, builder| {
        let executor = ExecutorConfig::new("work").partition_count(partitions);
        let begins = begins.clone();
        builder
            .executor(executor.durability(durability))
            .raw_handler("endless", Endless { member, begins })
    })
    .await;
    let seats = partitions * (durability + 1);
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
    submit(member, "ringhold.echo").await;
}

async fn submit(member: &Member, handler: &str) {
    let request = v1::SubmitRequest {
        executor: "work".to_owned(),
        task: Some(task(handler, "1".to_owned(), "key")),
        ..v1::SubmitRequest::default()
    };
    let stored = executors(member).await.submit(patient(request)).await;
    stored.expect("stored");
}

async fn drain(asked: &Member, undo: bool, wait: Option<Duration>) -> Result<v1::Member, Status> {
    let answer = drain_of(asked, "m2", undo, wait).await?;
    Ok(answer.member.expect("a member"))
}

async fn drain_of(
    asked: &Member,
    member: &str,
    undo: bool,
    wait: Option<Duration>,
) -> Result<v1::DrainMemberResponse, Status> {
    let millis = |wait: Duration| Millis(u64::try_from(wait.as_millis()).expect("short"));
    let request = v1::DrainMemberRequest {
        cluster_id: None,
        member: member.to_owned(),
        undo,
        wait: wait.map(millis).map(duration_from_millis),
    };
    let answer = cluster(asked).await.drain_member(patient(request)).await?;
    Ok(answer.into_inner())
}

/// Three members one of which is drained and has nothing left but an attempt that does not end, of a partition that another
/// leads; and the drained one's number.
async fn three_with_a_straggler() -> (Three, usize) {
    let (begins, mut begun) = mpsc::unbounded_channel();
    let three = three_that_run(1, 1, begins).await;
    submit(&three.members[0], "endless").await;
    let drained = begun.recv().await.expect("it runs somewhere");
    let asked = &three.members[drained];
    let name = name_of(drained);
    drain_of(asked, &name, false, None).await.expect("begun");
    eventually("nothing is left but what runs", || async {
        let members = list(asked).await;
        let drained = members.iter().find(|it| it.name == name);
        drained.is_some_and(|it| (it.primaries, it.seats) == (0, 0))
    })
    .await;
    (three, drained)
}

/// The name of a member of [`three`].
fn name_of(number: usize) -> String {
    format!("m{}", number + 1)
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_takes_back_is_named_and_what_was_handed_back_is_told_again() {
    let (mut three, drained) = three_with_a_straggler().await;
    let name = name_of(drained);
    // The copy of its partition that does not lead goes: until it is given up, nothing can be committed.
    let is_copy = |it: &&v1::Member| (it.primaries, it.seats) == (0, 1);
    let members = list(&three.members[drained]).await;
    let copy = members.iter().find(is_copy).expect("one of two");
    let copy = three.members.iter().position(|it| it.name() == copy.name);
    let copy = copy.expect("one of these");
    let gone = three.members.remove(copy);
    gone.shutdown().await;
    let asked = three.members.iter().find(|it| it.name() == name);
    let asked = asked.expect("another one has gone");
    let late = drain_of(asked, &name, false, Some(MOMENT)).await;
    let late = refusal(&late.expect_err("its end is not taken"));
    assert_eq!(late.code, ErrorCode::DrainTimeout, "{late}");
    let says = |what: &str| late.metadata.get(what).map(String::as_str);
    assert_eq!(says("left_attempts"), Some("1"), "{late}");
    assert_eq!(says("handed_back"), Some("1"), "{late}");
    assert!(late.message.contains("taken back"), "{late}");
    // The other one goes on alone after a while. What was handed back is still known.
    let over = drain_of(asked, &name, false, Some(PATIENCE)).await;
    assert_eq!(over.expect("it is taken back").handed_back, Some(1));
    three.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_takes_nothing_from_an_attempt_while_a_caller_gives_it_time() {
    let (three, drained) = three_with_a_straggler().await;
    let name = name_of(drained);
    let (asked, other) = (&three.members[drained], &three.members[(drained + 1) % 3]);
    let short = drain_of(asked, &name, false, Some(Duration::from_secs(3)));
    let long = drain_of(other, &name, false, Some(PATIENCE));
    let first = tokio::select! {
        ended = short => ended,
        ended = long => panic!("the attempt does not end: {ended:?}"),
    };
    let first = refusal(&first.expect_err("the other one has more time"));
    assert_eq!(first.code, ErrorCode::DrainTimeout, "{first}");
    let says = |what: &str| first.metadata.get(what).map(String::as_str);
    assert_eq!(
        (says("left_attempts"), says("handed_back")),
        (Some("1"), Some("0"))
    );
    assert!(first.message.contains("more time"), "{first}");
    // That caller has gone away by now, or is just going.
    let mut handed_back = None;
    while handed_back.is_none() {
        match drain_of(other, &name, false, Some(MOMENT)).await {
            Ok(answer) => handed_back = Some(answer.handed_back),
            Err(status) => assert!(refusal(&status).message.contains("more time"), "{status}"),
        }
    }
    assert_eq!(handed_back, Some(Some(1)));
    three.stop().await;
}
