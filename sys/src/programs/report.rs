//! What a keeper says of its program, and what it is told.

use std::time::Duration;

use super::request::VERSION;
use super::wire::{Malformed, Reader, Writer, first_frame};

/// Number of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(pub u32);

/// Number of an error of the operating system (errno(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

/// What a keeper says, in this order: one of the first two, then, of a program that was started, the third.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeeperEvent {
    /// The program runs.
    Started {
        /// Its process, which leads a session and a group of its own.
        program: ProcessId,
        /// The process that keeps it.
        keeper: ProcessId,
    },
    /// It was not started.
    LaunchFailed {
        /// Where that failed.
        step: LaunchStep,
        /// Why.
        errno: Errno,
    },
    /// The program has ended, and so has everything that it started, but for what `end` says.
    Ended(ProgramEnd),
}

/// What starting a program consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaunchStep {
    /// The request was not understood, or came without its descriptors.
    Request,
    /// A process for the keeper.
    Fork,
    /// The keeper's own arrangements.
    Keeper,
    /// A process for the program.
    Program,
    /// Its session.
    Session,
    /// The limits of the operating system.
    Limits,
    /// Its niceness.
    Nice,
    /// Its group.
    Group,
    /// Its user.
    User,
    /// Going without new privileges.
    Privileges,
    /// Its directory.
    Directory,
    /// The program's file.
    Execute,
}

impl LaunchStep {
    const ALL: [Self; 12] = [
        Self::Request,
        Self::Fork,
        Self::Keeper,
        Self::Program,
        Self::Session,
        Self::Limits,
        Self::Nice,
        Self::Group,
        Self::User,
        Self::Privileges,
        Self::Directory,
        Self::Execute,
    ];

    /// The step with a number, as it travels.
    pub(crate) fn of(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With a code.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

/// The end of a program, and of what it started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramEnd {
    /// How the program itself ended.
    pub exit: Exit,
    /// Whether it left a core dump.
    pub core_dumped: bool,
    /// CPU time in user mode, of the program and all that ended by then.
    pub user: Duration,
    /// CPU time in the kernel for them.
    pub system: Duration,
    /// Most memory that one of them had resident, in bytes.
    pub max_rss_bytes: u64,
    /// Processes that the program left running.
    pub leftovers: u32,
    /// Whether some of them could not be ended in time: they may still run.
    pub unreaped: bool,
}

/// What a keeper is told, a byte each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeeperOrder {
    /// TERM to the program's group.
    Terminate,
    /// KILL to the program and everything that it started.
    Kill,
}

impl KeeperOrder {
    /// The order as it travels.
    #[must_use]
    pub const fn encode(self) -> u8 {
        match self {
            Self::Terminate => b'T',
            Self::Kill => b'K',
        }
    }

    pub(crate) const fn decode(byte: u8) -> Option<Self> {
        match byte {
            b'T' => Some(Self::Terminate),
            b'K' => Some(Self::Kill),
            _ => None,
        }
    }
}

impl KeeperEvent {
    /// The event as a frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.byte(VERSION);
        match self {
            Self::Started { program, keeper } => {
                writer.byte(1);
                writer.number(u64::from(program.0));
                writer.number(u64::from(keeper.0));
            }
            Self::LaunchFailed { step, errno } => {
                writer.byte(2);
                writer.byte(*step as u8);
                writer.signed(i64::from(errno.0));
            }
            Self::Ended(end) => {
                writer.byte(3);
                end.encode(&mut writer);
            }
        }
        writer.frame()
    }

    /// The first event in `bytes`, and how many of them it takes; `None` while it is not whole.
    ///
    /// # Errors
    /// [`Malformed`]: no event, or one of another version.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, Malformed> {
        let Some((body, length)) = first_frame(bytes)? else {
            return Ok(None);
        };
        let mut reader = Reader::new(body);
        if reader.byte()? != VERSION {
            return Err(Malformed);
        }
        let event = match reader.byte()? {
            1 => Self::Started {
                program: ProcessId(reader.small()?),
                keeper: ProcessId(reader.small()?),
            },
            2 => Self::LaunchFailed {
                step: LaunchStep::of(reader.byte()?).ok_or(Malformed)?,
                errno: Errno(reader.signed_small()?),
            },
            3 => Self::Ended(ProgramEnd::read(&mut reader)?),
            _ => return Err(Malformed),
        };
        reader.end()?;
        Ok(Some((event, length)))
    }
}

impl ProgramEnd {
    fn encode(&self, writer: &mut Writer) {
        let (kind, number) = match self.exit {
            Exit::Code(code) => (0, code),
            Exit::Signal(signal) => (1, signal),
        };
        writer.byte(kind);
        writer.signed(i64::from(number));
        writer.flag(self.core_dumped);
        for time in [self.user, self.system] {
            writer.number(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        }
        writer.number(self.max_rss_bytes);
        writer.number(u64::from(self.leftovers));
        writer.flag(self.unreaped);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let kind = reader.byte()?;
        let number = reader.signed_small()?;
        let exit = match kind {
            0 => Exit::Code(number),
            1 => Exit::Signal(number),
            _ => return Err(Malformed),
        };
        Ok(Self {
            exit,
            core_dumped: reader.flag()?,
            user: Duration::from_micros(reader.number()?),
            system: Duration::from_micros(reader.number()?),
            max_rss_bytes: reader.number()?,
            leftovers: reader.small()?,
            unreaped: reader.flag()?,
        })
    }
}
