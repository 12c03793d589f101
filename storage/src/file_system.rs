//! The few things the log needs of a file system, as a trait, so that a crash can be simulated.

mod real;
mod simulated;

use std::io;
use std::path::Path;

pub use real::RealFileSystem;
pub use simulated::SimulatedFileSystem;

/// Directories and names. Names are durable only after [`FileSystem::sync_directory`].
///
/// Errors are the operating system's; a full disk is [`io::ErrorKind::StorageFull`].
pub trait FileSystem: Send + Sync + std::fmt::Debug {
    /// Makes a directory and its parents, durably; one that exists is fine.
    ///
    /// # Errors
    /// As the operating system's.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// Names of the files in a directory, in no order.
    ///
    /// # Errors
    /// As the operating system's.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// As the operating system's.
    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// Creates a file, or empties an existing one.
    ///
    /// # Errors
    /// As the operating system's.
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// Renames a file, over an existing one if there is one.
    ///
    /// # Errors
    /// As the operating system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the operating system's.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// As the operating system's; the caller must not retry.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// An open file. Contents are durable only after [`StorageFile::sync_data`].
pub trait StorageFile: Send {
    /// Bytes in the file.
    ///
    /// # Errors
    /// As the operating system's.
    fn length(&self) -> io::Result<u64>;

    /// Reads at a position until the buffer is full or the file ends; returns how many bytes were read.
    ///
    /// # Errors
    /// As the operating system's.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes all bytes at a position; the file grows if need be.
    ///
    /// # Errors
    /// As the operating system's; some of the bytes may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Flushes contents and length to the device.
    ///
    /// # Errors
    /// As the operating system's; the caller must not retry.
    fn sync_data(&self) -> io::Result<()>;
}

/// Reads a whole file.
///
/// # Errors
/// As the operating system's.
pub(crate) fn read_all(file: &dyn StorageFile) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.length()?)
        .map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    let mut bytes = vec![0; length];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}
