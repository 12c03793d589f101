//! Programs and their keepers, with real processes: whatever a program does, nothing of it lives once its end is reported.

mod support;

use std::time::{Duration, Instant};

use ringhold_sys::programs::{
    Exit, HELPER_VARIABLE, KeeperEvent, KeeperOrder, LaunchStep, Resource, SpawnLimits, sweep,
};
use support::{Bench, Program, SOON, until};

/// Signals that a Rust program ignores by itself (SIGPIPE), or that the C library keeps for itself (32 and 33).
const OWN_IGNORED: u64 = (1 << 12) | (1 << 31) | (1 << 32);

/// Starts a program that leaves something in a way of its own, and finds that it ended well and that nothing is left.
fn nothing_is_left_by(how: &str, leftovers: u32) {
    let bench = Bench::start();
    let mut stranger = bench.stranger();
    let mut program = bench.run(&[how]);
    let end = program.end();
    assert_eq!(end.exit, Exit::Code(0), "{how}");
    assert!(!end.unreaped, "{how}");
    assert!(end.leftovers >= leftovers, "{how} left {}", end.leftovers);
    assert_eq!(
        bench.survivors(),
        [],
        "{how}: the end is told after the last descendant's"
    );
    assert!(stranger.is_alive(), "who is no descendant is left alone");
}

#[test]
fn what_called_setsid_is_ended() {
    nothing_is_left_by("setsid", 1);
}

#[test]
fn what_forked_twice_is_ended() {
    nothing_is_left_by("twice", 0);
}

#[test]
fn what_ignores_term_is_ended() {
    nothing_is_left_by("deaf", 1);
}

#[test]
fn what_closed_its_descriptors_is_ended() {
    nothing_is_left_by("closed", 1);
}

#[test]
fn what_was_given_to_another_parent_is_ended() {
    nothing_is_left_by("adopted", 1);
}

#[test]
fn what_is_stopped_is_ended() {
    nothing_is_left_by("stopped", 1);
}

#[test]
fn a_fork_bomb_of_two_hundred_is_ended() {
    nothing_is_left_by("bomb", 2);
}

#[test]
fn after_success_nothing_is_left() {
    nothing_is_left_by("plain", 1);
}

#[test]
fn after_a_failure_nothing_is_left() {
    let bench = Bench::start();
    let end = bench.run(&["fail"]).end();
    assert_eq!((end.exit, end.leftovers), (Exit::Code(3), 1));
    assert_eq!(bench.survivors(), []);
}

#[test]
fn what_a_program_leaves_has_its_time_to_end_after_term() {
    let bench = Bench::start();
    let grace = Duration::from_secs(30);
    let begun = Instant::now();
    let end = bench
        .run_with(&["plain"], |request| request.leftover_grace = grace)
        .end();
    assert_eq!(end.leftovers, 1);
    assert!(
        begun.elapsed() < grace,
        "it ends by TERM, and nobody waits on"
    );
    assert_eq!(bench.survivors(), []);
}

#[test]
fn with_detach_ok_what_is_left_after_success_lives_on() {
    let bench = Bench::start();
    let mut program = bench.run_with(&["plain"], |request| request.detach_ok = true);
    let end = program.end();
    assert_eq!((end.leftovers, end.unreaped), (1, false));
    drop(program);
    assert_eq!(bench.survivors().len(), 1);
    let mut failed = bench.run_with(&["fail"], |request| request.detach_ok = true);
    assert_eq!(failed.end().exit, Exit::Code(3));
    assert_eq!(bench.survivors().len(), 1, "a failure leaves nothing");
    assert_eq!(sweep(&bench.marker()).expect("/proc is there"), 1);
    until("it is gone", || bench.survivors().is_empty());
}

#[test]
fn an_order_ends_a_program_and_one_that_is_deaf_takes_another() {
    let bench = Bench::start();
    let mut program = bench.run(&["wait"]);
    program.order(KeeperOrder::Terminate);
    assert_eq!(program.end().exit, Exit::Signal(15));
    let mut deaf = bench.run(&["wait-deaf"]);
    deaf.read_line("staying");
    deaf.order(KeeperOrder::Terminate);
    assert!(deaf.runs(), "it does not listen");
    deaf.order(KeeperOrder::Kill);
    assert_eq!(deaf.end().exit, Exit::Signal(9));
    assert_eq!(bench.survivors(), []);
}

#[test]
fn a_program_whose_socket_is_closed_is_ended() {
    let bench = Bench::start();
    let program = bench.run(&["wait-deaf"]);
    assert!(program.runs());
    drop(program);
    until("it is gone", || bench.survivors().is_empty());
}

#[test]
fn when_the_member_is_gone_everything_is() {
    let mut bench = Bench::start();
    let programs: Vec<Program> = (0..3).map(|_| bench.run(&["wait-deaf"])).collect();
    assert!(programs.iter().all(Program::runs));
    // The sockets of the programs stay open: only the helper hears that its member is gone.
    assert!(bench.helper.end(SOON).expect("it can be awaited"));
    assert_eq!(
        bench.survivors(),
        [],
        "the helper ends after the last of them"
    );
}

