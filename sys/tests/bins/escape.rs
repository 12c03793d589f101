//! A program that leaves descendants in every way there is, for this crate's tests: `ringhold-escape HOW`.
//!
//! The ways to leave end at once with code 0; `wait` and `ask` go on until they are ended.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// How long whatever stays would live if nobody ended it.
const LIFE: Duration = Duration::from_secs(120);
/// Processes of the bomb: a tree, each node of which starts two more.
const BOMB_DEPTH: u32 = 7;

fn main() -> ExitCode {
    let how: Vec<String> = std::env::args().skip(1).collect();
    let how: Vec<&str> = how.iter().map(String::as_str).collect();
    match how.as_slice() {
        // Programs.
        ["setsid"] => leave("in-session"),
        ["twice"] => leave("between"),
        ["deaf"] => leave("ignoring"),
        ["closed"] => leave("without-descriptors"),
        ["adopted"] => leave("adopting"),
        ["bomb"] => leave_many(),
        ["plain"] => leave("staying"),
        ["stopped"] => leave("stopping"),
        ["fail"] => {
            leave("staying");
            return ExitCode::from(3);
        }
        ["wait"] => stay(),
        ["wait-deaf"] => {
            ignore_term();
            leave("ignoring");
            stay();
        }
        ["write"] => println!("written"),
        ["name"] => println!("{}", std::env::args().next().unwrap_or_default()),
        ["read"] => read(),
        ["status"] => print!(
            "{}",
            std::fs::read_to_string("/proc/self/status").unwrap_or_default()
        ),
        ["limits"] => print!(
            "{}",
            std::fs::read_to_string("/proc/self/limits").unwrap_or_default()
        ),
        ["burn"] => burn(),
        ["count"] => println!("{}", std::env::args().count()),
        ["count", ..] => println!(
            "{} {}",
            how.len(),
            how.iter().map(|it| it.len()).sum::<usize>()
        ),
        left => return be_left(left),
    }
    ExitCode::SUCCESS
}

/// What the programs leave.
fn be_left(how: &[&str]) -> ExitCode {
    match how {
        ["staying"] => stay(),
        ["in-session"] => {
            let _ = rustix::process::setsid();
            stay();
        }
        ["between"] => leave("staying"),
        ["ignoring"] => {
            ignore_term();
            stay();
        }
        ["without-descriptors"] => {
            close_all();
            stay();
        }
        ["adopting"] => {
            // What it leaves twice removed falls to it, and not to whoever is above.
            let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
            leave("between");
            stay();
        }
        ["stopping"] => {
            let _ = rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::STOP,
            );
            stay();
        }
        ["bombing", depth] => bomb(depth.parse().unwrap_or(0)),
        _ => return ExitCode::from(64),
    }
    ExitCode::SUCCESS
}

fn start(how: &[&str]) -> Child {
    let own = std::env::current_exe().expect("a program has a file");
    let mut command = Command::new(own);
    command.args(how).stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().expect("it starts")
}

#[expect(clippy::zombie_processes, reason = "that is what it is for")]
fn leave(how: &str) {
    let _left = start(&[how]);
}

fn leave_many() {
    bomb_below(BOMB_DEPTH);
}

fn bomb(depth: u32) {
    bomb_below(depth);
    stay();
}

#[expect(clippy::zombie_processes, reason = "that is what it is for")]
fn bomb_below(depth: u32) {
    if let Some(below) = depth.checked_sub(1) {
        for _ in 0..2 {
            let _left = start(&["bombing", &below.to_string()]);
        }
    }
}

fn stay() {
    println!("staying");
    let _ = std::io::stdout().flush();
    sleep(LIFE);
}

fn read() {
    let mut input = Vec::new();
    let read = std::io::stdin().read_to_end(&mut input);
    println!("{} {}", read.is_ok(), input.len());
}

/// Some work in a child that it awaits, so that what is counted is not the program's own.
fn burn() {
    if std::env::var_os("BURNS").is_some() {
        let bytes = vec![1_u8; 64 * 1024 * 1024];
        let mut sum = 0_u64;
        for round in 0..8_u64 {
            sum = bytes.iter().fold(sum ^ round, |sum, byte| {
                sum.rotate_left(1) ^ u64::from(*byte)
            });
        }
        std::hint::black_box(sum);
    } else {
        let own = std::env::current_exe().expect("a program has a file");
        let _ = Command::new(own).arg("burn").env("BURNS", "1").status();
    }
}

#[expect(unsafe_code, reason = "the standard library has no signals")]
fn ignore_term() {
    // SAFETY: an ignored signal runs no code of ours.
    unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
}

#[expect(
    unsafe_code,
    reason = "descriptors that the standard library owns are closed behind its back"
)]
fn close_all() {
    for descriptor in 0..3 {
        // SAFETY: nothing is written or read by this process after this.
        unsafe { libc::close(descriptor) };
    }
}
