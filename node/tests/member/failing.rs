//! A member that can no longer do its share.

use std::time::Duration;

use ringhold_node::{AttemptContext, ExecutorConfig, HandlerError, Member, TypedHandler};
use ringhold_proto::v1;
use tonic::Request;
use tonic_health::pb::health_check_response::ServingStatus;

use super::discovery::health;
use super::support::{cluster, eventually, executors, patient, refusal, task, three};

/// Enough of these fill a log segment, so that the log needs a new file.
const PAYLOAD_BYTES: usize = 256 * 1024;
/// How long one submit may take while its primary is about to fail.
const SUBMIT_PATIENCE: Duration = Duration::from_secs(3);

/// Answers how long its input was.
struct Length;

impl TypedHandler for Length {
    const NAME: &'static str = "length";
    type Input = String;
    type Output = usize;

    async fn run(&self, _context: AttemptContext, input: String) -> Result<usize, HandlerError> {
        Ok(input.len())
    }
}

/// Submits a task through a member; its id if it was acknowledged.
async fn submit(member: &Member, number: usize) -> Option<v1::TaskId> {
    let payload = format!("\"{}\"", "x".repeat(PAYLOAD_BYTES));
    let mut request = Request::new(v1::SubmitRequest {
        executor: "work".to_owned(),
        task: Some(task(Length::NAME, payload, &format!("key-{number}"))),
        ..v1::SubmitRequest::default()
    });
    request.set_timeout(SUBMIT_PATIENCE);
    let answer = executors(member).await.submit(request).await.ok()?;
    answer.into_inner().receipt.expect("a receipt").id
}

/// What a failed member tells whoever asks it for what it led: it never learns who leads that now. Of so many keys some fall
/// into its third of the partitions.
async fn refused_by(failing: &Member) -> Option<String> {
    for number in 0..1_000 {
        let late = task(Length::NAME, "\"x\"".into(), &format!("late-{number}"));
        let request = v1::SubmitRequest {
            executor: "work".to_owned(),
            task: Some(late),
            ..v1::SubmitRequest::default()
        };
        if let Err(status) = executors(failing).await.submit(patient(request)).await {
            return Some(refusal(&status).message);
        }
    }
    None
}

/// The state that a member's cluster service gives of `name`, and what that one leads.
async fn seen(member: &Member, name: &str) -> Option<(i32, u32)> {
    let request = patient(v1::ListMembersRequest::default());
    let listed = cluster(member).await.list_members(request).await.ok()?;
    let members = listed.into_inner().members;
    let found = members.into_iter().find(|it| it.name == name)?;
    Some((found.state, found.primaries))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_log_fails_is_no_longer_ready_and_others_take_over_what_it_led() {
    let three = three(|_, builder| {
        let executor = ExecutorConfig::new("work").pool_size(4).durability(1);
        builder.executor(executor).handler(Length)
    })
    .await;
    let failing = &three.members[0];
    let other = &three.members[1];
    let log = three.directory("m1").join("log");
    std::fs::remove_dir_all(&log).expect("the log's directory was there");

    let mut acknowledged = Vec::new();
    let mut number = 0;
    while !failing
        .not_ready_reasons()
        .iter()
        .any(|it| it.contains("it has failed"))
    {
        number += 1;
        assert!(number < 1_000, "the log never needed a new file");
        acknowledged.extend(submit(other, number).await);
    }
    eventually(
        "the others judge it down and lead its partitions",
        || async {
            let down = v1::MemberState::Down as i32;
            seen(other, "m1").await == Some((down, 0))
        },
    )
    .await;
    assert!(!acknowledged.is_empty());
    let text = refused_by(failing).await.expect("it led something");
    assert!(text.contains("ask another member"), "{text}");
    eventually("it says that it serves nothing", || async {
        let said = health(failing).await;
        said.iter()
            .all(|(_, status)| *status == ServingStatus::NotServing)
    })
    .await;
    for id in acknowledged {
        let request = v1::RetrieveResultRequest {
            id: Some(id),
            wait: Some(ringhold_proto::WireDuration {
                seconds: 50,
                nanos: 0,
            }),
            ..v1::RetrieveResultRequest::default()
        };
        let mut service = executors(&three.members[2]).await;
        let answer = service.retrieve_result(patient(request)).await;
        let answer = answer.expect("an answer").into_inner();
        assert!(answer.outcome.is_some(), "an acknowledged task ended");
    }
    three.stop().await;
}
