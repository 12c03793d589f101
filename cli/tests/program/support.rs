//! A member of its own for each test, and the program to talk to it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};

/// The program, with nothing of this machine's settings.
pub(crate) fn ringhold(arguments: &[&str]) -> Command {
    with_settings(Command::new(env!("CARGO_BIN_EXE_ringhold")), arguments)
}

/// The same, heeding SIGINT also where the tests were started in the background of a shell, which has it ignored: the
/// program keeps to what it inherits.
pub(crate) fn interruptible(arguments: &[&str]) -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", env!("CARGO_BIN_EXE_ringhold")]);
    with_settings(command, arguments)
}

fn with_settings(mut command: Command, arguments: &[&str]) -> Command {
    command
        .args(arguments)
        .env_remove("RINGHOLD__SERVER")
        .env_remove("RUST_LOG");
    command
}

pub(crate) fn run(arguments: &[&str]) -> Output {
    ringhold(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs")
}

/// Gives a started program its input, which ends when what is returned is dropped.
pub(crate) fn feed(child: &mut Child, input: &str) -> ChildStdin {
    let mut standard_input = child.stdin.take().expect("piped");
    standard_input
        .write_all(input.as_bytes())
        .expect("it reads");
    standard_input
}

/// The line with which a started program says where it is.
pub(crate) fn ready_line(child: &mut Child) -> String {
    let mut line = String::new();
    let output = child.stdout.take().expect("piped");
    BufReader::new(output)
        .read_line(&mut line)
        .expect("it says where it is");
    line
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A member of its own; killed at the end, if it still runs.
pub(crate) struct Member {
    pub(crate) child: Child,
    pub(crate) client: String,
    pub(crate) standard_input: Option<ChildStdin>,
}

impl Member {
    pub(crate) fn start(directory: &Path) -> Self {
        Self::start_with(directory, "exec \"$0\" \"$@\"")
    }

    /// Starts it from a shell's line, in which `$0` and `$@` are the program and its arguments.
    pub(crate) fn start_with(directory: &Path, line: &str) -> Self {
        let config = directory.join("member.toml");
        let settings = "durability = 0\nallowed-binaries = [\"*\"]\n";
        let toml = format!(
            "[durable-executor.default]\n{settings}[durable-executor.narrow]\ncapacity = 3\n{settings}\
             [durable-executor.short]\noutput-bytes-max = \"1KiB\"\n{settings}\
             [durable-executor.loose]\ncapacity = 3\nwhen-full = \"overwrite\"\n{settings}"
        );
        std::fs::write(&config, toml).expect("written");
        let mut child = Command::new("sh")
            .args(["-c", line, env!("CARGO_BIN_EXE_ringhold")])
            .args(["-o", "json", "server", "--exit-with-stdin", "--name", "m1"])
            .env_remove("RINGHOLD__SERVER")
            .env_remove("RUST_LOG")
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
        let line = ready_line(&mut child);
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

    pub(crate) fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = ringhold(arguments)
            .env("RINGHOLD__SERVER", &self.client)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        drop(feed(&mut child, input));
        child.wait_with_output().expect("it ends")
    }

    /// Stores a task that does nothing, and gives its id.
    pub(crate) fn submit(&self, arguments: &[&str]) -> String {
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

/// Sends a signal, by its name without SIG.
pub(crate) fn send(signal: &str, pid: u32) {
    let mut kill = Command::new("kill");
    kill.args(["-s", signal, &pid.to_string()]);
    assert!(kill.status().expect("the program runs").success());
}
