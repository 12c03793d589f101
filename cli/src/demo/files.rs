//! Real files, found and hashed by the demo itself: what the cluster answers is compared with this.

use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// Largest file taken: it is read twice, and the demo should be over soon.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A file and the hash of what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HashedFile {
    /// Where it is.
    pub(super) path: Bytes,
    /// Its SHA-256, as `sha256sum` prints it.
    pub(super) hash: String,
}

/// The first `count` readable regular files of 1 byte to 16 MiB below `root`, by path. Links are not followed; names with
/// a line's end are passed over, since a line names a file.
pub(super) fn find(root: &Path, count: usize) -> Vec<HashedFile> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        if found.len() == count {
            break;
        }
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        if metadata.is_dir() {
            open.extend(children(&path));
        } else if metadata.is_file() && (1..=FILE_BYTES_MAX).contains(&metadata.len()) {
            found.extend(hash(&path));
        }
    }
    found
}

/// What a directory holds, the last first, so that a stack gives all files in the order of the bytes of their paths. A
/// directory stands where the files in it do: its name counts with the slash that follows it.
fn children(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut named: Vec<(Vec<u8>, PathBuf)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let mut name = entry.file_name().as_bytes().to_vec();
            if entry.file_type().ok()?.is_dir() {
                name.push(b'/');
            }
            Some((name, entry.path()))
        })
        .collect();
    named.sort_unstable_by(|left, right| right.cmp(left));
    named.into_iter().map(|(_, path)| path).collect()
}

/// A file with its hash; nothing for one that cannot be read, or whose name is no line.
fn hash(path: &Path) -> Option<HashedFile> {
    let name = path.as_os_str().as_bytes();
    // sha256sum escapes names with these and marks the line with a backslash.
    if name
        .iter()
        .any(|byte| matches!(byte, b'\n' | b'\r' | b'\\'))
    {
        return None;
    }
    let mut file = fs::File::open(path).ok()?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer).ok()? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    let hash = crate::json::hex(&hasher.finalize());
    Some(HashedFile {
        path: Bytes::copy_from_slice(name),
        hash,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_by_path_and_hashed_as_sha256sum_does() {
        let root = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().expect("inside")).expect("made");
            fs::write(path, text).expect("written");
        };
        for (name, text) in [
            ("b/2", "two"),
            ("a", "abc"),
            ("b/1", "one"),
            ("empty", ""),
            ("c", "three"),
        ] {
            write(name, text);
        }
        std::os::unix::fs::symlink(root.path().join("a"), root.path().join("aa")).expect("linked");
        let found = find(root.path(), 3);
        let names: Vec<_> = found
            .iter()
            .map(|file| {
                String::from_utf8_lossy(&file.path)
                    .replace(&format!("{}/", root.path().display()), "")
            })
            .collect();
        assert_eq!(names, ["a", "b/1", "b/2"]);
        assert_eq!(
            found[0].hash,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(find(root.path(), 99).len(), 4);
    }

    #[test]
    fn the_order_is_that_of_the_whole_paths_bytes() {
        let root = tempfile::tempdir().expect("a directory");
        let names = ["a/z", "a-b", "a.d/x", "a0", "a/b/c", "a/b-", "b"];
        for name in names {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().expect("inside")).expect("made");
            fs::write(path, "text").expect("written");
        }
        let found: Vec<_> = find(root.path(), 99)
            .into_iter()
            .map(|file| file.path)
            .collect();
        let mut sorted = found.clone();
        sorted.sort();
        assert_eq!(found, sorted);
        assert_eq!(found.len(), names.len());
        let first = find(root.path(), 3);
        assert_eq!(
            first.iter().map(|file| &file.path).collect::<Vec<_>>(),
            found[..3].iter().collect::<Vec<_>>()
        );
    }
}
