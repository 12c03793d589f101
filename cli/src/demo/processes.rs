//! Member processes of the demo, and their directories. Whatever happens, they go with it: at its end, at an error, at a
//! signal, at a panic; and if the demo itself is killed, each member sees its standard input end.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use ringhold_client::ErrorCode;
use serde::Deserialize;

use super::directory::DemoDirectory;
use crate::failure::Failure;
use crate::output;

/// How often the cluster is started anew when another program took a port in between.
const STARTS_MAX: usize = 5;
/// How long all members may take to join.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// How often the ready files are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Bytes of a member's log that are shown when it does not start.
const LOG_SHOWN_MAX: usize = 2000;
/// File system numbers (statfs): tmpfs and ramfs.
const MEMORY_FILE_SYSTEMS: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// Members as child processes.
pub(super) struct Processes {
    /// The members, dead ones included.
    pub(super) members: Vec<MemberProcess>,
    directory: DemoDirectory,
}

/// One member as a child process.
pub(super) struct MemberProcess {
    /// Its name.
    pub(super) name: String,
    /// Its process id.
    pub(super) pid: u32,
    /// Where clients reach it.
    pub(super) client: String,
    /// Whether it was killed.
    pub(super) killed: bool,
    child: Child,
    /// Held open: the member ends when it closes.
    _standard_input: Option<ChildStdin>,
}

/// What a member writes to its ready file.
#[derive(Deserialize)]
struct Ready {
    client: String,
}

