//! The keeper of one program: a process of its own, to which everything falls that the program's descendants leave behind, so
//! that nothing gets away from it: not what calls setsid, forks twice or gives up its parent (PR_SET_CHILD_SUBREAPER).

use std::collections::BTreeSet;
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno as SystemError;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group};

use super::deadline::Deadline;
use super::descendants::{count_below, signal_below};
use super::launch::{Streams, launch};
use super::report::{Errno, Exit, KeeperEvent, KeeperOrder, LaunchStep, ProcessId, ProgramEnd};
use super::request::SpawnRequest;
use super::signals::{self, ChildSignal};

/// How long everything that a program left is killed again and again, before it is reported as still there (C45).
pub const REAP_MAX: Duration = Duration::from_secs(5);
/// Pause between two rounds of that, unless a child ends before.
const ROUND: Duration = Duration::from_millis(5);
/// Bytes of orders that are read at a time.
const ORDERS_READ: usize = 16;

/// What a keeper is given.
pub(crate) struct Given {
    pub(crate) request: SpawnRequest,
    /// Where it reports and gets orders.
    pub(crate) control: OwnedFd,
    pub(crate) streams: Streams,
    /// Readable once the member is gone.
    pub(crate) gone: PipeReader,
}

/// Starts the program, keeps it, reports its end. The process that calls this is the keeper, has one thread, and ends after.
pub(crate) fn keep(given: Given) {
    let Given {
        request,
        control,
        streams,
        gone,
    } = given;
    let launched = prepare()
        .map_err(|error| {
            (
                LaunchStep::Keeper,
                Errno(error.raw_os_error().unwrap_or(libc::EIO)),
            )
        })
        .and_then(|changes| Ok((changes, launch(&request, streams)?)));
    let (changes, child) = match launched {
        Ok(launched) => launched,
        Err((step, errno)) => return tell(&control, &KeeperEvent::LaunchFailed { step, errno }),
    };
    let mut keeper = Keeper {
        own: ProcessId(std::process::id()),
        program: ProcessId(child.id()),
        control: Some(control),
        gone: Some(gone),
        changes,
        ended: None,
    };
    keeper.report(&KeeperEvent::Started {
        program: keeper.program,
        keeper: keeper.own,
    });
    keeper.attend(&request);
}

fn prepare() -> io::Result<ChildSignal> {
    signals::reset();
    signals::ignore_all_that_end();
    rustix::process::setsid()?;
    // Any number but zero switches it on.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    ChildSignal::open()
}

fn tell(control: &OwnedFd, event: &KeeperEvent) {
    let frame = event.encode();
    let mut rest = frame.as_slice();
    while !rest.is_empty() {
        match rustix::io::write(control, rest) {
            Ok(written) if written > 0 => rest = rest.get(written..).unwrap_or_default(),
            Err(SystemError::INTR) => {}
            // The member is gone: nobody hears it.
            _ => return,
        }
    }
}

/// Why a keeper woke.
enum Woken {
    /// A child ended, or time passed: there may be something to do.
    Look,
    /// It was told to.
    Order(KeeperOrder),
    /// The member is gone, or does not want the program any more.
    Abandoned,
}

struct Keeper {
    own: ProcessId,
    program: ProcessId,
    control: Option<OwnedFd>,
    gone: Option<PipeReader>,
    changes: ChildSignal,
    /// How the program ended, once it has.
    ended: Option<(Exit, bool)>,
}

impl Keeper {
    fn attend(&mut self, request: &SpawnRequest) {
        self.until_over();
        if self.ended.is_some() && !self.reap() {
            return self.report_end(0, false);
        }
        let leftovers = self.leftovers();
        let succeeded = matches!(self.ended, Some((Exit::Code(0), _)));
        if request.detach_ok && succeeded {
            self.report_end(leftovers, false);
            // It stays until they have ended: with its own end they would fall to the helper, which kills what falls to it.
            self.control = None;
            self.gone = None;
            while self.reap() {
                self.wait(None);
            }
            return;
        }
        if self.ended.is_some() && leftovers > 0 && !request.leftover_grace.is_zero() {
            self.ask_to_end(request.leftover_grace);
        }
        let unreaped = !self.end_all();
        self.report_end(leftovers, unreaped);
    }

    /// Waits until the program has ended, or must.
    fn until_over(&mut self) {
        while self.ended.is_none() {
            match self.wait(None) {
                Woken::Look => {
                    self.reap();
                }
                Woken::Order(KeeperOrder::Terminate) => self.signal_program(Signal::TERM),
                Woken::Order(KeeperOrder::Kill) | Woken::Abandoned => return,
            }
        }
    }

    /// Asks what is left to end, and waits for it as long as it may take.
    fn ask_to_end(&mut self, grace: Duration) {
        signal_below(self.own, &BTreeSet::new(), Signal::TERM);
        let until = Deadline::after(grace);
        while self.reap() && !until.is_over() {
            match self.wait(Some(until)) {
                Woken::Look | Woken::Order(KeeperOrder::Terminate) => {}
                Woken::Order(KeeperOrder::Kill) | Woken::Abandoned => return,
            }
        }
    }

    /// Kills everything below this process until nothing is left, and says whether that was so in time.
    fn end_all(&mut self) -> bool {
        let until = Deadline::after(REAP_MAX);
        loop {
            // Before anything is listed: what is to be killed starts nothing more.
            self.signal_program(Signal::KILL);
            signal_below(self.own, &BTreeSet::new(), Signal::KILL);
            if !self.reap() {
                return true;
            }
            if until.is_over() {
                return false;
            }
            self.pause();
        }
    }

