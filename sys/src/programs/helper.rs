//! The helper: one process beside a member, with one thread, that makes a keeper for each program. Forking there is safe and
//! cheap, and stalls none of the member's threads.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, IoSliceMut, PipeReader, PipeWriter, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::thread::sleep;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno as SystemError;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use rustix::process::{Signal, WaitOptions};

use super::deadline::Deadline;
use super::descendants::{lives_below, signal_below};
use super::keeper::{Given, REAP_MAX, keep};
use super::launch::Streams;
use super::report::{Errno, KeeperEvent, LaunchStep, ProcessId};
use super::request::{DESCRIPTORS_MAX, SpawnRequest};
use super::signals::{self, ChildSignal};
use super::wire::Malformed;

/// The name, as first argument, under which a program is a helper.
pub const HELPER_NAME: &str = "ringhold-helper";
/// Bytes read from the member at a time.
const READ_BYTES: usize = 64 * 1024;
/// First and longest pause before another process is asked for, when there was none; the sum is about two seconds.
const FORK_PAUSES: [Duration; 9] = [
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(40),
    Duration::from_millis(80),
    Duration::from_millis(160),
    Duration::from_millis(320),
    Duration::from_millis(640),
    Duration::from_secs(1),
];
/// How often what fell to the helper is killed again while it lives.
const ROUND: Duration = Duration::from_millis(10);
/// How long a helper whose member is gone waits for its keepers.
const FAREWELL_MAX: Duration = REAP_MAX.saturating_mul(2);

/// Runs the helper, and never returns, if this process was started as one; call it first in `main`, before any thread.
/// Returns whether it was, which is then always `false`.
#[must_use]
pub fn helper_main_if_called() -> bool {
    let is_helper = std::env::args_os()
        .next()
        .is_some_and(|name| name == HELPER_NAME);
    if is_helper {
        let ended = Helper::start().map(Helper::serve);
        let code = match ended {
            Ok(End::Farewell) => 0,
            Ok(End::Keeper(given)) => {
                keep(*given);
                0
            }
            Ok(End::NoHelper) | Err(_) => 1,
        };
        std::process::exit(code);
    }
    is_helper
}

/// How a helper's work ends.
enum End {
    /// The member is gone.
    Farewell,
    /// What it was sent is no request, or the system fails it: running programs go on.
    NoHelper,
    /// This process is a keeper from now on.
    Keeper(Box<Given>),
}

struct Helper {
    member: OwnedFd,
    changes: ChildSignal,
    gone: PipeReader,
    gone_teller: PipeWriter,
    keepers: BTreeSet<ProcessId>,
    received: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

impl Helper {
    fn start() -> io::Result<Self> {
        let threads = std::fs::read_dir("/proc/self/task")?.count();
        assert_eq!(threads, 1, "a helper has one thread: call it first in main");
        signals::reset();
        signals::ignore_all_that_end();
        // A session of its own, so that a terminal's signals do not reach it. It may lead one already.
        let _ = rustix::process::setsid();
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        let member = io::stdin().as_fd().try_clone_to_owned()?;
        let nothing = File::open("/dev/null")?;
        rustix::stdio::dup2_stdin(&nothing)?;
        let (gone, gone_teller) = io::pipe()?;
        Ok(Self {
            member,
            changes: ChildSignal::open()?,
            gone,
            gone_teller,
            keepers: BTreeSet::new(),
            received: Vec::new(),
            descriptors: VecDeque::new(),
        })
    }

    fn serve(mut self) -> End {
        loop {
            let has_orphans = self.end_orphans();
            let wants = self.poll(has_orphans);
            self.reap();
            if !wants {
                continue;
            }
            match self.receive() {
                Ok(true) => {}
                Ok(false) => return self.farewell(),
                Err(_) => return End::NoHelper,
            }
            loop {
                match self.next_request() {
                    Ok(Some((request, descriptors))) => {
                        if let Some(given) = self.begin(request, descriptors) {
                            return End::Keeper(Box::new(given));
                        }
                    }
                    Ok(None) => break,
                    Err(Malformed) => return End::NoHelper,
                }
            }
        }
    }

    /// Waits for the member or for a child; returns whether the member has something.
    fn poll(&self, has_orphans: bool) -> bool {
        let mut descriptors = [
            PollFd::new(&self.member, PollFlags::IN),
            PollFd::new(&self.changes, PollFlags::IN),
        ];
        let round = Timespec::try_from(ROUND).unwrap_or_default();
        let _ = poll(&mut descriptors, has_orphans.then_some(&round));
        let wants = !descriptors[0].revents().is_empty();
        self.changes.clear();
        wants
    }

