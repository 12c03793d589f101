//! Programs: C.4 of the reference.

use ringhold_client::{FailureKind, ProcessTask};
use ringhold_node::ExecutorConfig;
use ringhold_types::Millis;

use crate::row::{Row, row};
use crate::scene::{Scene, shell};

pub(crate) const ROWS: &[Row] = &[
    row!(
        "exec-C36",
        "a program gets its arguments as they are, without a shell",
        c36_argv_without_a_shell
    ),
    row!(
        "exec-C40",
        "standard input is the task's bytes, or else empty, never the member's",
        c40_no_input_is_dev_null
    ),
    row!(
        "exec-C43",
        "a time limit means TERM, a grace, then KILL, and what was written is kept",
        c43_term_then_kill_and_the_output_stays
    )
    .on(short_grace),
];

async fn c36_argv_without_a_shell(scene: Scene) {
    let arguments = ["$HOME", "*", "a b", "; echo no", "`id`", "", "\"q'"];
    let printed = ProcessTask::new("printf").arg("%s\\n").args(arguments);
    let output = scene.succeeds(printed).await;
    let expected = arguments.map(|it| format!("{it}\n")).concat();
    assert_eq!(String::from_utf8_lossy(&output.standard_output), expected);
    // What a shell would have found is not a program.
    let failure = scene.fails(ProcessTask::new("echo yes && true")).await;
    assert_eq!(failure.kind, FailureKind::LaunchFailure, "{failure:?}");
}

async fn c40_no_input_is_dev_null(scene: Scene) {
    let given = ProcessTask::new("cat").standard_input(&b"\x00\xfe\xff\n"[..]);
    assert_eq!(
        &scene.succeeds(given).await.standard_output[..],
        b"\x00\xfe\xff\n"
    );
    let read = scene.succeeds(shell("cat; readlink /proc/self/fd/0")).await;
    assert_eq!(&read.standard_output[..], b"/dev/null\n");
}

fn short_grace(executor: ExecutorConfig) -> ExecutorConfig {
    executor.kill_grace(Millis(2000)).run_limit(Millis(1000))
}

async fn c43_term_then_kill_and_the_output_stays(scene: Scene) {
    let obeys = "trap 'echo told; exit 3' TERM; echo begun; while :; do sleep 0.05; done";
    let failure = scene.fails(shell(obeys)).await;
    assert_eq!(failure.kind, FailureKind::TimedOut, "{failure:?}");
    let exit = failure.process.expect("it ran");
    assert_eq!(&exit.standard_output[..], b"begun\ntold\n");
    assert_eq!((exit.exit_code, exit.signal), (Some(3), None));

    let ignores = "trap '' TERM; echo begun; while :; do sleep 0.05; done";
    let failure = scene.fails(shell(ignores)).await;
    assert_eq!(failure.kind, FailureKind::TimedOut, "{failure:?}");
    let exit = failure.process.expect("it ran");
    assert_eq!(&exit.standard_output[..], b"begun\n");
    assert_eq!((exit.exit_code, exit.signal), (None, Some(9)));
    // Limit and grace, of which the times to the millisecond may take one each.
    let took = exit.spawn.0 + exit.run.0;
    assert!(took >= 2998, "{took} ms");
}
