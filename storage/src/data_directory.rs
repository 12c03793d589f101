//! The data directory: one process at a time, and always the same member of the same cluster.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ringhold_types::{ClusterId, MemberId, UnixMillis};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::{FileSystem, RealFileSystem, StorageError};

const IDENTITY: &str = "identity";
const IDENTITY_NEW: &str = "identity.new";
const LOCK: &str = "lock";
/// Version of the directory's layout; a newer one is refused.
const FORMAT_VERSION: u32 = 1;
/// Names that do not make a new directory foreign: our own before the identity was written, and what `mkfs` leaves.
const HARMLESS: [&str; 3] = [LOCK, IDENTITY_NEW, "lost+found"];

/// What a member expects of its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryExpectation {
    /// The member's name; a directory of another name is refused.
    pub member_name: String,
    /// The cluster, if it is known already.
    pub cluster: Option<ClusterId>,
    /// Written into a new directory, for people.
    pub now: UnixMillis,
}

/// Whose directory it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryIdentity {
    /// Random number of this directory; also the member's Raft node id. Never zero.
    pub member: MemberId,
    /// The member's name.
    pub member_name: String,
    /// The cluster, once it has one.
    pub cluster: Option<ClusterId>,
    /// When the directory was made.
    pub created: UnixMillis,
}

/// An open data directory. While it lives, no other process can open it.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    identity: DirectoryIdentity,
    is_new: bool,
    /// Held, not used: the lock goes with it.
    _lock: File,
}

impl DataDirectory {
    /// Opens a directory, or makes one with a new random member id.
    ///
    /// # Errors
    /// `InUse`, `NotADirectory`, `NotWritable`, `NotEmpty`, `UnknownVersion`, `OtherMember`, `OtherCluster`,
    /// `IdentityDamaged`, `Io`, `DiskFull`. Nothing is changed then.
    pub fn open(
        path: impl AsRef<Path>,
        expected: &DirectoryExpectation,
    ) -> Result<Self, StorageError> {
        let path = path.as_ref().to_path_buf();
        make_directory(&path)?;
        let lock = lock(&path)?;
        let found = read_identity(&path)?;
        let is_new = found.is_none();
        let identity = match found {
            Some(identity) => identity,
            None => new_identity(&path, expected)?,
        };
        if identity.member_name != expected.member_name {
            return Err(StorageError::OtherMember {
                path,
                expected: expected.member_name.clone(),
                found: identity.member_name,
            });
        }
        if let (Some(found), Some(expected)) = (identity.cluster, expected.cluster)
            && found != expected
        {
            return Err(StorageError::OtherCluster {
                path,
                expected,
                found,
            });
        }
        Ok(Self {
            path,
            identity,
            is_new,
            _lock: lock,
        })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose it is.
    #[must_use]
    pub const fn identity(&self) -> &DirectoryIdentity {
        &self.identity
    }

    /// Whether it was made by this opening.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.is_new
    }

    /// Where the shared log lives.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Where the metadata store lives.
    #[must_use]
    pub fn metadata_path(&self) -> PathBuf {
        self.path.join("metadata.redb")
    }

    /// Records the cluster that the member has become part of; durable on return.
    ///
    /// # Errors
    /// `OtherCluster` if it is part of another one; `Io`, `DiskFull`.
    pub fn set_cluster(&mut self, cluster: ClusterId) -> Result<(), StorageError> {
        match self.identity.cluster {
            Some(found) if found == cluster => Ok(()),
            Some(found) => Err(StorageError::OtherCluster {
                path: self.path.clone(),
                expected: cluster,
                found,
            }),
            None => {
                let identity = DirectoryIdentity {
                    cluster: Some(cluster),
                    ..self.identity.clone()
                };
                write_identity(&self.path, &identity)?;
                self.identity = identity;
                Ok(())
            }
        }
    }
}

fn make_directory(path: &Path) -> Result<(), StorageError> {
    let is_other = || path.exists() && !path.is_dir();
    let made = RealFileSystem.create_directory(path);
    match made {
        Ok(()) if !is_other() => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotADirectory && !is_other() => {
            Err(not_writable_or("create", path, error))
        }
        _ => Err(StorageError::NotADirectory {
            path: path.to_path_buf(),
        }),
    }
}