    /// Takes notice of all children that have ended; returns whether any is left.
    fn reap(&mut self) -> bool {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((child, status))) if number(child) == self.program => {
                    self.ended = exit_of(status).or(self.ended);
                }
                Ok(Some(_)) | Err(SystemError::INTR) => {}
                Ok(None) => return true,
                // ECHILD: the proof that nothing of the program lives.
                Err(_) => return false,
            }
        }
    }

    /// Processes that the program left running.
    fn leftovers(&self) -> u32 {
        if self.ended.is_some() {
            count_below(self.own)
        } else {
            0
        }
    }

    fn signal_program(&self, signal: Signal) {
        // Until it is reaped its number is its own, and that of its group.
        if self.ended.is_none()
            && let Some(program) = pid(self.program)
        {
            // Whoever is gone already needs no signal.
            let _ = kill_process(program, signal);
            let _ = kill_process_group(program, signal);
        }
    }

    fn wait(&mut self, until: Option<Deadline>) -> Woken {
        let ready = self.poll(until);
        if ready.changes {
            self.changes.clear();
        }
        if ready.gone.contains(PollFlags::IN) {
            return Woken::Abandoned;
        }
        if !ready.gone.is_empty() {
            // The helper ended without a word: that says nothing of the member.
            self.gone = None;
        }
        if ready.control {
            return self.order();
        }
        Woken::Look
    }

    fn order(&mut self) -> Woken {
        let Some(control) = &self.control else {
            return Woken::Look;
        };
        let mut orders = [0; ORDERS_READ];
        match rustix::io::read(control, &mut orders) {
            Ok(0) => self.abandoned(),
            Ok(read) => {
                let mut orders = orders.iter().take(read).copied();
                let decoded: Vec<_> = orders.by_ref().filter_map(KeeperOrder::decode).collect();
                if decoded.contains(&KeeperOrder::Kill) {
                    Woken::Order(KeeperOrder::Kill)
                } else if decoded.is_empty() {
                    Woken::Look
                } else {
                    Woken::Order(KeeperOrder::Terminate)
                }
            }
            Err(SystemError::INTR | SystemError::AGAIN) => Woken::Look,
            Err(_) => self.abandoned(),
        }
    }

    fn abandoned(&mut self) -> Woken {
        self.control = None;
        Woken::Abandoned
    }

    fn poll(&self, until: Option<Deadline>) -> Ready {
        let mut descriptors = vec![PollFd::new(&self.changes, PollFlags::IN)];
        let control = self.control.as_ref().map(AsFd::as_fd);
        let gone = self.gone.as_ref().map(AsFd::as_fd);
        let both = [control, gone];
        descriptors.extend(
            both.iter()
                .flatten()
                .map(|it| PollFd::new(it, PollFlags::IN)),
        );
        let left = until.map(|until| timespec(until.left()));
        // An interrupted or failed poll is a reason to look, no more.
        let _ = poll(&mut descriptors, left.as_ref());
        let mut said = descriptors.iter().map(PollFd::revents);
        let changes = said.next().is_some_and(|it| !it.is_empty());
        let mut of = |there: bool| {
            there
                .then(|| said.next())
                .flatten()
                .unwrap_or(PollFlags::empty())
        };
        let control = !of(control.is_some()).is_empty();
        let gone = of(gone.is_some());
        Ready {
            changes,
            control,
            gone,
        }
    }

    /// Waits until a child changes, or a round is over.
    fn pause(&self) {
        let mut descriptors = [PollFd::new(&self.changes, PollFlags::IN)];
        let _ = poll(&mut descriptors, Some(&timespec(ROUND)));
        self.changes.clear();
    }

    fn report_end(&self, leftovers: u32, unreaped: bool) {
        // What could not be killed in time says nothing of how it ended.
        let (exit, core_dumped) = self.ended.unwrap_or((Exit::Signal(libc::SIGKILL), false));
        let used = Used::so_far();
        self.report(&KeeperEvent::Ended(ProgramEnd {
            exit,
            core_dumped,
            user: used.user,
            system: used.system,
            max_rss_bytes: used.max_rss_bytes,
            leftovers,
            unreaped,
        }));
    }

    fn report(&self, event: &KeeperEvent) {
        if let Some(control) = &self.control {
            tell(control, event);
        }
    }
}

struct Ready {
    changes: bool,
    control: bool,
    gone: PollFlags,
}

/// What all children that were reaped have used.
struct Used {
    user: Duration,
    system: Duration,
    max_rss_bytes: u64,
}

impl Used {
    #[expect(unsafe_code, reason = "a call without a safe form")]
    fn so_far() -> Self {
        // SAFETY: a structure of numbers may be all zeros, and the call only writes into it.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
            usage
        };
        let time = |it: libc::timeval| {
            let seconds = Duration::from_secs(u64::try_from(it.tv_sec).unwrap_or(0));
            seconds + Duration::from_micros(u64::try_from(it.tv_usec).unwrap_or(0))
        };
        Self {
            user: time(usage.ru_utime),
            system: time(usage.ru_stime),
            // Linux says it in KiB.
            max_rss_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
        }
    }
}

fn exit_of(status: WaitStatus) -> Option<(Exit, bool)> {
    if let Some(code) = status.exit_status() {
        return Some((Exit::Code(code), false));
    }
    let signal = status.terminating_signal()?;
    Some((Exit::Signal(signal), libc::WCOREDUMP(status.as_raw())))
}

fn pid(process: ProcessId) -> Option<Pid> {
    Pid::from_raw(i32::try_from(process.0).ok()?)
}

fn number(process: Pid) -> ProcessId {
    ProcessId(process.as_raw_nonzero().get().cast_unsigned())
}

fn timespec(span: Duration) -> Timespec {
    // No wait of a keeper is longer than a day.
    Timespec::try_from(span).unwrap_or(Timespec {
        tv_sec: 86_400,
        tv_nsec: 0,
    })
}