#[test]
fn when_the_keeper_is_killed_the_helper_ends_what_it_kept() {
    let bench = Bench::start();
    let mut program = bench.run(&["wait-deaf"]);
    program.read_line("staying");
    support::kill(program.keeper);
    until("it is gone", || bench.survivors().is_empty());
    assert_eq!(program.next_event(), None, "its socket says so");
    assert_eq!(
        bench.run(&["write"]).end().exit,
        Exit::Code(0),
        "the helper goes on"
    );
}

#[test]
fn when_the_helper_is_killed_running_programs_end_by_themselves() {
    let bench = Bench::start();
    let mut program = bench.run(&["wait"]);
    support::kill(bench.helper.process());
    assert!(program.runs());
    program.order(KeeperOrder::Terminate);
    assert_eq!(program.end().exit, Exit::Signal(15));
    assert_eq!(bench.survivors(), []);
}

#[test]
fn what_helper_and_keeper_left_is_found_by_its_marker() {
    let bench = Bench::start();
    let program = bench.run(&["wait-deaf"]);
    assert!(program.runs());
    let mut stranger = bench.stranger();
    support::kill(bench.helper.process());
    support::kill(program.keeper);
    until("the swept are gone", || {
        let _ = sweep(&bench.marker()).expect("/proc is there");
        bench.survivors().is_empty()
    });
    assert!(stranger.is_alive());
    assert!(
        bench
            .marker()
            .to_string_lossy()
            .starts_with(HELPER_VARIABLE)
    );
}

#[test]
fn limits_hold() {
    let bench = Bench::start();
    let limits = SpawnLimits {
        resources: vec![
            (Resource::OpenFiles, 33),
            (Resource::FileBytes, 4096),
            (Resource::AddressSpace, 1 << 33),
        ],
        nice: Some(7),
        umask: Some(0o027),
        no_new_privs: true,
        ..SpawnLimits::default()
    };
    let mut program = bench.run_with(&["limits"], |request| request.limits = limits.clone());
    let shown = program.output();
    let line = |name: &str| {
        let found = shown.lines().find(|line| line.starts_with(name));
        let words: Vec<&str> = found.unwrap_or_default().split_ascii_whitespace().collect();
        words.join(" ")
    };
    assert_eq!(line("Max open files"), "Max open files 33 33 files");
    assert_eq!(line("Max file size"), "Max file size 4096 4096 bytes");
    assert_eq!(
        line("Max address space"),
        "Max address space 8589934592 8589934592 bytes"
    );
    let mut program = bench.run_with(&["status"], |request| request.limits = limits.clone());
    let shown = program.output();
    assert!(shown.contains("NoNewPrivs:\t1"), "{shown}");
    assert!(shown.contains("Umask:\t0027"), "{shown}");
    let ignored = shown
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:\t"));
    let ignored = u64::from_str_radix(ignored.unwrap_or_default(), 16).expect("a mask");
    assert_eq!(ignored & !OWN_IGNORED, 0, "{ignored:x}");
    assert!(shown.contains("SigBlk:\t0000000000000000"), "{shown}");
}

#[test]
fn a_missing_program_names_the_step_that_failed() {
    let bench = Bench::start();
    let failed = |change: &dyn Fn(&mut ringhold_sys::programs::SpawnRequest)| {
        let mut program = bench.send(&["write"], change);
        match program.next_event() {
            Some(KeeperEvent::LaunchFailed { step, errno }) => (step, errno.0),
            other => panic!("{other:?}"),
        }
    };
    let missing = failed(&|request| request.file = "/there/is/no/such/program".into());
    assert_eq!(missing, (LaunchStep::Execute, libc::ENOENT));
    let nowhere = failed(&|request| request.directory = "/there/is/no/such/place".into());
    assert_eq!(nowhere, (LaunchStep::Directory, libc::ENOENT));
    let nobody = failed(&|request| {
        request.limits.user = Some(ringhold_sys::programs::UserId(1));
    });
    assert_eq!(nobody, (LaunchStep::Group, libc::EINVAL));
    assert_eq!(
        bench.run(&["write"]).end().exit,
        Exit::Code(0),
        "the helper goes on"
    );
}

#[test]
fn resources_used_are_those_of_the_whole_tree() {
    let bench = Bench::start();
    let end = bench.run(&["burn"]).end();
    assert!(end.max_rss_bytes >= 64 << 20, "{end:?}");
    assert!(end.user > Duration::ZERO, "{end:?}");
}

#[test]
fn a_megabyte_of_arguments_travels() {
    let bench = Bench::start();
    let argument = "x".repeat(100_000);
    let mut arguments = vec!["count"];
    arguments.extend((0..10).map(|_| argument.as_str()));
    let mut program = bench.run(&arguments);
    assert_eq!(program.output(), format!("11 {}\n", 1_000_000 + 5));
}

#[test]
fn a_program_is_called_by_the_name_that_is_asked_for() {
    let bench = Bench::start();
    let mut program = bench.run_with(&["name"], |request| request.name = "another".into());
    assert_eq!(program.output(), "another\n");
}

#[test]
fn standard_input_is_what_was_given_or_nothing() {
    let bench = Bench::start();
    let mut program = bench.run(&["read"]);
    assert_eq!(program.output(), "true 0\n");
    let mut program = bench.run_reading(&["read"], b"twelve bytes");
    assert_eq!(program.output(), "true 12\n");
}
