//! Programs.

use std::ffi::OsString;
use std::path::Path;
use std::time::Instant;

use ringhold_types::FailureKind;

use super::*;

#[test]
fn a_program_gets_its_input_and_its_output_is_the_result() {
    let mut bench = Bench::new(HandlerRegistry::new());
    let mut call = process(&["cat"]);
    // More than a pipe holds: input and output must flow at the same time.
    let input = Bytes::from(vec![b'x'; 700_000]);
    call.standard_input = Some(input.clone());
    let result = bench.succeed(task(TaskCall::Process(call)), config());
    assert_eq!(result.payload, input);
    assert_eq!(result.content_type, "application/octet-stream");
    let exit = result.process.expect("how it ended");
    assert_eq!((exit.exit_code, exit.signal), (Some(0), None));
    assert!(!exit.output_truncated && exit.standard_output.is_empty());
}

#[test]
fn a_program_without_input_reads_an_empty_one() {
    let mut bench = Bench::new(HandlerRegistry::new());
    assert_eq!(
        bench.succeed(call_process(&["cat"]), config()).payload,
        Bytes::new()
    );
}

#[test]
fn a_program_that_ignores_its_input_succeeds() {
    let mut bench = Bench::new(HandlerRegistry::new());
    let mut call = process(&["true"]);
    call.standard_input = Some(Bytes::from(vec![b'x'; 1_000_000]));
    bench.succeed(task(TaskCall::Process(call)), config());
}

#[test]
fn an_exit_code_is_a_failure_with_the_last_line_of_standard_error() {
    let mut bench = Bench::new(HandlerRegistry::new());
    let script = "echo partial; echo first >&2; echo 'no such thing' >&2; echo >&2; exit 3";
    let failure = bench.fail(shell(script), config());
    assert_eq!(failure.kind, FailureKind::NonzeroExit);
    assert_eq!(failure.message, "sh exited with code 3: no such thing");
    let exit = failure.process.expect("how it ended");
    assert_eq!(exit.exit_code, Some(3));
    assert_eq!(exit.standard_output, "partial\n");
    assert_eq!(exit.standard_error, "first\nno such thing\n\n");
}

#[test]
fn a_signal_is_a_failure_that_names_it() {
    let mut bench = Bench::new(HandlerRegistry::new());
    let failure = bench.fail(shell("kill -SEGV $$"), config());
    assert_eq!(failure.kind, FailureKind::Signal);
    assert_eq!(failure.message, "sh was ended by signal 11 (SIGSEGV)");
    assert_eq!(failure.process.expect("how it ended").signal, Some(11));
}

#[test]
fn a_program_that_ignores_term_is_killed_after_the_grace() {
    let mut bench = Bench::new(HandlerRegistry::new());
    let begun = Instant::now();
    let script = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    let failure = bench.fail(limited(shell(script), Millis(1500)), config());
    assert!(
        begun.elapsed() >= Duration::from_millis(1700),
        "killed before the grace was over"
    );
    assert_eq!(failure.kind, FailureKind::TimedOut);
    assert_eq!(
        failure.message,
        "sh ran longer than its limit of 1500 ms and was ended"
    );
    let exit = failure.process.expect("how it ended");
    assert_eq!(exit.signal, Some(9));
    assert_eq!(
        exit.standard_output, "ready\n",
        "what it wrote before is kept"
    );
}

#[test]
fn a_program_that_obeys_term_ends_at_once() {
    let mut bench = Bench::new(HandlerRegistry::new());
    let mut patient = config();
    patient.kill_grace = Millis(600_000);
    patient.run_limit = Some(Millis(1500));
    let script = "trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done";
    let failure = bench.fail(shell(script), patient);
    assert_eq!(
        failure.kind,
        FailureKind::TimedOut,
        "a limit is a failure even if the code is 0"
    );
    assert_eq!(
        failure.process.expect("how it ended").standard_output,
        "bye\n"
    );
}

#[test]
fn nothing_of_the_group_is_left_after_success() {
    let mut bench = Bench::new(HandlerRegistry::new());
    // The grandchild holds the output open and would keep the attempt waiting for as long as it sleeps.
    let begun = Instant::now();
    let result = bench.succeed(shell("sleep 1000 & echo $!"), config());
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert_gone(&result.payload);
}

#[test]
fn nothing_of_the_group_is_left_after_a_time_limit() {
    let mut bench = Bench::new(HandlerRegistry::new());
    let script = "(trap '' TERM; sleep 1000; sleep 1000) & echo $!; sleep 1000";
    let failure = bench.fail(limited(shell(script), Millis(1500)), config());
    assert_eq!(failure.kind, FailureKind::TimedOut);
    assert_gone(&failure.process.expect("how it ended").standard_output);
}