fn lock(path: &Path) -> Result<File, StorageError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join(LOCK))
        .map_err(|error| not_writable_or("lock", path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StorageError::InUse {
            path: path.to_path_buf(),
        }),
        Err(TryLockError::Error(error)) => Err(StorageError::io("lock", path, error)),
    }
}

fn new_identity(
    path: &Path,
    expected: &DirectoryExpectation,
) -> Result<DirectoryIdentity, StorageError> {
    let names = RealFileSystem
        .list(path)
        .map_err(|error| StorageError::io("list", path, error))?;
    if let Some(found) = names
        .into_iter()
        .find(|name| !HARMLESS.contains(&name.as_str()))
    {
        let path = path.to_path_buf();
        return Err(StorageError::NotEmpty { path, found });
    }
    let identity = DirectoryIdentity {
        member: random_member(path)?,
        member_name: expected.member_name.clone(),
        cluster: expected.cluster,
        created: expected.now,
    };
    write_identity(path, &identity)?;
    Ok(identity)
}

fn random_member(path: &Path) -> Result<MemberId, StorageError> {
    let mut bytes = [0_u8; 8];
    loop {
        let drawn = getrandom(&mut bytes, GetRandomFlags::empty());
        match drawn {
            Ok(8) if bytes != [0; 8] => return Ok(MemberId(u64::from_le_bytes(bytes))),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(StorageError::io("draw an id for", path, error.into())),
        }
    }
}

/// Writes the identity so that a crash leaves the old one or the new one.
fn write_identity(path: &Path, identity: &DirectoryIdentity) -> Result<(), StorageError> {
    let cluster = identity.cluster.map(|cluster| cluster.to_string());
    let text = format!(
        "format = {FORMAT_VERSION}\nmember = {}\nname = {}\ncluster = {}\ncreated = {}\n",
        identity.member,
        identity.member_name,
        cluster.as_deref().unwrap_or("none"),
        identity.created.0,
    );
    let new = path.join(IDENTITY_NEW);
    let written = File::create(&new).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path.join(IDENTITY))?;
        RealFileSystem.sync_directory(path)
    });
    written.map_err(|error| not_writable_or("write", path, error))
}

fn read_identity(path: &Path) -> Result<Option<DirectoryIdentity>, StorageError> {
    let file = path.join(IDENTITY);
    match fs::read(&file) {
        Ok(bytes) => parse_identity(&file, &String::from_utf8_lossy(&bytes)).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StorageError::io("read", &file, error)),
    }
}

fn parse_identity(file: &Path, text: &str) -> Result<DirectoryIdentity, StorageError> {
    let value = |key: &str| {
        text.lines()
            .filter_map(|line| line.split_once('='))
            .find(|(name, _)| name.trim() == key)
            .map(|(_, value)| value.trim())
            .ok_or_else(|| damaged(file, format!("it has no {key:?}")))
    };
    let invalid = |key: &str| damaged(file, format!("{key:?} is not valid"));
    let version = value("format")?;
    if version != FORMAT_VERSION.to_string() {
        return Err(StorageError::UnknownVersion {
            path: file.to_path_buf(),
            found: version.to_owned(),
            supported: FORMAT_VERSION,
        });
    }
    let member = u64::from_str_radix(value("member")?, 16).map_err(|_| invalid("member"))?;
    let cluster = match value("cluster")? {
        "none" => None,
        id => Some(ClusterId(
            u128::from_str_radix(id, 16).map_err(|_| invalid("cluster"))?,
        )),
    };
    let created = value("created")?.parse().map_err(|_| invalid("created"))?;
    Ok(DirectoryIdentity {
        member: MemberId(member),
        member_name: value("name")?.to_owned(),
        cluster,
        created: UnixMillis(created),
    })
}

fn damaged(file: &Path, reason: String) -> StorageError {
    StorageError::IdentityDamaged {
        path: file.to_path_buf(),
        reason,
    }
}

/// The error for something that may not be written, else what the operating system said.
fn not_writable_or(operation: &'static str, path: &Path, source: io::Error) -> StorageError {
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            StorageError::NotWritable {
                path: path.to_path_buf(),
                source,
            }
        }
        _ => StorageError::io(operation, path, source),
    }
}
