//! A helper, and programs that it keeps. Everything that a test starts ends with its [`Bench`].

use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader, PipeReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ringhold_sys::programs::{
    HELPER_VARIABLE, HelperProcess, KeeperEvent, KeeperOrder, ProcessId, ProgramDescriptors,
    ProgramEnd, Sending, SpawnLimits, SpawnRequest,
};
use rustix::process::{Pid, Signal, kill_process};

/// Longest that anything here takes on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// How long what a program left may outlive the report of its end.
const SURVIVAL_MAX: Duration = Duration::from_secs(1);
const HELPER: &str = env!("CARGO_BIN_EXE_ringhold-helper");
const ESCAPE: &str = env!("CARGO_BIN_EXE_ringhold-escape");

/// A helper of a test's own.
pub(crate) struct Bench {
    pub(crate) helper: HelperProcess,
    nonce: OsString,
}

impl Bench {
    pub(crate) fn start() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let nonce = OsString::from(format!("{}-{number}", std::process::id()));
        let helper = HelperProcess::start(Path::new(HELPER), &nonce).expect("a helper starts");
        Self { helper, nonce }
    }

    /// What the environment of all that this helper's programs start holds.
    pub(crate) fn marker(&self) -> OsString {
        let mut marker = OsString::from(HELPER_VARIABLE);
        marker.push("_OF_TEST=");
        marker.push(&self.nonce);
        marker
    }

    /// A process that is none of the helper's, and looks like one.
    pub(crate) fn stranger(&self) -> Stranger {
        let mut marker = self.nonce.clone();
        marker.push("-another");
        let child = Command::new(ESCAPE)
            .arg("wait")
            .env(format!("{HELPER_VARIABLE}_OF_TEST"), marker)
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        Stranger(child)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Program {
        self.run_with(arguments, |_| {})
    }

    pub(crate) fn run_with(
        &self,
        arguments: &[&str],
        change: impl Fn(&mut SpawnRequest),
    ) -> Program {
        self.send(arguments, &change).started()
    }

    pub(crate) fn run_reading(&self, arguments: &[&str], input: &[u8]) -> Program {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        // A few bytes fit the pipe.
        writer.write_all(input).expect("it is open");
        let request = self.request(arguments);
        self.send_request(request, Some(OwnedFd::from(reader)))
            .started()
    }

    pub(crate) fn send(&self, arguments: &[&str], change: &dyn Fn(&mut SpawnRequest)) -> Program {
        let mut request = self.request(arguments);
        change(&mut request);
        self.send_request(request, None)
    }

    fn request(&self, arguments: &[&str]) -> SpawnRequest {
        let name = OsString::from(format!("{HELPER_VARIABLE}_OF_TEST"));
        SpawnRequest {
            file: ESCAPE.into(),
            name: "escape".into(),
            arguments: arguments.iter().map(OsString::from).collect(),
            environment: vec![(name, self.nonce.clone())],
            directory: "/".into(),
            limits: SpawnLimits::default(),
            detach_ok: false,
            has_stdin: false,
            leftover_grace: Duration::ZERO,
        }
    }

    fn send_request(&self, request: SpawnRequest, input: Option<OwnedFd>) -> Program {
        let (output, theirs) = std::io::pipe().expect("a pipe");
        let error = std::fs::File::options()
            .write(true)
            .open("/dev/null")
            .expect("it is there");
        let descriptors = ProgramDescriptors {
            input,
            output: OwnedFd::from(theirs),
            error: OwnedFd::from(error),
        };
        let (mut sending, control) = Sending::new(request, descriptors).expect("descriptors");
        let socket = self.helper.socket().expect("it runs");
        until("the request is sent", || match sending.go_on(socket) {
            Ok(all) => all,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => false,
            Err(error) => panic!("the helper is gone: {error}"),
        });
        control.set_read_timeout(Some(SOON)).expect("a socket");
        Program {
            control,
            received: Vec::new(),
            output: BufReader::new(output),
            keeper: ProcessId(0),
        }
    }

    /// What still lives of the helper's programs a second from now, or as soon as nothing does.
    pub(crate) fn survivors(&self) -> Vec<ProcessId> {
        let until = Instant::now() + SURVIVAL_MAX;
        loop {
            let left = marked(&self.marker());
            if left.is_empty() || Instant::now() >= until {
                return left;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.helper.end(SOON);
        let _ = ringhold_sys::programs::sweep(&self.marker());
    }
}

/// Living processes whose environment holds a marker.
fn marked(marker: &OsStr) -> Vec<ProcessId> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")
        .expect("/proc is there")
        .flatten()
    {
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let Some(number) = number else { continue };
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if environment
            .split(|byte| *byte == 0)
            .any(|it| it == marker.as_bytes())
        {
            found.push(ProcessId(number));
        }
    }
    found
}

/// A program, and its keeper.
pub(crate) struct Program {
    control: UnixStream,
    received: Vec<u8>,
    output: BufReader<PipeReader>,
    pub(crate) keeper: ProcessId,
}

impl Program {
    fn started(mut self) -> Self {
        match self.next_event() {
            Some(KeeperEvent::Started { keeper, .. }) => self.keeper = keeper,
            other => panic!("it does not start: {other:?}"),
        }
        self
    }

    /// What the keeper says next; `None` if it is gone.
    pub(crate) fn next_event(&mut self) -> Option<KeeperEvent> {
        loop {
            let decoded = KeeperEvent::decode(&self.received).expect("a frame");
            if let Some((event, length)) = decoded {
                self.received.drain(..length);
                return Some(event);
            }
            let mut bytes = [0; 256];
            match (&self.control).read(&mut bytes) {
                Ok(0) => return None,
                Ok(read) => self.received.extend(&bytes[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("the keeper says nothing: {error}"),
            }
        }
    }

    pub(crate) fn end(&mut self) -> ProgramEnd {
        match self.next_event() {
            Some(KeeperEvent::Ended(end)) => end,
            other => panic!("no end: {other:?}"),
        }
    }

    /// All that it writes.
    pub(crate) fn output(&mut self) -> String {
        let mut output = String::new();
        self.output.read_to_string(&mut output).expect("text");
        output
    }

    pub(crate) fn read_line(&mut self, expected: &str) {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("text");
        assert_eq!(line.trim_end(), expected);
    }

    pub(crate) fn order(&mut self, order: KeeperOrder) {
        self.control
            .write_all(&[order.encode()])
            .expect("the keeper is there");
    }

    /// Whether no end was reported.
    pub(crate) fn runs(&self) -> bool {
        self.control.set_nonblocking(true).expect("a socket");
        let mut byte = [0];
        let peeked = rustix::net::recv(&self.control, &mut byte, rustix::net::RecvFlags::PEEK);
        self.control.set_nonblocking(false).expect("a socket");
        matches!(peeked, Err(rustix::io::Errno::AGAIN))
    }
}

/// A process that nothing may happen to; ended with this.
pub(crate) struct Stranger(Child);

impl Stranger {
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn kill(process: ProcessId) {
    let number = i32::try_from(process.0).expect("a process");
    kill_process(Pid::from_raw(number).expect("a process"), Signal::KILL).expect("it runs");
}

/// Looks until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
