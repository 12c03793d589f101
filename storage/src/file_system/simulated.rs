//! A disk in memory that forgets what was not flushed, for tests and for the explorer.
//!
//! The model: a crash keeps, of the writes since the last flush of a file, any subset of their 512-byte sectors; of the
//! changes to names since the last flush of the directory, any prefix (journalling file systems order them). A failed
//! flush loses what it should have flushed although it can still be read, and the next one succeeds, as Linux does.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{FileSystem, StorageFile};

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// A simulated disk. Clones share it; [`SimulatedFileSystem::fork`] copies it.
#[derive(Clone, Debug, Default)]
pub struct SimulatedFileSystem {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Clone, Debug, Default)]
struct Disk {
    files: BTreeMap<u64, Contents>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    pending_names: Vec<NameChange>,
    next_file: u64,
    /// Grows with each crash: handles of before are dead.
    life: u64,
    capacity: Option<u64>,
    syncs_until_failure: Option<u64>,
    writes_until_failure: Option<u64>,
    steps_until_stop: Option<u64>,
    syncs: u64,
}

#[derive(Clone, Debug, Default)]
struct Contents {
    /// As processes see it.
    current: Vec<u8>,
    /// As it would be after a crash that loses every unflushed write.
    durable: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Set(PathBuf, u64),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl NameChange {
    fn directory(&self) -> Option<&Path> {
        match self {
            Self::Set(path, _) | Self::Remove(path) | Self::Rename(_, path) => path.parent(),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Set(path, file) => {
                names.insert(path.clone(), *file);
            }
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Remove(path) => {
                names.remove(path);
            }
        }
    }
}

impl SimulatedFileSystem {
    /// An empty disk without limits or faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk of its own with the same contents, faults and unflushed writes.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            disk: Arc::new(Mutex::new(self.lock().clone())),
        }
    }

    /// Power goes off and on: unflushed writes and names survive in part, as `seed` decides. Open handles are dead.
    pub fn crash(&self, seed: u64) {
        let mut disk = self.lock();
        let mut random = SplitMix(seed);
        let kept = usize::try_from(random.below(disk.pending_names.len() as u64 + 1)).unwrap_or(0);
        let changes = std::mem::take(&mut disk.pending_names);
        let mut names = std::mem::take(&mut disk.durable_names);
        changes[..kept]
            .iter()
            .for_each(|change| change.apply(&mut names));
        disk.names.clone_from(&names);
        disk.durable_names = names;
        // Some crashes lose everything unflushed, some nothing, most tear.
        let keep_of_four = random.below(5);
        for contents in disk.files.values_mut() {
            contents.crash(&mut random, keep_of_four);
        }
        disk.begin_life();
    }

    /// Power goes off and on, and nothing unflushed survives, neither writes nor names. Open handles are dead.
    pub fn lose_unflushed(&self) {
        let mut disk = self.lock();
        disk.pending_names.clear();
        disk.names = disk.durable_names.clone();
        for contents in disk.files.values_mut() {
            contents.pending.clear();
            contents.current.clone_from(&contents.durable);
        }
        disk.begin_life();
    }

    /// The process ends, the machine does not: all writes survive. Open handles are dead.
    pub fn kill(&self) {
        let mut disk = self.lock();
        disk.life += 1;
        disk.steps_until_stop = None;
    }

    /// The machine stops after `steps` more writes, flushes and changes of names: what follows fails and does nothing, until
    /// [`SimulatedFileSystem::crash`], [`SimulatedFileSystem::lose_unflushed`] or [`SimulatedFileSystem::kill`] says what
    /// is left. So a crash comes in the middle of what its caller does in one go.
    pub fn stop_after(&self, steps: u64) {
        self.lock().steps_until_stop = Some(steps);
    }

    /// The flush after `successes` more of them fails (files and directories count alike).
    pub fn fail_sync_after(&self, successes: u64) {
        self.lock().syncs_until_failure = Some(successes);
    }

    /// The write after `successes` more of them fails, half written.
    pub fn fail_write_after(&self, successes: u64) {
        self.lock().writes_until_failure = Some(successes);
    }

    /// Bytes that all files together may have; `None` for no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// Bytes of all files.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.lock().used()
    }

    /// Flushes so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// All paths with their contents as processes see them.
    #[must_use]
    pub fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let disk = self.lock();
        let read = |file: &u64| disk.files.get(file).map(|found| found.current.clone());
        disk.names
            .iter()
            .map(|(path, file)| (path.clone(), read(file).unwrap_or_default()))
            .collect()
    }

    /// Overwrites a file durably, behind the back of whoever has it open; the fault of a disk or an operator.
    pub fn tamper(&self, path: &Path, bytes: Vec<u8>) {
        let mut disk = self.lock();
        let Some(file) = disk.names.get(path).copied() else {
            return;
        };
        if let Some(contents) = disk.files.get_mut(&file) {
            *contents = Contents {
                durable: bytes.clone(),
                current: bytes,
                pending: Vec::new(),
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, file: u64, life: u64) -> Box<dyn StorageFile> {
        Box::new(SimulatedFile {
            disk: Arc::clone(&self.disk),
            file,
            life,
        })
    }
}

impl Contents {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        write_into(&mut self.current, offset, bytes);
        self.pending.push((offset, bytes.to_vec()));
    }

    fn sync(&mut self) {
        for (offset, bytes) in std::mem::take(&mut self.pending) {
            write_into(&mut self.durable, offset, &bytes);
        }
    }

    fn crash(&mut self, random: &mut SplitMix, keep_of_four: u64) {
        for (offset, bytes) in std::mem::take(&mut self.pending) {
            let mut start = 0;
            while start < bytes.len() {
                let to_boundary = SECTOR_BYTES - (offset + start) % SECTOR_BYTES;
                let end = bytes.len().min(start + to_boundary);
                if random.below(4) < keep_of_four {
                    write_into(&mut self.durable, offset + start, &bytes[start..end]);
                }
                start = end;
            }
        }
        self.current.clone_from(&self.durable);
    }
}

