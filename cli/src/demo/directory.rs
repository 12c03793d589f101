//! The directory of a demo. It goes with the demo; a demo that was killed with SIGKILL leaves it behind, and the next one
//! removes it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::output;

/// Directories are called so, with random digits behind.
const PREFIX: &str = "ringhold-demo-";
/// A file in it that its demo holds locked for as long as it lives. A lock goes with its process, however that ends.
const OWNER: &str = "owner";

/// A directory of this demo's own, removed when dropped.
pub(super) struct DemoDirectory {
    path: PathBuf,
    _owner: File,
}

impl DemoDirectory {
    /// Makes one below `parent`, after removing those whose demos are dead.
    pub(super) fn create(parent: &Path) -> Result<Self, Failure> {
        Self::try_create(parent).map_err(|error| {
            Failure::io(&format!("make a directory in {}", parent.display()), &error)
        })
    }

    fn try_create(parent: &Path) -> io::Result<Self> {
        fs::create_dir_all(parent)?;
        for abandoned in abandoned(parent)? {
            match fs::remove_dir_all(&abandoned) {
                Ok(()) => output::say(format_args!(
                    "removed {}, which a killed demo had left",
                    abandoned.display()
                )),
                Err(error) => output::say(format_args!(
                    "a killed demo has left {}, which cannot be removed: {error}",
                    abandoned.display()
                )),
            }
        }
        let mut drawn = [0; 6];
        getrandom::fill(&mut drawn)?;
        let path = parent.join(format!("{PREFIX}{}", crate::json::hex(&drawn)));
        fs::create_dir(&path)?;
        // It gets its name once it is locked: nobody sees it without its lock.
        let unnamed = path.join("owner.new");
        let owner = File::create(&unnamed)?;
        owner.lock()?;
        fs::rename(&unnamed, path.join(OWNER))?;
        Ok(Self {
            path,
            _owner: owner,
        })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for DemoDirectory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            output::say(format_args!(
                "cannot remove {}: {error}",
                self.path.display()
            ));
        }
    }
}

/// Directories of demos that are dead: called like one, ours, and with an owner's file that nobody has locked. One
/// without that file is being made just now, or is something else.
fn abandoned(parent: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let is_demo = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(PREFIX));
        if is_demo && is_abandoned(&entry.path()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn is_abandoned(directory: &Path) -> bool {
    let Ok(metadata) = fs::symlink_metadata(directory) else {
        return false;
    };
    let is_ours = metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw();
    is_ours && File::open(directory.join(OWNER)).is_ok_and(|owner| owner.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_demo_left_is_removed_and_nothing_else() {
        let parent = tempfile::tempdir().expect("a directory");
        let make = |name: &str, owner: bool| {
            let path = parent.path().join(name);
            fs::create_dir_all(path.join("m1/data")).expect("made");
            if owner {
                File::create(path.join(OWNER)).expect("made");
            }
            path
        };
        let killed = make("ringhold-demo-0123456789ab", true);
        let being_made = make("ringhold-demo-ba9876543210", false);
        let other = make("somebody-elses", true);
        let living = DemoDirectory::create(parent.path()).expect("created");
        assert!(!killed.exists());
        let next = DemoDirectory::create(parent.path()).expect("created");
        assert!(being_made.exists() && other.exists() && living.path().exists());
        let path = next.path().to_owned();
        drop(next);
        assert!(!path.exists());
    }
}
