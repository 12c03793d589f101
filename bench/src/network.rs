//! A network of the bench's own: a namespace with a bridge for the bench, and one namespace for each member. Cutting a
//! member's link loses every packet in both directions, without a word to either side. All of it goes with the processes
//! that live in it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// Set in the process that lives in the namespace already.
const ENTERED: &str = "RINGHOLD_BENCH_NETWORK";
const BRIDGE: &str = "ringhold";
/// The bench's own address on the bridge; members have 10.77.0.1 and so on.
const BENCH_ADDRESS: &str = "10.77.0.254/24";
/// How long a process may take to enter its namespace.
const ENTER_PATIENCE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Moves the bench into a network namespace of its own, by starting the program anew in its place.
///
/// # Errors
/// `NETWORK_NAMESPACE_NOT_PERMITTED` where the system or the user's rights do not allow it.
pub(crate) fn enter() -> anyhow::Result<()> {
    if std::env::var_os(ENTERED).is_some() {
        return build();
    }
    let probe = Command::new("unshare")
        .args(["--net", "ip", "link", "add", BRIDGE, "type", "bridge"])
        .stdin(Stdio::null())
        .output();
    let refused = match probe {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(error.to_string()),
    };
    if let Some(why) = refused {
        bail!(
            "NETWORK_NAMESPACE_NOT_PERMITTED: --fault drop needs `unshare --net` and a bridge in it ({why}); run it as \
             root with util-linux and iproute2, or use --fault stop"
        );
    }
    let program = std::env::current_exe().context("cannot find this program")?;
    let error = Command::new("unshare")
        .arg("--net")
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(ENTERED, "1")
        .exec();
    Err(error).context("cannot enter a network namespace")
}

/// Whether this process lives in a network of its own.
pub(crate) fn is_own() -> bool {
    std::env::var_os(ENTERED).is_some()
}

fn build() -> anyhow::Result<()> {
    ip(&["link", "set", "lo", "up"])?;
    ip(&["link", "add", BRIDGE, "type", "bridge"])?;
    ip(&["address", "add", BENCH_ADDRESS, "dev", BRIDGE])?;
    ip(&["link", "set", BRIDGE, "up"])
}

/// Where a member lives, 1 for the first.
pub(crate) fn address_of(number: usize) -> String {
    format!("10.77.0.{number}")
}

/// A command that starts a program in a namespace of its own, once a line comes in on its standard input.
pub(crate) fn waiting_in_namespace(program: OsString) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--net", "sh", "-c", "read -r go && exec \"$@\"", "sh"])
        .arg(program);
    command
}

/// Connects the namespace of a process that waits.
///
/// # Errors
/// When the process never entered its namespace, or the link cannot be made.
pub(crate) fn connect(number: usize, pid: u32) -> anyhow::Result<()> {
    let namespace = format!("/proc/{pid}/ns/net");
    let own = std::fs::read_link("/proc/self/ns/net").context("no namespaces here")?;
    let started = Instant::now();
    while std::fs::read_link(&namespace)
        .ok()
        .is_none_or(|its| its == own)
    {
        if started.elapsed() > ENTER_PATIENCE {
            bail!("member {number} did not enter its network namespace");
        }
        std::thread::sleep(LOOK_EVERY);
    }
    let (link, process) = (link_of(number), pid.to_string());
    ip(&[
        "link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &process,
    ])?;
    ip(&["link", "set", &link, "master", BRIDGE, "up"])?;
    let inside = format!("--net={namespace}");
    let address = format!("{}/24", address_of(number));
    for words in [
        &["link", "set", "lo", "up"][..],
        &["address", "add", &address, "dev", "eth0"],
        &["link", "set", "eth0", "up"],
    ] {
        command("nsenter", &[&[&inside, "ip"], words].concat())?;
    }
    Ok(())
}

/// Cuts a member off, or connects it again.
///
/// # Errors
/// When the link cannot be changed.
pub(crate) fn set_link(number: usize, up: bool) -> anyhow::Result<()> {
    ip(&[
        "link",
        "set",
        &link_of(number),
        if up { "up" } else { "down" },
    ])
}

fn link_of(number: usize) -> String {
    format!("member{number}")
}

fn ip(words: &[&str]) -> anyhow::Result<()> {
    command("ip", words)
}

fn command(program: &str, words: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    bail!("{program} {} failed: {}", words.join(" "), why.trim())
}
