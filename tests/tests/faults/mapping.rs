//! `map` beside `xargs`: killed at half and resumed, on real files, in a cluster of real members.
//!
//! `RINGHOLD_MAP_LINES=100000 cargo test --release -p ringhold-tests --test faults mapping -- --nocapture` is the long form;
//! it prints how much memory `map` took.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::cluster::{TestCluster, wait_until_within};

const CONFIG: &str = r#"
[durable-executor.work]
durability = 1
capacity = 0
pool-size = 4
allowed-binaries = ["sh"]
"#;

/// Lines, unless the environment says how many.
const LINES: usize = 1_000;
/// Most resident memory of `map`, in KiB.
const RESIDENT_KIB_MAX: u64 = 200 * 1024;
/// What a task runs: it notes its id for its line, then does what `xargs` does.
const PROGRAM: &str = r#"echo "$1 $RINGHOLD_TASK_ID" >> "$0"; exec sha256sum "$1""#;

/// Files to hash, a list of them, and where everything else goes.
struct Place {
    directory: tempfile::TempDir,
    lines: usize,
}

impl Place {
    fn with(lines: usize) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let place = Self { directory, lines };
        std::fs::create_dir(place.path("files")).expect("a writable directory");
        let mut list = String::new();
        for number in 0..lines {
            let file = place.path("files").join(format!("file {number}"));
            std::fs::write(&file, number.to_string()).expect("a writable directory");
            list.push_str(&format!("{}\n", file.display()));
        }
        std::fs::write(place.path("list"), list).expect("a writable directory");
        place
    }

    /// Longest that anything here may take; nothing is asserted by waiting this long.
    fn patience(&self) -> Duration {
        Duration::from_secs(120) + self.lines as u32 * Duration::from_millis(20)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn list(&self) -> Stdio {
        File::open(self.path("list"))
            .expect("it was written")
            .into()
    }

    /// What `xargs` prints.
    fn by_xargs(&self) -> Vec<u8> {
        let output = Command::new("xargs")
            .args(["-d", "\n", "-I{}", "sha256sum", "{}"])
            .stdin(self.list())
            .output();
        output.expect("xargs is there").stdout
    }
}

/// A `map` in a process of its own; killed at the latest with this.
struct Map(Child);

impl Map {
    fn start(cluster: &TestCluster, place: &Place, run: [&str; 2], output: &str) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_ringhold-under-test"))
            .args(["map", "--executor", "work", "--server"])
            .arg(cluster.client_address(0))
            .args(run)
            .arg("--summary")
            .arg(place.path("summary"))
            .args(["--", "sh", "-c", PROGRAM])
            .arg(place.path("ledger"))
            .arg("{}")
            .stdin(place.list())
            .stdout(File::create(place.path(output)).expect("a writable directory"))
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("the program starts"))
    }

    /// Most memory that it had so far, in KiB; zero once it has ended.
    fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(
            Path::new("/proc")
                .join(self.0.id().to_string())
                .join("status"),
        );
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.unwrap_or(0)
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // Nothing can be done about one that has ended already.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

/// The ids under which each line was run.
fn ids_by_line(ledger: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut ids: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for note in ledger.lines() {
        let (line, id) = note.rsplit_once(' ').expect("a whole note");
        let known = ids.entry(line).or_default();
        if !known.contains(&id) {
            known.push(id);
        }
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_killed_at_half_and_resumed_prints_what_xargs_prints_and_runs_no_line_under_two_ids()
{
    let stated = std::env::var("RINGHOLD_MAP_LINES").ok();
    let place = Place::with(stated.map_or(LINES, |lines| lines.parse().expect("a number")));
    let expected = place.by_xargs();
    let cluster = TestCluster::start(3, CONFIG).await;

    let mut killed = Map::start(&cluster, &place, ["--run", "hashes"], "first");
    let half = expected.len() / 2;
    wait_until_within(
        place.patience(),
        "half of the lines are printed",
        async || {
            let printed = std::fs::metadata(place.path("first")).map_or(0, |it| it.len());
            assert_eq!(
                killed.0.try_wait().expect("a child"),
                None,
                "it ended by itself"
            );
            printed >= half as u64
        },
    )
    .await;
    let mut peak = killed.peak_kib();
    drop(killed);

    let mut resumed = Map::start(&cluster, &place, ["--resume", "hashes"], "second");
    let mut status = None;
    wait_until_within(place.patience(), "the resumed run ends", async || {
        peak = peak.max(resumed.peak_kib());
        status = resumed.0.try_wait().expect("a child");
        status.is_some()
    })
    .await;
    assert_eq!(status.and_then(|it| it.code()), Some(0));
    assert!(
        place.read("second").as_bytes() == expected,
        "xargs prints something else"
    );

    let summary: serde_json::Value =
        serde_json::from_str(&place.read("summary")).expect("one document");
    let count = |name: &str| summary[name].as_u64().expect("a number");
    assert_eq!(count("lines"), place.lines as u64);
    assert_eq!(
        count("submitted") + count("reused"),
        count("lines"),
        "{summary}"
    );
    assert_eq!(count("succeeded"), count("lines"), "{summary}");
    assert!(count("reused") >= count("lines") / 2, "{summary}");

    let ledger = place.read("ledger");
    let ids = ids_by_line(&ledger);
    assert_eq!(ids.len(), place.lines);
    let twice: Vec<_> = ids.iter().filter(|(_, ids)| ids.len() > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    println!("map: {} lines, {peak} KiB at most", place.lines);
    assert!(peak > 0 && peak <= RESIDENT_KIB_MAX, "{peak} KiB");
}
