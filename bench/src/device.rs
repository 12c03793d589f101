//! What the device under a directory has written. The kernel's count for a process (`write_bytes`) is too high for files
//! that are written in small pieces: it counts whole folios of the page cache, up to a mebibyte for four kibibytes
//! (Linux 6.18, ext4), so it is reported beside this and not instead.

use std::path::{Path, PathBuf};

/// A sector of the block layer's statistics, whatever the device's own size.
const SECTOR_BYTES: u64 = 512;
/// Field of the statistics that counts written sectors, from 0.
const SECTORS_WRITTEN: usize = 6;

/// The device that holds a directory.
pub(crate) struct Device {
    statistics: PathBuf,
}

impl Device {
    /// The device of a directory; nothing for a file system without one, as in memory.
    pub(crate) fn of(directory: &Path) -> Option<Self> {
        let device = rustix::fs::stat(directory).ok()?.st_dev;
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let statistics = PathBuf::from(format!("/sys/dev/block/{major}:{minor}/stat"));
        statistics.exists().then_some(Self { statistics })
    }

    /// Bytes that it has written, for everybody on this machine.
    pub(crate) fn written_bytes(&self) -> Option<u64> {
        written_bytes(&std::fs::read_to_string(&self.statistics).ok()?)
    }
}

fn written_bytes(statistics: &str) -> Option<u64> {
    let sectors: u64 = statistics
        .split_whitespace()
        .nth(SECTORS_WRITTEN)?
        .parse()
        .ok()?;
    sectors.checked_mul(SECTOR_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_sectors_are_the_seventh_number() {
        let statistics = "   1   2   3   4   5   6   8   9  0  1  2\n";
        assert_eq!(written_bytes(statistics), Some(4096));
        assert_eq!(written_bytes("1 2"), None);
    }
}
