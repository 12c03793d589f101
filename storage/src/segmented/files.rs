//! The segment files: the one written to, the ones kept, the ones ready to be written.
//!
//! A new file is filled with zeros a chunk at a time, ahead of the position, because writing over existing bytes costs
//! half of what growing a file costs at each flush. An old segment is written over as it is: only the header and the page
//! after each batch are made new, and seeded checksums make its old bytes invalid.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::format::{BATCH_HEADER_BYTES, PAGE_BYTES, SegmentHeader};
use super::{LogOptions, SegmentNumber};
use crate::StorageError;
use crate::file_system::{FileSystem, StorageFile};

/// Files that a log keeps, needed or to be written again: a small log swings between one and five needed segments.
const FILES_KEPT: usize = 6;
/// Files of any log that are kept to be written again: one is taken while the next is freed.
const SPARE_FILES_MIN: usize = 2;

/// All files of a log.
pub(super) struct SegmentFiles {
    pub(super) file_system: Arc<dyn FileSystem>,
    pub(super) directory: PathBuf,
    pub(super) options: LogOptions,
    /// Segments that may be needed, by number, with their paths; the current one included.
    used: BTreeMap<SegmentNumber, UsedSegment>,
    spares: Vec<Spare>,
    current: Option<Current>,
    /// Bytes appended that no zeroing ahead was done for yet.
    owed_bytes: u64,
    next_spare: u64,
    nearly_full: bool,
    recycled: u64,
}

struct UsedSegment {
    path: PathBuf,
    length: u64,
}

/// A file ready to become a segment.
struct Spare {
    path: PathBuf,
    file: Box<dyn StorageFile>,
    length: u64,
    /// Whether it was a segment before.
    used_before: bool,
}

/// The segment written to.
struct Current {
    number: SegmentNumber,
    file: Box<dyn StorageFile>,
    offset: u64,
    /// Bytes that the file has.
    length: u64,
    capacity: u64,
}

/// Files found in a log's directory.
#[derive(Debug, Default)]
pub(super) struct FilesFound {
    pub(super) segments: BTreeMap<SegmentNumber, PathBuf>,
    spares: Vec<PathBuf>,
    next_spare: u64,
}

impl FilesFound {
    /// Lists a directory. Names that are not the log's are left alone.
    ///
    /// # Errors
    /// As the file system's.
    pub(super) fn list(
        file_system: &dyn FileSystem,
        directory: &Path,
    ) -> Result<Self, StorageError> {
        let names = file_system
            .list(directory)
            .map_err(|error| StorageError::io("list", directory, error))?;
        let mut found = Self::default();
        for name in names {
            let path = directory.join(&name);
            if let Some(number) = number_in(&name, "segment-") {
                found.segments.insert(SegmentNumber(number), path);
            } else if let Some(number) = number_in(&name, "spare-") {
                found.next_spare = found.next_spare.max(number + 1);
                found.spares.push(path);
            }
        }
        Ok(found)
    }
}

fn number_in(name: &str, prefix: &str) -> Option<u64> {
    name.strip_prefix(prefix)?
        .strip_suffix(".log")?
        .parse()
        .ok()
}

/// End of a batch that ends at `end`, filled up with zeros: at least a header's worth, so that a reader finds the end of
/// the log whatever an earlier life left there, and to the end of the page, which is written whole anyway.
pub(super) const fn padded_end(end: u64, capacity: u64) -> u64 {
    let padded = (end + BATCH_HEADER_BYTES as u64).next_multiple_of(PAGE_BYTES);
    if padded < capacity { padded } else { capacity }
}

impl SegmentFiles {
    /// Takes over the files found; nothing is written to before [`SegmentFiles::resume`] or [`SegmentFiles::advance`].
    pub(super) fn new(
        file_system: Arc<dyn FileSystem>,
        directory: PathBuf,
        options: LogOptions,
        found: FilesFound,
    ) -> Result<Self, StorageError> {
        let mut files = Self {
            file_system,
            directory,
            options,
            used: BTreeMap::new(),
            spares: Vec::new(),
            current: None,
            owed_bytes: 0,
            next_spare: found.next_spare,
            nearly_full: false,
            recycled: 0,
        };
        for (number, path) in found.segments {
            let length = files.open(&path)?.1;
            files.used.insert(number, UsedSegment { path, length });
        }
        for path in found.spares {
            files.keep_or_remove(path)?;
        }
        Ok(files)
    }

