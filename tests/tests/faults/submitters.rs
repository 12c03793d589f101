//! Clients that die: what they were promised belongs to everybody.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ringhold_client::HandlerTask;
use ringhold_history::text::from_line;
use ringhold_history::{Action, Event, Kind, Sighting};
use ringhold_types::TaskId;

use super::cluster::{TestCluster, wait_until};
use super::ledger::{OUTCOME_PATIENCE, check_all};
use super::recorder::{Name, Observer, Recorder};

const CONFIG: &str = r#"
[durable-executor.work]
partition-count = 16
durability = 1
"#;

/// Tasks that must be acknowledged to the submitter before it dies.
const SOME: usize = 100;

/// A client in a process of its own; killed at the latest with this.
struct Submitter(Child);

impl Submitter {
    fn start(cluster: &TestCluster, history: &Path) -> Self {
        let addresses: Vec<&str> = cluster
            .members
            .iter()
            .map(|member| member.client_address.as_str())
            .collect();
        let file = std::fs::File::create(history).expect("a writable directory");
        let child = Command::new(env!("CARGO_BIN_EXE_ringhold-submitter"))
            .args([&addresses.join(","), "work"])
            .stdin(Stdio::null())
            .stdout(file)
            .spawn();
        Self(child.expect("the program starts"))
    }
}

impl Drop for Submitter {
    fn drop(&mut self) {
        // Nothing can be done about one that has ended already.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

/// What it wrote; a line that the kill cut short is not there.
fn events_of(history: &Path) -> Vec<Event> {
    let text = std::fs::read_to_string(history).expect("its history");
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines = whole.lines().map(|line| from_line(line).expect("an event"));
    lines.collect()
}

/// The tasks that were acknowledged, by number.
fn acknowledged(events: &[Event]) -> BTreeMap<u64, TaskId> {
    let mut numbers = BTreeMap::new();
    let mut ids = BTreeMap::new();
    for event in events {
        match &event.kind {
            Kind::Invoke(Action::Submit { payload, .. }) => {
                numbers.insert(event.operation, *payload);
            }
            Kind::Ok(Sighting::Stored { id, .. }) => {
                let number = numbers.get(&event.operation).expect("it was invoked");
                ids.insert(*number, id.parse().expect("an id"));
            }
            _ => {}
        }
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_submitter_was_promised_is_there_from_every_member_and_under_its_keys() {
    let cluster = TestCluster::start(3, CONFIG).await;
    let history = cluster.directory().join("history");
    let submitter = Submitter::start(&cluster, &history);
    wait_until("many are acknowledged", async || {
        acknowledged(&events_of(&history)).len() >= SOME
    })
    .await;
    // SIGKILL, with submits under way.
    drop(submitter);
    let events = events_of(&history);
    let ids = acknowledged(&events);
    let recorder = std::sync::Arc::new(Recorder::default());
    recorder.add(events);
    for index in cluster.alive() {
        let observer = Observer::new(&cluster.client_of(index).await, &recorder);
        for id in ids.values() {
            let read = observer.retrieve(id, OUTCOME_PATIENCE).await;
            read.unwrap_or_else(|error| panic!("{id} is lost: {error}"));
        }
    }
    let observer = Observer::new(&cluster.client().await, &recorder);
    let last = ids.keys().max().expect("many were acknowledged");
    // Also those that were under way when it died: stored or not, afterwards each is stored once.
    for number in 0..=*last {
        let task = HandlerTask::new("ringhold.echo", number.to_string());
        let key = format!("submitter-{number}");
        let receipt = observer.submit("work", task, Name::Key(&key), number).await;
        let receipt = receipt.expect("the cluster is whole");
        if let Some(id) = ids.get(&number) {
            assert!(
                receipt.reused && receipt.id == *id,
                "{id} became {receipt:?}"
            );
        }
        let read = observer.retrieve(&receipt.id, OUTCOME_PATIENCE).await;
        read.expect("an outcome");
    }
    check_all(&recorder.events());
}
