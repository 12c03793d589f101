//! The codes of the public API as a caller gets them: gRPC's status, our reason, and when to retry.

use std::time::{Duration, Instant};

use ringhold_node::{AttemptContext, ExecutorConfig, HandlerError, Member, TypedHandler};
use ringhold_proto::{WireDuration, v1};
use ringhold_types::{ErrorCode, WhenFull, limits};
use tokio::sync::watch;
use tonic::{Code, Request, Status};

use super::support::{PATIENCE, cluster, executors, patient, refusal, task, three};

/// A handler that waits for the test.
struct Gate(watch::Sender<bool>);

impl TypedHandler for Gate {
    const NAME: &'static str = "gate";
    type Input = u64;
    type Output = u64;

    async fn run(&self, _context: AttemptContext, number: u64) -> Result<u64, HandlerError> {
        let mut open = self.0.subscribe();
        open.wait_for(|open| *open).await.expect("the test lives");
        Ok(number)
    }
}

/// One member with an executor of one entry, and one of which newer tasks overwrite older ones.
async fn start(gate: &watch::Sender<bool>) -> Member {
    let narrow = ExecutorConfig::new("narrow").partition_count(1).capacity(1);
    let overwrites = ExecutorConfig::new("overwrites")
        .partition_count(1)
        .capacity(1)
        .when_full(WhenFull::Overwrite);
    let member = Member::single()
        .executor(narrow)
        .executor(overwrites)
        .handler(Gate(gate.clone()));
    member.start().await.expect("it starts")
}

pub(super) fn submit_of(executor: &str, task: Option<v1::Task>) -> v1::SubmitRequest {
    v1::SubmitRequest {
        executor: executor.to_owned(),
        task,
        ..v1::SubmitRequest::default()
    }
}

pub(super) async fn submit(
    member: &Member,
    request: v1::SubmitRequest,
) -> Result<v1::TaskId, Status> {
    let answer = executors(member).await.submit(patient(request)).await?;
    let receipt = answer.into_inner().receipt.expect("a receipt");
    Ok(receipt.id.expect("an id"))
}

pub(super) async fn retrieve(
    member: &Member,
    id: &v1::TaskId,
    wait: Option<Duration>,
    deadline: Duration,
) -> Result<v1::RetrieveResultResponse, Status> {
    let wait = wait.map(|wait| WireDuration {
        seconds: i64::try_from(wait.as_secs()).expect("short"),
        nanos: 0,
    });
    let mut request = Request::new(v1::RetrieveResultRequest {
        id: Some(id.clone()),
        wait,
        ..v1::RetrieveResultRequest::default()
    });
    request.set_timeout(deadline);
    let answer = executors(member).await.retrieve_result(request).await?;
    Ok(answer.into_inner())
}

async fn dispose(member: &Member, id: &v1::TaskId) -> Result<(), Status> {
    let request = v1::DisposeResultRequest {
        id: Some(id.clone()),
        ..v1::DisposeResultRequest::default()
    };
    let answer = executors(member)
        .await
        .dispose_result(patient(request))
        .await;
    answer.map(drop)
}

