//! `ringhold map`: what it prints, what it leaves behind, and how it goes on.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::{Member, feed, interruptible, ringhold, send, text};

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
    let document: Value = serde_json::from_slice(&document).expect("JSON");
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
    let _open = feed(&mut killed, &input);
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
    let counts: Value = serde_json::from_slice(&counts).expect("JSON");
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

/// A map that was started and not waited for.
fn spawn(member: &Member, arguments: &[&str], directory: &Path, input: &str) -> Child {
    let mut child = interruptible(arguments)
        .env("RINGHOLD__SERVER", &member.client)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    drop(feed(&mut child, input));
    child
}

fn run_in(member: &Member, arguments: &[&str], directory: &Path, input: &str) -> Output {
    let child = spawn(member, arguments, directory, input);
    child.wait_with_output().expect("it ends")
}

fn summary(file: &Path) -> Value {
    let document = std::fs::read(file).expect("written");
    serde_json::from_slice(&document).expect("JSON")
}

#[test]
fn relative_names_mean_what_they_mean_where_map_is_called() {
    let directory = tempfile::tempdir().expect("a directory");
    let member = Member::start(directory.path());
    let [here, there] = ["here", "there"].map(|name| {
        let made = directory.path().join(name);
        std::fs::create_dir(&made).expect("made");
        std::fs::write(made.join("a b"), name).expect("written");
        std::fs::write(made.join("c"), "same").expect("written");
        made
    });
    let names = "./a b\nc\n";
    let expected = std::process::Command::new("sha256sum")
        .args(names.lines())
        .current_dir(&here)
        .output()
        .expect("the program runs");
    let command = ["--", "sha256sum", "{}"];
    let mapped = run_in(&member, &[&["map"][..], &command].concat(), &here, names);
    assert_eq!(
        text(&mapped.stdout),
        text(&expected.stdout),
        "{}",
        text(&mapped.stderr)
    );

    let named = ["map", "--directory", "../here"];
    let mapped = run_in(&member, &[&named[..], &command].concat(), &there, names);
    assert_eq!(
        text(&mapped.stdout),
        text(&expected.stdout),
        "{}",
        text(&mapped.stderr)
    );
    let scratch = ["map", "--directory", "", "--", "cat", "c"];
    let mapped = run_in(&member, &scratch, &here, "one\n");
    assert_eq!(mapped.status.code(), Some(8), "{}", text(&mapped.stdout));

    let submit = [
        "task",
        "submit",
        "--wait",
        "--directory",
        ".",
        "--",
        "cat",
        "a b",
    ];
    let submitted = run_in(&member, &submit, &there, "");
    assert_eq!(
        text(&submitted.stdout),
        "there",
        "{}",
        text(&submitted.stderr)
    );
}

#[test]
fn a_run_that_is_resumed_in_another_directory_names_the_line_and_what_may_differ() {
    let directory = tempfile::tempdir().expect("a directory");
    let member = Member::start(directory.path());
    let other = directory.path().join("other");
    std::fs::create_dir(&other).expect("made");
    let input = "a\nb\nc\nd\n";
    let began = map_narrow(["--run", "r"], &[]);
    let began = run_in(&member, &began, directory.path(), input);
    assert_eq!(began.status.code(), Some(6), "{}", text(&began.stderr));
    let resumed = map_narrow(["--resume", "r"], &[]);
    let resumed = run_in(&member, &resumed, &other, input);
    let said = text(&resumed.stderr);
    assert_eq!(resumed.status.code(), Some(6), "{said}");
    assert!(
        said.contains("error[ALREADY_EXISTS] line 1 was stored as another task"),
        "{said}"
    );
    assert!(said.contains("--directory"), "{said}");
    let from_there = directory.path().to_str().expect("text");
    let resumed = map_narrow(["--resume", "r"], &["--directory", from_there]);
    let resumed = run_in(&member, &resumed, &other, input);
    assert_eq!(
        text(&resumed.stdout),
        "a\nb\nc\n",
        "{}",
        text(&resumed.stderr)
    );
}

#[test]
fn the_mark_of_a_run_waits_for_room_like_a_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let member = Member::start(directory.path());
    // A key shares the partition of the idempotency key that reads the same.
    for _ in 0..3 {
        member.submit(&["--executor", "narrow", "--key", "r:run"]);
    }
    let began = map_narrow(["--run", "r"], &["--wait-for-room", "300ms"]);
    let began = member.run(&began, "a\n");
    let said = text(&began.stderr);
    assert_eq!(began.status.code(), Some(6), "{said}");
    assert!(
        said.contains("error[EXECUTOR_FULL] the task that marks the run is not submitted"),
        "{said}"
    );
    assert!(said.contains("begin again"), "{said}");
    assert_eq!(text(&began.stdout), "");
}

