//! The SDK against a scripted cluster: what it does when members redirect, refuse, fall silent or lose an answer.

#[cfg(feature = "derive")]
mod derived;
mod draining;
mod fake;

use std::sync::atomic::Ordering;
use std::time::Duration;

use fake::{Fake, OnRetrieve, OnSubmit, PARTITIONS, refusal};
use futures_util::StreamExt;
use ringhold_client::{
    BatchError, BuildError, Client, ClusterId, ErrorCode, FullPolicy, GoneReason, HandlerTask,
    PartitionNumber, RetrieveError, SubmitError, Task, TaskId,
};
use ringhold_types::{MemberId, Millis};

#[derive(serde::Serialize)]
struct Render {
    page: u64,
}

impl Task for Render {
    const NAME: &'static str = "render";
    const EXECUTOR: &'static str = "reports";
    type Output = String;
}

fn task() -> HandlerTask {
    HandlerTask::new("render", "{}")
}

fn id() -> TaskId {
    "reports/3/9".parse().expect("well formed")
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "never came true: {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_typed_task_is_submitted_and_its_handle_gives_the_result() {
    let fake = Fake::start(1).await;
    fake.cluster.finished.send_replace(true);
    let executor = fake.client().await.executor("reports");
    let handle = executor
        .submit(&Render { page: 7 })
        .label("batch", "b1")
        .await
        .expect("stored");
    let id = handle.id().clone();
    assert_eq!(handle.receipt().members, [MemberId(1)]);
    assert_eq!(handle.await.expect("it succeeds"), "done");
    let again: String = executor
        .retrieve_result(&id)
        .await
        .expect("the outcome stays");
    assert_eq!(again, "done");
}

#[tokio::test]
async fn a_submit_goes_to_the_primary_and_follows_its_redirect() {
    let fake = Fake::start(3).await;
    let hint =
        refusal(ErrorCode::NotPrimary).with_primary(MemberId(2), Some(&fake.members[1].address));
    fake.members[0]
        .on_submit
        .lock()
        .expect("no panic")
        .push_back(OnSubmit::Refuse(hint));
    let executor = fake.client().await.executor("reports");
    let handle = executor
        .submit(task())
        .key("customer-7")
        .await
        .expect("stored");
    assert!(!handle.receipt().reused);
    let submits = [0, 1, 2].map(|place: usize| fake.members[place].submits.load(Ordering::SeqCst));
    assert_eq!(
        submits,
        [1, 1, 0],
        "asked the primary, then the member that it named"
    );
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_under_the_same_key_and_stores_nothing_twice() {
    let fake = Fake::start(1).await;
    fake.members[0]
        .on_submit
        .lock()
        .expect("no panic")
        .push_back(OnSubmit::LoseReply);
    let executor = fake.client().await.executor("reports");
    let handle = executor.submit(task()).await.expect("found again");
    assert!(handle.receipt().reused);
    assert_eq!(
        handle.was_stored_before(),
        None,
        "the lost try may have stored it"
    );
    assert_eq!(fake.cluster.tasks.lock().expect("no panic").len(), 1);
    let keys = fake.cluster.keys_seen.lock().expect("no panic").clone();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
}

#[tokio::test]
async fn a_task_of_an_earlier_submit_is_told_from_one_that_is_new() {
    let fake = Fake::start(1).await;
    let executor = fake.client().await.executor("reports");
    for before in [false, true] {
        let submit = executor.submit(task()).idempotency_key("run:7");
        let handle = submit.await.expect("stored");
        assert_eq!(handle.was_stored_before(), Some(before));
    }
}

#[tokio::test]
async fn a_drawn_key_falls_into_partitions_with_a_primary_and_spreads_over_all_of_them() {
    let fake = Fake::start(2).await;
    fake.lead(&[0, 1, -1, -1, 0, 1, 0, -1]);
    let executor = fake.client().await.executor("reports");
    let mut used = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let handle = executor.submit(task()).await.expect("stored");
        used.insert(handle.id().partition.0);
    }
    assert_eq!(used.into_iter().collect::<Vec<_>>(), [0, 1, 4, 5, 6]);
    let forwarded = fake.members[0].submits.load(Ordering::SeqCst);
    assert!(
        (60..180).contains(&forwarded),
        "{forwarded} of 200 went to the leader of three of five"
    );
}