#[test]
fn an_escaped_process_does_not_keep_the_attempt() {
    let mut bench = Bench::new(HandlerRegistry::new());
    let begun = Instant::now();
    let result = bench.succeed(shell("setsid sleep 20 & echo done"), config());
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "waited for the escaped process"
    );
    assert_eq!(result.payload, "done\n");
}

#[test]
fn a_flood_of_output_keeps_flowing_and_its_head_and_tail_are_kept() {
    let mut bench = Bench::new(HandlerRegistry::new());
    let mut small = config();
    small.output_bytes_max = 1000;
    let script = "echo begin; head -c 50000000 /dev/zero; echo end; head -c 1000000 /dev/zero >&2";
    let before = resident_bytes();
    let result = bench.succeed(shell(script), small);
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 20_000_000, "memory grew by {grown} bytes");
    assert_eq!(result.payload.len(), 1000);
    assert!(result.payload.starts_with(b"begin\n\0") && result.payload.ends_with(b"\0end\n"));
    let exit = result.process.expect("how it ended");
    assert!(exit.output_truncated && exit.error_truncated);
    assert_eq!(exit.standard_error.len(), 64 * 1024);
}

#[test]
fn output_never_exceeds_what_a_result_may_hold() {
    let mut bench = Bench::new(HandlerRegistry::new());
    let mut greedy = config();
    greedy.output_bytes_max = u64::MAX;
    let result = bench.succeed(
        shell("head -c 5000000 /dev/zero; head -c 99999 /dev/zero >&2"),
        greedy,
    );
    let exit = result.process.expect("how it ended");
    assert!(exit.output_truncated);
    let bytes = result.payload.len() + exit.standard_error.len();
    assert!(bytes <= ringhold_types::limits::RESULT_BYTES_MAX);
}

#[test]
fn a_program_that_is_not_allowed_is_not_started_and_the_answer_says_what_to_do() {
    let mut bench = Bench::new(HandlerRegistry::new());
    let mut strict = config();
    strict.allowed_binaries = vec!["sha256sum".to_owned()];
    let failure = bench.fail(call_process(&["touch", "made"]), strict.clone());
    assert_eq!(failure.kind, FailureKind::NotAllowed);
    assert_eq!(
        failure.message,
        "executor reports does not allow the program touch (allowed: sha256sum); add it to allowed-binaries of the \
         executor, or \"*\" to allow every program"
    );
    assert!(!bench.scratch.path().join("scratch/made").exists());
    strict.allowed_binaries.clear();
    let failure = bench.fail(call_process(&["/bin/true"]), strict);
    assert!(failure.message.contains("(allowed: none)"));
}

#[test]
fn an_allowed_name_means_the_file_that_the_members_path_finds() {
    let mut bench = Bench::new(HandlerRegistry::new());
    let mut strict = config();
    strict.allowed_binaries = vec!["true".to_owned()];
    bench.succeed(call_process(&["true"]), strict.clone());
    let own = bench.scratch.path().join("true");
    std::fs::copy("/bin/true", &own).expect("copied");
    let failure = bench.fail(call_process(&[own.to_str().expect("text")]), strict.clone());
    assert_eq!(failure.kind, FailureKind::NotAllowed);
    // A task's own PATH does not decide which program runs.
    let mut call = process(&["true"]);
    let folder = bench.scratch.path().to_str().expect("text").to_owned();
    call.environment.insert("PATH".to_owned(), folder);
    std::fs::write(&own, "#!/bin/sh\nexit 9\n").expect("written");
    bench.succeed(task(TaskCall::Process(call)), strict.clone());
    let mut call = process(&["true"]);
    call.environment
        .insert("LD_PRELOAD".to_owned(), "/tmp/evil.so".to_owned());
    let failure = bench.fail(task(TaskCall::Process(call)), strict);
    assert_eq!(failure.kind, FailureKind::NotAllowed);
}

#[test]
fn an_absolute_path_is_allowed_exactly() {
    let mut bench = Bench::new(HandlerRegistry::new());
    let mut strict = config();
    strict.allowed_binaries = vec!["/bin/true".to_owned()];
    bench.succeed(call_process(&["/bin/true"]), strict.clone());
    let failure = bench.fail(call_process(&["/bin/../bin/true"]), strict);
    assert_eq!(failure.kind, FailureKind::NotAllowed);
}

