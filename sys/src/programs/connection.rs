//! The member's side: starting a helper, and handing it requests.

use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::io::Errno as SystemError;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::deadline::Deadline;
use super::helper::HELPER_NAME;
use super::report::ProcessId;
use super::request::{DESCRIPTORS_MAX, SpawnRequest};

/// The environment variable that names a helper to whoever looks for what is left of it ([`super::sweep`]).
pub const HELPER_VARIABLE: &str = "RINGHOLD_HELPER";
/// Pause between two looks whether a helper has ended.
const LOOK: Duration = Duration::from_millis(5);

/// A helper that runs. Dropped, it ends, with everything that runs below it.
#[derive(Debug)]
pub struct HelperProcess {
    child: Child,
    socket: Option<UnixStream>,
}

impl HelperProcess {
    /// Starts `program` as a helper: one that calls [`super::helper_main_if_called`] first. `nonce` is its
    /// [`HELPER_VARIABLE`].
    ///
    /// # Errors
    /// The operating system's.
    pub fn start(program: &Path, nonce: &OsStr) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let child = Command::new(program)
            .arg0(HELPER_NAME)
            .env(HELPER_VARIABLE, nonce)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self {
            child,
            socket: Some(ours),
        })
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> ProcessId {
        ProcessId(self.child.id())
    }

    /// Where requests go, with [`Sending`]; it does not block. Its end is the helper's.
    ///
    /// # Errors
    /// `NotConnected` after [`HelperProcess::end`].
    pub fn socket(&self) -> io::Result<BorrowedFd<'_>> {
        let socket = self.socket.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        Ok(socket.as_fd())
    }

    /// Ends the helper and everything below it; blocks until that is so, at most `within`. Returns whether it was so in time.
    ///
    /// # Errors
    /// The operating system's.
    pub fn end(&mut self, within: Duration) -> io::Result<bool> {
        self.socket = None;
        let until = Deadline::after(within);
        while self.child.try_wait()?.is_none() {
            if until.is_over() {
                return Ok(false);
            }
            std::thread::sleep(LOOK);
        }
        Ok(true)
    }
}

/// The descriptors of a program.
#[derive(Debug)]
pub struct ProgramDescriptors {
    /// Its standard input; without it that is `/dev/null`.
    pub input: Option<OwnedFd>,
    /// Its standard output.
    pub output: OwnedFd,
    /// Its standard error.
    pub error: OwnedFd,
}

/// A request on its way to a helper.
#[derive(Debug)]
pub struct Sending {
    frame: Vec<u8>,
    sent: usize,
    descriptors: Vec<OwnedFd>,
}

impl Sending {
    /// Makes a request ready to be sent; returns also the socket on which its keeper reports and takes orders. It blocks until
    /// told otherwise. When it is closed the program ends.
    ///
    /// # Errors
    /// The operating system's, when it has no more descriptors to give.
    pub fn new(
        mut request: SpawnRequest,
        descriptors: ProgramDescriptors,
    ) -> io::Result<(Self, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        request.has_stdin = descriptors.input.is_some();
        let mut all = vec![OwnedFd::from(theirs), descriptors.output, descriptors.error];
        all.extend(descriptors.input);
        let sending = Self {
            frame: request.encode(),
            sent: 0,
            descriptors: all,
        };
        Ok((sending, ours))
    }

    /// Sends as much as the socket takes; returns whether that was all. Its descriptors are closed here once they are sent.
    ///
    /// # Errors
    /// `WouldBlock` while there is no room; else the operating system's, and the helper is of no use any more.
    pub fn go_on(&mut self, socket: BorrowedFd<'_>) -> io::Result<bool> {
        while let Some(rest) = self.frame.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let mut space =
                [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            let borrowed: Vec<BorrowedFd<'_>> = self.descriptors.iter().map(AsFd::as_fd).collect();
            if !borrowed.is_empty() {
                ancillary.push(SendAncillaryMessage::ScmRights(&borrowed));
            }
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match sendmsg(socket, &[IoSlice::new(rest)], &mut ancillary, flags) {
                Ok(sent) => {
                    self.sent += sent;
                    self.descriptors.clear();
                }
                Err(SystemError::INTR) => {}
                // Too many descriptors are on their way: it passes as the helper takes them.
                Err(SystemError::TOOMANYREFS) => return Err(io::ErrorKind::WouldBlock.into()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }
}
