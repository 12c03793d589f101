//! The codes that need a loss, a death or a long time, as a caller gets them from real members.

use std::time::Duration;

use ringhold_node::{ExecutorConfig, Member};
use ringhold_proto::v1;
use ringhold_types::{Millis, Persistence};
use tonic::{Code, Request, Status};

use super::codes::{assert_row, retrieve, submit, submit_of};
use super::support::{
    PATIENCE, Three, cluster, eventually, executors, patient, refusal, task, three,
};

fn echo(executor: &str, key: &str) -> v1::SubmitRequest {
    submit_of(executor, Some(task("ringhold.echo", "1".into(), key)))
}

/// Whether a call is refused for this reason.
fn is_refused<T>(answer: &Result<T, Status>, reason: &str) -> bool {
    let refused = answer.as_ref().err();
    refused.is_some_and(|status| refusal(status).code.as_str() == reason)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_was_kept_as_long_as_was_promised_is_expired() {
    let brief = ExecutorConfig::new("brief").partition_count(1);
    let member = Member::single().executor(brief.result_ttl(Millis(300)));
    let member = member.start().await.expect("it starts");
    let id = submit(&member, echo("brief", "k")).await.expect("stored");
    let wait = Some(Duration::ZERO);
    eventually("it expires", || async {
        is_refused(&retrieve(&member, &id, wait, PATIENCE).await, "EXPIRED")
    })
    .await;
    assert_row(
        ("EXPIRED", Code::NotFound, false),
        retrieve(&member, &id, None, PATIENCE).await,
    );
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_is_older_than_the_history_is_gone() {
    /// Ended sequences whose reasons are kept (PROTOCOL §4), and tasks of one message.
    const HISTORY: usize = 40_000;
    const BATCH: usize = 10_000;
    let config = ExecutorConfig::new("busy").partition_count(1).capacity(0);
    let config = config.persistence(Persistence::Memory).pool_size(1_000);
    let member = Member::single().executor(config).start().await;
    let member = member.expect("it starts");
    let fleeting = |number: usize| v1::Task {
        dispose_on_success: true,
        ..task("ringhold.echo", "1".into(), &number.to_string())
    };
    let first = submit_of("busy", Some(fleeting(0)));
    let first = submit(&member, first).await.expect("stored");
    for batch in 0..=HISTORY / BATCH {
        let numbers = 1 + batch * BATCH..=(batch + 1) * BATCH;
        let request = v1::SubmitBatchRequest {
            executor: "busy".to_owned(),
            tasks: numbers.map(fleeting).collect(),
            ..v1::SubmitBatchRequest::default()
        };
        let answer = executors(&member)
            .await
            .submit_batch(patient(request))
            .await;
        assert_eq!(answer.expect("stored").into_inner().answers.len(), BATCH);
    }
    let wait = Some(Duration::ZERO);
    eventually("it is forgotten", || async {
        is_refused(&retrieve(&member, &first, wait, PATIENCE).await, "GONE")
    })
    .await;
    assert_row(
        ("GONE", Code::NotFound, false),
        retrieve(&member, &first, None, PATIENCE).await,
    );
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_kept_in_the_memory_of_a_process_that_ended_is_lost_by_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let start = || async {
        let volatile = ExecutorConfig::new("volatile").partition_count(1);
        let member = Member::single()
            .data_dir(directory.path())
            .executor(volatile.persistence(Persistence::Memory));
        member.start().await.expect("it starts")
    };
    let member = start().await;
    let id = submit(&member, echo("volatile", "k"))
        .await
        .expect("stored");
    member.shutdown().await;
    let member = start().await;
    assert_row(
        ("DATA_LOSS", Code::DataLoss, false),
        retrieve(&member, &id, None, PATIENCE).await,
    );
    member.shutdown().await;
}

/// Two members that hold tasks, and a witness; the one that leads the only partition of `pair`, and the other.
async fn pair() -> (Three, Member, Member) {
    let mut three = three(|number, builder| {
        let pair = ExecutorConfig::new("pair").partition_count(1).durability(1);
        builder.witness(number == 2).executor(pair)
    })
    .await;
    submit(&three.members[0], echo("pair", "before"))
        .await
        .expect("both hold it");
    let request = v1::ListPartitionsRequest {
        executor: "pair".to_owned(),
        ..v1::ListPartitionsRequest::default()
    };
    let mut service = cluster(&three.members[0]).await;
    let partitions = service.list_partitions(patient(request)).await;
    let partition = partitions.expect("known").into_inner().partitions.remove(0);
    let primary = partition.primary.expect("it has one").member_id;
    let leads = three.members[0].member_id().0 == primary;
    let (first, second) = (three.members.remove(0), three.members.remove(0));
    if leads {
        (three, first, second)
    } else {
        (three, second, first)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submit_that_a_dead_backup_never_took_is_indeterminate_and_then_lacks_copies() {
    let (witness, primary, backup) = pair().await;
    let name = backup.name().to_owned();
    // Dropped, it is dead as after a crash.
    drop(backup);
    let mut request = Request::new(echo("pair", "doubtful"));
    request.set_timeout(Duration::from_secs(1));
    let answer = executors(&primary).await.submit(request).await;
    assert_row(("INDETERMINATE", Code::Unknown, false), answer);

    let forget = v1::ForgetMemberRequest {
        member: name,
        process_ended: true,
        ..v1::ForgetMemberRequest::default()
    };
    let mut operator = cluster(&primary).await;
    let forgotten = operator.forget_member(patient(forget)).await;
    forgotten.expect("its process has ended");
    eventually("its seat is gone", || async {
        let mut request = Request::new(echo("pair", "new"));
        request.set_timeout(Duration::from_secs(1));
        let answer = executors(&primary).await.submit(request).await;
        is_refused(&answer, "NOT_ENOUGH_COPIES")
    })
    .await;
    assert_row(
        ("NOT_ENOUGH_COPIES", Code::Unavailable, true),
        submit(&primary, echo("pair", "another")).await,
    );
    primary.shutdown().await;
    witness.stop().await;
}
