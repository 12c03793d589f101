//! How long an item of a submit stream may take.

use std::time::Duration;

use ringhold_node::{ExecutorConfig, Member};
use ringhold_proto::{convert::duration_from_millis, v1};
use ringhold_types::{Millis, WhenFull};

use super::support::{executors, task};

const PATIENCE: Millis = Millis(400);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_waits_for_room_is_refused_by_name_before_its_client_gives_up() {
    let narrow = ExecutorConfig::new("narrow").partition_count(1).capacity(1);
    let member = Member::single().executor(narrow.when_full(WhenFull::Wait));
    let member = member.start().await.expect("it starts");
    let item = |number: u64| v1::SubmitStreamRequest {
        correlation_id: number,
        executor: "narrow".to_owned(),
        task: Some(task("ringhold.echo", "1".into(), &number.to_string())),
        patience: (number > 1).then(|| duration_from_millis(PATIENCE)),
        ..Default::default()
    };
    let (requests, outgoing) = tokio::sync::mpsc::channel(2);
    let outgoing = tokio_stream::wrappers::ReceiverStream::new(outgoing);
    let mut service = executors(&member).await;
    let answers = service.submit_stream(outgoing).await.expect("a stream");
    let mut answers = answers.into_inner();
    let mut answer_to = async |number| {
        requests.send(item(number)).await.expect("the stream lives");
        let answer = answers.message().await.expect("the stream lives");
        answer.and_then(|it| it.answer?.answer).expect("an answer")
    };
    let first = answer_to(1).await;
    assert!(
        matches!(first, v1::submit_answer::Answer::Receipt(_)),
        "{first:?}"
    );
    // The first one's outcome keeps the only place, and nobody disposes of it.
    let waited = Duration::from_millis(PATIENCE.0);
    let second = tokio::time::timeout(waited, answer_to(2)).await;
    let v1::submit_answer::Answer::Error(error) = second.expect("in time") else {
        panic!("there was no room");
    };
    assert_eq!(error.code, "EXECUTOR_FULL", "{error:?}");
    member.shutdown().await;
}
