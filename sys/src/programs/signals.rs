//! Signals of a process that is not to be ended by them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

/// Highest number of a signal on Linux.
const SIGNAL_LAST: i32 = 64;
/// What a helper and its keepers do not listen to: they end by orders, and when their member does.
const IGNORED: [i32; 8] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGPIPE,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGTSTP,
];

/// Gives every signal its default meaning and blocks none. Whatever this process's starter ignored or blocked is forgotten:
/// with an ignored SIGCHLD nothing could be awaited. Safe between fork and exec.
#[expect(unsafe_code, reason = "the standard library has no signals")]
pub(crate) fn reset() {
    for signal in 1..=SIGNAL_LAST {
        // SAFETY: the default disposition runs no code of ours. Numbers that may not be changed are refused, which is fine.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: the set lives on this stack, is made empty before it is used, and nothing is written through the null pointer.
    unsafe {
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Ignores what would end this process.
#[expect(unsafe_code, reason = "the standard library has no signals")]
pub(crate) fn ignore_all_that_end() {
    for signal in IGNORED {
        // SAFETY: an ignored signal runs no code of ours.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Becomes readable when a child has changed its state.
#[derive(Debug)]
pub(crate) struct ChildSignal(OwnedFd);

impl ChildSignal {
    /// Blocks SIGCHLD and has it told by a descriptor.
    #[expect(unsafe_code, reason = "the standard library has no signals")]
    pub(crate) fn open() -> io::Result<Self> {
        // SAFETY: the set lives on this stack and is made empty before it is used; a descriptor that the call gives is ours
        // alone.
        unsafe {
            let mut child = std::mem::zeroed();
            libc::sigemptyset(&raw mut child);
            libc::sigaddset(&raw mut child, libc::SIGCHLD);
            libc::sigprocmask(libc::SIG_BLOCK, &raw const child, std::ptr::null_mut());
            let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
            match libc::signalfd(-1, &raw const child, flags) {
                -1 => Err(io::Error::last_os_error()),
                descriptor => Ok(Self(OwnedFd::from_raw_fd(descriptor))),
            }
        }
    }

    /// Takes what was told: it becomes readable again with the next change.
    pub(crate) fn clear(&self) {
        let mut told = [0; 16 * size_of::<libc::signalfd_siginfo>()];
        while rustix::io::read(&self.0, &mut told).is_ok_and(|read| read > 0) {}
    }
}

impl AsFd for ChildSignal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