fn write_into(target: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if target.len() < end {
        target.resize(end, 0);
    }
    target[offset..end].copy_from_slice(bytes);
}

impl Disk {
    fn used(&self) -> u64 {
        self.names
            .values()
            .filter_map(|file| self.files.get(file))
            .map(|contents| contents.current.len() as u64)
            .sum()
    }

    /// A crash is over: files without a name are gone, injected faults too.
    fn begin_life(&mut self) {
        let named: Vec<u64> = self.names.values().copied().collect();
        self.files.retain(|file, _| named.contains(file));
        self.life += 1;
        self.syncs_until_failure = None;
        self.writes_until_failure = None;
        self.steps_until_stop = None;
    }

    /// Counts a step, unless the machine has stopped.
    fn step(&mut self) -> io::Result<()> {
        match &mut self.steps_until_stop {
            Some(0) => Err(io::Error::other("the simulated machine has stopped")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn count_sync(&mut self) -> io::Result<()> {
        self.syncs += 1;
        count_down(&mut self.syncs_until_failure)
    }

    fn set_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }
}

/// Counts a success, or fails once when none is left.
fn count_down(left: &mut Option<u64>) -> io::Result<()> {
    match left {
        Some(0) => {
            *left = None;
            Err(io::Error::other("injected fault"))
        }
        Some(count) => {
            *count -= 1;
            Ok(())
        }
        None => Ok(()),
    }
}

impl FileSystem for SimulatedFileSystem {
    fn create_directory(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let disk = self.lock();
        Ok(disk
            .names
            .keys()
            .filter(|path| path.parent() == Some(directory))
            .filter_map(|path| path.file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let disk = self.lock();
        let file = disk.names.get(path).copied();
        let file = file.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(self.handle(file, disk.life))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let mut disk = self.lock();
        disk.step()?;
        let file = disk.next_file;
        disk.next_file += 1;
        disk.files.insert(file, Contents::default());
        disk.set_name(NameChange::Set(path.to_path_buf(), file));
        Ok(self.handle(file, disk.life))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.lock();
        if !disk.names.contains_key(from) {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        disk.step()?;
        disk.set_name(NameChange::Rename(from.to_path_buf(), to.to_path_buf()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.lock();
        if !disk.names.contains_key(path) {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        disk.step()?;
        disk.set_name(NameChange::Remove(path.to_path_buf()));
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.lock();
        disk.step()?;
        disk.count_sync()?;
        let changes = std::mem::take(&mut disk.pending_names);
        let (here, elsewhere): (Vec<_>, Vec<_>) = changes
            .into_iter()
            .partition(|change| change.directory() == Some(path));
        for change in here {
            change.apply(&mut disk.durable_names);
        }
        disk.pending_names = elsewhere;
        Ok(())
    }
}

struct SimulatedFile {
    disk: Arc<Mutex<Disk>>,
    file: u64,
    life: u64,
}

impl SimulatedFile {
    /// Runs `work` on the disk, unless this handle died in a crash.
    fn on_disk<T>(&self, work: impl FnOnce(&mut Disk) -> io::Result<T>) -> io::Result<T> {
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        if disk.life != self.life {
            return Err(io::Error::other("the simulated machine crashed"));
        }
        work(&mut disk)
    }

    fn contents<'a>(&self, disk: &'a mut Disk) -> io::Result<&'a mut Contents> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        disk.files.get_mut(&self.file).ok_or_else(missing)
    }
}

impl StorageFile for SimulatedFile {
    fn length(&self) -> io::Result<u64> {
        self.on_disk(|disk| Ok(self.contents(disk)?.current.len() as u64))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.on_disk(|disk| {
            let current = &self.contents(disk)?.current;
            let start = usize::try_from(offset).map_or(current.len(), |at| at.min(current.len()));
            let length = buffer.len().min(current.len() - start);
            buffer[..length].copy_from_slice(&current[start..start + length]);
            Ok(length)
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        self.on_disk(|disk| {
            disk.step()?;
            let grown = (offset + bytes.len()).saturating_sub(self.contents(disk)?.current.len());
            if disk
                .capacity
                .is_some_and(|capacity| grown > 0 && disk.used() + grown as u64 > capacity)
            {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            if let Err(error) = count_down(&mut disk.writes_until_failure) {
                self.contents(disk)?
                    .write(offset, &bytes[..bytes.len() / 2]);
                return Err(error);
            }
            self.contents(disk)?.write(offset, bytes);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.on_disk(|disk| {
            disk.step()?;
            let counted = disk.count_sync();
            let contents = self.contents(disk)?;
            match counted {
                Ok(()) => contents.sync(),
                Err(_) => contents.pending.clear(),
            }
            counted
        })
    }
}

/// A small generator (Steele, Lea, Flood: splitmix64), enough to choose what a crash keeps.
struct SplitMix(u64);

impl SplitMix {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    const fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: &str = "/place";

    /// A file with a flushed byte and one that is not.
    fn half_flushed() -> (SimulatedFileSystem, Box<dyn StorageFile>) {
        let disk = SimulatedFileSystem::new();
        let file = disk
            .create(&Path::new(PLACE).join("file"))
            .expect("creates");
        file.write_at(0, &[1]).expect("writes");
        file.sync_data().expect("flushes");
        disk.sync_directory(Path::new(PLACE)).expect("flushes");
        file.write_at(1, &[2]).expect("writes");
        (disk, file)
    }

    fn read(disk: &SimulatedFileSystem) -> Vec<u8> {
        disk.contents()
            .remove(&Path::new(PLACE).join("file"))
            .unwrap_or_default()
    }

    #[test]
    fn a_kill_keeps_what_was_not_flushed_and_a_loss_of_power_does_not() {
        let (disk, file) = half_flushed();
        disk.create(&Path::new(PLACE).join("other"))
            .expect("creates");
        let killed = disk.fork();
        killed.kill();
        assert_eq!((read(&killed), killed.contents().len()), (vec![1, 2], 2));
        disk.lose_unflushed();
        assert_eq!((read(&disk), disk.contents().len()), (vec![1], 1));
        assert!(file.write_at(1, &[3]).is_err(), "the handle is dead");
    }

    #[test]
    fn a_machine_that_stopped_does_nothing_until_it_is_decided_what_is_left() {
        let (disk, file) = half_flushed();
        disk.stop_after(1);
        file.write_at(2, &[3]).expect("the last step");
        assert!(file.sync_data().is_err());
        assert!(file.write_at(3, &[4]).is_err());
        assert!(disk.create(Path::new("/place/other")).is_err());
        assert!(disk.sync_directory(Path::new(PLACE)).is_err());
        disk.kill();
        assert_eq!(read(&disk), vec![1, 2, 3]);
        disk.create(Path::new("/place/other"))
            .expect("it runs again");
    }
}
