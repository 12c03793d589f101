//! Every feature that an executor must have, row by row, against a real cluster: `cargo test -p ringhold-tests --test
//! executor_rows` prints one line a row, as in `exec-C36 … ok`.
//!
//! All rows share three embedded members, each with an executor of its own. Arguments: words that the id or the name
//! of a row must contain; `--list`; `--parity FILE` writes the table of rows (`docs/parity.md`) instead of running them.

#[path = "../faults/cluster.rs"]
#[allow(dead_code, reason = "the fault tests need more of it")]
mod cluster;
#[path = "../faults/lies.rs"]
#[allow(dead_code, reason = "rows tell no lies, the fault tests do")]
mod lies;
mod parity;
mod row;
mod rows;
mod scene;

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use row::Row;
use scene::Stage;

/// Rows at a time: more would wait for the two cores, and for each other.
const ROWS_AT_ONCE: usize = 8;
/// How long a row may take on a busy machine; nothing is asserted by waiting this long.
const ROW_PATIENCE: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let after = |name: &str| {
        let place = arguments.iter().position(|it| it == name)?;
        arguments.get(place + 1)
    };
    let rows = rows::all();
    if let Some(file) = after("--parity") {
        // From the workspace's root, as the document says, wherever the test is run.
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        std::fs::write(root.join(file), parity::document(&rows)).expect("a writable file");
        return ExitCode::SUCCESS;
    }
    // What test runners pass on, such as `--nocapture`, changes nothing here.
    let words: Vec<&String> = arguments.iter().filter(|it| !it.starts_with('-')).collect();
    let wanted = |row: &&'static Row| {
        words.is_empty()
            || words
                .iter()
                .any(|word| row.id.contains(*word) || row.name.contains(*word))
    };
    let chosen: Vec<&'static Row> = rows.into_iter().filter(wanted).collect();
    if arguments.iter().any(|it| it == "--list") {
        chosen.iter().for_each(|row| println!("{}: test", row.id));
        return ExitCode::SUCCESS;
    }
    run(chosen)
}

/// Runs rows against one cluster, says how each ended, and is a failure if one was.
fn run(chosen: Vec<&'static Row>) -> ExitCode {
    let started = Instant::now();
    let count = chosen.len();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let failed = if chosen.is_empty() {
        0
    } else {
        runtime.block_on(run_all(chosen))
    };
    let word = if failed == 0 { "ok" } else { "FAILED" };
    let passed = count - failed;
    let took = started.elapsed().as_secs_f32();
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; finished in {took:.2}s"
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// How many rows failed.
async fn run_all(chosen: Vec<&'static Row>) -> usize {
    let said = note_panics();
    let stage = Stage::open(&chosen).await;
    let turns = Arc::new(Semaphore::new(ROWS_AT_ONCE));
    let mut running = JoinSet::new();
    for row in chosen {
        let scene = stage.scene(row);
        let turns = turns.clone();
        running.spawn(async move {
            let _turn = turns.acquire_owned().await.expect("it is never closed");
            let started = Instant::now();
            let ended = tokio::time::timeout(ROW_PATIENCE, tokio::spawn((row.test)(scene))).await;
            (row, ended, started.elapsed())
        });
    }
    let mut failed = 0;
    while let Some(ended) = running.join_next().await {
        let (row, ended, took) = ended.expect("rows run in tasks of their own");
        let why = match ended {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{error}")),
            Err(_elapsed) => Some(format!("not done within {ROW_PATIENCE:?}")),
        };
        if let Some(why) = why {
            failed += 1;
            println!("{} … FAILED ({}): {why}", row.id, row.name);
        } else {
            println!("{} … ok ({:.1} s)", row.id, took.as_secs_f32());
        }
    }
    for text in said.lock().expect("nobody panics here").iter() {
        println!("{text}");
    }
    stage.close().await;
    failed
}

/// Keeps what panics say until the rows' lines are printed. Those of handlers are part of rows and stay out.
fn note_panics() -> Arc<Mutex<Vec<String>>> {
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = AssertUnwindSafe(said.clone());
    std::panic::set_hook(Box::new(move |panic| {
        let here = panic
            .location()
            .is_some_and(|it| it.file().contains("executor_rows") || it.file().contains("faults"));
        if let (true, Ok(mut noted)) = (here, noted.lock()) {
            noted.push(panic.to_string());
        }
    }));
    said
}