#[test]
fn a_line_that_printed_more_than_is_kept_is_counted_and_the_run_ends_partly() {
    let directory = tempfile::tempdir().expect("a directory");
    let member = Member::start(directory.path());
    let file = directory.path().join("summary.json");
    let map = ["map", "--executor", "short", "--summary"];
    let command = [file.to_str().expect("text"), "--", "seq", "{}"];
    let mapped = member.run(&[&map[..], &command].concat(), "3\n1000\n");
    let said = text(&mapped.stderr);
    assert_eq!(mapped.status.code(), Some(8), "{said}");
    assert!(
        said.contains("line 2: its output was longer than kept"),
        "{said}"
    );
    let summary = summary(&file);
    assert_eq!(
        (
            &summary["truncated"],
            &summary["succeeded"],
            &summary["stopped"]
        ),
        (&1.into(), &2.into(), &Value::Null)
    );
}

#[test]
fn a_run_that_stops_early_writes_its_summary_as_far_as_it_came() {
    let directory = tempfile::tempdir().expect("a directory");
    let member = Member::start(directory.path());
    let file = directory.path().join("summary.json");
    let with_summary = ["--summary", file.to_str().expect("text")];
    let stopped = map_narrow(["--run", "r"], &with_summary);
    let stopped = member.run(&stopped, "a\nb\nc\nd\n");
    assert_eq!(stopped.status.code(), Some(6), "{}", text(&stopped.stderr));
    let summary = summary(&file);
    assert_eq!(
        (&summary["succeeded"], &summary["stopped"]),
        (&3.into(), &"EXECUTOR_FULL".into()),
        "{summary}"
    );
}

/// Waits for a condition that must come true.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_map_whose_reader_pauses_ends_at_once_when_it_is_interrupted() {
    let directory = tempfile::tempdir().expect("a directory");
    let member = Member::start(directory.path());
    let file = directory.path().join("summary.json");
    let map = [
        "map",
        "--run",
        "r",
        "--summary",
        file.to_str().expect("text"),
    ];
    let command = ["--", "sh", "-c", "seq 300000"];
    let input = "line\n".repeat(100);
    let mut paused = spawn(
        &member,
        &[&map[..], &command].concat(),
        directory.path(),
        &input,
    );
    // The first piece is larger than the pipe, so whoever writes it waits.
    let unread = paused.stdout.take().expect("piped");
    until("it prints", || {
        rustix::io::ioctl_fionread(&unread).expect("a pipe") > 0
    });
    send("INT", paused.id());
    // Its output stays unread until it has ended.
    until("it ends", || paused.try_wait().expect("known").is_some());
    let paused = paused.wait_with_output().expect("it has ended");
    let said = text(&paused.stderr);
    assert_eq!(paused.status.code(), Some(130), "{said}");
    assert!(
        said.contains("interrupted; tasks that are stored go on; resume with --resume r"),
        "{said}"
    );
    assert_eq!(summary(&file)["stopped"], "INTERRUPTED");
}

#[test]
fn a_run_that_is_killed_while_it_disposes_its_results_has_no_mark_any_more() {
    const LINES: usize = 400;
    let directory = tempfile::tempdir().expect("a directory");
    let member = Member::start(directory.path());
    let input: String = (0..LINES).map(|number| format!("{number}\n")).collect();
    // One after the other, so that there is time to kill it in between.
    let fill = [
        "map",
        "--run",
        "r",
        "--unordered",
        "--jobs",
        "1",
        "--",
        "true",
    ];
    let mut ending = spawn(&member, &fill, directory.path(), &input);
    let mut said = BufReader::new(ending.stderr.take().expect("piped")).lines();
    let over = said.any(|line| line.expect("text").starts_with("run r: "));
    assert!(over, "it says what there was");
    let listed = || {
        let list = ["-o", "json", "task", "ls", "--limit", "1000"];
        let listed: Value = serde_json::from_slice(&member.run(&list, "").stdout).expect("JSON");
        let tasks = listed["tasks"].as_array().expect("a list").clone();
        let marks = tasks.iter().filter(|task| task["name"] == "ringhold.echo");
        (tasks.len() - marks.clone().count(), marks.count())
    };
    until("results go", || listed().0 < LINES);
    // It may have ended meanwhile.
    let _ = ending.kill();
    ending.wait().expect("it ends");
    assert_eq!(listed().1, 0, "its results go, and it could be resumed");
}