    fn reap(&mut self) {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((child, _))) => {
                    let number = child.as_raw_nonzero().get().cast_unsigned();
                    self.keepers.remove(&ProcessId(number));
                }
                Err(SystemError::INTR) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Kills what fell to the helper because its keeper was killed; returns whether there was any.
    fn end_orphans(&self) -> bool {
        let own = ProcessId(std::process::id());
        let has_orphans = lives_below(own, &self.keepers);
        if has_orphans {
            signal_below(own, &self.keepers, Signal::KILL);
        }
        has_orphans
    }

    /// Takes what the member sent; `false` if it is gone.
    fn receive(&mut self) -> io::Result<bool> {
        let mut bytes = vec![0; READ_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let into = &mut [IoSliceMut::new(&mut bytes)];
        let received = match recvmsg(&self.member, into, &mut ancillary, flags) {
            Err(SystemError::INTR | SystemError::AGAIN) => return Ok(true),
            Err(SystemError::CONNRESET) => return Ok(false),
            received => received?,
        };
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.received.extend(bytes.iter().take(received.bytes));
        Ok(received.bytes > 0)
    }

    /// The next request that is here whole, with its descriptors, which come with its first byte.
    fn next_request(&mut self) -> Result<Option<(SpawnRequest, Vec<OwnedFd>)>, Malformed> {
        let Some((request, length)) = SpawnRequest::decode(&self.received)? else {
            return Ok(None);
        };
        self.received.drain(..length);
        let count = if request.has_stdin { 4 } else { 3 };
        if self.descriptors.len() < count {
            return Err(Malformed);
        }
        let descriptors = self.descriptors.drain(..count).collect();
        Ok(Some((request, descriptors)))
    }

    /// Makes a keeper; in the keeper, what it is given.
    fn begin(&mut self, request: SpawnRequest, descriptors: Vec<OwnedFd>) -> Option<Given> {
        let mut descriptors = descriptors.into_iter();
        let mut next = || descriptors.next();
        let (control, output, error) = (next()?, next()?, next()?);
        let streams = Streams {
            input: next(),
            output,
            error,
        };
        let failed = |errno| {
            let step = LaunchStep::Fork;
            let frame = KeeperEvent::LaunchFailed { step, errno }.encode();
            // Whoever does not hear it sees the socket close.
            let _ = rustix::io::write(&control, &frame);
            None
        };
        // All that can fail before there is a process for it.
        let gone = match self.gone.try_clone() {
            Ok(gone) => gone,
            Err(error) => return failed(Errno(error.raw_os_error().unwrap_or(libc::EIO))),
        };
        match fork() {
            Ok(Some(keeper)) => {
                self.keepers.insert(keeper);
                None
            }
            Ok(None) => Some(Given {
                request,
                control,
                streams,
                gone,
            }),
            Err(errno) => failed(errno),
        }
    }

    /// The member is gone: the keepers hear of it, if they do not know, and end what they keep.
    fn farewell(mut self) -> End {
        // Whoever has no ear for it has its own socket's end.
        let _ = self.gone_teller.write_all(b"g");
        let until = Deadline::after(FAREWELL_MAX);
        while !self.keepers.is_empty() && !until.is_over() {
            self.end_orphans();
            sleep(ROUND);
            self.reap();
        }
        while self.end_orphans() && !until.is_over() {
            sleep(ROUND);
            self.reap();
        }
        End::Farewell
    }
}

/// A new process; `None` in it.
fn fork() -> Result<Option<ProcessId>, Errno> {
    let mut pauses = FORK_PAUSES.into_iter();
    loop {
        match (fork_once(), pauses.next()) {
            (Ok(child), _) => return Ok(child),
            (Err(Errno(libc::EAGAIN | libc::ENOMEM)), Some(pause)) => sleep(pause),
            (Err(errno), _) => return Err(errno),
        }
    }
}

#[expect(unsafe_code, reason = "the standard library has no fork")]
fn fork_once() -> Result<Option<ProcessId>, Errno> {
    // SAFETY: this process has one thread, so that its copy is whole: no lock is held by a thread that it lacks.
    match unsafe { libc::fork() } {
        -1 => Err(Errno(
            io::Error::last_os_error()
                .raw_os_error()
                .unwrap_or(libc::EIO),
        )),
        0 => Ok(None),
        child => Ok(Some(ProcessId(child.cast_unsigned()))),
    }
}