impl Processes {
    /// Starts `count` members in directories below `parent`, and waits until all have joined.
    pub(super) async fn start(count: u32, parent: Option<&Path>) -> Result<Self, Failure> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        for _ in 1..STARTS_MAX {
            let mut processes = Self::spawn(count, &parent)?;
            if processes.join().await? {
                return Ok(processes);
            }
        }
        let mut processes = Self::spawn(count, &parent)?;
        if processes.join().await? {
            return Ok(processes);
        }
        Err(Failure::new(
            ErrorCode::AddressInUse,
            "other programs took the ports again and again",
        ))
    }

    fn spawn(count: u32, parent: &Path) -> Result<Self, Failure> {
        let mut processes = Self {
            members: Vec::new(),
            directory: DemoDirectory::create(parent)?,
        };
        if is_in_memory(processes.directory.path()) {
            output::say(format_args!(
                "note: {} is in memory, so fsync means little here; --data-dir names another place",
                parent.display()
            ));
        }
        let ports = reserve_ports(count)?;
        let join: Vec<String> = ports
            .iter()
            .map(|port| format!("127.0.0.1:{port}"))
            .collect();
        for (number, address) in (1..=count).zip(&join) {
            let member = processes.spawn_member(number, count, address, &join.join(","))?;
            processes.members.push(member);
        }
        Ok(processes)
    }

    fn spawn_member(
        &self,
        number: u32,
        count: u32,
        address: &str,
        join: &str,
    ) -> Result<MemberProcess, Failure> {
        let name = format!("m{number}");
        let directory = self.directory.path().join(&name);
        let failed = |what: &str, error: &std::io::Error| {
            Failure::io(&format!("{what} for member {name}"), error)
        };
        std::fs::create_dir_all(&directory).map_err(|error| failed("make a directory", &error))?;
        let log = File::create(self.log_of(&name)).map_err(|error| failed("make a log", &error))?;
        let program =
            std::env::current_exe().map_err(|error| failed("find this program", &error))?;
        let mut child = Command::new(program)
            .args(["server", "--cluster", "demo", "--exit-with-stdin"])
            .args(["--name", &name, "--peer-address", address, "--join", join])
            .args([
                "--client-address",
                "127.0.0.1:0",
                "--http-address",
                "127.0.0.1:0",
            ])
            .args(["--expect", &count.to_string()])
            .arg("--data-dir")
            .arg(directory.join("data"))
            .arg("--ready-file")
            .arg(self.ready_file_of(&name))
            .env_remove("RINGHOLD__SERVER")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| failed("start a process", &error))?;
        Ok(MemberProcess {
            pid: child.id(),
            client: String::new(),
            killed: false,
            _standard_input: child.stdin.take(),
            child,
            name,
        })
    }

    /// Waits until every member has joined; `false` when a port was taken in between.
    async fn join(&mut self) -> Result<bool, Failure> {
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            let mut missing = 0;
            for place in 0..self.members.len() {
                let ready = self.ready_file_of(&self.members[place].name);
                let member = &mut self.members[place];
                if let Some(line) = std::fs::read(&ready)
                    .ok()
                    .filter(|_| member.client.is_empty())
                {
                    let ready: Ready = serde_json::from_slice(&line).map_err(|error| {
                        Failure::new(ErrorCode::Internal, "a ready file cannot be read")
                            .because(error.to_string())
                    })?;
                    member.client = ready.client;
                }
                missing += usize::from(member.client.is_empty());
                if let Ok(Some(status)) = member.child.try_wait() {
                    let name = member.name.clone();
                    let log = self.log(&name);
                    if log.contains(ErrorCode::AddressInUse.as_str()) {
                        return Ok(false);
                    }
                    let what = format!(
                        "member {name} ended while it started ({status}, signal {:?})",
                        status.signal()
                    );
                    return Err(Failure::new(ErrorCode::NotReady, what).because(log));
                }
            }
            if missing == 0 {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Err(self.late());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn late(&self) -> Failure {
        let late = self
            .members
            .iter()
            .filter(|member| member.client.is_empty());
        let what = format!("not every member was ready within {START_DEADLINE:?}");
        late.fold(
            Failure::new(ErrorCode::NotReady, what),
            |failure, member| {
                failure.because(format!("{}: {}", member.name, self.log(&member.name)))
            },
        )
    }

    /// Client addresses of the members that were not killed.
    pub(super) fn survivors(&self) -> impl Iterator<Item = &MemberProcess> {
        self.members.iter().filter(|member| !member.killed)
    }

    /// Kills members with SIGKILL, one right after the other, and says when.
    pub(super) fn kill(&mut self, names: &[String]) -> Result<Instant, Failure> {
        let at = Instant::now();
        for member in self
            .members
            .iter_mut()
            .filter(|member| names.contains(&member.name))
        {
            member
                .child
                .kill()
                .map_err(|error| Failure::io("kill a member", &error))?;
            member.killed = true;
        }
        Ok(at)
    }

    /// A survivor that ended by itself, which none should.
    pub(super) fn fallen(&mut self) -> Option<String> {
        let ended = |member: &mut MemberProcess| {
            !member.killed && matches!(member.child.try_wait(), Ok(Some(_)))
        };
        let place = self.members.iter_mut().position(ended)?;
        let name = self.members[place].name.clone();
        Some(format!("{name} ended by itself: {}", self.log(&name)))
    }

    /// The end of a member's log.
    fn log(&self, name: &str) -> String {
        let log = std::fs::read(self.log_of(name)).unwrap_or_default();
        let from = log.len().saturating_sub(LOG_SHOWN_MAX);
        String::from_utf8_lossy(&log[from..]).trim().to_owned()
    }

    fn log_of(&self, name: &str) -> PathBuf {
        self.directory.path().join(name).join("member.log")
    }

    fn ready_file_of(&self, name: &str) -> PathBuf {
        self.directory.path().join(name).join("ready.json")
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for member in &mut self.members {
            // It may have ended already.
            let _ = member.child.kill();
            let _ = member.child.wait();
        }
    }
}

fn is_in_memory(directory: &Path) -> bool {
    rustix::fs::statfs(directory).is_ok_and(|facts| MEMORY_FILE_SYSTEMS.contains(&facts.f_type))
}

/// Ports that were free a moment ago. Members need to know each other's before they start, so they cannot all let the
/// system pick; if another program is quicker, the start is repeated.
fn reserve_ports(count: u32) -> Result<Vec<u16>, Failure> {
    let failed = |error: std::io::Error| Failure::io("find a free port", &error);
    let listeners: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    listeners
        .iter()
        .map(|listener| Ok(listener.local_addr().map_err(failed)?.port()))
        .collect()
}
