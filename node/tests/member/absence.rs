//! What members say of things that do not exist (DESIGN G9).

use std::time::{Duration, Instant};

use ringhold_node::ExecutorConfig;
use ringhold_proto::v1;
use ringhold_types::ErrorCode;

use super::support::{PATIENCE, cluster, executors, patient, refusal, three};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_of_a_partition_that_was_never_used_never_existed_and_every_member_says_so_at_once() {
    let three = three(|_, builder| builder.executor(ExecutorConfig::new("reports"))).await;
    // It is created in the background; every member knows it as soon as one does.
    let mut service = cluster(&three.members[0]).await;
    loop {
        let request = v1::GetExecutorRequest {
            name: "reports".to_owned(),
            ..v1::GetExecutorRequest::default()
        };
        if service.get_executor(patient(request)).await.is_ok() {
            break;
        }
        tokio::task::yield_now().await;
    }
    for member in &three.members {
        let id = v1::TaskId {
            executor: "reports".to_owned(),
            partition: 113,
            sequence: 9812,
            ..v1::TaskId::default()
        };
        let asked = Instant::now();
        let mut client = executors(member).await;
        let request = v1::RetrieveResultRequest {
            id: Some(id.clone()),
            ..v1::RetrieveResultRequest::default()
        };
        let refused = client.retrieve_result(patient(request)).await;
        let refused = refusal(&refused.expect_err("there is no such task"));
        assert_eq!(refused.code, ErrorCode::NeverExisted, "{}", refused.message);
        let request = v1::GetRequest {
            id: Some(id),
            ..v1::GetRequest::default()
        };
        let refused = client.get(patient(request)).await;
        let refused = refusal(&refused.expect_err("there is no such task"));
        assert_eq!(refused.code, ErrorCode::NeverExisted, "{}", refused.message);
        assert!(asked.elapsed() < PATIENCE / 2, "not at the deadline");
    }
    three.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_created_executor_is_known_through_every_member_and_an_unknown_one_is_not_found() {
    let three = three(|_, builder| builder).await;
    let mut services = Vec::new();
    for member in &three.members {
        services.push(cluster(member).await);
    }
    for number in 0..30 {
        let name = format!("made-{number}");
        let config = ringhold_types::ExecutorConfig::with_name(
            ringhold_types::ExecutorName::new(name.clone()).expect("a name"),
        );
        let request = v1::CreateExecutorRequest {
            config: Some(v1::ExecutorConfig::from(&config)),
            ..v1::CreateExecutorRequest::default()
        };
        let maker = number % services.len();
        let made = services[maker].create_executor(patient(request)).await;
        made.expect("created");
        for service in &mut services {
            let request = v1::GetExecutorRequest {
                name: name.clone(),
                ..v1::GetExecutorRequest::default()
            };
            let found = service.get_executor(patient(request)).await;
            found.expect("known since its creation was answered");
        }
    }
    for service in &mut services {
        let request = v1::GetExecutorRequest {
            name: "made-31".to_owned(),
            ..v1::GetExecutorRequest::default()
        };
        let refused = service.get_executor(patient(request)).await;
        let refused = refusal(&refused.expect_err("nobody made it"));
        assert_eq!(refused.code, ErrorCode::ExecutorNotFound);
    }
    three.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_a_majority_does_not_say_that_something_does_not_exist() {
    let mut three = three(|_, builder| builder).await;
    let last = three.members.remove(0);
    let others = std::mem::take(&mut three.members);
    futures_util::future::join_all(others.into_iter().map(ringhold_node::Member::shutdown)).await;
    let mut request = tonic::Request::new(v1::RetrieveResultRequest {
        id: Some(v1::TaskId {
            executor: "reports".to_owned(),
            ..v1::TaskId::default()
        }),
        ..v1::RetrieveResultRequest::default()
    });
    request.set_timeout(Duration::from_secs(2));
    let mut client = executors(&last).await;
    let refused = client.retrieve_result(request).await;
    let status = refused.expect_err("it cannot know");
    let code = ringhold_proto::ApiError::from_status(&status).map(|refused| refused.code);
    // The answer and the caller's own deadline may cross.
    assert!(
        code == Some(ErrorCode::Unavailable)
            || (code.is_none() && status.code() != tonic::Code::NotFound),
        "{status}"
    );
    last.shutdown().await;
}
