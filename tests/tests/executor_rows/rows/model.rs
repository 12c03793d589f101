//! Tasks and submits: C.1 of the reference.

use std::time::{Duration, Instant};

use ringhold_client::{Client, HandlerTask, make_stable_task_id, make_task_id};
use ringhold_node::ExecutorConfig;
use ringhold_types::Millis;

use crate::row::{Row, row};
use crate::scene::{Scene, result_of, shell};

pub(crate) const ROWS: &[Row] = &[
    row!(
        "exec-C1",
        "the cluster's sequence is a task's identity; a caller's own key is one task while it lives and for a window, and there are \
         helpers for keys that sort by time and for keys made of what the task is about",
        c1_identity_dedup_and_both_kinds_of_ids
    )
    .on(short_window),
    row!(
        "exec-C3",
        "a result is kept in place of its task, capped, and read from any member",
        c3_a_result_replaces_its_task
    ),
];

fn short_window(executor: ExecutorConfig) -> ExecutorConfig {
    executor.dedup_window(WINDOW)
}

/// How long a key means its task after that was disposed of.
const WINDOW: Millis = Millis(1_000);

async fn c1_identity_dedup_and_both_kinds_of_ids(scene: Scene) {
    let echo = |text: &'static str| HandlerTask::new("ringhold.echo", text);
    let name = make_stable_task_id("resize", ["photo-17.jpg", "320x200"]).expect("it has parts");
    let again = make_stable_task_id("resize", ["photo-17.jpg", "320x200"]).expect("it has parts");
    assert_eq!(name, again);
    let submit = |key: &str| {
        scene
            .executor
            .submit(echo("once"))
            .idempotency_key(key.to_owned())
    };
    let first = submit(&name).await.expect("stored");
    let second = submit(&again).await.expect("found");
    assert_eq!(second.id(), first.id(), "one key is one task");
    assert_eq!(second.was_stored_before(), Some(true));
    let id = first.id().clone();
    first.await.expect("it succeeds");

    // Disposed of, its key still means it; once the window is over it is free, and the sequence is another one.
    let asked = Instant::now();
    scene
        .client
        .dispose_result(&id)
        .await
        .expect("it has ended");
    loop {
        let found = submit(&name).await.expect("found or stored");
        if found.id() != &id {
            break;
        }
        assert_eq!(found.was_stored_before(), Some(true));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let window = Duration::from_millis(WINDOW.0);
    assert!(asked.elapsed() >= window, "its key was free too early");

    let (earlier, later) = (make_task_id("resize"), make_task_id("resize"));
    let time = .."resize-".len() + 16;
    assert!(earlier[time] <= later[time], "{earlier}, then {later}");
    let handles = [submit(&earlier).await, submit(&later).await];
    let [one, other] = handles.map(|it| it.expect("stored"));
    assert_ne!(one.id(), other.id());
}

async fn c3_a_result_replaces_its_task(scene: Scene) {
    let echoed =
        HandlerTask::new("ringhold.echo", &b"\x00\xffbytes"[..]).content_type("image/x-raw");
    let handle = scene.submitted(echoed).await;
    let id = handle.id().clone();
    let result = handle.await.expect("it succeeds");
    assert_eq!(&result.payload[..], b"\x00\xffbytes");
    assert_eq!(result.content_type, "image/x-raw");
    for address in &scene.addresses {
        let of_one = Client::builder().endpoints([address]).smart_routing(false);
        let of_one = of_one.build().await.expect("the member answers");
        let again = of_one.retrieve_result(&id).await.expect("it is kept");
        assert_eq!(result_of(again), result, "read by {address}");
    }

    // Three megabytes are more than a result may hold: head and tail are kept, and it says so.
    let long = scene
        .succeeds(shell("echo first; head -c 3000000 /dev/zero; echo last"))
        .await;
    let kept = &long.standard_output;
    assert!(long.exit.output_truncated, "it was longer than is kept");
    assert!(
        kept.len() <= ringhold_types::limits::RESULT_BYTES_MAX,
        "{}",
        kept.len()
    );
    assert!(kept.starts_with(b"first\n") && kept.ends_with(b"last\n"));
}
