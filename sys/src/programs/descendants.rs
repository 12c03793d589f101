//! Processes below a process, as /proc shows them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::report::ProcessId;

/// Signals everything below `root`, but nothing that is in `spared` or below that. A process is signalled before its children
/// are listed: one that is to be killed starts no more, so that a family that multiplies cannot outrun this. What changes its
/// parent meanwhile is found by the next call.
pub(crate) fn signal_below(root: ProcessId, spared: &BTreeSet<ProcessId>, signal: Signal) {
    visit_below(root, spared, |child, parent| {
        signal_child(child, &[parent, root], signal)
    });
}

/// Living processes below `root`.
pub(crate) fn count_below(root: ProcessId) -> u32 {
    let found = visit_below(root, &BTreeSet::new(), |child, _| {
        state_of(child).is_some_and(|(state, _)| is_alive(state))
    });
    u32::try_from(found.len()).unwrap_or(u32::MAX)
}

/// Visits what is below `root`, with the parent of each; below what was not taken it does not look. Returns what was taken.
fn visit_below(
    root: ProcessId,
    spared: &BTreeSet<ProcessId>,
    mut take: impl FnMut(ProcessId, ProcessId) -> bool,
) -> BTreeSet<ProcessId> {
    let mut taken = BTreeSet::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for child in children_of(parent) {
            if !spared.contains(&child) && !taken.contains(&child) && take(child, parent) {
                taken.insert(child);
                parents.push(child);
            }
        }
    }
    taken
}

/// Whether anything lives below `root`, but for `spared`.
pub(crate) fn lives_below(root: ProcessId, spared: &BTreeSet<ProcessId>) -> bool {
    let mut children = children_of(root).into_iter();
    children.any(|child| !spared.contains(&child))
}

/// Kills every process whose environment holds `marker`, the way `NAME=value`, but this one; returns how many. For what is
/// left of a process that ended without its keepers: a program can take the marker out of its environment, so this is no proof.
///
/// # Errors
/// The operating system's, if /proc cannot be listed.
pub fn sweep(marker: &OsStr) -> io::Result<u32> {
    let own = std::process::id();
    let mut killed = 0;
    for process in all_processes()? {
        if process.0 == own {
            continue;
        }
        let Some(descriptor) = descriptor_of(process) else {
            continue;
        };
        // Read after the descriptor was opened: it is this process's environment, not that of a namesake before it.
        let environment = fs::read(format!("/proc/{}/environ", process.0)).unwrap_or_default();
        let mut entries = environment.split(|byte| *byte == 0);
        if entries.any(|entry| entry == marker.as_bytes()) {
            killed += u32::from(pidfd_send_signal(descriptor, Signal::KILL).is_ok());
        }
    }
    Ok(killed)
}

/// Signals a process if it is alive and still has one of `parents`: else its number may mean another one.
fn signal_child(child: ProcessId, parents: &[ProcessId], signal: Signal) -> bool {
    let Some(descriptor) = descriptor_of(child) else {
        return false;
    };
    let Some((state, parent)) = state_of(child) else {
        return false;
    };
    is_alive(state) && parents.contains(&parent) && pidfd_send_signal(descriptor, signal).is_ok()
}

/// Neither a zombie nor dead.
const fn is_alive(state: u8) -> bool {
    !matches!(state, b'Z' | b'X')
}

fn descriptor_of(process: ProcessId) -> Option<std::os::fd::OwnedFd> {
    let number = i32::try_from(process.0).ok()?;
    pidfd_open(Pid::from_raw(number)?, PidfdFlags::empty()).ok()
}

/// The children of all threads of a process; of one that is gone, none.
fn children_of(parent: ProcessId) -> Vec<ProcessId> {
    let Ok(threads) = fs::read_dir(format!("/proc/{}/task", parent.0)) else {
        return Vec::new();
    };
    let mut children = Vec::new();
    for thread in threads.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(listed) => {
                let listed = listed.split_ascii_whitespace();
                children.extend(listed.filter_map(|it| it.parse().ok()).map(ProcessId));
            }
            // A thread that has just ended has none; a kernel without these lists has no such file for any.
            Err(_) if thread.path().exists() => return children_by_parent(parent),
            Err(_) => {}
        }
    }
    children
}

fn children_by_parent(parent: ProcessId) -> Vec<ProcessId> {
    let all = all_processes().unwrap_or_default();
    all.into_iter()
        .filter(|child| state_of(*child).is_some_and(|(_, its)| its == parent))
        .collect()
}

fn all_processes() -> io::Result<Vec<ProcessId>> {
    let names = fs::read_dir("/proc")?.flatten();
    let numbers = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(numbers.map(ProcessId).collect())
}

/// State and parent of a process.
fn state_of(process: ProcessId) -> Option<(u8, ProcessId)> {
    let line = fs::read(format!("/proc/{}/stat", process.0)).ok()?;
    // The name before them is in brackets, and may hold any bytes.
    let name_ends = line.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(line.get(name_ends + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.bytes().next()?;
    Some((state, ProcessId(fields.next()?.parse().ok()?)))
}
