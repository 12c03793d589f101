//! Member processes and their directories. They go with the bench, however it ends: each member sees its standard input
//! end.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use ringhold_client::Client;
use ringhold_sys::HeldAddress;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;

use crate::process::Usage;
use crate::{metrics, network};

/// How long members may take to start and join.
const START_PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Ports of members that have an address of their own: clients and members.
const OWN_PORTS: (u16, u16) = (7400, 7401);
/// Bytes of a member's log that are shown when it does not start.
const LOG_SHOWN_MAX: usize = 2000;

/// A cluster of processes.
pub(crate) struct Processes {
    members: Vec<MemberProcess>,
    join: String,
    directory: TempDir,
}

struct MemberProcess {
    name: String,
    addresses: Addresses,
    running: Option<Running>,
}

struct Running {
    child: Child,
    /// Held open: the member ends when it closes.
    _standard_input: ChildStdin,
}

/// What a member writes to its ready file.
#[derive(Deserialize)]
struct Ready {
    pid: u32,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already, or be stopped: SIGKILL ends it in every case.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Processes {
    /// Starts members in directories below `parent`, and waits until all have joined.
    ///
    /// # Errors
    /// With the log of the member that did not start.
    pub(crate) async fn start(count: u32, parent: Option<&Path>) -> anyhow::Result<Self> {
        let directory = directory(parent)?;
        let count = usize::try_from(count)?;
        let addresses = addresses(count)?;
        let join: Vec<&str> = addresses.iter().map(|it| it.peer.as_str()).collect();
        let mut processes = Self {
            join: join.join(","),
            members: Vec::new(),
            directory,
        };
        for (number, addresses) in (1..).zip(addresses) {
            processes.members.push(MemberProcess {
                name: format!("m{number}"),
                addresses,
                running: None,
            });
        }
        for place in 0..count {
            processes.spawn(place)?;
        }
        for place in 0..count {
            processes.wait_until_ready(place).await?;
        }
        Ok(processes)
    }

    /// Starts the process of a member, in the directory that it had before.
    ///
    /// # Errors
    /// When the operating system does not start it.
    pub(crate) fn spawn(&mut self, place: usize) -> anyhow::Result<()> {
        let member = &self.members[place];
        let home = self.home(place);
        std::fs::create_dir_all(&home)?;
        let _absent = std::fs::remove_file(home.join("ready.json"));
        let log = File::options()
            .create(true)
            .append(true)
            .open(home.join("log"))?;
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut command = if network::is_own() {
            network::waiting_in_namespace(program.into())
        } else {
            Command::new(program)
        };
        let mut child = command
            .args([
                crate::MEMBER,
                "--cluster",
                "bench",
                "--exit-with-stdin",
                "--insecure",
            ])
            .args(["--name", &member.name, "--join", &self.join])
            .args([
                "--peer-address",
                &member.addresses.peer,
                "--client-address",
                &member.addresses.client,
            ])
            .args(["--http-address", "127.0.0.1:0"])
            .args(["--expect", &self.members.len().to_string()])
            .arg("--data-dir")
            .arg(home.join("data"))
            .arg("--ready-file")
            .arg(home.join("ready.json"))
            .env_remove("RINGHOLD__SERVER")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot start a member process")?;
        let mut standard_input = child.stdin.take().context("a child has a standard input")?;
        if network::is_own() {
            network::connect(place + 1, child.id())?;
            standard_input.write_all(b"go\n")?;
        }
        self.members[place].running = Some(Running {
            child,
            _standard_input: standard_input,
        });
        Ok(())
    }

    /// What the logs of all members have appended, in bytes, as the members count it; nothing where one of them does not say.
    pub(crate) fn log_bytes(&self) -> Option<u64> {
        let ready = |place| self.home(place).join("ready.json");
        let places = 0..self.members.len();
        places.map(|place| metrics::log_bytes(&ready(place))).sum()
    }

    /// Waits until a member has joined.
    ///
    /// # Errors
    /// With its log when it has ended, or is late.
    pub(crate) async fn wait_until_ready(&mut self, place: usize) -> anyhow::Result<()> {
        let ready = self.home(place).join("ready.json");
        let started = Instant::now();
        while !ready.exists() {
            let name = self.members[place].name.clone();
            let running = self.members[place]
                .running
                .as_mut()
                .context("it was started")?;
            if let Some(status) = running.child.try_wait()? {
                bail!(
                    "member {name} ended while it started ({status}): {}",
                    self.log(place)
                );
            }
            if started.elapsed() > START_PATIENCE {
                bail!("member {name} has not joined: {}", self.log(place));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// The place of a member by its name.
    pub(crate) fn place_of(&self, name: &str) -> Option<usize> {
        self.members.iter().position(|member| member.name == name)
    }

    /// Ends a member with SIGKILL.
    pub(crate) fn kill(&mut self, place: usize) {
        self.members[place].running = None;
    }

    /// Sends a signal to a member that runs.
    ///
    /// # Errors
    /// When it does not run.
    pub(crate) fn signal(&self, place: usize, signal: Signal) -> anyhow::Result<()> {
        let running = self.members[place]
            .running
            .as_ref()
            .context("the member runs")?;
        kill_process(Pid::from_child(&running.child), signal).context("cannot send a signal")
    }

    /// What the kernel counted for each member, in their order.
    ///
    /// # Errors
    /// When one has ended.
    pub(crate) fn usage(&self) -> anyhow::Result<Vec<Usage>> {
        let usage = |place| Usage::of(self.pid(place)?);
        (0..self.members.len()).map(usage).collect()
    }

    /// Names and process ids.
    ///
    /// # Errors
    /// When one has not joined.
    pub(crate) fn named(&self) -> anyhow::Result<Vec<(String, u32)>> {
        let named = |place: usize| Ok((self.members[place].name.clone(), self.pid(place)?));
        (0..self.members.len()).map(named).collect()
    }

    /// The member's own process id, by its own word: what was started may have been a helper that became it.
    fn pid(&self, place: usize) -> anyhow::Result<u32> {
        let ready = std::fs::read(self.home(place).join("ready.json"))
            .context("a member has not joined")?;
        Ok(serde_json::from_slice::<Ready>(&ready)?.pid)
    }

    /// Where the members' directories are.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A client of the whole cluster with room for so many submits.
    ///
    /// # Errors
    /// When no member answers.
    pub(crate) async fn client(&self, in_flight: usize) -> anyhow::Result<Client> {
        let endpoints = self
            .members
            .iter()
            .map(|member| member.addresses.client.clone());
        let builder = Client::builder()
            .endpoints(endpoints)
            .submits_in_flight(in_flight);
        builder.build().await.context("no member answers")
    }

    fn home(&self, place: usize) -> PathBuf {
        self.directory.path().join(&self.members[place].name)
    }

    fn log(&self, place: usize) -> String {
        let log = std::fs::read(self.home(place).join("log")).unwrap_or_default();
        let from = log.len().saturating_sub(LOG_SHOWN_MAX);
        String::from_utf8_lossy(&log[from..]).trim().to_owned()
    }
}

/// A directory that goes with its value.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn directory(parent: Option<&Path>) -> anyhow::Result<TempDir> {
    let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
    std::fs::create_dir_all(&parent)
        .and_then(|()| {
            tempfile::Builder::new()
                .prefix("ringhold-bench-")
                .tempdir_in(&parent)
        })
        .with_context(|| format!("cannot make a directory in {}", parent.display()))
}

/// Where a member is found.
struct Addresses {
    client: String,
    peer: String,
    /// On loopback nobody else gets its ports, also not between its death and its next start.
    _held: Option<[HeldAddress; 2]>,
}

/// Addresses that are known before any member has started: members must know each other's.
fn addresses(count: usize) -> anyhow::Result<Vec<Addresses>> {
    let own = |number| {
        let host = network::address_of(number);
        Ok(Addresses {
            client: format!("{host}:{}", OWN_PORTS.0),
            peer: format!("{host}:{}", OWN_PORTS.1),
            _held: None,
        })
    };
    let on_loopback = |_number| {
        let (client, peer) = (HeldAddress::on_loopback()?, HeldAddress::on_loopback()?);
        Ok(Addresses {
            client: client.address().to_string(),
            peer: peer.address().to_string(),
            _held: Some([client, peer]),
        })
    };
    if network::is_own() {
        (1..=count).map(own).collect()
    } else {
        (1..=count).map(on_loopback).collect()
    }
}