#[tokio::test]
async fn a_full_partition_is_left_for_another_unless_the_callers_key_decides() {
    let fake = Fake::start(1).await;
    let full = refusal(ErrorCode::ExecutorFull).with_retry_after(Millis(2_000));
    let script = &fake.members[0].on_submit;
    script
        .lock()
        .expect("no panic")
        .push_back(OnSubmit::Refuse(full.clone()));
    let executor = fake.client().await.executor("reports");
    let started = std::time::Instant::now();
    executor
        .submit(task())
        .await
        .expect("there is room elsewhere");
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "no need to wait for the full partition"
    );
    let keys = fake.cluster.keys_seen.lock().expect("no panic").clone();
    assert_ne!(keys[0], keys[1], "a refused submit may be drawn anew");

    script
        .lock()
        .expect("no panic")
        .push_back(OnSubmit::Refuse(full));
    let refused = executor
        .submit(task())
        .key("customer-7")
        .fail_when_full()
        .await;
    let expected = ringhold_types::partition_of(
        b"customer-7",
        ringhold_types::PartitionCount::new(PARTITIONS).expect("valid"),
    );
    match refused.expect_err("full") {
        SubmitError::Full {
            message,
            partition,
            retry_after,
        } => {
            assert_eq!(message, "scripted EXECUTOR_FULL");
            assert_eq!(partition, Some(expected));
            assert_eq!(retry_after, Some(Duration::from_secs(2)));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_submit_whose_tries_go_unanswered_is_indeterminate_and_names_its_key() {
    let fake = Fake::start(1).await;
    fake.members[0]
        .on_submit
        .lock()
        .expect("no panic")
        .extend([OnSubmit::Ignore, OnSubmit::Ignore]);
    let executor = fake.client().await.executor("reports");
    let submit = executor
        .submit(task())
        .idempotency_key("mine")
        .deadline(Duration::from_millis(300));
    match submit.await.expect_err("nobody answers") {
        SubmitError::Indeterminate {
            idempotency_key, ..
        } => assert_eq!(idempotency_key, "mine"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_submit_says_how_long_it_waits_for_its_answer() {
    let fake = Fake::start(1).await;
    let executor = fake.client().await.executor("reports");
    let brief = executor.submit(task()).deadline(Duration::from_secs(1));
    brief.await.expect("stored");
    let said = *fake.members[0].patience.lock().expect("no panic");
    let said = said.and_then(|it| Duration::try_from(it).ok());
    assert!(
        said.is_some_and(|it| it <= Duration::from_secs(1)),
        "{said:?}"
    );
    let long = executor.submit(task()).deadline(Duration::from_secs(600));
    long.await.expect("stored");
    let said = *fake.members[0].patience.lock().expect("no panic");
    let said = said.and_then(|it| Duration::try_from(it).ok());
    assert_eq!(said, Some(ringhold_client::limits::TRY_TIMEOUT));
}

#[tokio::test]
async fn a_clear_refusal_is_not_made_doubtful_by_a_try_that_has_no_time_for_its_answer() {
    let fake = Fake::start(1).await;
    let executor = fake.client().await.executor("reports");
    let full = refusal(ErrorCode::ExecutorFull).with_retry_after(Millis(400));
    fake.members[0]
        .on_submit
        .lock()
        .expect("no panic")
        .extend([OnSubmit::Refuse(full), OnSubmit::Ignore]);
    let submit = executor
        .submit(task())
        .key("k")
        .deadline(Duration::from_millis(500));
    let error = submit.await.expect_err("refused");
    assert_eq!(error.code(), ErrorCode::ExecutorFull, "{error:?}");
}

#[tokio::test]
async fn each_refusal_of_a_submit_is_an_error_of_its_own() {
    let fake = Fake::start(1).await;
    let executor = fake.client().await.executor("reports");
    for code in [
        ErrorCode::ExecutorFull,
        ErrorCode::NotEnoughCopies,
        ErrorCode::TooLarge,
        ErrorCode::AlreadyExists,
        ErrorCode::WrongCluster,
        ErrorCode::NotAllowed,
        ErrorCode::InvalidArgument,
    ] {
        let script = vec![OnSubmit::Refuse(refusal(code)); 64];
        *fake.members[0].on_submit.lock().expect("no panic") = script.into();
        let submit = executor
            .submit(task())
            .key("k")
            .deadline(Duration::from_secs(1));
        let error = submit.await.expect_err("refused");
        assert_eq!(error.code(), code, "{error:?}");
    }
}

#[tokio::test]
async fn a_member_that_does_not_know_a_known_executor_yet_is_asked_again() {
    let fake = Fake::start(1).await;
    let behind = OnSubmit::Refuse(refusal(ErrorCode::ExecutorNotFound));
    fake.members[0]
        .on_submit
        .lock()
        .expect("no panic")
        .extend([behind.clone(), behind.clone()]);
    let client = fake.client().await;
    client
        .executor("reports")
        .submit(task())
        .await
        .expect("it caught up");
    fake.members[0]
        .on_submit
        .lock()
        .expect("no panic")
        .push_back(behind);
    let unknown = client.executor("reprots").submit(task()).await;
    assert_eq!(
        unknown.expect_err("nobody knows it").code(),
        ErrorCode::ExecutorNotFound
    );
}

#[tokio::test]
async fn each_reason_for_having_no_outcome_is_an_error_of_its_own() {
    let fake = Fake::start(1).await;
    let client = fake.client().await;
    let gone = |reason| RetrieveError::Gone { reason };
    let text = |code: ErrorCode| format!("scripted {code}");
    for (code, expected) in [
        (ErrorCode::NeverExisted, RetrieveError::NeverExisted),
        (ErrorCode::Disposed, gone(GoneReason::Disposed)),
        (ErrorCode::Overwritten, gone(GoneReason::Overwritten)),
        (ErrorCode::Expired, gone(GoneReason::Expired)),
        (ErrorCode::Gone, gone(GoneReason::Forgotten)),
        (
            ErrorCode::DataLoss,
            RetrieveError::DataLoss {
                message: text(ErrorCode::DataLoss),
            },
        ),
        (
            ErrorCode::WrongCluster,
            RetrieveError::WrongCluster {
                message: text(ErrorCode::WrongCluster),
            },
        ),
    ] {
        let script = OnRetrieve::Refuse(refusal(code));
        fake.members[0]
            .on_retrieve
            .lock()
            .expect("no panic")
            .push_back(script);
        let error = client.retrieve_result(&id()).await.expect_err("refused");
        assert_eq!((error.code(), error), (code, expected));
    }
}

#[tokio::test]
async fn an_executor_that_nobody_knows_is_an_error_of_its_own() {
    let fake = Fake::start(1).await;
    let script = OnRetrieve::Refuse(refusal(ErrorCode::ExecutorNotFound));
    fake.members[0]
        .on_retrieve
        .lock()
        .expect("no panic")
        .push_back(script);
    let id = "other/3/9".parse().expect("well formed");
    let error = fake.client().await.retrieve_result(&id).await;
    assert_eq!(
        error.expect_err("refused").code(),
        ErrorCode::ExecutorNotFound
    );
}

#[tokio::test]
async fn a_task_that_has_not_ended_is_told_apart_from_a_member_that_does_not_answer() {
    let fake = Fake::start(1).await;
    let client = fake.client().await;
    let status = ringhold_client::TaskStatus::Running;
    let waited = client
        .retrieve_result(&id())
        .deadline(Duration::from_millis(100))
        .await;
    assert_eq!(waited, Err(RetrieveError::NotYet { status }));
    assert_eq!(
        client.retrieve_result(&id()).no_wait().await,
        Err(RetrieveError::NotYet { status })
    );
}

#[tokio::test]
async fn a_retrieval_goes_on_after_a_redirect_and_a_lost_connection() {
    let fake = Fake::start(2).await;
    fake.cluster.finished.send_replace(true);
    let hint =
        refusal(ErrorCode::NotPrimary).with_primary(MemberId(2), Some(&fake.members[1].address));
    let script = |place: usize, what| {
        fake.members[place]
            .on_retrieve
            .lock()
            .expect("no panic")
            .push_back(what);
    };
    script(0, OnRetrieve::Refuse(hint));
    script(1, OnRetrieve::Break);
    let retrieved = fake
        .client()
        .await
        .retrieve_result(&id())
        .await
        .expect("answered in the end");
    assert_eq!((retrieved.id, retrieved.attempts), (id(), 1));
}

#[tokio::test]
async fn a_retrieval_parked_at_a_frozen_primary_moves_on_as_soon_as_the_table_names_another() {
    let fake = Fake::start(2).await;
    fake.cluster.finished.send_replace(true);
    fake.members[0]
        .on_retrieve
        .lock()
        .expect("no panic")
        .push_back(OnRetrieve::Ignore);
    let client = fake.client().await;
    let started = std::time::Instant::now();
    let waiting = tokio::spawn(async move { client.retrieve_result(&id()).await });
    until("the retrieval is parked", || {
        fake.members[0]
            .on_retrieve
            .lock()
            .expect("no panic")
            .is_empty()
    })
    .await;
    fake.lead(&[1; PARTITIONS as usize]);
    waiting
        .await
        .expect("no panic")
        .expect("the new primary answers");
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn dropping_a_handle_detaches_and_abort_on_drop_cancels() {
    let fake = Fake::start(1).await;
    let executor = fake.client().await.executor("reports");
    let mut handle = executor.submit(task()).await.expect("stored");
    tokio::select! {
        _ = &mut handle => panic!("it has not ended"),
        () = until("the handle waits", || fake.cluster.waiting.load(Ordering::SeqCst) == 1) => {}
    }
    drop(handle);
    until("the waiting stops", || {
        fake.cluster.waiting.load(Ordering::SeqCst) == 0
    })
    .await;
    assert!(fake.cluster.cancelled.lock().expect("no panic").is_empty());

    let handle = executor
        .submit(task())
        .await
        .expect("stored")
        .abort_on_drop();
    let id = handle.id().to_string();
    drop(handle);
    until("it is cancelled", || {
        !fake.cluster.cancelled.lock().expect("no panic").is_empty()
    })
    .await;
    assert_eq!(fake.cluster.cancelled.lock().expect("no panic")[0].text, id);
}

#[tokio::test]
async fn submits_in_flight_stay_within_their_bound() {
    let fake = Fake::start(1).await;
    *fake.cluster.submit_time.lock().expect("no panic") = Duration::from_millis(20);
    let builder = Client::builder()
        .endpoints(fake.endpoints())
        .submits_in_flight(4);
    let executor = builder
        .build()
        .await
        .expect("connected")
        .executor("reports");
    let submits = (0..40).map(|_| executor.submit(task()).into_future());
    let handles = futures_util::future::join_all(submits).await;
    assert!(handles.iter().all(Result::is_ok));
    assert_eq!(fake.cluster.in_flight_most.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn five_thousand_waiting_handles_share_two_connections() {
    let fake = Fake::start(1).await;
    let executor = fake.client().await.executor("reports");
    let run = |_| {
        let submit = executor.submit(&Render { page: 1 });
        tokio::spawn(async move { submit.await.expect("stored").await })
    };
    let handles: Vec<_> = (0..5_000).map(run).collect();
    until("all wait", || {
        fake.cluster.waiting.load(Ordering::SeqCst) == 5_000
    })
    .await;
    assert!(fake.members[0].connections.load(Ordering::SeqCst) <= 2);
    fake.cluster.finished.send_replace(true);
    for handle in handles {
        assert_eq!(
            handle.await.expect("no panic").expect("it succeeds"),
            "done"
        );
    }
    until("all are confirmed", || {
        fake.cluster.confirmed.lock().expect("no panic").len() == 5_000
    })
    .await;
    let calls = fake.cluster.confirm_calls.load(Ordering::SeqCst);
    assert!(calls < 2_500, "{calls} calls to confirm 5000 outcomes");
}

#[tokio::test]
async fn an_outcome_that_is_kept_is_read_as_kept_and_not_confirmed() {
    let fake = Fake::start(1).await;
    fake.cluster.finished.send_replace(true);
    let client = fake.client().await;
    let submit = client.executor("reports").submit(task());
    let id = submit.await.expect("stored").id().clone();
    client.retrieve_result(&id).keep().await.expect("it ended");
    assert_eq!(fake.cluster.kept.load(Ordering::SeqCst), 1);
    client.retrieve_result(&id).await.expect("it ended");
    let confirmed = || fake.cluster.confirmed.lock().expect("no panic").len();
    until("the second read is confirmed", || confirmed() > 0).await;
    assert_eq!(confirmed(), 1, "the first one is not");
}

#[tokio::test]
async fn a_stream_of_tasks_gives_each_item_its_own_outcome() {
    let fake = Fake::start(1).await;
    fake.cluster.finished.send_replace(true);
    let too_large = OnSubmit::Refuse(refusal(ErrorCode::TooLarge));
    fake.members[0]
        .on_submit
        .lock()
        .expect("no panic")
        .push_back(too_large);
    let executor = fake.client().await.executor("reports");
    let tasks = futures_util::stream::iter((0..1000).map(|_| task()));
    let items: Vec<_> = executor.submit_all(tasks).collect().await;
    let places: std::collections::BTreeSet<u64> = items.iter().map(|item| item.index).collect();
    assert_eq!(places.len(), 1000);
    let failed: Vec<_> = items.iter().filter(|item| item.outcome.is_err()).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].id, None);
    let most = fake.cluster.in_flight_most.load(Ordering::SeqCst);
    assert!(
        most <= ringhold_client::limits::SUBMIT_ALL_IN_FLIGHT,
        "{most} at once"
    );
}

fn fill(fake: &Fake, times: usize) {
    let full = OnSubmit::Refuse(refusal(ErrorCode::ExecutorFull));
    let script = &fake.members[0].on_submit;
    let mut script = script.lock().expect("no panic");
    script.extend(std::iter::repeat_n(full, times));
}

fn is_full(error: &SubmitError) -> bool {
    matches!(error, SubmitError::Full { .. })
}

#[tokio::test]
async fn a_submit_that_is_shed_looks_nowhere_else_and_one_that_fails_looks_in_a_few_places() {
    let fake = Fake::start(1).await;
    let executor = fake.client().await.executor("reports");
    fill(&fake, 1);
    let shed = executor.submit(task()).when_full(FullPolicy::Shed).await;
    assert!(is_full(&shed.expect_err("it is full")));
    let seen = || fake.cluster.keys_seen.lock().expect("no panic").len();
    assert_eq!(seen(), 1);
    fill(&fake, 1);
    let failing = executor.when_full(FullPolicy::Fail);
    failing
        .submit(task())
        .await
        .expect("there is room elsewhere");
    assert_eq!(seen(), 3);
}

#[tokio::test]
async fn a_stream_sheds_what_meets_a_full_partition_and_goes_on() {
    let fake = Fake::start(1).await;
    fake.cluster.finished.send_replace(true);
    fill(&fake, 3);
    let executor = fake.client().await.executor("reports");
    let tasks = futures_util::stream::iter((0..100).map(|_| task()));
    let shedding = executor.when_full(FullPolicy::Shed);
    let items: Vec<_> = shedding.submit_all(tasks).collect().await;
    let shed = items.iter().filter(|item| match &item.outcome {
        Err(BatchError::Submit(error)) => is_full(error),
        _ => false,
    });
    assert_eq!((items.len(), shed.count()), (100, 3));
    assert_eq!(fake.cluster.keys_seen.lock().expect("no panic").len(), 100);
}

#[tokio::test]
async fn a_stream_that_fails_when_full_reads_no_further_and_leaves_the_rest_to_the_caller() {
    let fake = Fake::start(1).await;
    fake.cluster.finished.send_replace(true);
    fill(&fake, 1_000_000);
    let executor = fake.client().await.executor("reports");
    let mut tasks = futures_util::stream::iter((0..10_000).map(|_| task()));
    let failing = executor.when_full(FullPolicy::Fail);
    let items: Vec<_> = failing.submit_all(&mut tasks).collect().await;
    assert!(
        (1..2_000).contains(&items.len()),
        "{} were read",
        items.len()
    );
    assert!(items.iter().all(|item| item.id.is_none()));
    assert_eq!(tasks.count().await, 10_000 - items.len());
}

#[tokio::test]
async fn a_dispose_whose_answer_was_lost_is_not_reported_as_failed() {
    let fake = Fake::start(1).await;
    let client = fake.client().await;
    let script = &fake.members[0].on_retrieve;
    script.lock().expect("no panic").extend([
        OnRetrieve::Break,
        OnRetrieve::Refuse(refusal(ErrorCode::Disposed)),
    ]);
    client
        .dispose_result(&id())
        .await
        .expect("the first try did it");
    script
        .lock()
        .expect("no panic")
        .push_back(OnRetrieve::Refuse(refusal(ErrorCode::Disposed)));
    let error = client
        .dispose_result(&id())
        .await
        .expect_err("somebody else did it");
    assert_eq!(error.code, ErrorCode::Disposed);
}

#[tokio::test]
async fn a_dispose_caught_by_a_step_down_is_not_reported_as_failed() {
    let fake = Fake::start(1).await;
    let client = fake.client().await;
    fake.members[0]
        .on_retrieve
        .lock()
        .expect("no panic")
        .extend([
            OnRetrieve::Refuse(refusal(ErrorCode::Indeterminate)),
            OnRetrieve::Refuse(refusal(ErrorCode::Disposed)),
        ]);
    client
        .dispose_result(&id())
        .await
        .expect("the first try did it");
}

#[tokio::test]
async fn a_cancel_whose_answer_was_lost_is_not_reported_as_failed() {
    let fake = Fake::start(1).await;
    let client = fake.client().await;
    let script = &fake.members[0].on_cancel;
    let too_late = || OnRetrieve::Refuse(refusal(ErrorCode::FailedPrecondition));
    script
        .lock()
        .expect("no panic")
        .extend([OnRetrieve::Break, too_late()]);
    client.cancel(&id()).await.expect("the first try did it");
}

#[tokio::test]
async fn a_cancel_of_a_task_that_has_succeeded_is_refused_however_often_it_is_tried() {
    let fake = Fake::start(1).await;
    let client = fake.client().await;
    let script = &fake.members[0].on_cancel;
    let too_late = || OnRetrieve::Refuse(refusal(ErrorCode::FailedPrecondition));
    let unanswered = OnRetrieve::Refuse(refusal(ErrorCode::Indeterminate));
    for tries in [vec![too_late()], vec![unanswered, too_late()]] {
        script.lock().expect("no panic").extend(tries);
        let error = client.cancel(&id()).await.expect_err("it has succeeded");
        assert_eq!(error.code, ErrorCode::FailedPrecondition);
    }
}

#[tokio::test]
async fn an_outcome_taken_by_a_read_whose_answer_was_lost_still_reaches_its_reader() {
    let fake = Fake::start(1).await;
    fake.cluster.finished.send_replace(true);
    let client = fake.client().await;
    let script = &fake.members[0].on_retrieve;
    script
        .lock()
        .expect("no panic")
        .push_back(OnRetrieve::Break);
    let taken = client.retrieve_and_dispose_result(&id()).await;
    assert_eq!(taken.expect("the repeat has the same name").id, id());
    let gone = client.retrieve_and_dispose_result(&id()).await;
    let reason = GoneReason::Disposed;
    assert_eq!(gone, Err(RetrieveError::Gone { reason }));
}

#[tokio::test]
async fn a_typed_executor_speaks_of_one_type_of_task() {
    let fake = Fake::start(1).await;
    fake.cluster.finished.send_replace(true);
    let client = fake.client().await;
    let renders = client.typed::<Render>();
    assert_eq!(renders.executor().name(), "reports");
    let handle = renders
        .submit_to_key_owner("customer-7", &Render { page: 1 })
        .await
        .expect("stored");
    let id = handle.id().clone();
    assert_eq!(handle.await.expect("it succeeds"), "done");
    assert_eq!(renders.retrieve_result(&id).await.expect("kept"), "done");
    let receipt = renders.execute_on_key_owner("customer-7", &Render { page: 2 });
    let receipt = receipt.await.expect("stored");
    assert_eq!(receipt.id.partition, id.partition);
    let pages = futures_util::stream::iter((0..10).map(|page| Render { page }));
    let items: Vec<_> = renders.submit_all(pages).collect().await;
    let done = |item: &ringhold_client::BatchItem<String>| {
        item.outcome.as_ref().is_ok_and(|text| text == "done")
    };
    assert_eq!(items.iter().filter(|item| done(item)).count(), 10);
    let taken = renders.retrieve_and_dispose_result(&id).await;
    assert_eq!(taken.expect("kept until now"), "done");
    assert_eq!(
        client.executor("other").typed::<Render>().executor().name(),
        "other"
    );
}

#[tokio::test]
async fn a_client_refuses_another_cluster_than_the_one_it_was_told() {
    let fake = Fake::start(1).await;
    let builder = Client::builder()
        .endpoints(fake.endpoints())
        .cluster(ClusterId(2));
    match builder.build().await.expect_err("another cluster") {
        BuildError::WrongCluster { expected, found } => {
            assert_eq!((expected, found), (ClusterId(2), ClusterId(1)));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_client_without_anybody_to_talk_to_says_so_within_its_deadline() {
    // Bound, but not listened on: nobody answers, and no other test gets the port meanwhile.
    let held = tokio::net::TcpSocket::new_v4().expect("a socket");
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    held.bind(any).expect("a port");
    let address = held.local_addr().expect("bound").to_string();
    let builder = Client::builder().endpoints([address.clone()]);
    let started = std::time::Instant::now();
    let error = builder
        .connect_deadline(Duration::from_millis(300))
        .build()
        .await;
    let error = error.expect_err("nobody is there");
    assert_eq!(error.code(), ErrorCode::Unavailable);
    assert!(error.to_string().contains(&address), "{error}");
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn without_smart_routing_every_request_goes_to_the_endpoint() {
    let fake = Fake::start(2).await;
    fake.cluster.finished.send_replace(true);
    let builder = Client::builder().endpoints([fake.members[1].address.clone()]);
    let client = builder
        .smart_routing(false)
        .build()
        .await
        .expect("connected");
    let handle = client
        .executor("reports")
        .submit(&Render { page: 1 })
        .await
        .expect("stored");
    assert!(handle.id().partition < PartitionNumber(PARTITIONS));
    assert_eq!(handle.await.expect("it succeeds"), "done");
    assert_eq!(fake.members[0].connections.load(Ordering::SeqCst), 0);
}