    /// Goes on writing in a segment after a recovery. Its name is made durable first: the process that gave it may have been
    /// killed before it did, and what is flushed into a file is gone with the file's name.
    pub(super) fn resume(
        &mut self,
        number: SegmentNumber,
        offset: u64,
        capacity: u64,
    ) -> Result<(), StorageError> {
        self.sync_directory()?;
        let path = self.segment_path(number);
        let (file, length) = self.open(&path)?;
        self.current = Some(Current {
            number,
            file,
            offset,
            length,
            capacity,
        });
        Ok(())
    }

    /// Writes once more what is in the current segment from `offset` up to its position. A flush that failed in an earlier
    /// process leaves pages that the operating system takes for written and that are not on the disk (Rebello et al., "Can
    /// applications recover from fsync failures?", ATC 2020): only pages written anew are part of the next flush.
    pub(super) fn write_again(&mut self, offset: u64) -> Result<(), StorageError> {
        let Some(current) = &self.current else {
            return Ok(());
        };
        // Lengths of a segment fit memory: it is read whole.
        let bytes = usize::try_from(current.offset.saturating_sub(offset)).unwrap_or(0);
        let mut buffer = vec![0; bytes];
        let again = current.file.read_at(offset, &mut buffer).and_then(|read| {
            if read < buffer.len() {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            current.file.write_at(offset, &buffer)
        });
        again.map_err(|error| {
            let path = segment_path(&self.directory, current.number);
            StorageError::io("write", &path, error)
        })
    }

    /// The segment written to; zero while there is none.
    pub(super) fn current_number(&self) -> SegmentNumber {
        self.current
            .as_ref()
            .map_or(SegmentNumber(0), |current| current.number)
    }

    /// Where the next batch begins.
    pub(super) fn offset(&self) -> u64 {
        self.current.as_ref().map_or(0, |current| current.offset)
    }

    /// Bytes that a batch, header included, may still have in the current segment.
    pub(super) fn room(&self) -> u64 {
        self.current
            .as_ref()
            .map_or(0, |current| current.capacity.saturating_sub(current.offset))
    }

    /// Makes sure that a batch of `bytes` in the current segment, and batches of `following` bytes, each in a segment of
    /// its own, will not meet a full disk.
    pub(super) fn reserve(&mut self, bytes: u64, following: &[u64]) -> Result<(), StorageError> {
        let result = self.try_reserve(bytes, following);
        if matches!(result, Err(StorageError::DiskFull { .. })) {
            self.nearly_full = true;
        }
        result
    }

    fn try_reserve(&mut self, bytes: u64, following: &[u64]) -> Result<(), StorageError> {
        let chunk = self.options.zero_bytes;
        if let Some(current) = &mut self.current {
            let wanted = padded_end(current.offset + bytes, current.capacity);
            let path = segment_path(&self.directory, current.number);
            grow(
                &*current.file,
                &path,
                &mut current.length,
                wanted,
                current.capacity,
                chunk,
            )?;
        }
        for (place, bytes) in following.iter().enumerate() {
            if self.spares.len() <= place {
                self.create_spare()?;
            }
            let capacity = self.options.segment_bytes;
            let wanted = padded_end(PAGE_BYTES + bytes, capacity);
            let spare = &mut self.spares[place];
            grow(
                &*spare.file,
                &spare.path,
                &mut spare.length,
                wanted,
                capacity,
                chunk,
            )?;
        }
        Ok(())
    }

    /// Ends the current segment early if it cannot grow and a spare file has room already: that room is what lets promised
    /// work end on a full disk. Returns whether it did.
    pub(super) fn end_early(&mut self) -> bool {
        let ready = self.spares.first().map_or(0, |spare| spare.length);
        match &mut self.current {
            Some(current) if ready > 2 * PAGE_BYTES && current.capacity > current.offset => {
                current.capacity = current.offset;
                true
            }
            _ => false,
        }
    }

    /// Writes a batch at [`SegmentFiles::offset`]; `buffer` is filled up with zeros to the end of the page.
    pub(super) fn write(&mut self, buffer: &mut Vec<u8>) -> Result<(), StorageError> {
        let Some(current) = &mut self.current else {
            return Err(StorageError::Damaged);
        };
        let bytes = buffer.len() as u64;
        let padded = padded_end(current.offset + bytes, current.capacity) - current.offset;
        // Lengths of a segment fit memory: it is read whole.
        buffer.resize(usize::try_from(padded).unwrap_or(buffer.len()), 0);
        current
            .file
            .write_at(current.offset, buffer)
            .map_err(|error| {
                let path = segment_path(&self.directory, current.number);
                StorageError::io("write", &path, error)
            })?;
        current.length = current.length.max(current.offset + padded);
        current.offset += bytes;
        self.owed_bytes += bytes;
        Ok(())
    }

    /// Flushes the current segment.
    pub(super) fn sync(&mut self) -> Result<(), StorageError> {
        let Some(current) = &self.current else {
            return Ok(());
        };
        current.file.sync_data().map_err(|error| {
            StorageError::io(
                "flush",
                &segment_path(&self.directory, current.number),
                error,
            )
        })
    }

    /// Begins the segment that `header` describes, in a spare file if there is one. Durable on return. The name comes
    /// last, so that a file named as a segment always had a good header on disk.
    pub(super) fn advance(&mut self, header: &SegmentHeader) -> Result<(), StorageError> {
        if self.spares.is_empty() {
            self.create_spare()?;
        }
        let mut spare = self.spares.remove(0);
        let mut page = header.encode();
        // The first batch's place is made zero: an earlier life may have left bytes there.
        page.resize(
            usize::try_from(padded_end(PAGE_BYTES, header.capacity)).unwrap_or(page.len()),
            0,
        );
        let failed = |error| StorageError::io("write", &spare.path, error);
        spare.file.write_at(0, &page).map_err(failed)?;
        spare.file.sync_data().map_err(failed)?;
        spare.length = spare.length.max(page.len() as u64);
        let path = self.segment_path(header.number);
        self.file_system
            .rename(&spare.path, &path)
            .map_err(|error| StorageError::io("rename", &spare.path, error))?;
        self.sync_directory()?;
        self.recycled += u64::from(spare.used_before);
        self.note_current_length();
        self.used.insert(
            header.number,
            UsedSegment {
                path,
                length: spare.length,
            },
        );
        self.current = Some(Current {
            number: header.number,
            file: spare.file,
            offset: PAGE_BYTES,
            length: spare.length,
            capacity: header.capacity,
        });
        Ok(())
    }

    /// Frees the segments before `oldest`: they are written again, or removed.
    pub(super) fn release_before(&mut self, oldest: SegmentNumber) -> Result<(), StorageError> {
        while let Some(entry) = self.used.first_entry()
            && *entry.key() < oldest
        {
            let path = entry.remove().path;
            self.keep_or_remove(path)?;
        }
        Ok(())
    }

    /// Does the zeroing that is due for what was appended: twice as much, so that the next segment is ready in time.
    pub(super) fn keep_pace(&mut self) -> Result<(), StorageError> {
        let step = self.options.zero_bytes / 2;
        while self.owed_bytes >= step {
            self.owed_bytes -= step;
            self.prepare()?;
        }
        Ok(())
    }

    /// Makes one more chunk of the next segment ready. A full disk is noted, not an error.
    pub(super) fn prepare(&mut self) -> Result<(), StorageError> {
        match self.try_prepare() {
            Err(StorageError::DiskFull { .. }) => {
                self.nearly_full = true;
                Ok(())
            }
            Ok(()) => {
                self.nearly_full = false;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn try_prepare(&mut self) -> Result<(), StorageError> {
        if self.spares.is_empty() {
            self.create_spare()?;
        }
        let (capacity, chunk) = (self.options.segment_bytes, self.options.zero_bytes);
        let spare = &mut self.spares[0];
        if spare.length >= capacity {
            return Ok(());
        }
        let wanted = spare.length + 1;
        grow(
            &*spare.file,
            &spare.path,
            &mut spare.length,
            wanted,
            capacity,
            chunk,
        )?;
        // Flushed a chunk at a time: else the first commit in the new segment would pay for all of it.
        let failed = |error| StorageError::io("flush", &spare.path, error);
        spare.file.sync_data().map_err(failed)
    }

    /// Whether the last attempt to get room ready found none.
    pub(super) const fn is_nearly_full(&self) -> bool {
        self.nearly_full
    }

    /// Removes every spare file: nothing of another log may be left in what becomes segment 1.
    pub(super) fn remove_spares(&mut self) -> Result<(), StorageError> {
        while let Some(spare) = self.spares.pop() {
            self.remove(&spare.path)?;
        }
        Ok(())
    }

    /// Removes every segment, oldest first and the newest last and apart, so that a crash in between leaves evidence.
    pub(super) fn remove_all(&mut self) -> Result<(), StorageError> {
        self.current = None;
        while let Some(entry) = self.used.first_entry() {
            let path = entry.remove().path;
            if self.used.is_empty() {
                self.sync_directory()?;
            }
            self.remove(&path)?;
        }
        self.sync_directory()
    }

    /// Numbers of the segments that may be needed, the current one included.
    pub(super) fn used(&self) -> impl DoubleEndedIterator<Item = SegmentNumber> {
        self.used.keys().copied()
    }

    /// Files ready to be written, bytes of all files, segments written again so far.
    pub(super) fn figures(&self) -> (u64, u64, u64) {
        let current = self.current_number();
        let used = self.used.iter().map(|(number, used)| match &self.current {
            Some(open) if *number == current => open.length,
            _ => used.length,
        });
        let spares = self.spares.iter().map(|spare| spare.length);
        let bytes = used.chain(spares).sum();
        (self.spares.len() as u64, bytes, self.recycled)
    }

    fn note_current_length(&mut self) {
        if let Some(current) = &self.current
            && let Some(used) = self.used.get_mut(&current.number)
        {
            used.length = current.length;
        }
    }

    fn create_spare(&mut self) -> Result<(), StorageError> {
        let path = self
            .directory
            .join(format!("spare-{:020}.log", self.next_spare));
        let file = self
            .file_system
            .create(&path)
            .map_err(|error| StorageError::io("create", &path, error))?;
        self.next_spare += 1;
        self.spares.push(Spare {
            path,
            file,
            length: 0,
            used_before: false,
        });
        Ok(())
    }

    /// A file that is not needed: kept for writing again if it fits and not enough are.
    fn keep_or_remove(&mut self, path: PathBuf) -> Result<(), StorageError> {
        let (file, length) = self.open(&path)?;
        let enough = self.spares.len() >= SPARE_FILES_MIN
            && self.spares.len() + self.used.len() >= FILES_KEPT;
        if enough || length > self.options.segment_bytes {
            drop(file);
            return self.remove(&path);
        }
        self.nearly_full = false;
        // Longest first: the file that is ready is taken before one that still has to grow.
        let place = self.spares.partition_point(|spare| spare.length >= length);
        self.spares.insert(
            place,
            Spare {
                path,
                file,
                length,
                used_before: true,
            },
        );
        Ok(())
    }

    fn open(&self, path: &Path) -> Result<(Box<dyn StorageFile>, u64), StorageError> {
        let failed = |error| StorageError::io("open", path, error);
        let file = self.file_system.open(path).map_err(failed)?;
        let length = file.length().map_err(failed)?;
        Ok((file, length))
    }

    fn remove(&self, path: &Path) -> Result<(), StorageError> {
        self.file_system
            .remove(path)
            .map_err(|error| StorageError::io("remove", path, error))
    }

    fn sync_directory(&self) -> Result<(), StorageError> {
        self.file_system
            .sync_directory(&self.directory)
            .map_err(|error| StorageError::io("flush", &self.directory, error))
    }

    fn segment_path(&self, number: SegmentNumber) -> PathBuf {
        segment_path(&self.directory, number)
    }
}

fn segment_path(directory: &Path, number: SegmentNumber) -> PathBuf {
    directory.join(format!("segment-{:020}.log", number.0))
}

/// Fills a file with zeros from its end, in whole chunks, until it has `wanted` bytes.
fn grow(
    file: &dyn StorageFile,
    path: &Path,
    length: &mut u64,
    wanted: u64,
    capacity: u64,
    chunk: u64,
) -> Result<(), StorageError> {
    if *length >= wanted {
        return Ok(());
    }
    let target = wanted.next_multiple_of(chunk).min(capacity);
    let missing = usize::try_from(target - *length).unwrap_or(usize::MAX);
    file.write_at(*length, &vec![0; missing])
        .map_err(|error| StorageError::io("grow", path, error))?;
    *length = target;
    Ok(())
}
