//! What a client can learn of a member without our `.proto` files: gRPC's health and reflection services.

use std::collections::BTreeSet;

use ringhold_node::Member;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::support::patient;

/// The services that are promised.
const SERVICES: [&str; 2] = ["ringhold.v1.ClusterService", "ringhold.v1.ExecutorService"];

async fn channel(member: &Member) -> Channel {
    let address = format!("http://{}", member.client_address());
    let endpoint = Endpoint::from_shared(address).expect("an address");
    endpoint.connect().await.expect("connects")
}

/// What a member says of each service, and of itself as a whole.
pub(super) async fn health(member: &Member) -> Vec<(&'static str, ServingStatus)> {
    let mut health = HealthClient::new(channel(member).await);
    let mut found = Vec::new();
    for service in SERVICES.into_iter().chain([""]) {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let answer = health.check(patient(request)).await.expect("known");
        found.push((service, answer.into_inner().status()));
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_health_service_says_that_each_service_serves() {
    let member = Member::single().start().await.expect("it starts");
    for (service, status) in health(&member).await {
        assert_eq!(status, ServingStatus::Serving, "{service}");
    }
    let mut health = HealthClient::new(channel(&member).await);
    let request = HealthCheckRequest {
        service: "ringhold.v1.Nothing".to_owned(),
    };
    let unknown = health.check(patient(request)).await;
    let unknown = unknown.expect_err("there is no such service");
    assert_eq!(unknown.code(), tonic::Code::NotFound);
    member.shutdown().await;
}

/// Asks a reflection service, of whichever version, for its services and for the file of a message.
macro_rules! reflected {
    ($member:expr, $version:ident) => {{
        use tonic_reflection::pb::$version as pb;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
        let channel = channel($member).await;
        let mut client = pb::server_reflection_client::ServerReflectionClient::new(channel);
        let asked = [
            MessageRequest::ListServices(String::new()),
            MessageRequest::FileContainingSymbol("ringhold.v1.SubmitRequest".to_owned()),
        ];
        let requests = asked.map(|request| pb::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(request),
        });
        let requests = patient(tokio_stream::iter(requests));
        let answers = client.server_reflection_info(requests).await;
        let mut answers = answers.expect("it answers").into_inner();
        let mut services = BTreeSet::new();
        let mut files = 0;
        while let Some(answer) = answers.message().await.expect("it answers") {
            match answer.message_response.expect("an answer") {
                MessageResponse::ListServicesResponse(list) => {
                    services.extend(list.service.into_iter().map(|service| service.name));
                }
                MessageResponse::FileDescriptorResponse(found) => {
                    files += found.file_descriptor_proto.len();
                }
                other => panic!("an answer to something else: {other:?}"),
            }
        }
        (services, files)
    }};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reflection_service_shows_the_public_services_in_both_its_versions() {
    let member = Member::single().start().await.expect("it starts");
    for (services, files) in [reflected!(&member, v1), reflected!(&member, v1alpha)] {
        for service in SERVICES {
            assert!(services.contains(service), "{service} of {services:?}");
        }
        let internal = services.iter().any(|name| name.contains("internal"));
        assert!(!internal, "{services:?}");
        assert_eq!(files, 1, "the file of the message");
    }
    member.shutdown().await;
}
