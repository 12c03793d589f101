//! A cluster of member processes in directories of its own. Everything goes with it.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ringhold_client::Client;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long members may take to start and join, on a machine that does other things as well.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How often something that must come about is looked for.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(25);

/// One cluster at a time: two cores carry no more without false failovers.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A cluster of processes.
pub(crate) struct TestCluster {
    pub(crate) members: Vec<TestMember>,
    join: String,
    config: PathBuf,
    directory: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// A member, running or not.
pub(crate) struct TestMember {
    pub(crate) name: String,
    pub(crate) client_address: String,
    peer_address: String,
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

impl TestCluster {
    /// Starts members that share a configuration, and waits until all have joined.
    pub(crate) async fn start(count: usize, config: &str) -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("ringhold.toml");
        std::fs::write(&path, config).expect("a writable directory");
        let addresses = free_addresses(2 * count);
        let (peers, clients) = addresses.split_at(count);
        let members = (0..count).map(|index| TestMember {
            name: format!("m{}", index + 1),
            client_address: clients[index].clone(),
            peer_address: peers[index].clone(),
            running: None,
        });
        let mut cluster = Self {
            members: members.collect(),
            join: peers.join(","),
            config: path,
            directory,
            _turn: turn,
        };
        for index in 0..count {
            cluster.spawn(index);
        }
        for index in 0..count {
            cluster.wait_until_ready(index).await;
        }
        cluster
    }

    /// Starts the process of a member, in the directory it had before.
    pub(crate) fn spawn(&mut self, index: usize) {
        let expect = self.members.len().to_string();
        let member = &self.members[index];
        let home = self.directory.path().join(&member.name);
        std::fs::create_dir_all(&home).expect("a writable directory");
        let ready = home.join("ready.json");
        let _absent = std::fs::remove_file(&ready);
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(home.join("log"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_ringhold-under-test"))
            .args([
                "server",
                "--cluster",
                "test",
                "--exit-with-stdin",
                "--name",
                &member.name,
            ])
            .args(["--peer-address", &member.peer_address, "--join", &self.join])
            .args([
                "--client-address",
                &member.client_address,
                "--http-address",
                "127.0.0.1:0",
            ])
            .args(["--expect", &expect])
            .arg("--config")
            .arg(&self.config)
            .arg("--data-dir")
            .arg(home.join("data"))
            .arg("--ready-file")
            .arg(&ready)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log.expect("a log file"))
            .spawn()
            .expect("the program starts");
        let standard_input = child.stdin.take();
        self.members[index].running = Some(Running {
            child,
            _standard_input: standard_input,
        });
    }

    /// Waits until a member has joined.
    pub(crate) async fn wait_until_ready(&mut self, index: usize) {
        let home = self.directory.path().join(&self.members[index].name);
        let started = Instant::now();
        while !home.join("ready.json").exists() {
            let running = self.members[index]
                .running
                .as_mut()
                .expect("it was started");
            let ended = running.child.try_wait().expect("a child of ours");
            let log = || std::fs::read_to_string(home.join("log")).unwrap_or_default();
            assert!(
                ended.is_none(),
                "{} ended: {}",
                self.members[index].name,
                log()
            );
            assert!(
                started.elapsed() < START_PATIENCE,
                "not ready in time: {}",
                log()
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

    /// Freezes a member with SIGSTOP.
    pub(crate) fn freeze(&self, index: usize) {
        self.signal(index, Signal::STOP);
    }

    /// Lets a frozen member go on.
    pub(crate) fn thaw(&self, index: usize) {
        self.signal(index, Signal::CONT);
    }

    /// Removes a dead member's data.
    pub(crate) fn empty_directory(&self, index: usize) {
        let member = &self.members[index];
        assert!(
            member.running.is_none(),
            "only a dead member's directory may be emptied"
        );
        let data = self.directory.path().join(&member.name).join("data");
        std::fs::remove_dir_all(data).expect("the member had a directory");
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

    /// Members that run (frozen ones among them).
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

/// Addresses that were free a moment ago: members must know each other's before they start.
fn free_addresses(count: usize) -> Vec<String> {
    let held: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"))
        .collect();
    held.iter()
        .map(|it| it.local_addr().expect("bound").to_string())
        .collect()
}
