//! What a member asks its helper for: one program.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::wire::{Malformed, Reader, Writer, first_frame};

/// The version of all frames between a member and its helper. Both are the same program, so it guards against a helper that
/// an upgrade replaced on disk.
pub(crate) const VERSION: u8 = 1;

/// A program to start, and what may become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpawnRequest {
    /// The program's file: a path, or a name that is looked for in the `PATH` of `environment`.
    pub file: OsString,
    /// What it is called by: some programs do what their name says.
    pub name: OsString,
    /// Its arguments, without its own name.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Where it runs.
    pub directory: PathBuf,
    /// What it may use.
    pub limits: SpawnLimits,
    /// Whether what it leaves running after its success lives on.
    pub detach_ok: bool,
    /// Whether a descriptor for its standard input comes with the request; without it that is `/dev/null`.
    pub has_stdin: bool,
    /// How long what it leaves running has between TERM and KILL; zero for no TERM at all.
    pub leftover_grace: Duration,
}

/// What a program may use; an absent limit is the helper's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpawnLimits {
    /// Limits of the operating system, soft and hard alike.
    pub resources: Vec<(Resource, u64)>,
    /// Niceness, −20 to 19.
    pub nice: Option<i32>,
    /// Permissions that files it makes do not get.
    pub umask: Option<u32>,
    /// The user that it runs as; needs `group`.
    pub user: Option<UserId>,
    /// The group that it runs as, its only one.
    pub group: Option<GroupId>,
    /// Whether it may not gain privileges by running programs.
    pub no_new_privs: bool,
}

/// Number of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserId(pub u32);

/// Number of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupId(pub u32);

/// A limit of the operating system on one process (getrlimit(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// CPU time in seconds.
    Cpu,
    /// Bytes of address space.
    AddressSpace,
    /// Open descriptors.
    OpenFiles,
    /// Processes and threads of its user.
    Processes,
    /// Bytes of a file that it writes.
    FileBytes,
    /// Bytes of a core dump.
    CoreBytes,
}

impl Resource {
    const ALL: [Self; 6] = [
        Self::Cpu,
        Self::AddressSpace,
        Self::OpenFiles,
        Self::Processes,
        Self::FileBytes,
        Self::CoreBytes,
    ];
}

/// Descriptors that come with a request, in this order: control socket, standard output, standard error, and standard input
/// if the request has one.
pub const DESCRIPTORS_MAX: usize = 4;

impl SpawnRequest {
    /// The request as a frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.byte(VERSION);
        writer.text(&self.file);
        writer.text(&self.name);
        writer.number(self.arguments.len() as u64);
        for argument in &self.arguments {
            writer.text(argument);
        }
        writer.number(self.environment.len() as u64);
        for (name, value) in &self.environment {
            writer.text(name);
            writer.text(value);
        }
        writer.text(self.directory.as_os_str());
        self.limits.encode(&mut writer);
        writer.flag(self.detach_ok);
        writer.flag(self.has_stdin);
        writer.number(u64::try_from(self.leftover_grace.as_millis()).unwrap_or(u64::MAX));
        writer.frame()
    }

    /// The first request in `bytes`, and how many of them it takes; `None` while it is not whole.
    ///
    /// # Errors
    /// [`Malformed`]: no request, or one of another version.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, Malformed> {
        let Some((body, length)) = first_frame(bytes)? else {
            return Ok(None);
        };
        Self::read(body).map(|request| Some((request, length)))
    }

    fn read(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        if reader.byte()? != VERSION {
            return Err(Malformed);
        }
        let request = Self {
            file: reader.text()?,
            name: reader.text()?,
            arguments: reader.list(Reader::text)?,
            environment: reader.list(|reader| Ok((reader.text()?, reader.text()?)))?,
            directory: PathBuf::from(reader.text()?),
            limits: SpawnLimits::read(&mut reader)?,
            detach_ok: reader.flag()?,
            has_stdin: reader.flag()?,
            leftover_grace: Duration::from_millis(reader.number()?),
        };
        reader.end()?;
        Ok(request)
    }
}

impl SpawnLimits {
    fn encode(&self, writer: &mut Writer) {
        writer.number(self.resources.len() as u64);
        for (resource, value) in &self.resources {
            writer.number(*resource as u64);
            writer.number(*value);
        }
        writer.flag(self.nice.is_some());
        writer.signed(i64::from(self.nice.unwrap_or(0)));
        writer.optional(self.umask.map(u64::from));
        writer.optional(self.user.map(|user| u64::from(user.0)));
        writer.optional(self.group.map(|group| u64::from(group.0)));
        writer.flag(self.no_new_privs);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let resources = reader.list(|reader| {
            let number = usize::try_from(reader.number()?).map_err(|_| Malformed)?;
            let resource = *Resource::ALL.get(number).ok_or(Malformed)?;
            Ok((resource, reader.number()?))
        })?;
        let has_nice = reader.flag()?;
        let nice = reader.signed_small()?;
        if !has_nice && nice != 0 {
            return Err(Malformed);
        }
        Ok(Self {
            resources,
            nice: has_nice.then_some(nice),
            umask: reader.optional_small()?,
            user: reader.optional_small()?.map(UserId),
            group: reader.optional_small()?.map(GroupId),
            no_new_privs: reader.flag()?,
        })
    }
}
