//! Random identities, and the temporary directory of a member that was given none.

use std::path::{Path, PathBuf};
use std::{fs, io};

use ringhold_storage::DataDirectory;

/// A random number, never zero.
pub(super) fn random_number() -> io::Result<u64> {
    let mut bytes = [0_u8; 8];
    rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())?;
    Ok(u64::from_le_bytes(bytes).max(1))
}

/// Where a member keeps its data. Whoever may still write there holds it, so that the next process is kept out until then.
pub(super) struct Home {
    pub(super) directory: DataDirectory,
    /// A directory of its own, removed with it, when none was given.
    _scratch: Option<ScratchDirectory>,
}

impl Home {
    pub(super) fn new(directory: DataDirectory, scratch: Option<ScratchDirectory>) -> Self {
        Self {
            directory,
            _scratch: scratch,
        }
    }
}

/// A directory below the system's temporary one that goes when this is dropped.
pub(super) struct ScratchDirectory {
    path: PathBuf,
}

impl ScratchDirectory {
    pub(super) fn create() -> io::Result<Self> {
        let name = format!("ringhold-{:016x}", random_number()?);
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path)?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ScratchDirectory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a temporary directory stays behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_directory_goes_with_its_owner() {
        let directory = ScratchDirectory::create().expect("a temporary directory");
        let path = directory.path().to_owned();
        fs::write(path.join("file"), "content").expect("writable");
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn random_numbers_differ_and_are_never_zero() {
        let one = random_number().expect("randomness");
        assert_ne!(one, random_number().expect("randomness"));
        assert_ne!(one, 0);
    }
}
