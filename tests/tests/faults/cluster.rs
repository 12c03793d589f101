//! A cluster of member processes in directories of its own. Everything goes with it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::{Duration, Instant};

use ringhold_client::{Client, ErrorCode, MemberInfo};
use ringhold_sys::HeldAddress;
use ringhold_types::{PartitionCount, partition_of};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::lies::Lies;

/// How long members may take to start and join, on a machine that does other things as well.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How long a cluster may take to come to rest after a change.
const REST_PATIENCE: Duration = Duration::from_secs(90);
/// How often something that must come about is looked for.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Clusters at a time: two cores carry no more without false failovers.
const CLUSTERS_AT_ONCE: usize = 2;
static TURNS: Semaphore = Semaphore::const_new(CLUSTERS_AT_ONCE);

/// A cluster of processes.
pub(crate) struct TestCluster {
    pub(crate) members: Vec<TestMember>,
    join: String,
    expect: usize,
    config: PathBuf,
    directory: TempDir,
    _turn: SemaphorePermit<'static>,
}

/// A member, running or not.
pub(crate) struct TestMember {
    pub(crate) name: String,
    pub(crate) client_address: String,
    pub(crate) peer_address: String,
    /// Nobody else gets its ports, also not while it is dead.
    _held: [HeldAddress; 2],
    /// Arguments beyond those that every member gets.
    arguments: Vec<String>,
    lies: Option<Lies>,
    running: Option<Running>,
}

struct Running {
    child: Child,
    /// The member ends when this closes: also when the test is killed.
    _standard_input: Option<ChildStdin>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already, or be frozen: SIGKILL ends it in every case.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// A start or a command that was refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The exit code.
    pub(crate) exit: Option<i32>,
    /// What it wrote to standard error.
    pub(crate) said: String,
}

impl Refusal {
    /// What a command of the program said.
    pub(crate) fn of(output: &Output) -> Self {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let exit = output.status.code();
        Self { exit, said }
    }

    /// The refusal has this code, says this among other things, and what to do.
    pub(crate) fn assert_named(&self, code: ErrorCode, says: &str) {
        let named = self.said.contains(&format!("error[{code}]"));
        let advises = self.said.contains("what to do:");
        let complete = named && advises && self.said.contains(says);
        assert!(complete, "not {code} with {says:?}: {}", self.said);
        assert!(self.exit.is_some_and(|exit| exit > 0), "{:?}", self.exit);
    }
}

impl TestCluster {
    /// Starts members that share a configuration, and waits until all have joined.
    pub(crate) async fn start(count: usize, config: &str) -> Self {
        let plain: Vec<&[&str]> = vec![&[]; count];
        Self::start_with(&plain, config).await
    }

    /// Starts one member for each list of further arguments.
    pub(crate) async fn start_with(members: &[&[&str]], config: &str) -> Self {
        let mut cluster = Self::prepare(members, config).await;
        for index in 0..members.len() {
            cluster.spawn(index);
        }
        for index in 0..members.len() {
            cluster.wait_until_ready(index).await;
        }
        cluster
    }

    /// Starts members that are lied to about their disk and their wall clock.
    pub(crate) async fn start_deceived(count: usize, config: &str) -> Self {
        let plain: Vec<&[&str]> = vec![&[]; count];
        let mut cluster = Self::prepare(&plain, config).await;
        for index in 0..count {
            let home = cluster.home(index);
            cluster.members[index].lies = Some(Lies::in_directory(&home));
            cluster.spawn(index);
        }
        for index in 0..count {
            cluster.wait_until_ready(index).await;
        }
        cluster
    }

    async fn prepare(members: &[&[&str]], config: &str) -> Self {
        let turn = TURNS.acquire().await.expect("it is never closed");
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("ringhold.toml");
        std::fs::write(&path, config).expect("a writable directory");
        let mut cluster = Self {
            members: Vec::new(),
            join: String::new(),
            expect: members.len(),
            config: path,
            directory,
            _turn: turn,
        };
        for arguments in members {
            cluster.add(arguments);
        }
        let peers: Vec<&str> = cluster
            .members
            .iter()
            .map(|member| member.peer_address.as_str())
            .collect();
        cluster.join = peers.join(",");
        cluster
    }

    /// Adds a member that does not run yet, and returns its index.
    pub(crate) fn add(&mut self, arguments: &[&str]) -> usize {
        let held = || HeldAddress::on_loopback().expect("a free port");
        let (client, peer) = (held(), held());
        let index = self.members.len();
        self.members.push(TestMember {
            name: format!("m{}", index + 1),
            client_address: client.address().to_string(),
            peer_address: peer.address().to_string(),
            _held: [client, peer],
            arguments: arguments.iter().map(ToString::to_string).collect(),
            lies: None,
            running: None,
        });
        std::fs::create_dir_all(self.home(index)).expect("a writable directory");
        index
    }

    /// Everything of one member.
    fn home(&self, index: usize) -> PathBuf {
        self.directory.path().join(&self.members[index].name)
    }

