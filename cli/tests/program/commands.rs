//! Every command that shows or changes something, once for people and once for programs, against `ringhold dev`.

use std::process::{Child, Output, Stdio};

use serde_json::{Value, json};

use super::support::{ready_line, ringhold, run, send, text};

/// A cluster of two members in one process.
struct Dev {
    child: Child,
    client: String,
}

impl Dev {
    fn start() -> Self {
        let mut child = ringhold(&["-o", "json", "dev", "--members", "2"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program runs");
        let line = ready_line(&mut child);
        let ready: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(ready["schema"], "ringhold.dev/1");
        assert_eq!(ready["members"].as_array().map(Vec::len), Some(2));
        let client = ready["members"][0]["client"].as_str().expect("an address");
        Self {
            client: client.to_owned(),
            child,
        }
    }

    fn run(&self, line: &[&str]) -> Output {
        ringhold(line)
            .env("RINGHOLD__SERVER", &self.client)
            .stdin(Stdio::null())
            .output()
            .expect("the program runs")
    }

    /// What a command shows to people.
    fn table(&self, line: &[&str]) -> String {
        let output = self.run(line);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{line:?}: {}",
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    /// The one document that a command prints for programs.
    fn json(&self, line: &[&str]) -> Value {
        let output = self.run(&[&["-o", "json"][..], line].concat());
        assert_eq!(
            output.status.code(),
            Some(0),
            "{line:?}: {}",
            text(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).expect("exactly one document")
    }

    fn stop(mut self) {
        send("TERM", self.child.id());
        assert_eq!(self.child.wait().expect("it ends").code(), Some(0));
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The column of a table's line, by its place.
fn cell(line: &str, place: usize) -> &str {
    line.split_whitespace().nth(place).expect("a cell")
}

#[test]
fn the_commands_about_tasks_tell_people_and_programs_the_same() {
    let dev = Dev::start();
    let submit = [
        "task", "submit", "--key", "k", "--label", "batch=b1", "--", "echo", "hello",
    ];
    let receipt = dev.json(&submit);
    let id = receipt["id"].as_str().expect("an id").to_owned();
    let id = id.as_str();
    assert_eq!(
        (&receipt["copies"], &receipt["reused"]),
        (&2.into(), &false.into())
    );
    assert_eq!(
        receipt["members"].as_array().map(Vec::len),
        Some(2),
        "{receipt}"
    );
    let shown = dev.table(&submit);
    assert_eq!(cell(&shown, 0), "id");
    let other = cell(&shown, 1).to_owned();
    assert!(
        shown.contains("copies") && shown.contains("2 (fsync)"),
        "{shown}"
    );
    assert_ne!(other, id);

    assert_eq!(dev.table(&["task", "result", id]), "hello\n");
    let result = dev.json(&["task", "result", id]);
    assert_eq!(
        (&result["id"], &result["status"]),
        (&id.into(), &"Succeeded".into())
    );
    assert_eq!(result["result"]["payload"], json!({ "text": "hello\n" }));

    let waited = dev.json(&["task", "wait", id, &other]);
    for (place, id) in [(0, id), (1, &other)] {
        let task = &waited["tasks"][place];
        assert_eq!(
            (&task["id"], &task["status"]),
            (&id.into(), &"Succeeded".into())
        );
    }
    let waited = dev.table(&["task", "wait", id]);
    assert!(
        waited.contains(id) && waited.contains("Succeeded"),
        "{waited}"
    );

    let task = dev.json(&["task", "get", id]);
    assert_eq!((&task["id"], &task["attempts"]), (&id.into(), &1.into()));
    assert_eq!(task["labels"], json!({ "batch": "b1" }));
    assert_eq!(task["call"]["arguments"], json!(["echo", "hello"]));
    let task = dev.table(&["task", "get", id]);
    assert!(
        task.contains("batch=b1") && task.contains("Succeeded"),
        "{task}"
    );

    lists(&dev, id);
    dev.stop();
}

/// There are two tasks, and both ended.
fn lists(dev: &Dev, id: &str) {
    let listed = dev.json(&["task", "ls", "--status", "succeeded"]);
    assert_eq!(
        listed["tasks"].as_array().map(Vec::len),
        Some(2),
        "{listed}"
    );
    assert_eq!(
        (&listed["more"], &listed["partitions_unavailable"]),
        (&false.into(), &0.into())
    );
    let listed = dev.table(&["task", "ls"]);
    assert!(listed.starts_with("ID") && listed.contains(id), "{listed}");
    assert_eq!(listed.lines().count(), 3, "{listed}");
}

#[test]
fn tasks_are_cancelled_and_disposed_by_name() {
    let dev = Dev::start();
    let submit = ["task", "submit", "--", "sleep", "1000"];
    let ids = [(); 3].map(|()| dev.json(&submit)["id"].as_str().expect("an id").to_owned());
    let [first, second, third] = ids.each_ref().map(String::as_str);
    let cancelled = dev.json(&["task", "cancel", first, second]);
    for (place, id) in [(0, first), (1, second)] {
        assert_eq!(
            cancelled["tasks"][place],
            json!({ "id": id, "done": true, "code": null })
        );
    }
    let cancelled = dev.table(&["task", "cancel", third]);
    assert!(
        cancelled.contains(third) && cancelled.contains("cancelled"),
        "{cancelled}"
    );
    let result = dev.run(&["-o", "json", "task", "result", third]);
    assert_eq!(result.status.code(), Some(11));
    let result: Value = serde_json::from_slice(&result.stdout).expect("one document");
    assert_eq!(
        (&result["id"], &result["status"]),
        (&third.into(), &"Cancelled".into())
    );

    let disposed = dev.json(&["task", "dispose", first]);
    assert_eq!(disposed["tasks"][0]["done"], true);
    let disposed = dev.table(&["task", "dispose", second, third]);
    assert_eq!(disposed.matches("disposed").count(), 2, "{disposed}");
    assert_eq!(dev.json(&["task", "ls"])["tasks"], json!([]));
    let gone = dev.run(&["task", "get", first]);
    assert_eq!(gone.status.code(), Some(3));
    assert!(text(&gone.stderr).starts_with("error[DISPOSED]"));
    dev.stop();
}

#[test]
fn the_commands_about_executors_and_partitions_name_what_there_is() {
    let dev = Dev::start();
    // `default` stands for every name, as in a member of a configuration.
    let id = dev.json(&[
        "task",
        "submit",
        "--executor",
        "reports",
        "--key",
        "k",
        "--",
        "true",
    ]);
    let id = id["id"].as_str().expect("an id").to_owned();
    let partition = id.split('/').nth(1).expect("three parts");
    let executors = dev.json(&["executor", "ls"]);
    let names: Vec<_> = executors["executors"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| &it["name"])
        .collect();
    assert_eq!(names, ["default", "reports"]);
    let listed = dev.table(&["executor", "ls"]);
    assert!(
        listed.starts_with("NAME") && listed.contains("\nreports"),
        "{listed}"
    );

    let executor = dev.json(&["executor", "get", "reports"]);
    assert_eq!(
        (&executor["name"], &executor["durability"]),
        (&"reports".into(), &1.into())
    );
    assert_eq!(executor["partitions_in_use"], 1);
    let executor_table = dev.table(&["executor", "get", "reports"]);
    assert!(
        executor_table.contains("partition-count"),
        "{executor_table}"
    );

    let partitions = dev.json(&["partition", "ls", "--executor", "reports"]);
    let partitions = partitions["partitions"].as_array().expect("a list");
    assert_eq!(Value::from(partitions.len()), executor["partition_count"]);
    let listed = dev.table(&["partition", "ls", "--executor", "reports"]);
    assert_eq!(listed.lines().count(), partitions.len() + 1);

    let owner = ["partition", "owner", "--executor", "reports", "--key", "k"];
    let owned = dev.json(&owner);
    assert_eq!(owned["partition"].to_string(), partition);
    assert_eq!(
        (&owned["executor"], &owned["in_use"]),
        (&"reports".into(), &true.into())
    );
    let primary = owned["primary"].as_str().expect("a name");
    assert!(["m1", "m2"].contains(&primary), "{owned}");
    let shown = dev.table(&owner);
    let line = shown.lines().nth(1).expect("a line");
    assert_eq!((cell(line, 0), cell(line, 1)), (partition, primary));
    let unknown = dev.run(&["executor", "get", "nobody"]);
    assert_eq!(unknown.status.code(), Some(3));
    dev.stop();
}

#[test]
fn the_commands_about_members_and_the_cluster_name_what_there_is() {
    let dev = Dev::start();
    let members = dev.json(&["member", "ls"]);
    let mut names: Vec<_> = members["members"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|member| {
            (
                member["name"].as_str(),
                member["state"].as_str(),
                member["draining"].as_bool(),
            )
        })
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            (Some("m1"), Some("up"), Some(false)),
            (Some("m2"), Some("up"), Some(false))
        ]
    );
    let listed = dev.table(&["member", "ls"]);
    assert!(
        listed.starts_with("NAME") && listed.contains(&dev.client),
        "{listed}"
    );

    let status = dev.json(&["cluster", "status"]);
    assert_eq!(
        (&status["cluster_name"], &status["safe"]),
        (&"dev".into(), &true.into())
    );
    assert_eq!(
        (&status["members"], &status["members_up"]),
        (&2.into(), &2.into())
    );
    let status = dev.table(&["cluster", "status"]);
    assert!(
        status.contains("2 of 2 up") && status.contains("yes: every partition"),
        "{status}"
    );

    let drained = dev.json(&["member", "drain", "m2"]);
    assert_eq!(
        (&drained["name"], &drained["draining"]),
        (&"m2".into(), &true.into())
    );
    let back = dev.table(&["member", "drain", "m2", "--undo"]);
    assert!(back.contains("m2") && !back.contains("draining"), "{back}");
    let unknown = dev.run(&["member", "drain", "m9"]);
    assert_eq!(unknown.status.code(), Some(3), "{}", text(&unknown.stderr));

    dev.stop();
}

#[test]
fn a_configuration_is_shown_as_it_was_understood() {
    let full = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../config/tests/golden/full.toml"
    );
    let shown = run(&["-o", "json", "config", "show", full]);
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("exactly one document");
    assert_eq!(
        (&shown["cluster"], &shown["member"]["expect"]),
        (&"prod".into(), &3.into())
    );
    assert_eq!(shown["executors"]["reports"]["durability"], 2);
    let shown = text(&run(&["config", "show", full]).stdout);
    assert!(
        shown.contains("cluster-name = \"prod\"") && shown.contains("advertise-host = \"m1\""),
        "{shown}"
    );
}
