//! The program as people and scripts meet it: streams, exit codes, and what is left behind.

mod commands;
mod map;
mod support;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use support::{Member, interruptible, run, send, text};

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
    // Bound, but not listened on: nobody answers, and nobody else gets the port meanwhile.
    let held = tokio::net::TcpSocket::new_v4().expect("a socket");
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    held.bind(any).expect("a port");
    let address = held.local_addr().expect("bound").to_string();
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
    let several = member.run(
        &["-o", "json", "task", "wait", id, "default/7/1000", last],
        "",
    );
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
            (Some("default/7/1000"), Some("NEVER_EXISTED"), None),
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
fn a_member_ends_when_what_started_it_is_gone() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut member = Member::start(directory.path());
    drop(member.standard_input.take());
    assert_eq!(member.child.wait().expect("it ends").code(), Some(0));
}

/// The set of signals that a process has under this name in its status, one bit each.
fn signals(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let set = status.lines().find_map(|line| line.strip_prefix(name));
    u64::from_str_radix(set.expect("Linux tells it").trim(), 16).expect("a set")
}

#[test]
fn a_member_that_was_started_with_hang_ups_ignored_goes_on_ignoring_them() {
    const HANG_UP: u64 = 1;
    const TERMINATE: u64 = 1 << 14;
    let directory = tempfile::tempdir().expect("a directory");
    let mut member = Member::start_with(directory.path(), "trap '' HUP; exec \"$0\" \"$@\"");
    let pid = member.child.id();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while signals(pid, "SigCgt:") & TERMINATE == 0 {
        assert!(
            std::time::Instant::now() < deadline,
            "it listens for no signal"
        );
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    send("HUP", pid);
    assert_eq!(signals(pid, "SigIgn:") & HANG_UP, HANG_UP);
    let status = member.run(&["cluster", "status"], "");
    assert_eq!(status.status.code(), Some(0), "{}", text(&status.stderr));
    send("TERM", pid);
    assert_eq!(member.child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_configuration_that_no_member_would_start_with_is_no_correct_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("member.toml");
    let file_name = file.to_str().expect("text");
    for (member, said) in [
        ("client-address = \"localhost:7400\"", "client-address"),
        ("client-address = \"10.0.0.1:7400\"", "insecure"),
        (
            "insecure = true\npeer-address = \"0.0.0.0:7401\"",
            "advertise-host",
        ),
        ("name = \"two words\"", "name"),
    ] {
        std::fs::write(&file, format!("[member]\n{member}\n")).expect("written");
        let checked = run(&["-o", "json", "config", "check", file_name]);
        assert_eq!(checked.status.code(), Some(2), "{member}");
        let document: serde_json::Value =
            serde_json::from_slice(&checked.stdout).expect("one document");
        assert_eq!(document["ok"], false, "{member}");
        let mistake = document["mistakes"][0].as_str().expect("text");
        assert!(mistake.contains(said), "{mistake}");
    }
    let full = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../config/tests/golden/full.toml"
    );
    let checked = run(&["config", "check", full]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
}

#[test]
fn a_demo_that_is_interrupted_leaves_no_process_and_no_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut demo = interruptible(&["demo", "--count", "60", "-o", "json"])
        .env("TMPDIR", directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let said = BufReader::new(demo.stderr.take().expect("piped"));
    let mut members = Vec::new();
    let mut lines = said.lines().map(|line| line.expect("text"));
    for line in lines.by_ref() {
        if let Some((_, process)) = line.split_once(" is process ") {
            let number = process.split(',').next().expect("a part");
            members.push(number.parse::<u32>().expect("a number"));
        }
        if line.starts_with("submitting") {
            break;
        }
    }
    assert_eq!(members.len(), 3);
    send("INT", demo.id());
    let rest: Vec<String> = lines.collect();
    let demo = demo.wait_with_output().expect("it ends");
    assert_eq!(demo.status.code(), Some(130), "{rest:?}");
    let document: serde_json::Value = serde_json::from_slice(&demo.stdout).expect("one document");
    assert_eq!(document["ok"], false);
    for member in members {
        let process = std::path::PathBuf::from(format!("/proc/{member}"));
        assert!(!process.exists(), "{} is left", process.display());
    }
    let left = std::fs::read_dir(directory.path()).expect("it is there");
    assert_eq!(left.count(), 0, "a directory is left");
}
