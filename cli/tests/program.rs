//! The program as people and scripts meet it: streams, exit codes, and what is left behind.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};

/// The program, with nothing of this machine's settings.
fn ringhold(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringhold"));
    command
        .args(arguments)
        .env_remove("RINGHOLD__SERVER")
        .env_remove("RUST_LOG");
    command
}

fn run(arguments: &[&str]) -> Output {
    ringhold(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A member of its own; killed at the end, if it still runs.
struct Member {
    child: Child,
    client: String,
    standard_input: Option<ChildStdin>,
}

impl Member {
    fn start(directory: &Path) -> Self {
        let config = directory.join("member.toml");
        let settings = "durability = 0\nallowed-binaries = [\"*\"]\n";
        let toml = format!(
            "[durable-executor.default]\n{settings}[durable-executor.narrow]\ncapacity = 3\n{settings}\
             [durable-executor.loose]\ncapacity = 3\nwhen-full = \"overwrite\"\n{settings}"
        );
        std::fs::write(&config, toml).expect("written");
        let mut child = ringhold(&["-o", "json", "server", "--exit-with-stdin", "--name", "m1"])
            .args([
                "--client-address",
                "127.0.0.1:0",
                "--peer-address",
                "127.0.0.1:0",
            ])
            .args(["--http-address", "127.0.0.1:0", "--ready-file"])
            .arg(directory.join("ready.json"))
            .arg("--config")
            .arg(&config)
            .arg("--data-dir")
            .arg(directory.join("data"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program runs");
        let mut line = String::new();
        let output = child.stdout.take().expect("piped");
        BufReader::new(output)
            .read_line(&mut line)
            .expect("it says where it is");
        let ready = std::fs::read_to_string(directory.join("ready.json")).expect("written before");
        assert_eq!(ready, line);
        let ready: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(ready["schema"], "ringhold.server/1");
        assert_eq!(ready["pid"], child.id());
        let client = ready["client"].as_str().expect("an address").to_owned();
        Self {
            standard_input: child.stdin.take(),
            child,
            client,
        }
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = ringhold(arguments)
            .env("RINGHOLD__SERVER", &self.client)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut standard_input = child.stdin.take().expect("piped");
        standard_input
            .write_all(input.as_bytes())
            .expect("it reads");
        drop(standard_input);
        child.wait_with_output().expect("it ends")
    }

    /// Stores a task that does nothing, and gives its id.
    fn submit(&self, arguments: &[&str]) -> String {
        let submit = ["-o", "json", "task", "submit"];
        let stored = self.run(&[&submit[..], arguments, &["--", "true"]].concat(), "");
        let stored: serde_json::Value = serde_json::from_slice(&stored.stdout).expect("JSON");
        stored["id"].as_str().expect("an id").to_owned()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn help_lists_the_exit_codes_on_standard_output() {
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("130  interrupted"));
}

#[test]
fn a_wrong_argument_is_a_usage_error_on_standard_error() {
    let output = run(&["task", "get", "no-id"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(
        text(&output.stderr).contains("reports/113/9812"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_cluster_that_does_not_answer_is_named_and_has_its_own_exit_code() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("bound").to_string();
    drop(free);
    let output = run(&["cluster", "status", "--server", &address]);
    assert_eq!(output.status.code(), Some(4));
    assert!(output.stdout.is_empty());
    let said = text(&output.stderr);
    assert!(
        said.starts_with("error[UNAVAILABLE]") && said.contains(&address),
        "{said}"
    );
    assert!(said.contains("what to do:"), "{said}");
}

#[test]
fn all_mistakes_of_a_configuration_are_reported_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("bad.toml");
    let toml = "[durable-executor.reports]\npool-sise = 8\ndurability = \"one\"\n";
    std::fs::write(&file, toml).expect("written");
    let output = run(&["config", "check", file.to_str().expect("text")]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(
        said.contains("2 mistakes") && said.contains("pool-sise"),
        "{said}"
    );
    assert!(output.stdout.is_empty());
    let file_name = file.to_str().expect("text");
    let output = run(&["-o", "json", "config", "check", file_name]);
    assert_eq!(output.status.code(), Some(2));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one document");
    assert_eq!(document["schema"], "ringhold.config/1");
    assert_eq!(document["ok"], false);
    let mistakes = document["mistakes"].as_array().expect("a list");
    assert_eq!(mistakes.len(), 2, "{document}");
    assert!(
        mistakes[0].as_str().expect("text").contains("pool-sise"),
        "{document}"
    );
    std::fs::write(&file, toml.replace("sise", "size").replace("\"one\"", "1")).expect("written");
    let output = run(&[
        "-o",
        "json",
        "config",
        "check",
        file.to_str().expect("text"),
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(document["executors"][0], "reports");
    assert_eq!(
        (&document["ok"], &document["mistakes"]),
        (&true.into(), &serde_json::json!([]))
    );
}

#[test]
fn a_demo_that_would_have_to_lose_tasks_is_refused() {
    for arguments in [
        ["demo", "--kills", "2"],
        ["demo", "--durability", "3"],
        ["demo", "--count", "3"],
    ] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_demo_that_breaks_off_prints_its_document_and_is_no_pass() {
    let directory = tempfile::tempdir().expect("a directory");
    let empty = directory.path().to_str().expect("text");
    let output = run(&["demo", "--files", empty, "-o", "json"]);
    assert_eq!(output.status.code(), Some(8), "{}", text(&output.stderr));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one document");
    assert_eq!(document["schema"], "ringhold.demo/1");
    assert_eq!(document["ok"], false);
    assert_eq!(document["acknowledged"], 0);
    assert_eq!(document["failover_ms"], serde_json::json!([]));
    let problem = document["problems"][0].as_str().expect("text");
    assert!(problem.contains("only 0 readable files"), "{problem}");
    assert!(
        text(&output.stderr).contains("--files"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn tasks_run_on_a_member_and_end_with_the_exit_codes_that_scripts_decide_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let member = Member::start(directory.path());
    let succeeded = member.run(
        &["task", "submit", "--wait", "--input", "-", "--", "cat"],
        "hello",
    );
    assert_eq!(
        text(&succeeded.stdout),
        "hello",
        "{}",
        text(&succeeded.stderr)
    );
    let failed = member.run(
        &[
            "task",
            "submit",
            "--wait",
            "--",
            "sh",
            "-c",
            "echo half; exit 3",
        ],
        "",
    );
    assert_eq!(
        (failed.status.code(), text(&failed.stdout)),
        (Some(10), "half\n".to_owned())
    );

    let sleeping = member.run(&["-o", "json", "task", "submit", "--", "sleep", "1000"], "");
    let receipt: serde_json::Value = serde_json::from_slice(&sleeping.stdout).expect("JSON");
    let id = receipt["id"].as_str().expect("an id");
    let waited = member.run(&["task", "wait", id, "--timeout", "100ms"], "");
    assert_eq!(waited.status.code(), Some(5), "{}", text(&waited.stderr));
    assert_eq!(
        member.run(&["task", "cancel", id], "").status.code(),
        Some(0)
    );
    assert_eq!(
        member.run(&["task", "wait", id], "").status.code(),
        Some(11)
    );
    assert_eq!(
        member.run(&["task", "dispose", id], "").status.code(),
        Some(0)
    );
    let gone = member.run(&["task", "result", id], "");
    assert_eq!(gone.status.code(), Some(3));
    assert!(
        text(&gone.stderr).starts_with("error[DISPOSED]"),
        "{}",
        text(&gone.stderr)
    );
    let unknown = member.run(
        &["task", "submit", "--executor", "defualt", "--", "true"],
        "",
    );
    // `default` stands for every name that nothing else matches.
    assert_eq!(unknown.status.code(), Some(0), "{}", text(&unknown.stderr));
}

#[test]
fn a_wait_for_several_tasks_answers_for_each_of_them_and_ends_as_the_worst() {
    let directory = tempfile::tempdir().expect("a directory");
    let member = Member::start(directory.path());
    let (id, last) = (member.submit(&[]), member.submit(&[]));
    let (id, last) = (id.as_str(), last.as_str());
    assert_eq!(
        member.run(&["task", "wait", id, last], "").status.code(),
        Some(0)
    );
    assert_eq!(
        member.run(&["task", "dispose", id], "").status.code(),
        Some(0)
    );
    let several = member.run(&["-o", "json", "task", "wait", id, "default/7/0", last], "");
    assert_eq!(several.status.code(), Some(3), "{}", text(&several.stderr));
    let several: serde_json::Value = serde_json::from_slice(&several.stdout).expect("JSON");
    let told: Vec<_> = (0..3)
        .map(|place| {
            let task = &several["tasks"][place];
            (
                task["id"].as_str(),
                task["code"].as_str(),
                task["status"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (Some(id), Some("DISPOSED"), None),
            (Some("default/7/0"), Some("NEVER_EXISTED"), None),
            (Some(last), None, Some("Succeeded")),
        ]
    );
}

#[test]
fn an_operator_is_told_what_a_forget_would_lose_and_who_leads() {
    let directory = tempfile::tempdir().expect("a directory");
    let member = Member::start(directory.path());
    let id = member.submit(&[]);
    let partition = id.rsplit_once('/').expect("three parts").0;

    let refused = member.run(&["-o", "json", "member", "forget", "m1"], "");
    assert_eq!(refused.status.code(), Some(6), "{}", text(&refused.stderr));
    let document: serde_json::Value = serde_json::from_slice(&refused.stdout).expect("JSON");
    assert_eq!(document["forgotten"], false);
    assert_eq!(document["would_lose"], serde_json::json!([partition]));
    assert_eq!(document["would_lose_partitions"], 1);
    let refused = member.run(&["member", "forget", "m1"], "");
    assert!(
        text(&refused.stdout).contains(&format!("1: {partition}")),
        "{}",
        text(&refused.stdout)
    );
    assert!(
        text(&refused.stderr).starts_with("error[FAILED_PRECONDITION]"),
        "{}",
        text(&refused.stderr)
    );

    let unknown = member.run(&["member", "forget", "m9", "--process-ended"], "");
    assert_eq!(unknown.status.code(), Some(3));
    assert!(
        text(&unknown.stderr).starts_with("error[NOT_FOUND] there is no member m9"),
        "{}",
        text(&unknown.stderr)
    );

    let status = member.run(&["-o", "json", "cluster", "status"], "");
    assert_eq!(status.status.code(), Some(0), "{}", text(&status.stderr));
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("JSON");
    assert_eq!(status["control_leader_name"], "m1");
    assert_eq!(status["under_replicated"], serde_json::json!([]));
}

#[test]
fn map_prints_what_the_programs_print_in_the_order_of_the_lines_and_resumes() {
    let directory = tempfile::tempdir().expect("a directory");
    let member = Member::start(directory.path());
    let input: String = (0..200).map(|number| format!("line {number}\n")).collect();
    let summary = directory.path().join("summary.json");
    let summary = summary.to_str().expect("text");
    let arguments = [
        "map",
        "--run",
        "nightly",
        "--summary",
        summary,
        "--",
        "echo",
        "<{}>",
    ];
    let mapped = member.run(&arguments, &input);
    assert_eq!(mapped.status.code(), Some(0), "{}", text(&mapped.stderr));
    let expected: String = (0..200)
        .map(|number| format!("<line {number}>\n"))
        .collect();
    assert_eq!(text(&mapped.stdout), expected);
    let document = std::fs::read(summary).expect("written");
    let document: serde_json::Value = serde_json::from_slice(&document).expect("JSON");
    assert_eq!(document["schema"], "ringhold.map/1");
    assert_eq!(
        (&document["lines"], &document["submitted"]),
        (&200.into(), &200.into())
    );

    let ended = member.run(
        &["map", "--resume", "nightly", "--", "echo", "<{}>"],
        &input,
    );
    assert_eq!(ended.status.code(), Some(6), "{}", text(&ended.stderr));
    assert!(
        text(&ended.stderr).starts_with("error[DISPOSED] run nightly has ended"),
        "{}",
        text(&ended.stderr)
    );
    assert_eq!(text(&ended.stdout), "", "nothing of it is printed again");
    let partly = member.run(
        &["map", "--", "sh", "-c", "test '{}' != b && echo {}"],
        "a\nb\nc\n",
    );
    assert_eq!(
        (partly.status.code(), text(&partly.stdout)),
        (Some(8), "a\nc\n".to_owned())
    );
}

#[test]
fn a_run_that_never_began_is_resumed_in_vain_and_its_name_stays_free() {
    let directory = tempfile::tempdir().expect("a directory");
    let member = Member::start(directory.path());
    let command = ["--", "echo", "<{}>"];
    // The first try comes before the executor exists, the second after it was created; neither leaves anything behind.
    for other in ["daily", "nightly"] {
        let unknown = member.run(
            &[&["map", "--resume", "weekly"][..], &command].concat(),
            "a\n",
        );
        let said = text(&unknown.stderr);
        assert_eq!(unknown.status.code(), Some(3), "{said}");
        assert!(
            said.starts_with("error[NOT_FOUND] there is no run weekly"),
            "{said}"
        );
        assert_eq!(text(&unknown.stdout), "", "no line ran");
        let mapped = member.run(&[&["map", "--run", other][..], &command].concat(), "a\n");
        assert_eq!(text(&mapped.stdout), "<a>\n", "{}", text(&mapped.stderr));
    }
    let begun = member.run(&[&["map", "--run", "weekly"][..], &command].concat(), "a\n");
    assert_eq!(begun.status.code(), Some(0), "{}", text(&begun.stderr));
    assert_eq!(text(&begun.stdout), "<a>\n");
}

/// A map, one line after the other, into one partition of three entries.
fn map_narrow<'a>(name: [&'a str; 2], more: &[&'a str]) -> Vec<&'a str> {
    let executor = ["map", "--executor", "narrow", "--key", "one", "--jobs", "1"];
    let command = ["--", "echo", "{}"];
    [&executor[..], &name, more, &command].concat()
}

#[test]
fn a_map_waits_for_room_that_others_take_stops_by_name_and_gets_further_when_resumed() {
    let directory = tempfile::tempdir().expect("a directory");
    let member = Member::start(directory.path());
    let others: Vec<String> = (0..3)
        .map(|_| member.submit(&["--executor", "narrow", "--key", "one"]))
        .collect();
    let soon = ["--wait-for-room", "300ms"];
    let dispose = |id: &str| {
        let disposed = member.run(&["task", "dispose", id], "");
        assert_eq!(
            disposed.status.code(),
            Some(0),
            "{}",
            text(&disposed.stderr)
        );
    };

    let stopped = member.run(&map_narrow(["--run", "r"], &soon), "a\nb\n");
    let said = text(&stopped.stderr);
    assert_eq!(stopped.status.code(), Some(6), "{said}");
    assert!(said.contains("line 1 waits for room: partition "), "{said}");
    assert!(
        said.contains("error[EXECUTOR_FULL] line 1 is not submitted"),
        "{said}"
    );
    dispose(&others[0]);
    let stopped = member.run(&map_narrow(["--resume", "r"], &soon), "a\nb\n");
    let said = text(&stopped.stderr);
    assert_eq!(text(&stopped.stdout), "a\n", "{said}");
    assert!(
        said.contains("error[EXECUTOR_FULL] line 2 is not submitted"),
        "{said}"
    );

    let mut resumed = ringhold(&map_narrow(["--resume", "r"], &[]))
        .env("RINGHOLD__SERVER", &member.client)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut input = resumed.stdin.take().expect("piped");
    input.write_all(b"a\nb\n").expect("it reads");
    drop(input);
    let mut said = BufReader::new(resumed.stderr.take().expect("piped")).lines();
    let waits = said.any(|line| line.expect("text").contains("line 2 waits for room"));
    assert!(waits, "it says that it waits");
    dispose(&others[1]);
    let rest: Vec<String> = said.map(|line| line.expect("text")).collect();
    let resumed = resumed.wait_with_output().expect("it ends");
    assert_eq!(resumed.status.code(), Some(0), "{rest:?}");
    assert_eq!(text(&resumed.stdout), "a\nb\n");
}

#[test]
fn a_line_whose_result_was_overwritten_is_named_and_not_run_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let member = Member::start(directory.path());
    let arguments = ["map", "--executor", "loose", "--key", "one", "--jobs", "1"];
    let command = ["--", "echo", "{}"];
    let stopped = member.run(
        &[&arguments[..], &["--run", "r"], &command].concat(),
        "a\nb\nc\nd\n",
    );
    let said = text(&stopped.stderr);
    assert_eq!(stopped.status.code(), Some(6), "{said}");
    assert!(
        said.contains("overwrites results that nobody has read"),
        "{said}"
    );
    assert!(said.contains("head -n 3"), "{said}");
    member.submit(&["--executor", "loose", "--key", "one"]);
    let resumed = member.run(
        &[&arguments[..], &["--resume", "r"], &command].concat(),
        "a\nb\nc\n",
    );
    let said = text(&resumed.stderr);
    assert_eq!(resumed.status.code(), Some(8), "{said}");
    assert_eq!(text(&resumed.stdout), "b\nc\n", "{said}");
    assert!(
        said.contains("line 1: the outcome is no longer kept"),
        "{said}"
    );
    assert!(said.contains("It ran, and is not run again"), "{said}");
}

#[test]
fn a_map_stops_by_name_before_its_results_would_overwrite_each_other_and_resumes() {
    let directory = tempfile::tempdir().expect("a directory");
    let member = Member::start(directory.path());
    let arguments = ["map", "--executor", "narrow", "--key", "one", "--jobs", "2"];
    let command = ["--", "echo", "{}"];
    for name in [["--run", "r"], ["--resume", "r"]] {
        let arguments = [&arguments[..], &name, &command].concat();
        let stopped = member.run(&arguments, "a\nb\nc\nd\ne\n");
        assert_eq!(stopped.status.code(), Some(6), "{}", text(&stopped.stderr));
        assert_eq!(text(&stopped.stdout), "a\nb\nc\n");
        let said = text(&stopped.stderr);
        assert!(
            said.contains("error[EXECUTOR_FULL] line 4 is not submitted"),
            "{said}"
        );
        assert!(said.contains("at most 3 lines of one key"), "{said}");
    }
    // Keys that differ have room of their own.
    let arguments = [
        "map",
        "--executor",
        "narrow",
        "--key",
        "{}",
        "--",
        "echo",
        "{}",
    ];
    let mapped = member.run(&arguments, "a\nb\nc\nd\ne\n");
    assert_eq!(
        text(&mapped.stdout),
        "a\nb\nc\nd\ne\n",
        "{}",
        text(&mapped.stderr)
    );
}

#[test]
fn a_map_that_was_killed_resumes_without_running_a_line_twice() {
    let directory = tempfile::tempdir().expect("a directory");
    let member = Member::start(directory.path());
    let log = directory.path().join("runs");
    let script = format!("echo {{}} >> {}; echo {{}}", log.display());
    let input: String = (0..400).map(|number| format!("{number}\n")).collect();
    let mut killed = ringhold(&[
        "map", "--run", "r", "--jobs", "8", "--", "sh", "-c", &script,
    ])
    .env("RINGHOLD__SERVER", &member.client)
    .stdin(Stdio::piped())
    .stdout(Stdio::piped())
    .stderr(Stdio::null())
    .spawn()
    .expect("the program runs");
    let mut standard_input = killed.stdin.take().expect("piped");
    standard_input
        .write_all(input.as_bytes())
        .expect("it reads");
    let mut output = BufReader::new(killed.stdout.take().expect("piped"));
    for _ in 0..100 {
        output.read_line(&mut String::new()).expect("it prints");
    }
    killed.kill().expect("it runs");
    killed.wait().expect("it ends");
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("read");
    assert!(rest.lines().count() < 300, "it was killed before its end");

    let summary = directory.path().join("summary.json");
    let arguments = ["map", "--resume", "r", "--summary"];
    let command = ["--", "sh", "-c", &script];
    let summary_file = [summary.to_str().expect("text")];
    let resumed = member.run(&[&arguments[..], &summary_file, &command].concat(), &input);
    assert_eq!(resumed.status.code(), Some(0), "{}", text(&resumed.stderr));
    let counts = std::fs::read(&summary).expect("written");
    let counts: serde_json::Value = serde_json::from_slice(&counts).expect("JSON");
    let count = |name: &str| counts[name].as_u64().expect("a number");
    assert_eq!(count("submitted") + count("reused"), count("lines"));
    assert!((100..400).contains(&count("reused")), "{counts}");
    assert_eq!(text(&resumed.stdout), input);
    let mut runs: Vec<u32> = std::fs::read_to_string(&log)
        .expect("written")
        .lines()
        .map(|line| line.parse().expect("a number"))
        .collect();
    runs.sort_unstable();
    assert_eq!(runs, (0..400).collect::<Vec<_>>());
}

#[test]
fn a_member_ends_when_what_started_it_is_gone() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut member = Member::start(directory.path());
    drop(member.standard_input.take());
    assert_eq!(member.child.wait().expect("it ends").code(), Some(0));
}
