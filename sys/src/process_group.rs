//! A program and the processes it starts, signalled as one.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};

/// A child process that leads a process group of its own, and every process of that group.
///
/// The number of a group stays reserved as long as its leader was not reaped. All signals are therefore sent before the
/// caller reaps the leader; [`ProcessGroup::close`] sends the last one. Dropped without it, the group is killed too.
///
/// A process that leaves the group (`setsid`, `setpgid`) escapes these signals.
#[derive(Debug)]
pub struct ProcessGroup {
    leader: Pid,
    descriptor: ExitDescriptor,
    open: bool,
}

/// Becomes readable when the leader has ended. It names the process itself, not its number, so it never means another.
#[derive(Debug)]
pub struct ExitDescriptor(OwnedFd);

impl AsRawFd for ExitDescriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for ExitDescriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether the leader of a group still runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaderExit {
    /// It runs.
    Running,
    /// It has ended and waits to be reaped.
    Ended,
}

impl ProcessGroup {
    /// Takes charge of the group led by `process_id`: a child of this process, started in a new process group and not
    /// reaped yet.
    ///
    /// # Errors
    /// `InvalidInput` for a number that no process can have; else the operating system's error, `Unsupported` or
    /// `ENOSYS` on a kernel older than Linux 5.3.
    pub fn of_child(process_id: u32) -> io::Result<Self> {
        let number = i32::try_from(process_id).map_err(|_| io::ErrorKind::InvalidInput)?;
        // Group numbers 0 and 1 would mean "my own group" and "everybody".
        let leader = Pid::from_raw(number)
            .filter(|pid| pid.as_raw_nonzero().get() > 1)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let descriptor = ExitDescriptor(pidfd_open(leader, PidfdFlags::empty())?);
        Ok(Self {
            leader,
            descriptor,
            open: true,
        })
    }

    /// A descriptor that becomes readable when the leader has ended.
    ///
    /// # Errors
    /// The operating system's, when it has no more descriptors to give.
    pub fn exit_descriptor(&self) -> io::Result<ExitDescriptor> {
        self.descriptor.0.try_clone().map(ExitDescriptor)
    }

    /// Whether the leader has ended; does not reap it.
    ///
    /// # Errors
    /// The operating system's; `ECHILD` when somebody else reaped the leader.
    pub fn leader_exit(&self) -> io::Result<LeaderExit> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        match waitid(WaitId::PidFd(self.descriptor.as_fd()), options)? {
            Some(_) => Ok(LeaderExit::Ended),
            None => Ok(LeaderExit::Running),
        }
    }

    /// Asks every process of the group to end (SIGTERM).
    ///
    /// # Errors
    /// The operating system's. That nobody is left is no error.
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Ends every process of the group (SIGKILL).
    ///
    /// # Errors
    /// The operating system's. That nobody is left is no error.
    pub fn kill(&self) -> io::Result<()> {
        self.signal(Signal::KILL)
    }

    /// Ends whatever is left of the group and gives it up; from here on the leader may be reaped.
    ///
    /// # Errors
    /// The operating system's; the group is given up all the same.
    pub fn close(mut self) -> io::Result<()> {
        self.open = false;
        self.kill()
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        match kill_process_group(self.leader, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if self.open {
            // Nothing can be done about a refusal here, and the owner is unwinding or shutting down.
            let _ = self.kill();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn child(script: &str) -> Child {
        Command::new("/bin/sh")
            .args(["-c", script])
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("sh starts")
    }

    fn wait_readable(group: &ProcessGroup) {
        let descriptor = group.exit_descriptor().expect("a descriptor");
        let mut polled = [rustix::event::PollFd::new(
            &descriptor,
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut polled, None).expect("poll");
    }

    #[test]
    fn the_end_of_the_leader_is_seen_without_reaping_it() {
        let mut child = child("exit 7");
        let group = ProcessGroup::of_child(child.id()).expect("a child");
        wait_readable(&group);
        assert_eq!(group.leader_exit().expect("still ours"), LeaderExit::Ended);
        group.close().expect("nobody objects");
        assert_eq!(child.wait().expect("reaped here").code(), Some(7));
    }

    #[test]
    fn a_dropped_group_is_killed() {
        let mut child = child("sleep 1000");
        let group = ProcessGroup::of_child(child.id()).expect("a child");
        assert_eq!(group.leader_exit().expect("ours"), LeaderExit::Running);
        drop(group);
        assert_eq!(child.wait().expect("reaped").signal(), Some(9));
    }

    #[test]
    fn numbers_that_would_signal_everybody_are_refused() {
        for number in [0, 1, u32::MAX] {
            assert!(
                ProcessGroup::of_child(number).is_err(),
                "{number} was accepted"
            );
        }
    }
}