    /// A directory that goes with the cluster.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The data directory of a member.
    pub(crate) fn data_directory(&self, index: usize) -> PathBuf {
        self.home(index).join("data")
    }

    /// The command that starts a member in a directory. Its own arguments stand in place of the usual ones.
    fn command(&self, index: usize, data: &Path) -> Command {
        let member = &self.members[index];
        let expect = self.expect.to_string();
        let usual = [
            ("--cluster", "test"),
            ("--name", &member.name),
            ("--peer-address", &member.peer_address),
            ("--client-address", &member.client_address),
            ("--http-address", "127.0.0.1:0"),
            ("--join", &self.join),
            ("--expect", &expect),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringhold-under-test"));
        command.args(["server", "--exit-with-stdin"]);
        for (name, value) in usual {
            if !member.arguments.iter().any(|own| own == name) {
                command.args([name, value]);
            }
        }
        command
            .args(&member.arguments)
            .arg("--config")
            .arg(&self.config)
            .arg("--data-dir")
            .arg(data)
            .arg("--ready-file")
            .arg(self.home(index).join("ready.json"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        if let Some(lies) = &member.lies {
            lies.tell(&mut command);
        }
        command
    }

    /// Starts the process of a member, in the directory it had before.
    pub(crate) fn spawn(&mut self, index: usize) {
        let _absent = std::fs::remove_file(self.home(index).join("ready.json"));
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.home(index).join("log"));
        let mut child = self
            .command(index, &self.data_directory(index))
            .stderr(log.expect("a log file"))
            .spawn()
            .expect("the program starts");
        let standard_input = child.stdin.take();
        self.members[index].running = Some(Running {
            child,
            _standard_input: standard_input,
        });
    }

    /// Starts a member that must not come up, in this directory, and waits until it has given up.
    pub(crate) async fn refused_start(&self, index: usize, data: &Path) -> Refusal {
        let said = self.home(index).join("refusal");
        let file = std::fs::File::create(&said).expect("a writable directory");
        let mut child = self
            .command(index, data)
            .stderr(file)
            .spawn()
            .expect("the program starts");
        let _open = child.stdin.take();
        let mut running = Running {
            child,
            _standard_input: _open,
        };
        let started = Instant::now();
        let text = || std::fs::read_to_string(&said).unwrap_or_default();
        loop {
            if let Some(status) = running.child.try_wait().expect("a child of ours") {
                let said = text();
                return Refusal {
                    exit: status.code(),
                    said,
                };
            }
            assert!(
                started.elapsed() < START_PATIENCE,
                "it does not give up: {}",
                text()
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until a member has joined.
    pub(crate) async fn wait_until_ready(&mut self, index: usize) {
        let home = self.home(index);
        let started = Instant::now();
        while !home.join("ready.json").exists() {
            let log = std::fs::read_to_string(home.join("log")).unwrap_or_default();
            let running = self.members[index].running.as_mut();
            let ended = running
                .expect("it was started")
                .child
                .try_wait()
                .expect("a child of ours");
            assert!(ended.is_none(), "{} ended: {log}", self.members[index].name);
            assert!(
                started.elapsed() < START_PATIENCE,
                "{} is not ready in time: {log}",
                self.members[index].name
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn signal(&self, index: usize, signal: Signal) {
        let running = self.members[index].running.as_ref().expect("it runs");
        let pid = Pid::from_child(&running.child);
        kill_process(pid, signal).expect("a child of ours");
    }

    /// Ends a member with SIGKILL.
    pub(crate) fn kill(&mut self, index: usize) {
        self.members[index].running = None;
    }

    /// Tells a member to stop with SIGTERM; [`Self::wait_until_stopped`] waits for it.
    pub(crate) fn tell_to_stop(&self, index: usize) {
        self.signal(index, Signal::TERM);
    }

    /// Waits until a member that was told to stop has ended by itself, and without complaint.
    pub(crate) async fn wait_until_stopped(&mut self, index: usize) {
        let running = self.members[index].running.as_mut().expect("it runs");
        let mut status = None;
        wait_until("the member has stopped", async || {
            status = running.child.try_wait().expect("a child of ours");
            status.is_some()
        })
        .await;
        let status = status.expect("it has stopped");
        assert!(status.success(), "it ended with {status}");
        self.members[index].running = None;
    }

    /// The memory that a member has in use, in bytes, as the kernel counts it.
    pub(crate) fn resident_bytes(&self, index: usize) -> u64 {
        let running = self.members[index].running.as_ref().expect("it runs");
        let path = format!("/proc/{}/status", running.child.id());
        let text = std::fs::read_to_string(path).expect("it runs");
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kibibytes = kibibytes.and_then(|number| number.parse::<u64>().ok());
        kibibytes.expect("the kernel counts it") * 1024
    }

    /// Freezes a member with SIGSTOP.
    pub(crate) fn freeze(&self, index: usize) {
        self.signal(index, Signal::STOP);
    }

    /// Lets a frozen member go on.
    pub(crate) fn thaw(&self, index: usize) {
        self.signal(index, Signal::CONT);
    }

    /// What a deceived member is told.
    pub(crate) fn lies(&self, index: usize) -> &Lies {
        self.members[index].lies.as_ref().expect("it is deceived")
    }

    /// Removes a dead member's data.
    pub(crate) fn empty_directory(&self, index: usize) {
        assert!(
            self.members[index].running.is_none(),
            "only a dead member's directory may be emptied"
        );
        std::fs::remove_dir_all(self.data_directory(index)).expect("the member had a directory");
    }

    /// A client of the whole cluster.
    pub(crate) async fn client(&self) -> Client {
        let addresses = self
            .members
            .iter()
            .map(|member| member.client_address.clone());
        Client::builder()
            .endpoints(addresses)
            .build()
            .await
            .expect("some member answers")
    }

    /// A client that asks one member only, whoever leads.
    pub(crate) async fn client_of(&self, index: usize) -> Client {
        Client::builder()
            .endpoints([self.members[index].client_address.clone()])
            .smart_routing(false)
            .build()
            .await
            .expect("the member answers")
    }

    /// Runs the program as a client of a member.
    pub(crate) fn ringhold(&self, index: usize, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ringhold-under-test"))
            .args(arguments)
            .env("RINGHOLD__SERVER", &self.members[index].client_address)
            .stdin(Stdio::null())
            .output()
            .expect("the program starts")
    }

    /// Where clients reach a member.
    pub(crate) fn client_address(&self, index: usize) -> &str {
        &self.members[index].client_address
    }

    /// The metrics page of a member.
    pub(crate) fn metrics(&self, index: usize) -> String {
        let ready = std::fs::read(self.home(index).join("ready.json")).expect("it is ready");
        let ready: serde_json::Value = serde_json::from_slice(&ready).expect("JSON");
        let address = ready["http"].as_str().expect("an address");
        let mut page = TcpStream::connect(address).expect("the page is served");
        write!(
            page,
            "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )
        .expect("the page is served");
        let mut text = String::new();
        page.read_to_string(&mut text).expect("the page is text");
        text
    }

    /// One number of a member's metrics page, by its name with its labels; 0 for one that is not there.
    pub(crate) fn metric(&self, index: usize, name: &str) -> u64 {
        let page = self.metrics(index);
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.strip_prefix(' '));
        number.map_or(0, |number| number.parse().expect("a number"))
    }

    /// The sum of a number over the metrics pages of all members that run.
    pub(crate) fn sum_of_metric(&self, name: &str) -> u64 {
        let members = self.alive().into_iter();
        members.map(|index| self.metric(index, name)).sum()
    }

    /// Members that run, frozen ones among them.
    pub(crate) fn alive(&self) -> Vec<usize> {
        (0..self.members.len())
            .filter(|index| self.members[*index].running.is_some())
            .collect()
    }

    /// The index of a member by its name.
    pub(crate) fn index_of(&self, name: &str) -> usize {
        self.members
            .iter()
            .position(|member| member.name == name)
            .expect("a member of ours")
    }
}

/// Waits until all members are up and everything is stored as often as configured.
pub(crate) async fn wait_until_safe(client: &Client) {
    let safe = async || client.cluster().status().await.is_ok_and(|it| it.safe);
    wait_until("the cluster is safe", safe).await;
}

/// Waits until everything is stored as often as configured on living members, although one may be down.
pub(crate) async fn wait_until_copied(client: &Client) {
    let copied = async || {
        let status = client.cluster().status().await;
        status.is_ok_and(|it| it.partitions_short_of_copies + it.partitions_without_primary == 0)
    };
    wait_until("everything has its copies", copied).await;
}

/// Waits until a member is as it should be.
pub(crate) async fn wait_for_member(
    client: &Client,
    name: &str,
    what: &str,
    is_there: impl Fn(&MemberInfo) -> bool,
) {
    let found = async || {
        let members = client.cluster().members().await.unwrap_or_default();
        members.iter().any(|it| it.name == name && is_there(it))
    };
    wait_until(&format!("{name} {what}"), found).await;
}

/// Waits until something has come about.
pub(crate) async fn wait_until(what: &str, holds: impl AsyncFnMut() -> bool) {
    wait_until_within(REST_PATIENCE, what, holds).await;
}

/// Waits until something has come about that may take this long.
pub(crate) async fn wait_until_within(
    patience: Duration,
    what: &str,
    mut holds: impl AsyncFnMut() -> bool,
) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < patience, "waited in vain until {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    eprintln!("{:.1} s until {what}", started.elapsed().as_secs_f32());
}

/// A key of `work` whose partition this member leads.
pub(crate) async fn key_led_by(client: &Client, member: &str, count: PartitionCount) -> String {
    let partitions = client.cluster().partitions("work", None).await;
    let partitions = partitions.expect("the cluster answers");
    let leads = |partition: u32| {
        let found = partitions.iter().find(|it| it.partition == partition);
        let primary = found.and_then(|it| it.primary.as_ref());
        primary.is_some_and(|it| it.member_name == member)
    };
    (0..)
        .map(|number| format!("key-{number}"))
        .find(|key| leads(partition_of(key.as_bytes(), count).0))
        .expect("keys for ever")
}
