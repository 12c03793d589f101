//! Weaknesses of ppacer: D.1 of the reference.

use std::time::Duration;

use ringhold_client::{FailureKind, FullPolicy, HandlerTask, SubmitError};
use ringhold_node::ExecutorConfig;
use ringhold_types::{ErrorCode, TaskStatus};

use crate::row::{Row, row};
use crate::scene::{Scene, failure_of, shell};

pub(crate) const ROWS: &[Row] = &[
    row!(
        "exec-P-W5",
        "a full executor refuses by name or lets wait; what was accepted is there",
        pw5_full_is_said
    )
    .on(one_place),
    row!(
        "exec-P-W7",
        "limits are in milliseconds: 50 ms pass below 100 ms, 150 ms do not",
        pw7_milliseconds_count
    ),
];

fn one_place(executor: ExecutorConfig) -> ExecutorConfig {
    executor.partition_count(1).capacity(1)
}

async fn pw5_full_is_said(scene: Scene) {
    let open = scene.directory.join("open");
    let waits = format!("while ! test -e {}; do sleep 0.02; done", open.display());
    let first = scene.submitted(shell(&waits)).await;
    let echo = || HandlerTask::new("ringhold.echo", "1");
    let refused = scene
        .executor
        .submit(echo())
        .when_full(FullPolicy::Fail)
        .await;
    let refused = refused.expect_err("there is one place, and it is taken");
    assert!(matches!(refused, SubmitError::Full { .. }), "{refused}");
    assert_eq!(refused.code(), ErrorCode::ExecutorFull);

    let waiting = tokio::spawn({
        let submit = scene.executor.submit(echo()).key("any");
        async move { submit.await }
    });
    std::fs::write(&open, "").expect("a writable directory");
    let id = first.id().clone();
    first.await.expect("the accepted one runs to its end");
    scene
        .client
        .dispose_result(&id)
        .await
        .expect("it has ended");
    let second = waiting.await.expect("no panic").expect("there is room now");
    second.await.expect("it runs as well");
}

async fn pw7_milliseconds_count(scene: Scene) {
    let limited = |script| {
        let submit = scene.executor.submit(shell(script));
        submit.run_limit(Duration::from_millis(100))
    };
    // On a busy machine half the limit may become all of it: then the run really took that long.
    loop {
        let short = limited("sleep 0.05").await.expect("stored");
        let short = scene.client.retrieve_result(short.id()).await;
        let short = short.expect("an outcome");
        if short.outcome.status() == TaskStatus::Succeeded {
            break;
        }
        let exit = failure_of(short).process.expect("it ran");
        assert!(exit.spawn.0 + exit.run.0 >= 98, "ended early: {exit:?}");
    }
    let long = limited("sleep 0.15; echo late").await.expect("stored");
    let long = scene
        .client
        .retrieve_result(long.id())
        .await
        .expect("an outcome");
    let failure = failure_of(long);
    assert_eq!(failure.kind, FailureKind::TimedOut, "{failure:?}");
}
