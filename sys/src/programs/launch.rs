//! Starting a program: what happens between fork and exec, step by step, and which step failed.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read as _};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use super::report::{Errno, LaunchStep};
use super::request::{Resource, SpawnLimits, SpawnRequest};
use super::signals;

/// The descriptors of a program.
pub(crate) struct Streams {
    pub(crate) input: Option<OwnedFd>,
    pub(crate) output: OwnedFd,
    pub(crate) error: OwnedFd,
}

/// Starts a program.
///
/// # Errors
/// The step that failed, with the operating system's reason.
pub(crate) fn launch(
    request: &SpawnRequest,
    streams: Streams,
) -> Result<Child, (LaunchStep, Errno)> {
    let failed = |step| move |error: io::Error| (step, errno_of(&error));
    if request.limits.user.is_some() && request.limits.group.is_none() {
        // Which of the helper's own groups it would keep is nobody's guess.
        return Err((LaunchStep::Group, Errno(libc::EINVAL)));
    }
    let (steps, teller) = io::pipe().map_err(failed(LaunchStep::Keeper))?;
    let directory = CString::new(request.directory.as_os_str().as_bytes())
        .map_err(|_| (LaunchStep::Directory, Errno(libc::EINVAL)))?;
    let arrangements = Arrangements {
        directory,
        limits: request.limits.clone(),
        keeper: std::process::id(),
        teller,
    };
    let input = match streams.input {
        Some(input) => Stdio::from(input),
        None => Stdio::from(File::open("/dev/null").map_err(failed(LaunchStep::Keeper))?),
    };
    let mut command = Command::new(&request.file);
    command
        .arg0(&request.name)
        .args(&request.arguments)
        .env_clear()
        .envs(
            request
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        )
        .stdin(input)
        .stdout(Stdio::from(streams.output))
        .stderr(Stdio::from(streams.error));
    before_exec(&mut command, arrangements);
    let spawned = command.spawn();
    // With it the last copy of the pipe's other end goes, so that what is read below ends.
    drop(command);
    spawned.map_err(|error| (last_step(steps), errno_of(&error)))
}

#[expect(unsafe_code, reason = "what is arranged between fork and exec")]
fn before_exec(command: &mut Command, arrangements: Arrangements) {
    // SAFETY: the closure makes system calls only; it takes no lock and allocates nothing. This process has one thread anyway.
    unsafe { command.pre_exec(move || arrangements.make()) };
}

/// The step that was begun last.
fn last_step(mut steps: PipeReader) -> LaunchStep {
    let mut begun = Vec::new();
    let _ = steps.read_to_end(&mut begun);
    let last = begun.last().and_then(|step| LaunchStep::of(*step));
    last.unwrap_or(LaunchStep::Program)
}

fn errno_of(error: &io::Error) -> Errno {
    Errno(error.raw_os_error().unwrap_or(libc::EIO))
}

/// What a program's process does before it becomes the program.
struct Arrangements {
    directory: CString,
    limits: SpawnLimits,
    /// Whose end ends it.
    keeper: u32,
    /// Where it tells each step that it begins.
    teller: PipeWriter,
}

impl Arrangements {
    fn make(&self) -> io::Result<()> {
        signals::reset();
        self.begin(LaunchStep::Session);
        rustix::process::setsid()?;
        self.begin(LaunchStep::Limits);
        for (resource, most) in &self.limits.resources {
            limit(*resource, *most)?;
        }
        self.mask_and_nice()?;
        self.identity()?;
        self.begin(LaunchStep::Privileges);
        self.privileges()?;
        self.begin(LaunchStep::Directory);
        rustix::process::chdir(self.directory.as_c_str())?;
        self.begin(LaunchStep::Execute);
        Ok(())
    }

    fn begin(&self, step: LaunchStep) {
        // A pipe that was just made has room for a dozen bytes; without this one only the step's name would be wrong.
        let _ = rustix::io::write(&self.teller, &[step as u8]);
        debug_assert!(self.teller.as_raw_fd() > 2, "not one of the program's own");
    }

    #[expect(unsafe_code, reason = "calls without a safe form")]
    fn mask_and_nice(&self) -> io::Result<()> {
        if let Some(umask) = self.limits.umask {
            // SAFETY: takes and returns a number.
            unsafe { libc::umask(umask) };
        }
        self.begin(LaunchStep::Nice);
        if let Some(nice) = self.limits.nice {
            // SAFETY: takes numbers; 0 is this process.
            checked(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) })?;
        }
        Ok(())
    }

    #[expect(unsafe_code, reason = "calls without a safe form")]
    fn identity(&self) -> io::Result<()> {
        self.begin(LaunchStep::Group);
        if let Some(group) = self.limits.group {
            let only = [group.0];
            // SAFETY: the list lives as long as the call and has the length that is said.
            checked(unsafe { libc::setgroups(only.len(), only.as_ptr()) })?;
            // SAFETY: takes a number.
            checked(unsafe { libc::setgid(group.0) })?;
        }
        self.begin(LaunchStep::User);
        if let Some(user) = self.limits.user {
            // SAFETY: takes a number.
            checked(unsafe { libc::setuid(user.0) })?;
        }
        Ok(())
    }

    #[expect(unsafe_code, reason = "calls without a safe form")]
    fn privileges(&self) -> io::Result<()> {
        if self.limits.no_new_privs {
            // SAFETY: takes numbers.
            checked(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
        }
        // SAFETY: takes numbers. It comes after the change of user, which would undo it.
        checked(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) })?;
        // The keeper may have died before that.
        let parent = rustix::process::getppid().map(|it| it.as_raw_nonzero().get().cast_unsigned());
        if parent == Some(self.keeper) {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(libc::ESRCH))
        }
    }
}

#[expect(unsafe_code, reason = "a call whose safe form has other limits")]
fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let both = libc::rlimit {
        rlim_cur: most,
        rlim_max: most,
    };
    let resource = match resource {
        Resource::Cpu => libc::RLIMIT_CPU,
        Resource::AddressSpace => libc::RLIMIT_AS,
        Resource::OpenFiles => libc::RLIMIT_NOFILE,
        Resource::Processes => libc::RLIMIT_NPROC,
        Resource::FileBytes => libc::RLIMIT_FSIZE,
        Resource::CoreBytes => libc::RLIMIT_CORE,
    };
    // SAFETY: the limits live as long as the call, which only reads them.
    checked(unsafe { libc::setrlimit(resource, &raw const both) })
}

fn checked(result: i32) -> io::Result<()> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
