//! Which program a task may run, and where it is.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringhold_types::{ExecutorConfig, Failure, FailureKind, ProcessCall};

use crate::execution::attempt::failure;

/// Allows every program.
const EVERYTHING: &str = "*";
/// Variables by which the loader runs code that is not the program; refused wherever programs are restricted.
const LOADER_PREFIX: &str = "LD_";

/// Finds the program of `call` and checks that `config` allows it.
///
/// A plain name is found by the *member's* search path, never the task's, so a task cannot put another program in its
/// place. An entry of `allowed-binaries` allows the file it names: an absolute path that very path, a plain name the file
/// that the search path finds for it. Paths are compared as text; links are not followed.
pub(super) fn find_allowed(
    call: &ProcessCall,
    config: &ExecutorConfig,
    search_path: &OsStr,
    directory: &Path,
) -> Result<PathBuf, Arc<Failure>> {
    let name = OsStr::from_bytes(call.arguments.first().map_or(&[], |name| name));
    if name.is_empty() {
        return Err(launch_failure("the task names no program".to_owned()));
    }
    let found = resolve(name, search_path, directory);
    check_allowed(name, found.as_deref(), config, search_path)?;
    check_loader(call, config)?;
    found.ok_or_else(|| {
        let path = search_path.to_string_lossy();
        launch_failure(format!(
            "program {} is not on this member's PATH ({path})",
            shown(name)
        ))
    })
}

fn resolve(name: &OsStr, search_path: &OsStr, directory: &Path) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Some(directory.join(name));
    }
    std::env::split_paths(search_path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn check_allowed(
    name: &OsStr,
    found: Option<&Path>,
    config: &ExecutorConfig,
    search_path: &OsStr,
) -> Result<(), Arc<Failure>> {
    let allows = |entry: &String| {
        let entry_is_path = entry.contains('/');
        if entry == EVERYTHING {
            return true;
        }
        match found {
            Some(file) if entry_is_path => file == Path::new(entry),
            Some(file) => {
                resolve(OsStr::new(entry), search_path, Path::new("/")).as_deref() == Some(file)
            }
            None => OsStr::new(entry) == name,
        }
    };
    if config.allowed_binaries.iter().any(allows) {
        return Ok(());
    }
    let allowed = if config.allowed_binaries.is_empty() {
        "none".to_owned()
    } else {
        config.allowed_binaries.join(", ")
    };
    let message = format!(
        "executor {} does not allow the program {} (allowed: {allowed}); add it to allowed-binaries of the executor, \
         or \"*\" to allow every program",
        config.name,
        shown(name),
    );
    Err(failure(FailureKind::NotAllowed, message))
}

fn check_loader(call: &ProcessCall, config: &ExecutorConfig) -> Result<(), Arc<Failure>> {
    if config
        .allowed_binaries
        .iter()
        .any(|entry| entry == EVERYTHING)
    {
        return Ok(());
    }
    match call
        .environment
        .keys()
        .find(|name| name.starts_with(LOADER_PREFIX))
    {
        None => Ok(()),
        Some(name) => {
            let message = format!(
                "executor {} restricts programs, so a task must not set {name}, which can load any code into them; \
                 leave it out, or allow every program with \"*\" in allowed-binaries",
                config.name
            );
            Err(failure(FailureKind::NotAllowed, message))
        }
    }
}

/// The failure of a program that was not started.
pub(super) fn launch_failure(message: String) -> Arc<Failure> {
    failure(FailureKind::LaunchFailure, message)
}

/// A program's name for a person.
pub(super) fn shown(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}