#[test]
fn a_missing_program_or_directory_is_a_launch_failure() {
    let mut bench = Bench::new(HandlerRegistry::new());
    let failure = bench.fail(call_process(&["no-such-program"]), config());
    assert_eq!(failure.kind, FailureKind::LaunchFailure);
    assert!(
        failure
            .message
            .starts_with("program no-such-program is not on this member's PATH")
    );
    let failure = bench.fail(call_process(&["/no/such/program"]), config());
    assert_eq!(failure.kind, FailureKind::LaunchFailure);
    assert!(
        failure.message.contains("could not start /no/such/program"),
        "{}",
        failure.message
    );
    let mut call = process(&["true"]);
    call.working_directory = Some("/no/such/folder".to_owned());
    let failure = bench.fail(task(TaskCall::Process(call)), config());
    assert_eq!(failure.kind, FailureKind::LaunchFailure);
    assert!(
        failure.message.contains("/no/such/folder"),
        "{}",
        failure.message
    );
}

#[test]
fn a_program_runs_in_its_directory() {
    let mut bench = Bench::new(HandlerRegistry::new());
    let scratch = bench.scratch.path().join("scratch");
    let result = bench.succeed(call_process(&["pwd"]), config());
    let shown = String::from_utf8(result.payload.to_vec()).expect("text");
    assert_eq!(
        Path::new(shown.trim()),
        scratch.canonicalize().expect("made at need")
    );
    let mut call = process(&["pwd"]);
    call.working_directory = Some("/".to_owned());
    assert_eq!(
        bench
            .succeed(task(TaskCall::Process(call)), config())
            .payload,
        "/\n"
    );
}

#[test]
fn the_environment_is_the_members_without_secrets_then_the_tasks_then_the_attempts() {
    let member = [
        ("PATH", "/usr/bin:/bin"),
        ("KEPT", "1"),
        ("API_TOKEN", "s"),
        ("OVER", "member"),
    ];
    let member = member.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let environment = MemberEnvironment::filtered(member);
    let mut bench = Bench::with_environment(HandlerRegistry::new(), environment);
    let mut call = process(&["env"]);
    let own = [
        ("OVER", "task"),
        ("MY_TOKEN", "given on purpose"),
        ("RINGHOLD_ATTEMPT", "99"),
    ];
    call.environment = own
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let result = bench.succeed(task(TaskCall::Process(call)), config());
    let text = String::from_utf8(result.payload.to_vec()).expect("text");
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "KEPT=1",
            "MY_TOKEN=given on purpose",
            "OVER=task",
            "PATH=/usr/bin:/bin",
            "RINGHOLD_ATTEMPT=1",
            "RINGHOLD_FENCING_TOKEN=00000000000000000007-00000000000000000001-00000000000000000001",
            "RINGHOLD_MEMBER=0000000000000abc",
            "RINGHOLD_TASK_ID=reports/5/1",
        ]
    );
}

#[test]
fn an_aborted_program_ends_and_says_so_once() {
    let mut bench = Bench::new(HandlerRegistry::new());
    bench.execution.begin(
        start(1, shell("echo $$ > pid; exec sleep 1000")),
        Arc::new(config()),
    );
    let file = bench.scratch.path().join("scratch/pid");
    let begun = Instant::now();
    let process_id = loop {
        match std::fs::read(&file) {
            Ok(text) if text.ends_with(b"\n") => break text,
            _ => assert!(begun.elapsed() < PATIENCE, "it never started"),
        }
        std::thread::yield_now();
    };
    assert_eq!(bench.execution.running(), 1);
    bench.execution.abort(token(1));
    bench.execution.abort(token(1));
    assert_eq!(
        bench.report(),
        AttemptReport {
            token: token(1),
            end: AttemptEnd::Aborted,
            lingers: false,
        }
    );
    assert!(bench.reports.try_recv().is_err());
    assert_gone(&process_id);
}

/// Fails unless the process, named by its number in text, has ended (a zombie has).
fn assert_gone(process_id: &[u8]) {
    let number = String::from_utf8(process_id.to_vec()).expect("a number");
    let file = format!("/proc/{}/stat", number.trim());
    let begun = Instant::now();
    // KILL was sent before the report; the kernel may still be at it.
    while let Ok(stat) = std::fs::read_to_string(&file) {
        let state = stat.rsplit(") ").next().unwrap_or_default().chars().next();
        if state == Some('Z') {
            return;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "process {number} is left, state {state:?}"
        );
        std::thread::yield_now();
    }
}

fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("procfs");
    let pages: usize = text
        .split(' ')
        .nth(1)
        .and_then(|n| n.parse().ok())
        .expect("a number");
    pages * 4096
}
