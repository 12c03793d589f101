//! The bound of the bytes of a member's rings, whatever each of them may hold.

use ringhold_node::{ExecutorConfig, Member, StartError};
use ringhold_types::limits::{RING_BYTES_MIN, TASK_BYTES_MAX};
use tonic::Code;

use super::codes::{assert_row, submit, submit_of};
use super::pages::page;
use super::support::{eventually, executors, patient, refusal, task};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_rings_are_full_refuses_new_tasks_by_name_and_counts_them() {
    let endless = ExecutorConfig::new("endless").capacity(0);
    let member = Member::single()
        .executor(endless)
        .ring_bytes_max(RING_BYTES_MIN);
    let member = member.start().await.expect("it starts");
    let large = || "1".repeat(TASK_BYTES_MAX / 2);
    let mut stored = Vec::new();
    let refused = loop {
        let key = stored.len().to_string();
        let request = submit_of("endless", Some(task("ringhold.echo", large(), &key)));
        match submit(&member, request).await {
            Ok(id) => stored.push(id),
            Err(status) => break status,
        }
        assert!(stored.len() < 100, "nothing bounds the rings");
    };
    let text = refusal(&refused).message;
    assert!(text.contains("ring-bytes-max"), "{text}");
    let full = ("EXECUTOR_FULL", Code::ResourceExhausted, true);
    assert_row(full, Err::<(), _>(refused));
    let http = member.http_address().to_string();
    eventually("the page says so", || async {
        let Some((_, page)) = page(&http, "/metrics").await else {
            return false;
        };
        let most = format!("ringhold_ring_bytes_max {RING_BYTES_MIN}\n");
        let counted = "ringhold_replica_events_total{event=\"rings_full\"} ";
        page.contains(&most) && page.contains(counted) && page.contains("\nringhold_ring_bytes 1")
    })
    .await;
    for id in stored {
        let request = ringhold_proto::v1::RetrieveAndDisposeRequest {
            id: Some(id),
            ..Default::default()
        };
        let taken = executors(&member)
            .await
            .retrieve_and_dispose(patient(request))
            .await;
        taken.expect("nothing that was stored is refused");
    }
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_below_a_few_of_the_largest_tasks_is_no_setting() {
    let tiny = Member::single().ring_bytes_max(RING_BYTES_MIN - 1);
    let refused = tiny.start().await.expect_err("too little");
    let is_named = matches!(
        refused,
        StartError::Setting {
            setting: "ring-bytes-max",
            ..
        }
    );
    assert!(is_named, "{refused}");
}
