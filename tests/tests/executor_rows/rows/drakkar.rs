//! Weaknesses of Drakkar: D.2 of the reference.

use ringhold_client::{FailureKind, HandlerTask, ProcessTask, SubmitError};
use ringhold_node::ExecutorConfig;
use ringhold_types::Millis;

use super::failures::poison_that_kills_twice;
use crate::row::{Row, row};
use crate::scene::{Scene, shell};

pub(crate) const ROWS: &[Row] = &[
    row!(
        "exec-D-W3",
        "deaths of members are counted in the ring: a new primary goes on counting",
        dw3_crashes_are_counted_across_takeovers
    ),
    row!(
        "exec-D-W9",
        "what a program wrote before its time ran out is kept, also on standard error",
        dw9_useful_output_of_a_killed_program_is_kept
    )
    .on(brief),
    row!(
        "exec-D-W10",
        "a program never reads the standard input of its member",
        dw10_nobody_reads_the_members_input
    ),
    row!(
        "exec-D-W14",
        "input and output are bytes, not text",
        dw14_bytes_stay_bytes
    ),
    row!(
        "exec-D-W17",
        "one idempotency key is one task, and another task under it is refused",
        dw17_one_key_is_one_task
    ),
];

async fn dw3_crashes_are_counted_across_takeovers(_scene: Scene) {
    let (failure, info) = poison_that_kills_twice().await;
    assert_eq!(
        info.crashes, 2,
        "each death led to another primary: {info:?}"
    );
    let terms: Vec<_> = info.history.iter().map(|it| it.term).collect();
    assert!(terms.windows(2).all(|pair| pair[0] < pair[1]), "{terms:?}");
    assert_eq!(failure.kind, FailureKind::Poison);
}

fn brief(executor: ExecutorConfig) -> ExecutorConfig {
    executor.kill_grace(Millis(200)).run_limit(Millis(1000))
}

async fn dw9_useful_output_of_a_killed_program_is_kept(scene: Scene) {
    let failure = scene
        .fails(shell("trap '' TERM; echo useful; echo why >&2; sleep 60"))
        .await;
    assert_eq!(failure.kind, FailureKind::TimedOut, "{failure:?}");
    let exit = failure.process.expect("it ran");
    assert_eq!(&exit.standard_output[..], b"useful\n");
    assert_eq!(&exit.standard_error[..], b"why\n");
}

async fn dw10_nobody_reads_the_members_input(scene: Scene) {
    let output = scene.succeeds(shell("wc -c; readlink /proc/$$/fd/0")).await;
    let text = String::from_utf8_lossy(&output.standard_output).into_owned();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words, ["0", "/dev/null"]);
}

async fn dw14_bytes_stay_bytes(scene: Scene) {
    let all: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let copied = ProcessTask::new("sh")
        .args(["-c", "tee /dev/stderr"])
        .standard_input(all.clone());
    let output = scene.succeeds(copied).await;
    assert_eq!(output.standard_output, all);
    let head = &output.exit.standard_error;
    assert!(
        !head.is_empty() && all.starts_with(&head[..256]),
        "raw as well"
    );
    let argument = [0xff, 0xfe, b'x'];
    let argument = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&argument);
    let output = scene
        .succeeds(ProcessTask::new("printf").arg("%s").arg(argument))
        .await;
    assert_eq!(&output.standard_output[..], [0xff, 0xfe, b'x']);
}

async fn dw17_one_key_is_one_task(scene: Scene) {
    let runs = scene.directory.join("runs");
    let script = format!("echo run >> {}", runs.display());
    let submit = |script: &str| {
        scene
            .executor
            .submit(shell(script))
            .idempotency_key("order-7")
    };
    let (one, two, three) = tokio::join!(submit(&script), submit(&script), submit(&script));
    let handles = [one, two, three].map(|it| it.expect("stored, once"));
    let id = handles[0].id().clone();
    for handle in handles {
        assert_eq!(*handle.id(), id);
        handle.await.expect("it succeeds");
    }
    let again = submit(&script).await.expect("it is known");
    assert_eq!((again.id(), again.was_stored_before()), (&id, Some(true)));
    let text = std::fs::read_to_string(&runs).expect("it ran");
    assert_eq!(text, "run\n", "it ran once");
    let other = scene
        .executor
        .submit(HandlerTask::new("ringhold.echo", "1"));
    let other = other.idempotency_key("order-7").await;
    let other = other.expect_err("the key is another task's");
    assert!(matches!(other, SubmitError::AlreadyExists), "{other}");
}
