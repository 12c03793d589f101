//! Failures, retries, results: C.5 of the reference.

use std::path::Path;

use ringhold_client::{Failure, FailureKind, TaskInfo};

use tokio::sync::OnceCell;

use crate::cluster::{LOOK_EVERY, TestCluster};
use crate::row::{Row, row};
use crate::scene::{Scene, failure_of, shell};

pub(crate) const ROWS: &[Row] = &[
    row!(
        "exec-C55",
        "each attempt knows its number, and the task which ran",
        c55_each_attempt_knows_its_number
    ),
    row!(
        "exec-C59",
        "a task under which members die as often as the limit says fails as poison",
        c59_a_task_that_kills_members_is_poison
    ),
];

async fn c55_each_attempt_knows_its_number(scene: Scene) {
    let told = "echo $RINGHOLD_TASK_ID $RINGHOLD_ATTEMPT $RINGHOLD_FENCING_TOKEN";
    let handle = scene.submitted(shell(told)).await;
    let id = handle.id().clone();
    let output = handle.await.expect("it succeeds").standard_output;
    let text = String::from_utf8_lossy(&output);
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words[..2], [id.to_string().as_str(), "1"], "{text}");
    assert!(words.len() == 3 && !words[2].is_empty(), "{text}");
    let info = scene.info(&id).await;
    let numbers: Vec<u64> = info.history.iter().map(|it| it.number).collect();
    assert_eq!((info.attempts, numbers), (1, vec![1]));
}

async fn c59_a_task_that_kills_members_is_poison(_scene: Scene) {
    let (failure, info) = poison_that_kills_twice().await;
    assert_eq!(failure.kind, FailureKind::Poison, "{failure:?}");
    assert!(
        failure.message.starts_with("2 members died"),
        "{}",
        failure.message
    );
    assert_eq!(info.attempts, 2, "it was not run a third time");
}

/// Three processes, and deaths of members that are counted to two.
const CONFIG: &str = r#"
[durable-executor.poison]
partition-count = 1
durability = 2
crash-limit = 2
allowed-binaries = ["sh"]
"#;

/// How a task ended that kills each member that runs it, in a cluster whose dead are started again. Rows share it.
pub(crate) async fn poison_that_kills_twice() -> &'static (Failure, TaskInfo) {
    static ENDED: OnceCell<(Failure, TaskInfo)> = OnceCell::const_new();
    ENDED.get_or_init(run_poison).await
}

async fn run_poison() -> (Failure, TaskInfo) {
    let mut cluster = TestCluster::start(3, CONFIG).await;
    let client = cluster.client().await;
    let place = cluster.directory().display().to_string();
    let script = format!(
        "for file in {place}/m*/ready.json; do grep -q $RINGHOLD_MEMBER $file && \
        kill -9 $(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/' $file); done; sleep 60"
    );
    let handle = client.executor("poison").submit(shell(&script)).await;
    let id = handle.expect("stored").id().clone();
    let ended = tokio::spawn({
        let (client, id) = (client.clone(), id.clone());
        async move { client.retrieve_result(&id).await }
    });
    while !ended.is_finished() {
        for index in cluster.alive() {
            let home = cluster.directory().join(format!("m{}", index + 1));
            if is_dead(&home) {
                cluster.kill(index);
                cluster.spawn(index);
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let retrieved = ended.await.expect("no panic").expect("an outcome");
    let info = client.get(&id).await.expect("it is known");
    (failure_of(retrieved), info)
}

/// Whether the process of a member has ended. One that is starting has not said yet which process it is.
fn is_dead(home: &Path) -> bool {
    let Ok(ready) = std::fs::read_to_string(home.join("ready.json")) else {
        return false;
    };
    let pid: String = ready
        .split_once("\"pid\":")
        .map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect())
        .expect("it says which process it is");
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Nobody has waited for it yet: a process that has ended is a zombie until then.
    let after_name = state.rsplit_once(')').map(|(_, rest)| rest.trim_start());
    after_name.is_none_or(|rest| rest.starts_with('Z'))
}