/// Checks one row of the table: what happened, and how it travels.
pub(super) fn assert_row<T: std::fmt::Debug>(row: (&str, Code, bool), answer: Result<T, Status>) {
    let (reason, code, retries) = row;
    let status = answer.expect_err(reason);
    let refused = refusal(&status);
    assert_eq!(refused.code.as_str(), reason, "{status}");
    assert_eq!(status.code(), code, "{reason}");
    assert_eq!(refused.retry_after.is_some(), retries, "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_that_a_lone_member_can_be_brought_to_travels_as_the_table_says() {
    let (gate, _) = watch::channel(false);
    let member = start(&gate).await;
    let running = submit(
        &member,
        submit_of("narrow", Some(task("gate", "1".into(), "k"))),
    );
    let running = running.await.expect("stored");

    submits_refusals(&member).await;
    let never = v1::TaskId {
        text: String::new(),
        sequence: 99,
        ..running.clone()
    };
    assert_row(
        ("NEVER_EXISTED", Code::NotFound, false),
        retrieve(&member, &never, None, PATIENCE).await,
    );
    assert_row(
        ("FAILED_PRECONDITION", Code::FailedPrecondition, false),
        dispose(&member, &running).await,
    );
    gate.send_replace(true);
    retrieve(&member, &running, None, PATIENCE)
        .await
        .expect("it ends");
    dispose(&member, &running).await.expect("it has ended");
    assert_row(
        ("DISPOSED", Code::NotFound, false),
        retrieve(&member, &running, None, PATIENCE).await,
    );

    overwritten(&member).await;
    operators_refusals(&member).await;
    member.shutdown().await;
}

async fn submits_refusals(member: &Member) {
    let more = submit_of("narrow", Some(task("gate", "2".into(), "other")));
    assert_row(
        ("EXECUTOR_FULL", Code::ResourceExhausted, true),
        submit(member, more).await,
    );
    let other = submit_of("narrow", Some(task("gate", "2".into(), "k")));
    assert_row(
        ("ALREADY_EXISTS", Code::AlreadyExists, false),
        submit(member, other).await,
    );
    let large = "9".repeat(limits::TASK_BYTES_MAX + 1);
    let large = submit_of("narrow", Some(task("gate", large, "l")));
    assert_row(
        ("TOO_LARGE", Code::InvalidArgument, false),
        submit(member, large).await,
    );
    let nothing = submit_of("narrow", None);
    assert_row(
        ("INVALID_ARGUMENT", Code::InvalidArgument, false),
        submit(member, nothing).await,
    );
    let unknown = submit_of("nobody", Some(task("gate", "1".into(), "k")));
    assert_row(
        ("EXECUTOR_NOT_FOUND", Code::NotFound, false),
        submit(member, unknown).await,
    );
    let mut foreign = submit_of("narrow", Some(task("gate", "1".into(), "k")));
    foreign.cluster_id = Some(vec![9; 16].into());
    assert_row(
        ("WRONG_CLUSTER", Code::FailedPrecondition, false),
        submit(member, foreign).await,
    );
}

async fn overwritten(member: &Member) {
    let first = submit_of("overwrites", Some(task("gate", "1".into(), "first")));
    let first = submit(member, first).await.expect("stored");
    retrieve(member, &first, None, PATIENCE)
        .await
        .expect("it ends");
    let second = submit_of("overwrites", Some(task("gate", "2".into(), "second")));
    submit(member, second)
        .await
        .expect("it takes the place of the first");
    assert_row(
        ("OVERWRITTEN", Code::NotFound, false),
        retrieve(member, &first, None, PATIENCE).await,
    );
}

async fn operators_refusals(member: &Member) {
    let forget = |name: &str| v1::ForgetMemberRequest {
        member: name.to_owned(),
        ..v1::ForgetMemberRequest::default()
    };
    let mut operator = cluster(member).await;
    let unknown = operator.forget_member(patient(forget("nobody"))).await;
    assert_row(("NOT_FOUND", Code::NotFound, false), unknown);
    let living = operator.forget_member(patient(forget(member.name()))).await;
    let facts = refusal(living.as_ref().expect_err("it runs")).metadata;
    assert_row(
        ("FAILED_PRECONDITION", Code::FailedPrecondition, false),
        living,
    );
    assert_eq!(facts["would_lose_partitions"], "2");
    assert_eq!(facts["would_lose"], "narrow/0,overwrites/0");
    let config = v1::ExecutorConfig {
        name: "narrow".to_owned(),
        capacity: Some(7),
        ..v1::ExecutorConfig::default()
    };
    let request = v1::CreateExecutorRequest {
        config: Some(config),
        ..v1::CreateExecutorRequest::default()
    };
    let differs = operator.create_executor(patient(request)).await;
    assert_row(("ALREADY_EXISTS", Code::AlreadyExists, false), differs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absent_wait_is_as_long_as_the_calls_deadline_and_zero_is_none() {
    let (gate, _) = watch::channel(false);
    let member = start(&gate).await;
    let id = submit(
        &member,
        submit_of("narrow", Some(task("gate", "1".into(), "k"))),
    );
    let id = id.await.expect("stored");
    let asked = Instant::now();
    let answer = retrieve(&member, &id, Some(Duration::ZERO), PATIENCE).await;
    assert!(answer.expect("at once").outcome.is_none());
    assert!(asked.elapsed() < PATIENCE, "it was not waited for");
    let deadline = Duration::from_secs(2);
    let asked = Instant::now();
    let answer = retrieve(&member, &id, None, deadline).await;
    assert!(
        answer
            .expect("in time, without an outcome")
            .outcome
            .is_none()
    );
    assert!(asked.elapsed() >= deadline / 2, "it was waited for");
    let waiting = retrieve(&member, &id, None, PATIENCE);
    let opened = async { gate.send_replace(true) };
    let (answer, _) = tokio::join!(waiting, opened);
    assert!(answer.expect("it waited").outcome.is_some());
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_does_not_lead_names_the_primary_and_its_term() {
    let three = three(|_, builder| {
        builder.executor(
            ExecutorConfig::new("reports")
                .partition_count(1)
                .durability(2),
        )
    })
    .await;
    let request = submit_of("reports", Some(task("ringhold.echo", "1".into(), "k")));
    let id = submit(&three.members[0], request).await.expect("stored");
    let request = v1::ListPartitionsRequest {
        executor: "reports".to_owned(),
        ..v1::ListPartitionsRequest::default()
    };
    let partitions = cluster(&three.members[0])
        .await
        .list_partitions(patient(request))
        .await;
    let partition = partitions.expect("known").into_inner().partitions.remove(0);
    let primary = partition.primary.expect("it has one").member_id;
    let other = three
        .members
        .iter()
        .find(|member| member.member_id().0 != primary);
    let mut request = patient(v1::GetRequest {
        id: Some(id),
        ..v1::GetRequest::default()
    });
    // As a member does that took this one for the primary.
    request
        .metadata_mut()
        .insert("ringhold-forwarded", "7".parse().expect("ASCII"));
    let refused = executors(other.expect("two do not lead"))
        .await
        .get(request)
        .await;
    let status = refused.expect_err("it does not lead");
    let refused = refusal(&status);
    assert_eq!(
        (refused.code, status.code()),
        (ErrorCode::NotPrimary, Code::Unavailable)
    );
    assert_eq!(refused.primary().map(|member| member.0), Some(primary));
    assert_eq!(refused.term().map(|term| term.0), Some(partition.term));
    assert!(refused.primary_address().is_some());
    three.stop().await;
}
